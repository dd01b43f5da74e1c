"""Bring services back at the recovery site: for real (failover), or as a rehearsal while production runs (drill)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from drp.domain.backups.restore_point import RestorePoint
from drp.domain.events import Body
from drp.domain.objectives import Objectives, objectives_of
from drp.domain.protection.gaps import is_elsewhere
from drp.domain.recovery.compiling import compile_recovery
from drp.domain.recovery.cutover import ways_of
from drp.domain.recovery.plan import Plan, PlannedService, RecoveryKind
from drp.domain.recovery.probing import FAILURES_TO_DETECT, Outage, last_outage
from drp.domain.recovery.run import Recovery
from drp.domain.recovery.timeline import Mark, MarkName
from drp.domain.runbooks.model import Runbook
from drp.domain.service import Service
from drp.domain.values import show_duration
from drp.errors import DrpError, UsageError
from drp.ports import World
from drp.workflows.answering import answering
from drp.workflows.authority import Authority, authorised, refuse_other_operation
from drp.workflows.host_jobs import HostJob
from drp.workflows.naming import new_run, run_folder
from drp.workflows.open_runs import drills_to_end, follow, let_go, opening
from drp.workflows.preemption import close_drill
from drp.workflows.recovery_run import execute_and_close, open_recovery, reservation, resume
from drp.workflows.repository import refuse_removal, removing_runs
from drp.workflows.restore_points import refuse_momentless, restore_points_for
from drp.workflows.selection import reasons_against, recovery_order, runbook_of
from drp.workflows.stages import changed_since, check_secrets

__all__ = ["RecoveryRequest", "make_way", "recover", "resume"]

WATCH_LOOK_BACK = timedelta(minutes=1)
WATCH_LONGEST_LOOK_BACK = timedelta(days=2)
WATCH_KEPT_BEFORE = timedelta(minutes=10)
"""How much of what `drp watch` saw before an outage is kept as evidence beside it."""

WATCH_POLL_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class RecoveryRequest:
    """What an operator asks for. `by` is the named person who declares the disaster, or leads the drill; `from_centre`
    is the DR centre to restore from, if not the services' own. `before`: nothing in the data may be younger.
    `approved_by` have agreed, beside `by`; with `accept_unauthorised` it goes on although nobody entitled has declared
    it or agreed, in the name of `by`."""

    kind: RecoveryKind
    services: tuple[str, ...]
    runbook: str
    by: str
    reason: str
    hold: timedelta | None = None
    rto: timedelta | None = None
    rpo: timedelta | None = None
    disrupted_at: datetime | None = None
    restore_point: str | None = None
    from_centre: str | None = None
    replace_existing: bool = False
    accept_unfenced: bool = False
    fence: bool = False
    before: datetime | None = None
    approved_by: tuple[str, ...] = ()
    accept_unauthorised: bool = False
    accept_unisolated: bool = False


def recover(world: World, request: RecoveryRequest) -> Recovery:
    """Compile the plan, declare, carry it out, and judge. Raises where it must not even start."""
    declared_at = world.clock.now()
    runbook = runbook_of(world, request.runbook)
    refuse_other_operation(runbook, request.kind)
    refuse_momentless(request, runbook)
    authority = Authority(request.by, request.approved_by, request.accept_unauthorised)
    unauthorised = authorised(world, runbook, authority) if request.kind == "failover" else []
    run = new_run(request.kind, declared_at)
    with opening(world, request.kind):
        order = _order(world, request)
        hosts = {host for name in order for host in world.city.services[name].recovers_on.values()}
        drills = drills_to_end(world, request.kind, order, hosts)
        unfenced = _guard(world, request, order)
        make_way(world, request.kind, order)
        plan = _plan(world, request, runbook, order, declared_at)
        for name in plan.services:
            check_secrets(world, name)  # what is missing is told now, not in the middle
        declared: list[Body] = []
        for name, planned in plan.services.items():
            for text, accepted_by in (*unauthorised, *_reservations(world, request, planned, runbook, unfenced)):
                declared.append(reservation(name, text, accepted_by))
            _mark_disruption(world, run, name, request, declared_at, declared)
        body = {
            "declared": declared,
            "by": request.by,
            "approved_by": list(request.approved_by),
            "reason": request.reason,
            "replace_existing": request.replace_existing,
            "unfenced": bool(unfenced),
            "accept_unfenced": request.accept_unfenced,
            "accept_unisolated": request.accept_unisolated,
            "ends_drills": [drill.run for drill in drills],
        }
        follow(world, run, request.kind)
        open_recovery(world, run, plan, body)
        for drill in drills:
            close_drill(world, drill.run, request.by, run)
    try:
        return execute_and_close(world, run)
    finally:
        let_go(world, run)


def make_way(world: World, kind: RecoveryKind, order: Sequence[str]) -> None:
    """What removes data at the DR centre must not do so while a recovery reads it without a lock. All but a failover
    wait for it; that ends it: it is begun again when there is time."""
    for name in order:
        service = world.city.services[name]
        if kind != "failover":
            refuse_removal(world, service)
        for run in removing_runs(world, service):
            world.say(f"{name}: ending {run}, which removes data at the DR centre")
            for folder in sorted(run_folder(world, run).iterdir()):
                HostJob(world, folder, name).stop()


def _order(world: World, request: RecoveryRequest) -> list[str]:
    """What is asked for, and what it needs that can be recovered too."""
    return [
        name
        for name in recovery_order(world, request.services)
        if name in request.services or not reasons_against(world, name, "recovery")
    ]


def _reservations(
    world: World, request: RecoveryRequest, planned: PlannedService, runbook: Runbook, unfenced: list[str]
) -> list[tuple[str, str | None]]:
    """What keeps a service's result from being plainly MET, as far as it is known before the start."""
    service = world.city.services[planned.service]
    found: list[tuple[str, str | None]] = [(text, request.by) for text in unfenced]
    if planned.restore_point is not None:
        found += [(text, None) for text in changed_since(service, planned.restore_point)]
    if planned.objectives_relaxed:
        found.append(("the objectives were relaxed for this run", request.by))
    if request.hold is not None and request.hold < runbook.hold:
        text = f"the user path had to hold for {show_duration(request.hold)} instead of {show_duration(runbook.hold)}"
        found.append((text, request.by))
    for name in service.depends_on:
        reasons = reasons_against(world, name, "recovery")
        elsewhere = is_elsewhere(world.city.services[name], world.city.hosts)
        if not elsewhere and reasons and world.ledger.active_site(name) == "primary":
            found.append((f"it needs {name}, which cannot be recovered: {'; '.join(reasons)}", None))
    if request.kind == "failover" and not ways_of(service):
        found.append(("drp switched no traffic: use was measured at the recovery host itself", request.by))
    return found


def _guard(world: World, request: RecoveryRequest, order: Sequence[str]) -> list[str]:
    """Refuse what would harm: a second active site, a recovery of what already runs at the recovery site, a drill
    beside a service that is in use there. Gives what a person accepted instead."""
    accepted: list[str] = []
    if request.disrupted_at is not None and request.disrupted_at > world.clock.now():
        raise UsageError("--disrupted-at lies in the future", hint="say when the service went")
    services = [world.city.services[name] for name in order]
    primaries = {host for service in services for host in service.runs_on} if request.kind == "failover" else set()
    alive = answering(world, primaries)
    for service in services:
        name = service.id
        if world.ledger.active_site(name) != "primary":
            hint = "a failback is needed before it can fail over again; drp status shows where services run"
            raise UsageError("the service already runs at the recovery site", where=name, hint=hint)
        if request.kind == "failover":
            accepted += _check_fence(request, service, [host for host in service.runs_on if host in alive])
        else:
            _refuse_beside_production(world, service)
    return accepted


def _refuse_beside_production(world: World, service: Service) -> None:
    """A drill restarts and stops services on its hosts; what is in use there would go down with them."""
    hosts = set(service.recovers_on.values())
    for other in world.city.services.values():
        shared = hosts & set(other.recovers_on.values())
        if shared and world.ledger.active_site(other.id) == "recovery":
            raise UsageError(
                f"{other.id} is in use on {', '.join(sorted(shared))}: a drill there could take it down",
                where=service.id,
                hint="rehearse after its failback, or on other recovery hosts",
            )


def _check_fence(request: RecoveryRequest, service: Service, alive: Sequence[str]) -> list[str]:
    if not alive:
        return []
    text = f"the primary host {', '.join(alive)} still answers: two sites could take writes at once"
    if request.fence:
        return []  # a step of its own closes it, before users are sent over
    if not request.accept_unfenced:
        raise UsageError(
            text,
            where=service.id,
            hint="shut it off first; have drp close it: --fence; or accept the risk in your name: --accept-unfenced. "
            "To rehearse: drp drill run. As planned, losing nothing: drp switchover",
        )
    return [text]


def _plan(
    world: World, request: RecoveryRequest, runbook: Runbook, order: Sequence[str], declared_at: datetime
) -> Plan:
    points: dict[str, tuple[RestorePoint, ...]] = {}
    declared: dict[str, Objectives] = {}
    for name in order:
        points[name] = restore_points_for(world, name, request, runbook, declared_at)
        found = objectives_of(world.city.services[name], world.city.workspace.tiers)
        if found is None:
            raise DrpError("the service has no objectives", where=name, hint="run: drp validate")
        declared[name] = found
    objectives = {
        name: replace(
            own,
            rto=own.rto if request.rto is None else request.rto,
            rpo=own.rpo if request.rpo is None else request.rpo,
        )
        for name, own in declared.items()
    }
    return compile_recovery(
        world.city,
        request.kind,
        order,
        runbook,
        restore_points={name: found[0] for name, found in points.items()},
        older={name: found[1:] for name, found in points.items()},
        declared=declared,
        objectives=objectives,
        hold=runbook.hold if request.hold is None else request.hold,
        fences=request.fence,
    )


def _mark_disruption(
    world: World, run: str, service: str, request: RecoveryRequest, declared_at: datetime, declared: list[Body]
) -> None:
    """T0, T1 and T2: from the probe that ran before, from a person, or (in a drill) from the scenario."""

    def mark(mark_: Mark) -> None:
        declared.append({"type": "mark", "body": {"service": service, **mark_.record()}})

    if request.kind == "drill":
        scenario = "the scenario's time: production was not disturbed"
        simulated: tuple[MarkName, ...] = ("T0", "T1", "T2")
        for name in simulated:
            mark(Mark(name, declared_at, "simulated", scenario, clock=world.clock.reading()))
        return
    outage = _seen_outage(world, service)
    if outage is not None and outage.last_good_at is None:
        world.say(f"{service}: drp watch never saw it work, so it cannot say when it went")
        outage = None
    if outage is not None:
        evidence = world.watch.keep(service, run_folder(world, run), outage.disrupted_at - WATCH_KEPT_BEFORE)
        source = f"drp watch, check {outage.check}: {outage.detail}; {evidence.path} sha256 {evidence.sha256}"
        mark(Mark("T0", outage.disrupted_at, "automatic", source, outage.uncertainty, outage.clock))
        # Who declares before the probe is certain has noticed it before.
        mark(Mark("T1", min(outage.detected_at, declared_at), "automatic", source, clock=outage.clock))
        world.say(f"{service}: unusable since {outage.disrupted_at:%H:%M:%S} UTC ({outage.detail}), seen by drp watch")
    elif request.disrupted_at is not None:
        mark(Mark("T0", request.disrupted_at, "human", f"declared by {request.by}", timedelta(minutes=1)))
        mark(Mark("T1", declared_at, "human", f"declared by {request.by}"))
        declared.append(reservation(service, "T0 and T1 were declared by a person: no probe had watched", request.by))
    else:
        world.say(f"{service}: nobody saw when it went, so RTA and RPA cannot be measured (--disrupted-at TIME)")
    agreed = f", agreed by {', '.join(request.approved_by)}" if request.approved_by else ""
    declared_by = f"declared by {request.by}{agreed}: {request.reason}"
    mark(Mark("T2", declared_at, "human", declared_by, clock=world.clock.reading()))


def _seen_outage(world: World, service: str) -> Outage | None:
    """The outage that `drp watch` sees now. An old one that ended, or a watch that stopped, is none.

    Who declares within seconds of the disaster is ahead of the probe: it gets the time of its next attempts, at most.
    """
    checks = world.city.services[service].checks
    slowest = max(check.interval + check.timeout for check in checks)
    limit = world.clock.now() + FAILURES_TO_DETECT * slowest + timedelta(seconds=1)
    looked_back = 10 * (slowest + WATCH_LOOK_BACK)
    while samples := world.watch.samples(service, world.clock.now() - looked_back):
        for name, gap in world.city.services[service].check_gaps.items():
            ends = [sample.ended_at for sample in samples if (sample.check or checks[0].id) == name]
            age = world.clock.now() - max(ends) if ends else None
            if age is None or age > gap:
                text = "has not tried" if age is None else f"has not tried for {show_duration(age)}"
                world.say(f"{service}: drp watch {text} check {name}; its record is not used")
                return None
        outage = last_outage(samples, world.city.services[service].check_gaps)
        if outage is not None and outage.earliest is None and looked_back < WATCH_LONGEST_LOOK_BACK:
            looked_back *= 8  # it began before what was read
            continue
        if outage is not None and not outage.is_over:
            return outage
        if world.clock.now() > limit:
            return None
        world.clock.sleep(WATCH_POLL_SECONDS)
    newest = world.watch.newest(service)
    if newest is not None:
        silence = show_duration(world.clock.now() - newest.ended_at)
        world.say(f"{service}: drp watch has not looked for {silence}; its record is not used")
    return None
