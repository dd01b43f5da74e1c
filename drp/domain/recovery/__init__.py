"""Plans of recoveries, their runs, and what was measured."""
