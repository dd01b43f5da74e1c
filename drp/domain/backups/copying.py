"""Copies of repositories at another DR centre: what to copy, in which order, and what may be removed there, and when.

A restic repository is a set of objects that are written once and never changed. Each but `config` has the SHA-256 of
its content for a name. So a copy is whole when the same names are there, and it may be cut off at any moment:

    listed   snapshots, index, data, keys, config    whatever a listed object needs is listed after it
    copied   config, keys, data, index, snapshots    whatever an object needs is copied before it
    removed  snapshots, index, data, keys            nothing is removed that something still there needs

That holds while nothing is forgotten or pruned at the source meanwhile; a backup may run.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Literal, get_args

from drp.domain.backups.restore_point import RestorePoint

Kind = Literal["config", "keys", "data", "index", "snapshots"]
Flaw = Literal["damaged", "gone"]
"""What may be wrong with an object that was listed: its content is not what its name says, or it is not there."""
COPY_ORDER: tuple[Kind, ...] = get_args(Kind)
LIST_ORDER = tuple(reversed(COPY_ORDER))
REMOVE_ORDER: tuple[Kind, ...] = ("snapshots", "index", "data", "keys")
GRACE = timedelta(days=7)
"""How long an object stays at a copy after it has gone at the source: time to notice that it should not have gone."""


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object at a DR centre. `stored_at` is the DR centre's own stamp, in UTC."""

    key: str
    bytes: int
    stored_at: datetime

    @property
    def name(self) -> str:
        """The last part of its key: in a repository the SHA-256 of its content."""
        return self.key.rsplit("/", 1)[-1]


Listing = Mapping[str, StoredObject]
"""The objects of a repository, by their keys below its prefix, such as `snapshots/3f…`."""


_KEY = re.compile(r"(?:(keys|index|snapshots)|(data)/[0-9a-f]{2})/[0-9a-f]{64}|(config)")


def kind_of(key: str) -> Kind | None:
    """What an object of a repository is, by its key below the prefix. None for what is not copied: locks, and whatever
    restic does not know."""
    found = _KEY.fullmatch(key)
    kind: Kind | None = None if found is None else found[1] or found[2] or found[3]  # type: ignore[assignment]
    return kind


@dataclass(frozen=True, slots=True)
class CopyPlan:
    """What to do with one repository: stages to copy one after the other, and what has gone at the source, with the
    time at which that was first seen."""

    stages: tuple[tuple[StoredObject, ...], ...]
    missed: dict[str, datetime]

    @property
    def objects(self) -> int:
        return sum(len(stage) for stage in self.stages)

    @property
    def bytes(self) -> int:
        return sum(item.bytes for stage in self.stages for item in stage)


def plan_copy(
    source: Listing, target: Listing, missed_before: Mapping[str, datetime], now: datetime, *, renew_config: bool
) -> CopyPlan:
    """Only what is new travels. An object of another size at the target is a damaged one and travels again;
    `renew_config`: the source's configuration has been changed."""
    wanted = [
        key
        for key, item in source.items()
        if key not in target or target[key].bytes != item.bytes or (renew_config and key == "config")
    ]
    stages = tuple(tuple(source[key] for key in sorted(wanted) if kind_of(key) == kind) for kind in COPY_ORDER)
    gone = [key for key in target if kind_of(key) in REMOVE_ORDER and key not in source]
    return CopyPlan(stages, {key: min(missed_before.get(key, now), now) for key in gone})


def removable(missed: Mapping[str, datetime], kept_snapshots: Collection[str], now: datetime) -> list[list[str]]:
    """What may be removed at the copy, in stages of which each must have succeeded before the next.

    A snapshot that a restore point of the ledger has is never removed: drp did not forget it, so it ought not to have
    gone at the source. Anything else goes after the grace time, unless a snapshot stays that may need it: one that went
    at the same time as it or before. (One that went later did without it already.)
    """
    due = {key for key, since in missed.items() if now - since >= GRACE}
    staying = [
        since
        for key, since in missed.items()
        if kind_of(key) == "snapshots" and (key not in due or _name(key) in kept_snapshots)
    ]

    def may_go(key: str) -> bool:
        if key not in due:
            return False
        if kind_of(key) == "snapshots":
            return _name(key) not in kept_snapshots
        return not any(since <= missed[key] for since in staying)

    return [sorted(key for key in missed if kind_of(key) == kind and may_go(key)) for kind in REMOVE_ORDER]


def lost_snapshots(missed: Iterable[str], points: Iterable[RestorePoint]) -> list[tuple[str, str]]:
    """Snapshots that are at the copy alone, though the ledger says that they are at both: name, restore point."""
    gone = {_name(key) for key in missed if kind_of(key) == "snapshots"}
    return [(part.snapshot, point.id) for point in points for part in point.snapshots if part.snapshot in gone]


def arrival_of(point: RestorePoint, snapshots: Mapping[str, datetime]) -> datetime | None:
    """When the last snapshot of a restore point had arrived; None while one is not there. `snapshots`: by name."""
    stamps = [snapshots.get(part.snapshot) for part in point.snapshots]
    known = [stamp for stamp in stamps if stamp is not None]
    return max(known) if known and len(known) == len(stamps) else None


def as_copied(point: RestorePoint, dr_centre: str, urls: Mapping[str, str], arrived_at: datetime) -> RestorePoint:
    """The restore point as it lies at another DR centre: the same snapshots, by the same names."""
    return replace(point, dr_centre=dr_centre, repositories=dict(urls), arrived_at=arrived_at)


def _name(key: str) -> str:
    return key.rsplit("/", 1)[-1]
