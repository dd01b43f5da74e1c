"""Which recoveries are under way, on which hosts, and who follows them: what may be begun beside them."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager

from drp.domain.recovery.conflicts import OpenRun, conflicts
from drp.domain.recovery.plan import RECOVERY_KINDS, Plan, RecoveryKind
from drp.errors import BusyError, CancelledError
from drp.ports import World

OPENING_SECONDS, RETRY_SECONDS = 60, 0.1
"""How long one waits for another run to be begun or taken up: that takes a few looks at hosts."""


@contextmanager
def opening(world: World, kind: str) -> Iterator[None]:
    """Begin a run, or take one up, while nobody else does. Held for that moment only: what is under way is told by the
    ledger, whoever follows it. BusyError where that moment of another does not end."""
    limit = world.clock.monotonic() + OPENING_SECONDS
    while True:
        try:
            world.locks.acquire("recovery", f"drp {kind}")
            break
        except BusyError:
            if world.clock.monotonic() > limit:
                raise
            world.clock.sleep(RETRY_SECONDS)
    try:
        yield
    finally:
        world.locks.release("recovery")


def follow(world: World, run: str, kind: str) -> None:
    """Be the one process that follows a run, until it ends or `let_go`. BusyError where another one does."""
    world.locks.acquire(_lock(run), f"drp {kind}")


def let_go(world: World, run: str) -> None:
    world.locks.release(_lock(run))


def is_followed(world: World, run: str) -> bool:
    """Whether a process follows a run at this moment."""
    try:
        world.locks.acquire(_lock(run), "drp, looking who follows it")
    except BusyError:
        return True
    world.locks.release(_lock(run))
    return False


def open_runs(world: World) -> list[OpenRun]:
    """All recoveries that have not ended."""
    rows = world.ledger.runs(kinds=RECOVERY_KINDS, limit=10_000, only_open=True)
    return [OpenRun.of(row.run, Plan.from_record(world.ledger.events(row.run)[0].body["plan"])) for row in rows]


def drills_to_end(
    world: World, kind: RecoveryKind, services: Collection[str], hosts: Collection[str]
) -> tuple[OpenRun, ...]:
    """The drills that a new failover has to end. BusyError where anything else stands in the way of a new run."""
    found = conflicts(kind, services, hosts, open_runs(world))
    for other in found.excludes:
        shared = ", ".join(sorted(other.services & set(services)) or sorted(other.hosts & set(hosts)))
        state = "runs elsewhere" if is_followed(world, other.run) else "was cut off"
        hint = f"go on with it: drp run resume {other.run}; or give it up: drp run abort {other.run} --reason …"
        if state == "runs elsewhere":
            hint = (
                f"wait for it: drp run show {other.run} --follow; or give it up: drp run abort {other.run} --reason …"
            )
        raise BusyError(f"{other.run} has not ended, and has {shared}: it {state}", hint=hint)
    return found.to_end


def refuse_taken(world: World, run: str) -> None:
    """BusyError where a failover that has not ended needs this drill's hosts, and is about to end it."""
    for other in open_runs(world):
        if run in world.ledger.events(other.run)[0].body.get("ends_drills", ()):
            hint = f"see it: drp run show {other.run} --follow"
            raise BusyError(f"{other.run} ends this drill, to have its hosts", where=run, hint=hint)


def ended_from_elsewhere(world: World, run: str) -> CancelledError:
    """What whoever follows a run is told when another process has closed it."""
    hint = f"see it: drp run show {run}"
    for event in world.ledger.events(run):
        if event.type == "run.preempted":
            failover, by = event.body["run"], event.body["by"]
            text = f"{failover} has ended this drill, because it needs the drill's hosts; declared by {by}"
            return CancelledError(text, where=run, hint=f"{hint}; the failover: drp run show {failover} --follow")
    return CancelledError("the run was aborted from elsewhere", where=run, hint=hint)


def _lock(run: str) -> str:
    return f"run-{run}"
