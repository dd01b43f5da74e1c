"""How far a recovery is, and what is still to come: read from its events and samples alone, nothing is remembered."""
