"""What the ledger knows of backups, as its projections keep it: quick to read, and rebuildable from the events."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

SCHEDULED_KINDS = ("backup", "copy", "forget", "preflight", "check", "restore-test", "prune")
"""The kinds of runs that a schedule asks for; of what is due at the same time, what comes first here is done first."""


@dataclass(frozen=True, slots=True)
class BackupState:
    """How the backups of a service stand, or its checks, or its copies at a DR centre, and so on. `failures` counts the
    failed attempts since the last good one; a run that is open still counts as neither. `due_at` is the moment of the
    schedule that the last run was for, if it was for one; `closed_at` is when the last run ended; `done_…` are those of
    the last good run.
    """

    service: str
    last_run: str
    opened_at: datetime
    is_open: bool
    outcome: str | None
    due_at: datetime | None
    done_at: datetime | None
    done_due_at: datetime | None
    failures: int
    closed_at: datetime | None = None
    done_opened_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Deferral:
    """A task of the schedule that was due for a `moment` and could not begin, such as for a lock that another holds:
    how often in a row, when last, and why. `dr_centre` is where a copy was to go. A run that is opened ends it."""

    service: str
    kind: str
    dr_centre: str
    moment: datetime
    at: datetime
    count: int
    reason: str


@dataclass(frozen=True, slots=True)
class DataTimes:
    """How far the restore points of a service go back, of data that it wrote at one site."""

    service: str
    site: str
    oldest: datetime
    newest: datetime


@dataclass(frozen=True, slots=True)
class Arrival:
    """A restore point in short: when its data is from, and when it had arrived at its DR centre."""

    id: str
    service: str
    site: str
    dr_centre: str
    sentinel_at: datetime
    arrived_at: datetime
    bytes: int


@dataclass(frozen=True, slots=True)
class Copy:
    """A restore point that has arrived at another DR centre too."""

    restore_point: str
    service: str
    dr_centre: str
    arrived_at: datetime


@dataclass(frozen=True, slots=True)
class Proof:
    """The newest time at which a dataset was restored and found to be what was backed up. `how`: test-restore, drill,
    failover or restore; `declaration`: the hash of what it was then, None where nobody knows it any more (an older drp
    did not write it down)."""

    service: str
    dataset: str
    how: str
    restore_point: str
    proved_at: datetime
    run: str
    declaration: str | None = None


@dataclass(frozen=True, slots=True)
class DatasetSize:
    """What a dataset's part of the newest restore point brought, beside the medians of what it brought before: bytes,
    and rows or files (`unit`). A median is 0 where there is nothing to compare with, or a person accepted the size."""

    dataset: str
    restore_point: str
    at: datetime
    bytes: int
    count: int
    unit: str
    usual_bytes: int
    usual_count: int


@dataclass(frozen=True, slots=True)
class RepositoryCheck:
    """A check of a repository: its structure, and the data of the `part`-th of `parts` (0 of 0: the structure only)."""

    service: str
    host: str
    dr_centre: str
    checked_at: datetime
    part: int
    parts: int
    is_good: bool
    run: str


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that people were told of, or were told that it is over."""

    key: str
    state: str
    since: datetime
    told_at: datetime | None


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that holds of a restore point: `held` (a legal hold: it is never forgotten), or `distrusted` (it is not
    known to be whole, as after a check that found damage in it)."""

    restore_point: str
    service: str
    mark: str
    reason: str
    by: str
    since: datetime
