"""Lists that agencies keep, read into records."""
