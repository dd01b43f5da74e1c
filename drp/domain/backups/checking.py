"""Which parts of a repository's data a check reads next, so that all of it is read within a declared time.

restic sorts packs into `t` parts by the first byte of their name (`--read-data-subset n/t`), so what was read is kept
here by first byte: a change of `t` loses nothing, and a pack that comes later is read with its byte's next turn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil

from drp.domain.backups.record import RepositoryCheck

MOST_PARTS = 256
"""More of them restic does not know."""

_SLACK = 4
"""A quarter of the time is left over for checks that are missed."""


@dataclass(frozen=True, slots=True)
class CheckPlan:
    """What a check reads: parts 1 to `parts` by number. `is_late` where some data was not read in time before it."""

    numbers: tuple[int, ...]
    parts: int
    is_late: bool


def parts_for(gap: timedelta, within: timedelta) -> int:
    """Into how many parts a repository is divided whose checks are at most `gap` apart."""
    return min(MOST_PARTS, max(1, int(within * (_SLACK - 1) / _SLACK // gap)))


def plan_check(checks: Sequence[RepositoryCheck], gap: timedelta, within: timedelta, now: datetime) -> CheckPlan:
    """What to read now, of a repository with these checks behind it.

    Every byte's turn comes within three quarters of `within`, as long as checks are at most `gap` apart; so it is also
    kept where checks are missed for up to a quarter of it. After a longer silence, all that is late is read at once.
    """
    parts = parts_for(gap, within)
    target = within * (_SLACK - 1) / _SLACK
    bytes_read = last_reads(checks, now)
    read_at = sorted((min(bytes_read[part - 1 :: parts]), part) for part in range(1, parts + 1))
    # How many checks, with this one, there are for a part before its time is over.
    until = [max(1, (at + target - now) // gap + 1) for at, _ in read_at]
    count = max(1, *(ceil(position / checks_left) for position, checks_left in enumerate(until, 1)))
    late = any(now - at > within for at, _ in read_at)
    numbers = tuple(sorted(part for _, part in read_at[:count]))
    return CheckPlan((1,), 1, late) if count == parts else CheckPlan(numbers, parts, late)


def last_reads(checks: Sequence[RepositoryCheck], now: datetime) -> list[datetime]:
    """When the packs of each first byte were last read and found good. Those that never were count from just before the
    first check; without one, from now."""
    first = min((check.checked_at for check in checks), default=now)
    reads = [first - timedelta(microseconds=1)] * MOST_PARTS
    for check in checks:
        if check.is_good and check.parts:
            for byte in range(check.part - 1, MOST_PARTS, check.parts):
                reads[byte] = max(reads[byte], check.checked_at)
    return reads
