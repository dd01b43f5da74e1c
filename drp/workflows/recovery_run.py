"""A recovery's run, whatever brought it about: opened, carried out, judged, closed; taken up again after a crash."""

from __future__ import annotations

from collections.abc import Sequence

from drp.domain.events import Body
from drp.domain.objectives import Verdict
from drp.domain.recovery.plan import RECOVERY_KINDS, Plan, declaration_of
from drp.domain.recovery.run import Recovery, replay
from drp.errors import CancelledError, ExitCode, UsageError
from drp.ports import World
from drp.workflows.execution import execute


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
    world.locks.acquire("recovery", f"drp {row.kind}")
    try:
        world.ledger.append(run, "run.resumed", {"operator": world.operator})
        _write_declared(world, run)
        return execute_and_close(world, run)
    finally:
        world.locks.release("recovery")


def _write_declared(world: World, run: str) -> None:
    """Write down, an event each, what was known when the run was declared; after a crash, what of it is missing yet."""
    events = world.ledger.events(run)
    written = sum(event.type in ("mark", "reservation") for event in events)
    for item in events[0].body.get("declared", [])[written:]:
        world.ledger.append(run, item["type"], item["body"])


def execute_and_close(world: World, run: str) -> Recovery:
    """Carry a run out to its end and judge it."""
    row = world.ledger.run(run)
    recovery = replay(run, row.genesis, world.ledger.events(run))
    try:
        with world.follow(run):
            execute(world, recovery)
    except UsageError as error:
        if world.ledger.run(run).closed_at is not None:
            hint = f"see it: drp run show {run}"
            raise CancelledError("the run was aborted from elsewhere", where=run, hint=hint) from error
        raise
    recovery = replay(run, row.genesis, world.ledger.events(run))
    verdict = recovery.verdict()
    accepted = all(recovery.measurement(name).accepted for name in recovery.plan.services)
    outcome, code = "done", ExitCode.DONE if accepted else ExitCode.NOT_MET
    if recovery.abandoned is not None:
        outcome, code, verdict = "aborted", ExitCode.CANCELLED, Verdict.ABORTED
    world.ledger.append(run, "run.closed", {"outcome": outcome, "exit_code": int(code), "verdict": str(verdict)})
    return replay(run, row.genesis, world.ledger.events(run))


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


def refuse_running(world: World, services: Sequence[str]) -> None:
    """Two recoveries of one service exclude each other, also where one of them was cut off."""
    for row in world.ledger.runs(kinds=RECOVERY_KINDS, limit=10_000):
        if row.closed_at is None and set(row.services) & set(services):
            raise UsageError(
                f"{row.run} has not ended: it was cut off, or runs elsewhere",
                hint=f"go on with it: drp run resume {row.run}; or give it up: drp run abort {row.run}",
            )


def reservation(service: str, text: str, accepted_by: str | None) -> Body:
    """What keeps a service's result from being plainly MET, as an event that is declared at the start."""
    return {"type": "reservation", "body": {"service": service, "text": text, "accepted_by": accepted_by}}
