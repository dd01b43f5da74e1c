"""What the ledger's projections know of the protection of a service: the ground that a status is reckoned from.

Nothing here is judged; `drp.domain.protection.status` does that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from drp.domain.backups.record import BackupState, DatasetSize, Proof

STRUCTURE_ONLY = 0
"""The part that a check names which read no data."""


@dataclass(frozen=True, slots=True)
class Held:
    """The newest restore point of the active site that has arrived at a DR centre."""

    dr_centre: str
    restore_point: str
    sentinel_at: datetime
    arrived_at: datetime
    bytes: int


@dataclass(frozen=True, slots=True)
class History:
    """The data times of a service, over all sites that it was active at, also those of restore points that are no
    longer kept.

    `first` and `last` are the oldest and the newest ever. Of the window that was asked for: `worst_gap` is the longest
    time between two data times that follow each other, the later one in the window; `worst_loss` the longest time from
    a data time to the next one's arrival, which is what a disaster just before would have cost. None where the window
    holds no pair.
    """

    first: datetime
    last: datetime
    worst_gap: timedelta | None
    worst_loss: timedelta | None


@dataclass(frozen=True, slots=True)
class PartRead:
    """The checks of one repository by one division into parts: how many different parts were found good, the oldest
    and the newest of the newest good checks of each. `parts` is 0 for checks of the structure only."""

    host: str
    dr_centre: str
    parts: int
    good_parts: int
    oldest: datetime
    newest: datetime


@dataclass(frozen=True, slots=True)
class BadCheck:
    """A part of a repository whose newest check was bad; no later good one has covered it."""

    host: str
    dr_centre: str
    part: int
    parts: int
    checked_at: datetime
    run: str


@dataclass(frozen=True, slots=True)
class LastCheck:
    """The newest check of a repository, good or bad."""

    host: str
    dr_centre: str
    part: int
    parts: int
    checked_at: datetime
    is_good: bool


@dataclass(frozen=True, slots=True)
class Preflight:
    """What the newest preflight of a service found that was not well. `purpose`: backup or recovery; `problems` are
    (level, text) pairs, errors first."""

    purpose: str
    at: datetime
    problems: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """What a DR centre itself said, when it was asked, of the newest restore point that it is said to hold: why it
    could not be asked, or the parts that are gone there."""

    dr_centre: str
    restore_point: str
    unreachable: str = ""
    gone: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Facts:
    """All that is known of one service. `active_since` is None where it never moved. `earlier` is the data time and the
    size of a restore point about a week before the newest. `copies` are those at other DR centres, by their names.
    `state`, `copy_states` (by DR centre) and `restore_test` tell of the last attempts to back up, to copy, and to prove
    a restore."""

    service: str
    site: str
    active_since: datetime | None
    newest: Held | None
    history: History | None
    earlier: tuple[datetime, int] | None
    copies: dict[str, Held]
    state: BackupState | None
    restore_test: BackupState | None
    last_checks: tuple[LastCheck, ...]
    reads: tuple[PartRead, ...]
    bad_checks: tuple[BadCheck, ...]
    proofs: tuple[Proof, ...]
    preflights: tuple[Preflight, ...] = ()
    sizes: tuple[DatasetSize, ...] = ()
    copy_states: Mapping[str, BackupState] = field(default_factory=dict)
