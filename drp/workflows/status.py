"""How every service stands now: what would be lost, and when its recovery was last proved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from drp.domain.backups.restore_point import newest_before
from drp.domain.objectives import Objectives, Verdict, objectives_of
from drp.domain.values import from_stamp, milliseconds, to_stamp
from drp.ports import RunRow, World

LOOKED_WITHIN = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class ServiceStatus:
    """One row of `drp status`. `data_age` is what a disaster in this moment would cost."""

    service: str
    title: str
    active_site: str
    rto: timedelta | None
    rpo: timedelta | None
    restore_point: str | None
    data_age: timedelta | None
    rpo_verdict: Verdict
    last_recovery: RunRow | None
    usable: bool | None
    seen_at: datetime | None

    def record(self) -> dict[str, object]:
        last = self.last_recovery
        return {
            "service": self.service,
            "title": self.title,
            "active_site": self.active_site,
            "rto_ms": None if self.rto is None else milliseconds(self.rto),
            "rpo_ms": None if self.rpo is None else milliseconds(self.rpo),
            "restore_point": self.restore_point,
            "data_age_ms": None if self.data_age is None else milliseconds(self.data_age),
            "rpo_verdict": str(self.rpo_verdict),
            "last_recovery": None
            if last is None
            else {"run": last.run, "kind": last.kind, "verdict": last.verdict, "at": last.opened_at},
            "usable": self.usable,
            "seen_at": None if self.seen_at is None else to_stamp(self.seen_at),
        }


def status(world: World, services: Sequence[str]) -> list[ServiceStatus]:
    """The state of services, read from the ledger and the watch's newest samples."""
    recoveries = world.ledger.runs(kinds=("failover", "drill"), limit=1000)
    return [_status(world, name, recoveries) for name in services]


def _status(world: World, name: str, recoveries: Sequence[RunRow]) -> ServiceStatus:
    service = world.city.services[name]
    objectives = objectives_of(service, world.city.workspace.tiers)
    now = world.clock.now()
    site = world.ledger.active_site(name)
    # After a failover the old site's restore points say nothing about data written since.
    points = [point for point in world.ledger.restore_points(name, limit=50) if point.site == site]
    point = newest_before(points, now)
    age = None if point is None else now - point.sentinel_at
    seen_at, usable = _seen(world, name)
    return ServiceStatus(
        service=name,
        title=service.title.en,
        active_site=site,
        rto=objectives.rto if objectives else None,
        rpo=objectives.rpo if objectives else None,
        restore_point=point.id if point else None,
        data_age=age,
        rpo_verdict=_judge(age, objectives),
        last_recovery=next((row for row in recoveries if name in row.services and row.closed_at), None),
        usable=usable,
        seen_at=seen_at,
    )


def _judge(age: timedelta | None, objectives: Objectives | None) -> Verdict:
    if objectives is None:
        return Verdict.NOT_MEASURED  # against nothing
    return Verdict.NOT_MET if age is None or age > objectives.rpo else Verdict.MET


def _seen(world: World, name: str) -> tuple[datetime | None, bool | None]:
    """What `drp watch` saw last; nothing where it has not looked for a minute."""
    for row in world.ledger.runs(kinds=("watch",), limit=20):
        if name not in row.services:
            continue
        if row.closed_at is not None:
            return None, None
        newest = world.watch.newest(name)
        if newest is None or world.clock.now() - newest.ended_at > LOOKED_WITHIN:
            return None, None
        changes = [
            event
            for event in world.ledger.events(row.run)
            if event.type in ("service.up", "service.down") and event.body["service"] == name
        ]
        if not changes:
            return None, None
        return from_stamp(changes[-1].at), changes[-1].type == "service.up"
    return None, None
