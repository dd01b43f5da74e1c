"""Lists runbooks, and gathers what the printed one says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from drp.domain.impact.impact import impact_of
from drp.domain.protection.gaps import backup_of, gaps_of
from drp.domain.recovery.plan import Stage
from drp.domain.runbooks.by_hand import HandRecovery, Language, recovery_by_hand
from drp.domain.runbooks.model import Runbook
from drp.domain.runbooks.paper import Paper, PaperService, objectives_for, paper_steps, recovery_sequence
from drp.domain.runbooks.services import lost_by, services_of, struck_by
from drp.domain.service import Service
from drp.errors import DrpError, UsageError
from drp.ports import World
from drp.workflows.plan import plan
from drp.workflows.repository import ca_certificate, centre_of
from drp.workflows.selection import runbook_of


@dataclass(frozen=True, slots=True)
class PaperRequest:
    """Which runbook is printed, and for what: the `services` named, or those that go down where all of `lost` is lost,
    or those that the runbook itself names or selects."""

    runbook: str
    services: tuple[str, ...]
    lost: tuple[str, ...]
    language: Language


def list_runbooks(world: World) -> list[tuple[Runbook, int]]:
    """Every runbook with the number of services that it is about."""
    runbooks = world.city.runbooks
    return [(runbooks[name], len(services_of(runbooks[name], world.city))) for name in sorted(runbooks)]


def gather_paper(world: World, request: PaperRequest, version: str) -> Paper:
    """Everything that is printed. Nothing is asked of any host or DR centre: it must work when they are gone."""
    runbook = runbook_of(world, request.runbook)
    lost = request.lost or (lost_by(runbook.select) if runbook.select and not request.services else ())
    order = recovery_sequence(world.city, _chosen(world, runbook, request))
    services = tuple(_service(world, runbook, name, wave, request.language) for name, wave in order)
    recovered = [item.service for item in services if item.hand is not None]
    return Paper(
        city=world.city,
        runbook=runbook,
        services=services,
        steps=paper_steps(runbook, world.city, recovered, _durations(world, runbook, recovered)),
        printed_at=world.clock.now(),
        version=version,
        impact=impact_of(world.city, lost) if lost else None,
    )


def _chosen(world: World, runbook: Runbook, request: PaperRequest) -> tuple[str, ...]:
    for name in request.services:
        if name not in world.city.services:
            raise UsageError(f"no service {name!r}", hint="list them: drp inventory list")
    if request.services:
        return tuple(dict.fromkeys(request.services))
    return struck_by(world.city, request.lost) if request.lost else services_of(runbook, world.city)


def _service(world: World, runbook: Runbook, name: str, wave: int, language: Language) -> PaperService:
    service = world.city.services[name]
    obstacles = [
        gap.text
        for gap in gaps_of(service, "recovery", world.city.hosts, world.city.workspace.tiers)
        if gap.code not in ("no-check", "no-objectives")
    ]
    newest = next(iter(world.ledger.restore_points(name, limit=1)), None)
    hand: HandRecovery | None = None
    if not obstacles:
        hand = recovery_by_hand(
            world.city,
            service,
            to="primary" if runbook.operation == "failback" else "recovery",
            ca_pem=_certificate(world, service),
            newest=newest,
            language=language,
        )
    return PaperService(name, wave, objectives_for(world.city, name), hand, tuple(obstacles), newest)


def _certificate(world: World, service: Service) -> str:
    try:
        return ca_certificate(world.workspace, centre_of(world, service))
    except DrpError as error:
        # The paper is still worth having; whoever prints it must know what is missing.
        world.say(f"{service.id}: not printed: the certificate of DR centre {backup_of(service).dr_centre}: {error}")
        return ""


def _durations(world: World, runbook: Runbook, services: Sequence[str]) -> dict[Stage, timedelta | None]:
    """What each stage is expected to take, of the slowest service; None where that is not known of one."""
    found: dict[Stage, timedelta | None] = {}
    if not services or runbook.operation == "none":
        return found
    for item in plan(world, services, runbook.id, "failover").forecast.steps.values():
        stage, duration = item.step.stage, item.end - item.start
        if item.estimate.duration is None or (stage in found and found[stage] is None):
            found[stage] = None
        else:
            found[stage] = max(found.get(stage) or timedelta(), duration)
    return found
