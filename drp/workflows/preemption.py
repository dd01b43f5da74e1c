"""A failover ends the drills on its hosts: what they do is stopped, what they restored there is overwritten, and the
time that this takes is in the failover's clock."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from drp.domain.events import Body
from drp.domain.recovery.plan import Plan
from drp.domain.recovery.run import Recovery
from drp.domain.values import milliseconds
from drp.errors import DrpError, ExitCode, UsageError
from drp.ports import ActionState, World
from drp.workflows.isolation import note_isolation, start_ending
from drp.workflows.naming import action_folder, run_folder
from drp.workflows.open_runs import is_followed

Record = Callable[[str, Body], None]

STOP_SECONDS = 45
FOLLOWER_SECONDS = 10
"""How long whoever follows a drill may take to notice that it has ended. One that is stuck is not waited for."""

POLL_SECONDS = 0.05


def close_drill(world: World, drill: str, by: str, failover: str) -> None:
    """Close a drill as aborted by a failover: whoever follows it can then start nothing more."""
    if world.ledger.run(drill).closed_at is not None:
        return
    world.say(f"ending {drill}: its hosts are needed")
    try:
        world.ledger.append(drill, "run.preempted", {"run": failover, "by": by, "reason": "its hosts are needed"})
        world.ledger.append(drill, "run.closed", aborted(f"{failover} needs its hosts (declared by {by})"))
    except UsageError:
        if world.ledger.run(drill).closed_at is None:
            raise  # else it has just ended by itself


def aborted(reason: str) -> Body:
    """The end of a run that was given up."""
    return {"outcome": "aborted", "exit_code": int(ExitCode.CANCELLED), "verdict": "ABORTED", "reason": reason}


def stop_actions(world: World, runs: Sequence[str]) -> None:
    """End all that closed runs have started. Looked for anew each time: whoever follows one may be starting something
    at this moment. UsageError where something does not end."""
    limit = world.clock.monotonic() + STOP_SECONDS
    waited_until = world.clock.monotonic() + FOLLOWER_SECONDS
    while True:
        is_followed_still = any(is_followed(world, run) for run in runs)
        running = [folder for run in runs for folder in _running(world, run)]
        if not running and (not is_followed_still or world.clock.monotonic() > waited_until):
            return
        for folder in running:
            world.actions.stop(folder)  # each time: one that has only just started does not hear it yet
        if world.clock.monotonic() > limit:
            text = f"an action did not end within {STOP_SECONDS} s"
            raise UsageError(text, where=", ".join(runs), hint="run the same command again")
        world.clock.sleep(POLL_SECONDS)


def _running(world: World, run: str) -> list[Path]:
    folders = [path.parent for path in sorted(run_folder(world, run).rglob("lock"))]
    return [folder for folder in folders if world.actions.state(folder) is ActionState.RUNNING]


def end_drills(world: World, recovery: Recovery) -> None:
    """End the drills that stand in a failover's way, those of them that have not ended yet, and take down how long that
    took since they were to end: since the failover was opened."""
    opened = recovery.opened.body
    done = {body["run"] for body in recovery.ended_drills}
    drills = [name for name in opened.get("ends_drills", ()) if name not in done]
    if not drills:
        return
    for drill in drills:
        close_drill(world, drill, opened["by"], recovery.run)
    stop_actions(world, drills)
    world.actions.close_connections()
    took = world.clock.now() - recovery.opened_at
    for drill in drills:
        hosts = sorted(_plan_of(world, drill).hosts)
        body = {"run": drill, "by": opened["by"], "duration_ms": milliseconds(took), "hosts": hosts}
        world.ledger.append(recovery.run, "drill.ended", body)
        world.say(f"ended {drill}: {took.total_seconds():.1f} s")


def connect_hosts_left(world: World, recovery: Recovery, record: Record) -> None:
    """The hosts of ended drills that the failover did not need: stop what the drills have left there, and connect them
    again. What fails is told; the hosts are isolated meanwhile, so nothing comes of it."""
    for ended in recovery.ended_drills:
        drill = ended["run"]
        plan = _plan_of(world, drill)
        hosts = [host for host in ended["hosts"] if host not in recovery.plan.hosts and host in world.city.hosts]
        left = [name for name in plan.services if name not in recovery.plan.services]
        if hosts and plan.isolates:
            _connect(world, recovery, drill, hosts, record)
        for name in left:
            places = ", ".join(plan.services[name].hosts)
            world.say(f"{name}: what {drill} has restored of it on {places} is still there; the next drill replaces it")


def _connect(world: World, recovery: Recovery, drill: str, hosts: Sequence[str], record: Record) -> None:
    folder = action_folder(world, recovery.run, f"unisolate-{drill}")
    try:
        if world.actions.state(folder) not in (ActionState.RUNNING, ActionState.ENDED):
            start_ending(world, folder, hosts, run=drill, kind=recovery.plan.kind)
        while world.actions.state(folder) is ActionState.RUNNING:
            world.clock.sleep(POLL_SECONDS)
    except DrpError as error:
        world.say(f"{', '.join(hosts)}: still isolated by {drill}: {error}")
        return
    note_isolation(world, recovery, world.actions.messages(folder, 0), record)
    if world.actions.state(folder) is not ActionState.ENDED or world.actions.exit_code(folder) != 0:
        world.say(f"{', '.join(hosts)}: may still be isolated by {drill}; the next recovery there ends that")


def _plan_of(world: World, run: str) -> Plan:
    return Plan.from_record(world.ledger.events(run)[0].body["plan"])
