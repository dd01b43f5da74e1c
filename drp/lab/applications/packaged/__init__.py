"""Configuration of unmodified Debian programs; see `drp.lab.applications.debian`."""
