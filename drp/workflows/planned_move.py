"""Move services from one living site to the other: to the recovery site (switchover) or home again (failback).

The service is stopped, backed up, restored and started at the other site, and only then are users sent there. Where
anything fails before that, it is started again where it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from drp.domain.events import Body
from drp.domain.objectives import Objectives, objectives_of
from drp.domain.recovery.compiling import compile_recovery, hosts_at
from drp.domain.recovery.cutover import secrets_of, ways_of
from drp.domain.recovery.plan import Plan, Site
from drp.domain.recovery.run import Recovery
from drp.domain.recovery.shared_hosts import services_beside, stopped_before_backup
from drp.domain.runbooks.model import Runbook
from drp.domain.runbooks.steps import TrafficStep
from drp.domain.values import show_duration
from drp.errors import BusyError, DrpError, UnreachableError, UsageError
from drp.ports import World
from drp.workflows.answering import answering
from drp.workflows.authority import Authority, authorised, refuse_other_operation
from drp.workflows.naming import new_run
from drp.workflows.open_runs import drills_to_end, follow, let_go, opening
from drp.workflows.recover import make_way
from drp.workflows.recovery_run import execute_and_close, open_recovery, reservation
from drp.workflows.repository import living_runs
from drp.workflows.selection import runbook_of
from drp.workflows.stages import check_secrets

MoveKind = Literal["switchover", "failback"]


@dataclass(frozen=True, slots=True)
class MoveRequest:
    """What an operator asks for. `by` is the named person who decides it. `discard_stranded`: what lies at the old
    primary may be overwritten unkept. `approved_by`, `accept_unauthorised`: see `drp.workflows.recover`."""

    kind: MoveKind
    services: tuple[str, ...]
    runbook: str
    by: str
    reason: str
    hold: timedelta | None = None
    discard_stranded: bool = False
    approved_by: tuple[str, ...] = ()
    accept_unauthorised: bool = False


def move(world: World, request: MoveRequest) -> Recovery:
    """Check, declare, carry it out, and judge. Raises where it must not even start."""
    declared_at = world.clock.now()
    runbook = runbook_of(world, request.runbook)
    refuse_other_operation(runbook, request.kind)
    authority = Authority(request.by, request.approved_by, request.accept_unauthorised)
    unauthorised = authorised(world, runbook, authority)
    with opening(world, request.kind):
        _refuse_wrong_site(world, request)
        services = [world.city.services[name] for name in request.services]
        hosts = {host for service in services for host in (*service.runs_on, *service.recovers_on.values())}
        drills_to_end(world, request.kind, request.services, hosts)  # it ends none; it waits
        _refuse_split(world, request)
        _refuse_unstoppable(world, request)
        _refuse_beside_backup(world, request)
        _refuse_unreachable(world, request)
        make_way(world, request.kind, request.services)
        plan = _plan(world, request, runbook)
        _refuse_early_switch(plan)
        for name in plan.services:
            check_secrets(world, name)  # what is missing is told now, not in the middle
            for reference in secrets_of(world.city.services[name]).values():
                world.secrets.read(reference, f"the key for updates of the zone of {name}")
        run = new_run(request.kind, declared_at)
        declared = [
            reservation(name, text, request.by)
            for name in request.services
            for text in (*(text for text, _ in unauthorised), *_exceptions(world, request, name, runbook))
        ]
        body: Body = {
            "declared": declared,
            "by": request.by,
            "approved_by": list(request.approved_by),
            "reason": request.reason,
            # A switchover goes to hosts that must be empty of it; a failback has kept what it replaces.
            "replace_existing": request.kind == "failback",
            "unfenced": False,
            "discard_stranded": request.discard_stranded,
        }
        follow(world, run, request.kind)
        open_recovery(world, run, plan, body)
    try:
        return execute_and_close(world, run)
    finally:
        let_go(world, run)


def sites_of(kind: MoveKind) -> tuple[Site, Site]:
    """Where a move comes from and where it goes."""
    return ("recovery", "primary") if kind == "failback" else ("primary", "recovery")


def _refuse_wrong_site(world: World, request: MoveRequest) -> None:
    leaves, _ = sites_of(request.kind)
    for name in request.services:
        active = world.ledger.active_site(name)
        if active != leaves:
            hint = "see where services run: drp status"
            raise UsageError(f"the service runs at the {active} site, not at the {leaves} site", where=name, hint=hint)


def _refuse_split(world: World, request: MoveRequest) -> None:
    """What would take others down, or leave them without what they need."""
    leaves, _ = sites_of(request.kind)
    moving = set(request.services)
    at_site = [item for item in world.city.services.values() if world.ledger.active_site(item.id) == leaves]
    for name in request.services:
        service = world.city.services[name]
        for other, units in services_beside(service, at_site, leaves):
            if other not in moving:
                text = f"{', '.join(units)} on its hosts is also {other}'s, which would stop with it"
                raise UsageError(text, where=name, hint=f"move both: drp {request.kind} {name} {other}")


def _refuse_unstoppable(world: World, request: MoveRequest) -> None:
    """Where nothing can be stopped, users write on while the data moves."""
    for name in request.services:
        if not stopped_before_backup(world.city.services[name]):
            text = (
                "nothing of it can be stopped: its file lists no unit but its databases' servers under recovery.start"
            )
            hint = f"list what writes to them in inventories/services/{name}.yaml; or move it by hand"
            raise UsageError(text, where=name, hint=hint)


def _refuse_beside_backup(world: World, request: MoveRequest) -> None:
    """The commands that hold a service still for a backup start it again at its end, whatever was stopped meanwhile."""
    for name in request.services:
        for run in living_runs(world, world.city.services[name]):
            if world.ledger.run(run).kind == "backup":
                raise BusyError(f"{run} is backing it up", where=name, hint="wait for it, then try again")


def _refuse_early_switch(plan: Plan) -> None:
    """A switch of the runbook's own would not be taken back where the move fails."""
    before = plan.before_users_go
    for step in plan.steps:
        if step.id in before and isinstance(step.extra, TrafficStep):
            hint = "the move switches traffic itself; place the step after usable, or name another runbook"
            raise UsageError(f"step {step.id} of the runbook switches traffic before the services run there", hint=hint)


def _refuse_unreachable(world: World, request: MoveRequest) -> None:
    """A planned move needs both sites alive; that is cheaper to find out before anything is stopped."""
    services = [world.city.services[name] for name in request.services]
    needed = [
        (one.id, site, host) for one in services for site in sites_of(request.kind) for host in hosts_at(one, site)
    ]
    alive = answering(world, (host for _, _, host in needed))
    for name, site, host in needed:
        if host not in alive:
            hint = "a planned move needs both sites; after a disaster: drp failover"
            raise UnreachableError(f"host {host} of the {site} site does not answer", where=name, hint=hint)


def _exceptions(world: World, request: MoveRequest, name: str, runbook: Runbook) -> list[str]:
    service = world.city.services[name]
    found = []
    if not ways_of(service):
        found.append("drp switched no traffic: use was measured at the host itself")
    if request.hold is not None and request.hold < runbook.hold:
        found.append(
            f"the user path had to hold for {show_duration(request.hold)} instead of {show_duration(runbook.hold)}"
        )
    leaves, _ = sites_of(request.kind)
    others = world.city.services.values()
    needed = [other for other in service.depends_on if other not in request.services]
    needing = [other.id for other in others if name in other.depends_on and other.id not in request.services]
    for other in (other for other in (*needed, *needing) if world.ledger.active_site(other) == leaves):
        found.append(f"{other} stays at the {leaves} site: the two work together over the line between the sites")
    if request.discard_stranded:
        found.append("what lay at the old primary was not kept")
    return found


def _plan(world: World, request: MoveRequest, runbook: Runbook) -> Plan:
    objectives: dict[str, Objectives] = {}
    for name in request.services:
        found = objectives_of(world.city.services[name], world.city.workspace.tiers)
        if found is None:
            raise DrpError("the service has no objectives", where=name, hint="run: drp validate")
        objectives[name] = found
    return compile_recovery(
        world.city,
        request.kind,
        _in_order(world, request.services),
        runbook,
        restore_points={},
        declared=objectives,
        objectives=objectives,
        hold=runbook.hold if request.hold is None else request.hold,
    )


def _in_order(world: World, names: Sequence[str]) -> list[str]:
    """Dependencies first."""
    from drp.domain.graph import with_dependencies

    edges = {name: service.depends_on for name, service in world.city.services.items()}
    return [name for name in with_dependencies(names, edges) if name in names]
