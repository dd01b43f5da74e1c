"""Which restore points a recovery takes: the one that is asked for, the newest that has arrived, or several, one after
the other, where the runbook walks back."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from drp.domain.backups.restore_point import RestorePoint
from drp.domain.recovery.plan import RecoveryKind
from drp.domain.recovery.walk import candidates
from drp.domain.runbooks.model import Runbook
from drp.errors import UsageError
from drp.ports import World
from drp.workflows.repository import points_at
from drp.workflows.stage_jobs import datasets_of
from drp.workflows.trust import trusted


class PointsAsked(Protocol):
    """What an operator says of the restore points; see `drp.workflows.recover.RecoveryRequest`."""

    @property
    def kind(self) -> RecoveryKind: ...
    @property
    def services(self) -> tuple[str, ...]: ...
    @property
    def restore_point(self) -> str | None: ...
    @property
    def before(self) -> datetime | None: ...
    @property
    def from_centre(self) -> str | None: ...


def refuse_momentless(request: PointsAsked, runbook: Runbook) -> None:
    """UsageError where a runbook wants to know from before when the data shall be, and nobody has said so."""
    if request.before is not None and request.restore_point is not None:
        raise UsageError("--before and --restore-point exclude each other", hint="--restore-point takes just that one")
    is_said = request.before is not None or request.restore_point is not None
    if runbook.restore_points == "before-a-moment" and request.kind != "drill" and not is_said:
        text = f"the runbook {runbook.id} goes back to a moment before the damage, and none is named"
        raise UsageError(
            text, hint='name it: --before "2026-11-20 14:00"; or the restore point itself: --restore-point'
        )


def restore_points_for(
    world: World, service: str, request: PointsAsked, runbook: Runbook, declared_at: datetime
) -> tuple[RestorePoint, ...]:
    """The restore points of a service that the recovery may take, the one that is taken first at the beginning. Only
    such that have arrived. UsageError where there is none, and for one that cannot be restored."""
    points = [point for point in world.ledger.restore_points(service) if point.site == "primary"]
    hint = f"back it up first: drp backup run {service}"
    if request.from_centre is not None:
        points = points_at(world, world.city.services[service], points, request.from_centre)
        hint = f"what has arrived there: drp backup copy {service} --list"
    if request.restore_point is not None and service in request.services:
        chosen = tuple(point for point in points if point.id == request.restore_point)
        hint = f"list them: drp backup list {service}"
    else:
        # Damage was found at the service's own DR centre; a copy elsewhere was compared on its way.
        arrived = [point for point in points if point.arrived_at <= declared_at]
        good = trusted(world, service, arrived) if request.from_centre is None else arrived
        most = runbook.walk_back.attempts if runbook.walks_back else 1
        chosen = candidates(good, before=request.before, most=most)
        if arrived and request.before is not None:
            hint = f"the oldest are there: drp backup list {service}; or name one that is younger: --restore-point"
    if not chosen:
        where = "the DR centre" if request.from_centre is None else f"DR centre {request.from_centre}"
        raise UsageError(f"there is no such restore point at {where}", where=service, hint=hint)
    _refuse_homeless(world, service, chosen[0])
    return (chosen[0], *(point for point in chosen[1:] if not _homeless(world, service, point)))


def _homeless(world: World, service: str, point: RestorePoint) -> Sequence[str]:
    """The hosts of a restore point for which no recovery host stands in."""
    recovers_on = world.city.services[service].recovers_on
    return [dataset.host for dataset in datasets_of(point) if dataset.host not in recovers_on]


def _refuse_homeless(world: World, service: str, point: RestorePoint) -> None:
    for host in _homeless(world, service, point):
        text = f"the restore point is of host {host}, for which no recovery host stands in"
        raise UsageError(text, where=service, hint=f"add it to recovers_on, or back up anew: drp backup run {service}")
