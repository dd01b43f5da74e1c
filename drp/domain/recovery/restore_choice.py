"""Which restore point a person means, and which one is to be proved next. Pure: times and chance are passed in."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Protocol

from drp.domain.backups.restore_point import RestorePoint
from drp.domain.values import from_stamp

MOMENT_HINT = 'write "2026-11-20 14:00", "yesterday 14:00", "14:00", or 2026-11-20T14:00:00+07:00'

_MOMENT = re.compile(r"(?:(?P<day>\d{4}-\d{2}-\d{2}|today|yesterday)[ T])?(?P<time>\d{2}:\d{2}(?::\d{2})?)")
_SHORTEST_SNAPSHOT = 8
NEVER_PROVED_COUNTS_AS = timedelta(days=3650)
"""What has never been proved is drawn before nearly everything that was."""
_LEAST_WEIGHT = timedelta(minutes=1)


class AmbiguousError(ValueError):
    """The words fit no restore point, or several; the text says which."""


class HasProofTime(Protocol):
    """What `drp.domain.backups.record.Proof` says of the time of a dataset's proof."""

    @property
    def dataset(self) -> str: ...
    @property
    def proved_at(self) -> datetime: ...


@dataclass(frozen=True, slots=True)
class Choice:
    """A restore point and why it was taken. `next_newer` is the one that follows it, where a time was asked for."""

    point: RestorePoint
    asked: datetime | None = None
    next_newer: RestorePoint | None = None

    @property
    def distance(self) -> timedelta | None:
        """How much older than the asked time its data is."""
        return None if self.asked is None else self.asked - self.point.sentinel_at


def parse_moment(text: str, now: datetime, zone: tzinfo) -> datetime:
    """A time as people write it, in the organisation's time zone where it names no other; ValueError says what is
    wrong with it. A wall-clock time that occurs twice (the end of summer time) is the first one: never younger."""
    found = _MOMENT.fullmatch(text.strip())
    if found is None:
        try:
            moment = from_stamp(text.strip())
        except ValueError:
            raise ValueError(f"{text!r} is not a time: {MOMENT_HINT}") from None
    else:
        moment = _local_moment(text, found["day"], found["time"], now, zone)
    if moment > now:
        raise ValueError(f"{text!r} lies in the future")
    return moment


def _local_moment(text: str, day: str | None, time: str, now: datetime, zone: tzinfo) -> datetime:
    today = now.astimezone(zone).date()
    try:
        on = {None: today, "today": today, "yesterday": today - timedelta(days=1)}.get(day) or date.fromisoformat(
            day or ""
        )
        local = datetime.fromisoformat(f"{on.isoformat()}T{time}").replace(tzinfo=zone)
    except ValueError:
        raise ValueError(f"{text!r} is not a time: {MOMENT_HINT}") from None
    moment = local.astimezone(UTC)
    if moment.astimezone(zone).replace(tzinfo=None) != local.replace(tzinfo=None):
        raise ValueError(f"{text!r} does not exist there: the clocks were put forward over it")
    return moment


def youngest_data(point: RestorePoint) -> datetime:
    """The latest moment from which something in a restore point may be. The sentinel is written before the dumps, and
    these may hold what was written until they ended: only when it had arrived nothing more could get in."""
    return max(point.sentinel_at, point.arrived_at)


def newest(points: Sequence[RestorePoint]) -> Choice | None:
    """The restore point with the newest data."""
    found = max(points, key=lambda point: point.sentinel_at, default=None)
    return None if found is None else Choice(found)


def newest_not_younger(points: Sequence[RestorePoint], moment: datetime) -> Choice | None:
    """The newest restore point in which nothing is younger than `moment`."""
    older = [point for point in points if youngest_data(point) <= moment]
    if not older:
        return None
    chosen = max(older, key=lambda point: point.sentinel_at)
    younger = [point for point in points if point.sentinel_at > chosen.sentinel_at]
    return Choice(chosen, moment, min(younger, key=lambda point: point.sentinel_at, default=None))


def with_snapshot(points: Sequence[RestorePoint], snapshot: str) -> tuple[RestorePoint, str]:
    """The restore point that a restic snapshot belongs to, and its dataset; AmbiguousError where there is not one."""
    if len(snapshot) < _SHORTEST_SNAPSHOT or not re.fullmatch("[0-9a-f]+", snapshot):
        raise AmbiguousError(f"{snapshot!r} is not a snapshot's id: at least its first {_SHORTEST_SNAPSHOT} characters")
    found = [
        (point, part.dataset) for point in points for part in point.snapshots if part.snapshot.startswith(snapshot)
    ]
    if len(found) != 1:
        what = "no restore point has" if not found else f"{len(found)} snapshots begin with"
        raise AmbiguousError(f"{what} {snapshot}")
    return found[0]


def unproved_for(datasets: Sequence[str], proofs: Sequence[HasProofTime], now: datetime) -> timedelta:
    """How long the worst of a service's datasets has gone without a proof of any kind."""
    ages = []
    for dataset in datasets:
        at = max((proof.proved_at for proof in proofs if proof.dataset == dataset), default=None)
        ages.append(NEVER_PROVED_COUNTS_AS if at is None else min(now - at, NEVER_PROVED_COUNTS_AS))
    return max(ages, default=NEVER_PROVED_COUNTS_AS)


def draw_service(unproved: Mapping[str, timedelta], chance: random.Random) -> str:
    """A service to prove, by chance, the longer it has gone unproved the likelier. `unproved` must not be empty."""
    names = sorted(unproved)
    return chance.choices(names, [max(unproved[name], _LEAST_WEIGHT).total_seconds() for name in names])[0]


def draw_point(points: Sequence[RestorePoint], chance: random.Random) -> RestorePoint:
    """Any of a service's restore points: old ones must be restorable too. `points` must not be empty."""
    return chance.choice(sorted(points, key=lambda point: point.sentinel_at))
