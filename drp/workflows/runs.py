"""Show runs, and give one up."""

from __future__ import annotations

from drp.domain.recovery.plan import RECOVERY_KINDS, Plan
from drp.domain.recovery.run import replay
from drp.errors import BusyError, ExitCode, UsageError
from drp.ports import ActionState, World
from drp.workflows.naming import run_folder
from drp.workflows.recovery_run import resume

POLL_SECONDS = 0.25


def abort(world: World, run: str, reason: str) -> None:
    """End what a recovery started and close it as aborted, also while another drp follows it. What it restored stays
    where it is."""
    row = world.ledger.run(run)
    if row.kind not in RECOVERY_KINDS:
        raise UsageError(f"run {run} is a {row.kind}; only recoveries and drills can be aborted")
    if row.closed_at is not None:
        raise UsageError(f"run {run} has ended", hint=f"see it: drp run show {run}")
    if row.kind in ("switchover", "failback"):
        _take_back(world, run, reason)
        return
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


def _take_back(world: World, run: str, reason: str) -> None:
    """End a planned move before users are sent over: the services start again where they were. Whoever follows the run
    does that; where nobody does, this process."""
    recovery = replay(run, world.ledger.run(run).genesis, world.ledger.events(run))
    over = [name for name in recovery.plan.services if recovery.steps[f"{name}/cutover"].started_at is not None]
    if over and recovery.abandoned is None:
        text = "users have been sent over already; it cannot be taken back any more"
        hint = f"let it end (drp run resume {run}), then go back as planned: drp failback or drp switchover"
        raise UsageError(text, where=", ".join(over), hint=hint)
    if recovery.abandoned is None:
        world.ledger.append(run, "run.abandoned", {"by": world.operator, "reason": reason})
    world.say(f"{run} is given up; the services start again where they were")
    while world.ledger.run(run).closed_at is None:
        try:
            resume(world, run)
        except BusyError:
            world.clock.sleep(POLL_SECONDS)  # another drp follows it, and has taken notice
