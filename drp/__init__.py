"""drp: business continuity and disaster recovery, rehearsed, measured and proved."""

__version__ = "0.1.0"
