"""Which restic drp can use."""

from __future__ import annotations

import re

OLDEST_RESTIC = (0, 14)


def version_in(said):
    """What restic says of its version, as (major, minor); None where it is not restic that says so."""
    found = re.match(r"restic (\d+)\.(\d+)", said)
    return (int(found.group(1)), int(found.group(2))) if found else None
