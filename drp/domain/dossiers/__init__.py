"""One thing with everything that is known about it."""
