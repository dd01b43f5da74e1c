"""A recovery's run, whatever brought it about: opened, carried out, judged, closed; taken up again after a crash."""

from __future__ import annotations

from drp.domain.events import Body
from drp.domain.objectives import Verdict
from drp.domain.recovery.compiling import declaration_of
from drp.domain.recovery.plan import RECOVERY_KINDS, Plan
from drp.domain.recovery.run import Recovery, apply, replay
from drp.errors import CancelledError, ExitCode, UsageError
from drp.ports import World
from drp.workflows.execution import execute
from drp.workflows.open_runs import ended_from_elsewhere, follow, let_go, opening, refuse_taken
from drp.workflows.preemption import connect_hosts_left, end_drills


def open_recovery(world: World, run: str, plan: Plan, body: Body) -> None:
    """Open the run of a plan. `body`: who declared it, why, and what was known then (`declared`, an event each)."""
    opened = {
        **body,
        "plan": plan.record(),
        "operator": world.operator,
        "baselines": {name: world.watch.look_before(name) for name in plan.services},
    }
    world.ledger.open_run(run, plan.kind, plan.hash, list(plan.services), opened)
    world.say(f"{plan.kind} {run}: {', '.join(plan.services)}; plan {plan.hash[:12]}")
    _write_declared(world, run)


def resume(world: World, run: str) -> Recovery:
    """Go on with a recovery that was cut off: nothing that ended is done again, what still runs is adopted."""
    row = world.ledger.run(run)
    if row.kind not in RECOVERY_KINDS:
        raise UsageError(f"run {run} is a {row.kind}", hint="backups go on by themselves: drp backup run SERVICE")
    if row.closed_at is not None:
        raise UsageError(f"run {run} has ended", hint=f"see it: drp run show {run}")
    world.ledger.verify(run)
    _refuse_changed(world, run)
    follow(world, run, row.kind)
    try:
        with opening(world, row.kind):
            refuse_taken(world, run)
            world.ledger.append(run, "run.resumed", {"operator": world.operator})
        _write_declared(world, run)
        return execute_and_close(world, run)
    finally:
        let_go(world, run)


def _write_declared(world: World, run: str) -> None:
    """Write down, an event each, what was known when the run was declared; after a crash, what of it is missing yet."""
    events = world.ledger.events(run)
    written = sum(event.type in ("mark", "reservation") for event in events)
    for item in events[0].body.get("declared", [])[written:]:
        world.ledger.append(run, item["type"], item["body"])


def execute_and_close(world: World, run: str) -> Recovery:
    """Carry a run out to its end and judge it. CancelledError where somebody has given it up meanwhile."""
    row = world.ledger.run(run)
    recovery = replay(run, row.genesis, world.ledger.events(run))
    try:
        end_drills(world, recovery)
        recovery = replay(run, row.genesis, world.ledger.events(run))
        with world.follow(run):
            execute(world, recovery)
        connect_hosts_left(world, recovery, lambda type_, body: _record(world, recovery, type_, body))
    except UsageError as error:
        if world.ledger.run(run).closed_at is not None:
            raise ended_from_elsewhere(world, run) from error
        raise
    recovery = replay(run, row.genesis, world.ledger.events(run))
    verdict = recovery.verdict()
    accepted = all(recovery.measurement(name).accepted for name in recovery.plan.services)
    outcome, code = "done", ExitCode.DONE if accepted else ExitCode.NOT_MET
    if recovery.abandoned is not None:
        outcome, code, verdict = "aborted", ExitCode.CANCELLED, Verdict.ABORTED
    world.ledger.append(run, "run.closed", {"outcome": outcome, "exit_code": int(code), "verdict": str(verdict)})
    if recovery.abandoned is not None and recovery.plan.kind == "drill":
        text = f"the drill was aborted by {recovery.abandoned['by']}: {recovery.abandoned['reason']}"
        raise CancelledError(text, where=run, hint=f"see it: drp run show {run}")
    return replay(run, row.genesis, world.ledger.events(run))


def _record(world: World, recovery: Recovery, type_: str, body: Body) -> None:
    apply(recovery, world.ledger.append(recovery.run, type_, body))


def _refuse_changed(world: World, run: str) -> None:
    events = world.ledger.events(run)
    if any(event.type == "run.abandoned" for event in events):
        return  # whatever the file says now, users must get back what they had
    plan = Plan.from_record(events[0].body["plan"])
    for name, planned in plan.services.items():
        service = world.city.services.get(name)
        if service is None or planned.declaration != declaration_of(service):
            raise UsageError(
                "the service's file was changed since the run started",
                where=name,
                hint=f"bring it back as it was; or give the run up (drp run abort {run}) and start a new one",
            )


def reservation(service: str, text: str, accepted_by: str | None) -> Body:
    """What keeps a service's result from being plainly MET, as an event that is declared at the start."""
    return {"type": "reservation", "body": {"service": service, "text": text, "accepted_by": accepted_by}}
