"""What was decided about a task (`drp.domain.schedules.due`), in words for people, by the organisation's clocks."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

from drp.domain.schedules.due import ClockTrouble, Decision, Task, Trigger, Waits, Why
from drp.domain.values import show_duration

_WAITS = {
    Waits.BACKUP: "after the next good backup",
    Waits.RESTORE_POINT: "when there is a first restore point",
    Waits.TURN: "its turn comes at another time: the oldest restore tests come first",
}
_CLOCK = {
    ClockTrouble.PUT_BACK: "the clock was put back since its last run",
    ClockTrouble.WAS_AHEAD: "the ledger knows a run of it in a time to come, which does not count: a clock was wrong",
}


def told(task: Task, moment: datetime) -> str:
    """A time as the organisation's clocks show it."""
    return f"{moment.astimezone(ZoneInfo(task.zone)):%Y-%m-%d %H:%M}"


def reason_of(decision: Decision) -> str:
    """Why a task is due, or why it is next when it is."""
    if decision.waits is not None:
        return _WAITS[decision.waits]
    reason = _reason(decision)
    if decision.held_until is not None:
        reason += f"; held back by a blackout until {told(decision.task, decision.held_until)}"
    return reason


def _reason(decision: Decision) -> str:
    task, state = decision.task, decision.state
    assert decision.moment is not None, "a task that waits for nothing else has a moment"
    match decision.why:
        case Why.UNFINISHED if state is not None:
            return f"a run is open since {told(task, state.opened_at)}; if it was cut off, it is taken up"
        case Why.RETRY if state is not None:
            return f"retry {state.failures}: the run of {told(task, state.opened_at)} ended as {state.outcome}"
        case Why.FAILOVER:
            return "first backup since its other site became active"
        case Why.FIRST:
            return "never backed up" if decision.clock is None else "nothing says when it was last backed up"
        case Why.AFTER_BACKUP:
            daily = ", once a day" if task.trigger is Trigger.DAILY_AFTER_BACKUP else ""
            return f"after a good backup{daily}"
        case Why.CATCH_UP:
            return f"catches up with what was missed: {_scheduled(decision)}"
        case _:
            return _scheduled(decision)


def _scheduled(decision: Decision) -> str:
    task = decision.task
    assert decision.moment is not None
    later = f" + {show_duration(task.offset)} of its own" if task.offset else ""
    return f"{', '.join(each.text for each in task.schedules)}: {told(task, decision.moment)}{later}"


def notes_of(decision: Decision, now: datetime) -> list[str]:
    """What has to be known besides: an RPO that is not kept, whatever holds the backup back, and a clock that lies."""
    task, breach_at, next_at = decision.task, decision.breach_at, decision.next_at
    notes = [] if decision.clock is None else [_CLOCK[decision.clock]]
    if decision.deferral is not None:
        times = "once" if decision.deferral.count == 1 else f"{decision.deferral.count} times"
        begun = f"it could not begin, {times} so far, last at {told(task, decision.deferral.at)}"
        notes.append(f"{begun}: {decision.deferral.reason}")
    if decision.missed is not None:
        notes.append(f"missed since {told(task, decision.missed)}")
    if task.kind != "backup" or task.rpo is None:
        return notes
    if breach_at is None:
        notes.append("no data of its present site is at the DR centre")
    elif breach_at <= now:
        notes.append(f"RPO exceeded since {told(task, breach_at)}")
    elif next_at is not None and breach_at < next_at:
        notes.append(f"RPO will be exceeded at {told(task, breach_at)}, before it may start")
    return notes
