"""Show runs, and give one up."""

from __future__ import annotations

from drp.domain.recovery.plan import Plan
from drp.errors import ExitCode, UsageError
from drp.ports import ActionState, World
from drp.workflows.naming import run_folder


def abort(world: World, run: str, reason: str) -> None:
    """End what a recovery started and close it as aborted, also while another drp follows it. What it restored stays
    where it is."""
    row = world.ledger.run(run)
    if row.kind not in ("failover", "drill"):
        raise UsageError(f"run {run} is a {row.kind}; only a failover or a drill can be aborted")
    if row.closed_at is not None:
        raise UsageError(f"run {run} has ended", hint=f"see it: drp run show {run}")
    # Closed first: a drp that follows this run can then start nothing more.
    body = {"outcome": "aborted", "exit_code": int(ExitCode.CANCELLED), "verdict": "ABORTED", "reason": reason}
    world.ledger.append(run, "run.closed", body)
    plan = Plan.from_record(world.ledger.events(run)[0].body["plan"])
    folders = [path.parent for path in sorted(run_folder(world, run).rglob("lock"))]
    limit = world.clock.monotonic() + 45
    while any(world.actions.state(folder) is ActionState.RUNNING for folder in folders):
        for folder in folders:
            world.actions.stop(folder)  # each time: one that has only just started does not hear it yet
        if world.clock.monotonic() > limit:
            raise UsageError("an action did not end within 45 s", where=run, hint="run the same command again")
        world.clock.sleep(0.05)
    world.actions.close_connections()
    for name, planned in plan.services.items():
        world.say(f"{name}: aborted; what was restored on {', '.join(planned.hosts)} is still there")
