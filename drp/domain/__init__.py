"""Decisions, without any input or output: the present time and all facts are passed in."""
