"""How long a recovery would take and how much would be lost: what `drp plan` reckons."""
