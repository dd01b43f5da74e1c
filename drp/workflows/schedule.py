"""Do what is due, and show what is next: the schedule's decisions (`drp.domain.schedules.due`) carried out."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from drp.domain.backups.record import SCHEDULED_KINDS
from drp.domain.events import Body, hash_of
from drp.domain.schedules.due import Decision, Facts, Task, decide_all
from drp.domain.schedules.due_text import notes_of, reason_of, told
from drp.domain.schedules.tasks import tasks_of
from drp.domain.values import to_stamp
from drp.errors import BusyError, DrpError, ExitCode
from drp.ports import World
from drp.workflows.naming import new_run

LANES = {"backup": ("backup",), "copy": ("copy", "forget"), "proof": ("preflight", "check", "restore-test", "prune")}
"""Kinds that wait for each other. A restore test of hours must not keep a backup waiting: that has a lane of its own,
with a lock of its own."""


@dataclass(frozen=True, slots=True)
class TaskResult:
    """What became of a task for a service; `text` is a line for people about one that went well."""

    service: str
    error: DrpError | None = None
    text: str = ""


class Due(dict[str, datetime]):
    """Services, and for each the moment of its schedule that is to be done. `dr_centre`: to where, for copies."""

    def __init__(self, moments: Mapping[str, datetime], dr_centre: str = "") -> None:
        super().__init__(moments)
        self.dr_centre = dr_centre


TaskRunner = Callable[[World, Due], Sequence[TaskResult]]
"""Carries out a kind of task for services, each for a moment of its schedule, in this order. It opens and closes a run
of that kind for each service in the ledger, which is how the schedule knows of it."""


@dataclass(frozen=True, slots=True)
class TaskOutcome:
    """A task that was due, and what became of it."""

    decision: Decision
    error: DrpError | None
    text: str = ""

    @property
    def is_busy(self) -> bool:
        """Another drp is at it: it is being done."""
        return isinstance(self.error, BusyError)


def decisions_of(
    world: World, services: Collection[str] = (), kinds: Collection[str] = SCHEDULED_KINDS
) -> list[Decision]:
    """What is due now, in its order, then what is not. Restore tests take turns among the services asked for."""
    tasks = tasks_of(world.city, services, kinds)
    within = world.city.workspace.backups.proof.restored_within
    return decide_all(tasks, facts_of(world, tasks), world.clock.now(), restored_within=within)


def facts_of(world: World, tasks: Iterable[Task]) -> dict[tuple[str, str, str], Facts]:
    """What the ledger knows of each task, by its key; read at once for all services."""
    ledger = world.ledger
    wanted = [task.key for task in tasks]
    kinds = {kind for _, kind, _ in wanted}
    states = {kind: ledger.backup_states(kind) for kind in (kinds - {"copy"}) | {"backup"}}
    copy_states = ledger.copy_states() if "copy" in kinds else {}
    sites = ledger.active_sites()
    oldest: dict[str, datetime] = {}
    newest: dict[tuple[str, str], datetime] = {}
    for times in ledger.data_times():
        oldest[times.service] = min(times.oldest, oldest.get(times.service, times.oldest))
        newest[times.service, times.site] = times.newest
    deferrals = {(found.service, found.kind, found.dr_centre): found for found in ledger.deferrals()}
    facts = {}
    for key in wanted:
        service, kind, centre = key
        backup = states["backup"].get(service)
        site, moved_at = sites.get(service, ("primary", None))
        facts[key] = Facts(
            state=copy_states.get((service, centre)) if centre else states[kind].get(service),
            since=oldest.get(service),
            active_since=moved_at,
            newest_data=newest.get((service, site)),
            backup_done_at=None if backup is None else backup.done_at,
            deferral=deferrals.get(key),
        )
    return facts


def missed_backups(world: World, services: Collection[str] = ()) -> dict[str, datetime]:
    """The services whose scheduled backup was not started in time, and the moment that it was for. A backup that was
    started and failed is not missed, nor is one that a blackout holds back."""
    decisions = decisions_of(world, services, ("backup",))
    return {found.task.service: found.missed for found in decisions if found.missed is not None}


def run_lane(
    world: World, lane: str, runners: Mapping[str, TaskRunner], services: Collection[str] = ()
) -> list[TaskOutcome]:
    """Do what is due now of a lane's kinds. BusyError where another drp is doing so."""
    kinds = tuple(kind for kind in LANES[lane] if kind in runners)
    lock = "scheduler" if lane == "backup" else f"scheduler-{lane}"
    world.locks.acquire(lock, f"drp, doing what is due ({', '.join(kinds)}),")
    try:
        outcomes: list[TaskOutcome] = []
        for kind in kinds:
            due = [found for found in decisions_of(world, services, (kind,)) if found.is_due]
            for centre in dict.fromkeys(found.task.dr_centre for found in due):
                outcomes += _run(world, runners[kind], [found for found in due if found.task.dr_centre == centre])
        return outcomes
    finally:
        world.locks.release(lock)


def _run(world: World, runner: TaskRunner, due: Sequence[Decision]) -> list[TaskOutcome]:
    for found in due:
        notes = "".join(f"; {note}" for note in notes_of(found, world.clock.now()))
        world.say(f"{found.task.service}: {found.task.name} is due ({reason_of(found)}{notes})")
    moments = {found.task.service: found.moment for found in due if found.moment is not None}
    try:
        results = {result.service: result for result in runner(world, Due(moments, due[0].task.dr_centre))}
    except DrpError as error:
        outcomes = [TaskOutcome(found, error) for found in due]
    else:
        nothing = DrpError("nothing was told of its end", hint="see: drp run list")
        outcomes = [
            TaskOutcome(found, result.error, result.text)
            for found in due
            for result in (results.get(found.task.service, TaskResult(found.task.service, nothing)),)
        ]
    _defer(world, outcomes)
    return outcomes


def _defer(world: World, outcomes: Sequence[TaskOutcome]) -> None:
    """Note what failed before it began, as for a lock that another drp holds: no run tells of it, and without a note it
    would be tried again at once, over and over. What began and failed is noted by its run."""
    failed = [outcome for outcome in outcomes if outcome.error is not None and outcome.decision.moment is not None]
    if not failed:
        return
    kind, centre = failed[0].decision.task.kind, failed[0].decision.task.dr_centre
    states = world.ledger.backup_states(kind)
    if centre:
        states = {service: state for (service, to), state in world.ledger.copy_states().items() if to == centre}
    run = ""
    for outcome in failed:
        found = outcome.decision
        if states.get(found.task.service) != found.state:
            continue
        if not run:
            run = new_run("defer", world.clock.now())
            plan: Body = {"kind_of_task": kind, "by": world.operator}
            world.ledger.open_run(run, "defer", hash_of(plan), [], plan)
        assert found.moment is not None
        body = {"service": found.task.service, "kind": kind, "dr_centre": centre, "moment": to_stamp(found.moment)}
        world.ledger.append(run, "task.deferred", {**body, "reason": str(outcome.error)[:500]})
    if run:
        world.ledger.append(run, "run.closed", {"outcome": "done", "exit_code": int(ExitCode.DONE)})


def next_start(decisions: Iterable[Decision]) -> datetime | None:
    """When the next of these tasks may start."""
    return min((found.next_at for found in decisions if found.next_at is not None), default=None)


def last_run_of(decision: Decision) -> str:
    """The last run of a task in words."""
    state = decision.state
    if state is None:
        return "never"
    outcome = "running" if state.is_open else state.outcome or "failed"
    return f"{told(decision.task, state.opened_at)} {outcome}"
