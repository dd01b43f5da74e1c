"""What is due now, for which moment of its schedule, why, and in which order; and when everything else is next.

A moment of a schedule is covered by a good run that was for it or that started after it. Only the newest moment counts:
however many were missed, one run catches up with all of them. A failed run covers nothing; it is tried again, later
each time, until it succeeds or the next moment takes its place.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from hashlib import sha256

from drp.domain.backups.record import BackupState, Deferral
from drp.domain.backups.settings import Blackout, Retry
from drp.domain.schedules.schedule import Schedule
from drp.domain.schedules.timetable import blackout_until, timetable_of

CLOCK_TOLERANCE = timedelta(minutes=90)
"""What the ledger knows of a time to come is believed up to here: the clock was put back, by an hour as it happens.
Beyond, the clock had been wrong: nothing may hang on its times, or nothing would run until they have come."""
LATE = timedelta(minutes=5)
"""A run that starts later than this is called a catch-up."""
MISSED = timedelta(minutes=15)
"""A run that has not been started by then is called missed."""
LARGEST_OFFSET = timedelta(minutes=15)
SHORTEST_WAIT = timedelta(minutes=1)
_NEVER = datetime.min.replace(tzinfo=UTC)


class Trigger(StrEnum):
    """`daily-after-backup`: once a day, when the day's first good backup has been made."""

    SCHEDULE = "schedule"
    EACH_BACKUP = "each-backup"
    DAILY_AFTER_BACKUP = "daily-after-backup"


class Why(StrEnum):
    SCHEDULED = "scheduled"
    CATCH_UP = "catch-up"
    RETRY = "retry"
    FIRST = "never-done"
    FAILOVER = "after-failover"
    AFTER_BACKUP = "after-backup"
    UNFINISHED = "unfinished"


@dataclass(frozen=True, slots=True)
class Task:
    """Something that is to be done for a service again and again. `order` sorts kinds, then tiers: least comes first.
    `rpo` is that of the service, for backups; `dr_centre` is where a copy goes."""

    service: str
    kind: str
    trigger: Trigger
    schedules: tuple[Schedule, ...]
    zone: str
    offset: timedelta
    order: tuple[int, ...]
    retry: Retry
    rpo: timedelta | None = None
    blackouts: tuple[Blackout, ...] = ()
    dr_centre: str = ""

    @property
    def key(self) -> tuple[str, str, str]:
        """What no other task has."""
        return self.service, self.kind, self.dr_centre

    @property
    def name(self) -> str:
        """For people: `backup`, `copy to kedua`."""
        return f"{self.kind} to {self.dr_centre}" if self.dr_centre else self.kind


@dataclass(frozen=True, slots=True)
class Facts:
    """What the ledger knows of a task.

    Attributes:
        since: moments up to this one do not count for what has never been done; None: there is nothing to do it with.
        active_since: when the service was moved to its present site; None where it never was.
        newest_data: from when the newest data is that the present site has sent to the DR centre.
        backup_done_at: when the last good backup ended.
        deferral: that it was due and could not begin.
    """

    state: BackupState | None = None
    since: datetime | None = None
    active_since: datetime | None = None
    newest_data: datetime | None = None
    backup_done_at: datetime | None = None
    deferral: Deferral | None = None


class Waits(StrEnum):
    """What a task waits for that is not due and has no moment of its own."""

    BACKUP = "backup"
    RESTORE_POINT = "restore-point"
    TURN = "turn"


class ClockTrouble(StrEnum):
    """What the times in the ledger say of the control node's clock: put back a little, or once far ahead."""

    PUT_BACK = "put-back"
    WAS_AHEAD = "was-ahead"


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether a task is due; `drp.domain.schedules.due_text` says it in words.

    Attributes:
        moment: the moment of the schedule that it is to be run for, due or not yet.
        next_at: when it may start next; None: nothing says when.
        held_until: when the blackout is over that holds it back.
        missed: a moment that passed without a start.
        breach_at: when the data at the DR centre is older than the RPO allows; None for other tasks than backups, and
            where there is no data.
        deferral: that it was due before, and could not begin.
    """

    task: Task
    state: BackupState | None
    is_due: bool = False
    moment: datetime | None = None
    why: Why | None = None
    next_at: datetime | None = None
    held_until: datetime | None = None
    missed: datetime | None = None
    breach_at: datetime | None = None
    waits: Waits | None = None
    clock: ClockTrouble | None = None
    deferral: Deferral | None = None


@dataclass(frozen=True, slots=True)
class _Target:
    """The moment that waits for a run, and from when on it may have one."""

    moment: datetime
    start: datetime
    why: Why


def offset_of(service: str, kind: str, schedules: Sequence[Schedule]) -> timedelta:
    """How much later than its schedule a task starts, so that not all start at once: the same each time, whole seconds,
    and short against the schedule."""
    span = min(_span_of(schedule) for schedule in schedules)
    return timedelta(seconds=int.from_bytes(sha256(f"{kind} {service}".encode()).digest()[:8]) % span)


@lru_cache(maxsize=16_384)
def _span_of(schedule: Schedule) -> int:
    """How many seconds the starts of a schedule are spread over."""
    return int(min(schedule.shortest_gap / 4, LARGEST_OFFSET).total_seconds())


def decide_all(
    tasks: Iterable[Task], facts: Mapping[tuple[str, str, str], Facts], now: datetime, *, restored_within: timedelta
) -> list[Decision]:
    """Decide each task by the facts of its key, what is due first, in the order in which to run it."""
    nothing = Facts()
    decisions = [decide(task, facts.get(task.key, nothing), now) for task in tasks]
    return sorted(_in_turn(decisions, restored_within, now), key=_place)


def _place(decision: Decision) -> tuple[bool, tuple[int, ...], datetime, str, str]:
    """What is due before what is not; kinds and tiers; nearest breach of its RPO. Without any data it is breached."""
    breach_at = decision.breach_at or _NEVER
    return not decision.is_due, decision.task.order, breach_at, decision.task.service, decision.task.dr_centre


def decide(task: Task, facts: Facts, now: datetime) -> Decision:
    """Whether a task is due now, and if not, when it is next."""
    state, clock = _believed(facts.state, now)
    target = _target(task, facts, state, now)
    breach_at = None if task.rpo is None or facts.newest_data is None else facts.newest_data + task.rpo
    if state is not None and state.is_open:
        moment = state.due_at or (target.moment if target else state.opened_at)
        next_at = _not_before(task, facts.deferral, now)
        decision = Decision(task, facts.state, next_at <= now, moment, Why.UNFINISHED, next_at, breach_at=breach_at)
        return replace(decision, clock=clock, deferral=facts.deferral)
    if target is None:
        return _waiting(task, facts, now, breach_at, clock)
    ready_at, why = target.start, target.why
    attempted = state is not None and state.outcome != "done" and _is_for(state, target.moment)
    if attempted and state is not None:
        ready_at, why = _retry_at(task, state, now), Why.RETRY
    deferral = facts.deferral if facts.deferral is not None and facts.deferral.moment >= target.moment else None
    start_at = max(ready_at, _not_before(task, deferral, now))
    held_until = None
    if task.blackouts and target.why is not Why.FAILOVER:  # what a new site has to send first is no matter of schedules
        held_until = blackout_until(task.blackouts, task.zone, start_at)
    next_at = held_until or start_at
    is_missed = not attempted and held_until is None and target.why is not Why.FIRST and now - ready_at > MISSED
    return Decision(
        task,
        facts.state,
        is_due=next_at <= now,
        moment=target.moment,
        why=why,
        next_at=next_at,
        held_until=held_until,
        missed=target.moment if is_missed else None,
        breach_at=breach_at,
        clock=clock,
        deferral=deferral,
    )


def _believed(state: BackupState | None, now: datetime) -> tuple[BackupState | None, ClockTrouble | None]:
    """What of the ledger's knowledge can be reckoned with: nothing that lies far in the future."""
    if state is None:
        return None, None
    limit = now + CLOCK_TOLERANCE
    if state.opened_at > limit:
        return None, ClockTrouble.WAS_AHEAD
    if max(state.done_opened_at or _NEVER, state.done_due_at or _NEVER) > limit:
        return replace(state, done_at=None, done_due_at=None, done_opened_at=None), ClockTrouble.WAS_AHEAD
    return state, ClockTrouble.PUT_BACK if state.opened_at > now else None


def _covers(state: BackupState | None, moment: datetime) -> bool:
    """Whether the last good run was for this moment or a later one, or started after it."""
    if state is None:
        return False
    return (state.done_due_at or _NEVER) >= moment or (state.done_opened_at or _NEVER) >= moment


def _is_for(state: BackupState, moment: datetime) -> bool:
    """The same of the last run, whatever came of it."""
    return (state.due_at or _NEVER) >= moment or state.opened_at >= moment


def _target(task: Task, facts: Facts, state: BackupState | None, now: datetime) -> _Target | None:
    """The moment that is not covered yet."""
    if task.trigger is Trigger.EACH_BACKUP:
        done_at = facts.backup_done_at
        return None if done_at is None or _covers(state, done_at) else _Target(done_at, done_at, Why.AFTER_BACKUP)
    at = now - task.offset
    moment = timetable_of(task.schedules[0], task.zone).latest(at)
    for schedule in task.schedules[1:]:
        moment = max(moment, timetable_of(schedule, task.zone).latest(at))
    start = moment + task.offset
    if task.kind == "backup" and facts.active_since is not None and not _covers(state, facts.active_since):
        moved_at = facts.active_since
        return _Target(max(moved_at, moment), start if moment > moved_at else min(moved_at, now), Why.FAILOVER)
    if _covers(state, moment):
        return None
    if task.trigger is Trigger.DAILY_AFTER_BACKUP:
        done_at = facts.backup_done_at
        return None if done_at is None or done_at < moment else _Target(moment, done_at, Why.AFTER_BACKUP)
    if state is None or (state.done_opened_at is None and state.done_at is None):
        if task.kind == "backup":
            return _Target(moment, start, Why.FIRST)
        if facts.since is None or moment <= facts.since:
            return None
    return _Target(moment, start, Why.SCHEDULED if now - start <= LATE else Why.CATCH_UP)


def _retry_at(task: Task, state: BackupState, now: datetime) -> datetime:
    """Twice as long after each failure, but never so long that a good part of the RPO goes by."""
    ended_at = state.closed_at or state.opened_at
    if ended_at > now:
        return now  # the clock was put back
    return ended_at + _wait(task, state.failures)


def _not_before(task: Task, deferral: Deferral | None, now: datetime) -> datetime:
    """When a task that could not begin is tried again: as long after that as after a failure. The holder of the lock
    that it needs may be at it for hours."""
    if deferral is None or deferral.at > now:
        return now
    return max(now, deferral.at + _wait(task, deferral.count))


def _wait(task: Task, failures: int) -> timedelta:
    wait: timedelta = min(task.retry.first * 2 ** min(max(failures - 1, 0), 20), task.retry.longest)
    return wait if task.rpo is None else min(wait, max(task.rpo / 4, SHORTEST_WAIT))


def _waiting(
    task: Task, facts: Facts, now: datetime, breach_at: datetime | None, clock: ClockTrouble | None
) -> Decision:
    """A task that nothing is outstanding of: when it comes next."""
    if task.trigger is not Trigger.SCHEDULE:
        return Decision(task, facts.state, waits=Waits.BACKUP, clock=clock)
    if task.kind != "backup" and facts.since is None:
        return Decision(task, facts.state, waits=Waits.RESTORE_POINT, clock=clock)
    moment = min(timetable_of(schedule, task.zone).following(now - task.offset) for schedule in task.schedules)
    start = moment + task.offset
    held_until = blackout_until(task.blackouts, task.zone, start) if task.blackouts else None
    return Decision(
        task,
        facts.state,
        moment=moment,
        next_at=held_until or start,
        held_until=held_until,
        breach_at=breach_at,
        clock=clock,
    )


def _in_turn(decisions: list[Decision], within: timedelta, now: datetime) -> list[Decision]:
    """Of the services that wait for a restore test, as many at each of its moments as are needed to have all tested
    `within` a time: those first whose last one is longest ago."""
    tests = [found for found in decisions if found.task.kind == "restore-test" and found.moment is not None]
    if not tests:
        return decisions
    timetables = [timetable_of(schedule, tests[0].task.zone) for schedule in tests[0].task.schedules]
    moment = max(timetable.latest(now) for timetable in timetables)
    following = min(timetable.following(now) for timetable in timetables)
    rounds = max(1, within // tests[0].task.schedules[0].longest_gap - 1)
    tried = {found.task.service for found in tests if found.state is not None and _is_for(found.state, moment)}
    fresh = [found for found in tests if found.moment == moment and found.task.service not in tried]
    fresh.sort(key=lambda found: (_last_done(found), sha256(found.task.service.encode()).digest()))
    quota = -(-len(tests) // rounds)
    later = {found.task.service for found in fresh[max(0, quota - len(tried)) :]}
    return [
        Decision(found.task, found.state, next_at=following, waits=Waits.TURN, clock=found.clock)
        if found.task.kind == "restore-test" and found.task.service in later
        else found
        for found in decisions
    ]


def _last_done(decision: Decision) -> datetime:
    return (decision.state.done_opened_at if decision.state is not None else None) or _NEVER
