"""What is due, for which moment, why, and in which order."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drp.domain.backups.record import BackupState, Deferral
from drp.domain.backups.settings import Blackout, Retry
from drp.domain.schedules.due import (
    ClockTrouble,
    Decision,
    Facts,
    Task,
    Trigger,
    Waits,
    Why,
    decide,
    decide_all,
    offset_of,
)
from drp.domain.schedules.due_text import notes_of, reason_of
from drp.domain.schedules.schedule import parse_schedule
from drp.domain.schedules.timetable import timetable_of

ZONE = "Asia/Jakarta"
NOON = datetime(2026, 11, 20, 5, 0, tzinfo=UTC)
"""12:00 in Jakarta, a Friday."""
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
RETRY = Retry()


def make_task(text: str = "hourly", *, service: str = "pengaduan", kind: str = "backup", **more: Any) -> Task:
    plain: dict[str, Any] = {
        "trigger": Trigger.SCHEDULE,
        "schedules": (parse_schedule(text),),
        "zone": ZONE,
        "offset": timedelta(),
        "order": (0, 0),
        "retry": RETRY,
    }
    return Task(service=service, kind=kind, **(plain | more))


def good(opened_at: datetime, due_at: datetime | None = None, *, took: timedelta = MINUTE) -> BackupState:
    done_at = opened_at + took
    return BackupState(
        "pengaduan", "run-1", opened_at, False, "done", due_at, done_at, due_at, 0, closed_at=done_at,
        done_opened_at=opened_at,
    )  # fmt: skip


def failed(
    opened_at: datetime, due_at: datetime | None = None, *, failures: int = 1, before: BackupState | None = None
) -> BackupState:
    earlier = before or good(opened_at - timedelta(days=1), opened_at - timedelta(days=1))
    return replace(
        earlier, last_run="run-2", opened_at=opened_at, outcome="failed", due_at=due_at, failures=failures,
        closed_at=opened_at + MINUTE,
    )  # fmt: skip


def blackout(start: str, end: str) -> Blackout:
    return Blackout.model_validate({"start": start, "end": end})


def test_a_moment_that_comes_is_due_once() -> None:
    task, done = make_task(), good(NOON - HOUR, NOON - HOUR)
    before = decide(task, Facts(done), NOON - MINUTE)
    assert (before.is_due, before.moment, before.next_at) == (False, NOON, NOON)
    found = decide(task, Facts(done), NOON)
    assert (found.is_due, found.moment, found.why) == (True, NOON, Why.SCHEDULED)
    after = decide(task, Facts(good(NOON + timedelta(seconds=2), NOON)), NOON + MINUTE)
    assert (after.is_due, after.next_at) == (False, NOON + HOUR)


def test_the_offset_delays_the_start_and_not_the_moment() -> None:
    task = make_task(offset=7 * MINUTE)
    done = good(NOON - HOUR + 7 * MINUTE, NOON - HOUR)
    assert decide(task, Facts(done), NOON).next_at == NOON + 7 * MINUTE
    found = decide(task, Facts(done), NOON + 7 * MINUTE)
    assert (found.is_due, found.moment) == (True, NOON)
    assert "+ 7 m of its own" in reason_of(found)


def test_offsets_are_stable_spread_and_short_against_the_schedule() -> None:
    each = {name: offset_of(name, "backup", [parse_schedule("hourly")]) for name in map(str, range(2000))}
    assert all(timedelta() <= offset < 15 * MINUTE for offset in each.values())
    assert len(set(each.values())) > 700
    assert offset_of("pengaduan", "backup", [parse_schedule("every 10m")]) < 2.5 * MINUTE
    assert offset_of("7", "backup", [parse_schedule("hourly")]) == each["7"]
    assert offset_of("pengaduan", "backup", [parse_schedule("every 1m")]) < 15 * timedelta(seconds=1)


def test_however_many_were_missed_one_run_catches_up_with_the_last() -> None:
    task = make_task()
    found = decide(task, Facts(good(NOON - 9 * HOUR, NOON - 9 * HOUR)), NOON + 40 * MINUTE)
    assert (found.is_due, found.moment, found.why, found.missed) == (True, NOON, Why.CATCH_UP, NOON)
    assert not decide(task, Facts(good(NOON + 40 * MINUTE, NOON)), NOON + 50 * MINUTE).is_due


def test_a_backup_by_hand_covers_the_moments_before_it() -> None:
    assert not decide(make_task(), Facts(good(NOON + MINUTE)), NOON + 2 * MINUTE).is_due
    assert decide(make_task(), Facts(good(NOON - MINUTE)), NOON + 2 * MINUTE).is_due


def test_a_run_that_was_on_when_the_next_moment_came_does_not_cover_it() -> None:
    done = good(NOON - HOUR, NOON - HOUR, took=90 * MINUTE)
    found = decide(make_task(), Facts(done), NOON + 30 * MINUTE)
    assert (found.is_due, found.moment) == (True, NOON)


def test_what_was_never_backed_up_is_due_at_once() -> None:
    found = decide(make_task("weekly sunday 02:00"), Facts(), NOON)
    assert (found.is_due, found.why, found.missed) == (True, Why.FIRST, None)
    assert found.moment is not None
    assert found.moment < NOON
    assert reason_of(found) == "never backed up"


@pytest.mark.parametrize(("failures", "wait"), [(1, 2), (2, 4), (3, 8), (5, 32), (6, 60), (60, 60), (10_000, 60)])
def test_a_failed_run_is_tried_again_later_each_time(failures: int, wait: int) -> None:
    task, state = make_task("daily 12:00"), failed(NOON, NOON, failures=failures)
    at = NOON + MINUTE + wait * MINUTE
    early = decide(task, Facts(state), at - MINUTE / 60)
    assert (early.is_due, early.next_at, early.why) == (False, at, Why.RETRY)
    found = decide(task, Facts(state), at)
    assert (found.is_due, found.moment) == (True, NOON)
    assert reason_of(found) == f"retry {failures}: the run of 2026-11-20 12:00 ended as failed"


def test_a_retry_does_not_let_the_rpo_go_by() -> None:
    state = failed(NOON, NOON, failures=6)
    assert decide(make_task("daily 12:00", rpo=20 * MINUTE), Facts(state), NOON + MINUTE).next_at == NOON + 6 * MINUTE
    assert decide(make_task("daily 12:00", rpo=2 * MINUTE), Facts(state), NOON + MINUTE).next_at == NOON + 2 * MINUTE


def test_the_next_moment_takes_over_from_retries() -> None:
    state = failed(NOON + 50 * MINUTE, NOON, failures=6)
    found = decide(make_task(), Facts(state), NOON + HOUR)
    assert (found.is_due, found.moment, found.why) == (True, NOON + HOUR, Why.SCHEDULED)


def test_a_failed_run_is_not_called_missed_and_a_late_retry_neither() -> None:
    found = decide(make_task("daily 12:00"), Facts(failed(NOON, NOON)), NOON + 3 * HOUR)
    assert (found.is_due, found.missed) == (True, None)


def test_a_failure_by_hand_leaves_a_covered_moment_covered() -> None:
    state = failed(NOON + 10 * MINUTE, None, before=good(NOON, NOON))
    assert not decide(make_task(), Facts(state), NOON + 30 * MINUTE).is_due


def test_an_open_run_is_taken_up_for_its_own_moment() -> None:
    state = replace(good(NOON, NOON), opened_at=NOON + HOUR, is_open=True, outcome=None, due_at=NOON + HOUR)
    found = decide(make_task(), Facts(state), NOON + 3 * HOUR)
    assert (found.is_due, found.moment, found.why, found.missed) == (True, NOON + HOUR, Why.UNFINISHED, None)


def test_a_failover_makes_the_first_backup_of_the_new_site_due_at_once() -> None:
    moved_at = NOON + 20 * MINUTE
    task = make_task("daily 12:00", blackouts=(blackout("00:00", "00:00"),))
    found = decide(task, Facts(good(NOON, NOON), active_since=moved_at), moved_at)
    assert (found.is_due, found.moment, found.why) == (True, moved_at, Why.FAILOVER)
    retry = failed(moved_at, moved_at, before=good(NOON, NOON))
    again = decide(task, Facts(retry, active_since=moved_at), moved_at + 3 * MINUTE)
    assert (again.is_due, again.why) == (True, Why.RETRY)
    done = good(moved_at + 5 * MINUTE, moved_at)
    assert not decide(task, Facts(done, active_since=moved_at), moved_at + 10 * MINUTE).is_due


def test_after_a_failover_each_moment_of_the_schedule_is_a_new_try() -> None:
    moved_at = NOON - 20 * MINUTE
    state = failed(NOON - MINUTE, moved_at, failures=6, before=good(moved_at - HOUR, moved_at - HOUR))
    found = decide(make_task(), Facts(state, active_since=moved_at), NOON)
    assert (found.is_due, found.moment, found.why) == (True, NOON, Why.FAILOVER)


def test_a_blackout_holds_back_and_says_that_the_rpo_goes_by() -> None:
    task = make_task(rpo=2 * HOUR, blackouts=(blackout("11:30", "15:00"),))
    facts = Facts(good(NOON - HOUR, NOON - HOUR), newest_data=NOON - HOUR)
    found = decide(task, facts, NOON)
    end = NOON + 3 * HOUR
    assert (found.is_due, found.next_at, found.held_until, found.missed) == (False, end, end, None)
    assert "held back by a blackout until 2026-11-20 15:00" in reason_of(found)
    assert notes_of(found, NOON) == ["RPO will be exceeded at 2026-11-20 13:00, before it may start"]
    over = decide(task, facts, end)
    assert (over.is_due, over.moment, over.why) == (True, end, Why.SCHEDULED)


def test_a_blackout_to_come_is_told_before_it_comes() -> None:
    task = make_task(rpo=2 * HOUR, blackouts=(blackout("11:30", "15:00"),))
    found = decide(task, Facts(good(NOON - HOUR, NOON - HOUR), newest_data=NOON - HOUR), NOON - 50 * MINUTE)
    assert (found.is_due, found.moment, found.next_at) == (False, NOON, NOON + 3 * HOUR)
    assert notes_of(found, NOON) == ["RPO will be exceeded at 2026-11-20 13:00, before it may start"]


def test_a_retry_waits_for_the_end_of_a_blackout_too() -> None:
    task = make_task("daily 11:00", blackouts=(blackout("11:00", "15:00"),))
    found = decide(task, Facts(failed(NOON - HOUR, NOON - HOUR)), NOON)
    assert (found.is_due, found.next_at) == (False, NOON + 3 * HOUR)


def test_an_rpo_that_is_exceeded_or_was_never_kept_is_told() -> None:
    task = make_task(rpo=HOUR)
    late = decide(task, Facts(good(NOON, NOON), newest_data=NOON - 2 * HOUR), NOON + MINUTE)
    assert notes_of(late, NOON + MINUTE) == ["RPO exceeded since 2026-11-20 11:00"]
    none = decide(task, Facts(good(NOON, NOON)), NOON + MINUTE)
    assert notes_of(none, NOON + MINUTE) == ["no data of its present site is at the DR centre"]


# -- clocks that jump --------------------------------------------------------------------------------------------------


def test_a_clock_put_back_by_an_hour_runs_nothing_twice() -> None:
    state = good(NOON + 2 * MINUTE, NOON)
    for minutes in range(60):
        found = decide(make_task(), Facts(state), NOON - HOUR + (5 + minutes) * MINUTE)
        assert not found.is_due
        assert found.clock in (ClockTrouble.PUT_BACK, None)
    assert decide(make_task(), Facts(state), NOON + HOUR).is_due


def test_a_clock_put_forward_by_an_hour_loses_nothing() -> None:
    found = decide(make_task(), Facts(good(NOON, NOON)), NOON + HOUR + 5 * MINUTE)
    assert (found.is_due, found.moment) == (True, NOON + HOUR)


def test_a_clock_that_was_a_year_ahead_stops_nothing() -> None:
    ahead = NOON + timedelta(days=365)
    found = decide(make_task(), Facts(good(ahead, ahead)), NOON)
    assert (found.is_due, found.moment, found.clock) == (True, NOON, ClockTrouble.WAS_AHEAD)
    assert reason_of(found) == "nothing says when it was last backed up"
    failing = failed(NOON, NOON, before=good(ahead, ahead))
    assert decide(make_task(), Facts(failing), NOON + 4 * MINUTE).why is Why.RETRY
    assert not decide(make_task(), Facts(good(NOON, NOON)), NOON + MINUTE).is_due


def test_a_retry_does_not_wait_for_a_time_that_was_taken_back() -> None:
    state = failed(NOON + 50 * MINUTE, NOON, failures=3)
    assert decide(make_task("daily 12:00"), Facts(state), NOON + 5 * MINUTE).is_due


def test_a_site_that_became_active_by_a_wrong_clock_is_backed_up_once() -> None:
    moved_at = NOON + HOUR
    assert decide(make_task("daily 12:00"), Facts(good(NOON, NOON), active_since=moved_at), NOON + MINUTE).is_due
    done = good(NOON + MINUTE, moved_at)
    assert not decide(make_task("daily 12:00"), Facts(done, active_since=moved_at), NOON + 5 * MINUTE).is_due


# -- other kinds -------------------------------------------------------------------------------------------------------


def test_checks_begin_with_the_first_moment_after_the_first_restore_point() -> None:
    task = make_task("daily 03:30", kind="check")
    assert decide(task, Facts(), NOON).waits is Waits.RESTORE_POINT
    waiting = decide(task, Facts(since=NOON - HOUR), NOON)
    assert (waiting.is_due, waiting.next_at) == (False, NOON + 15.5 * HOUR)
    found = decide(task, Facts(since=NOON - 10 * HOUR), NOON)
    assert (found.is_due, found.moment, found.why) == (True, NOON - 8.5 * HOUR, Why.CATCH_UP)


def test_retention_is_due_once_a_day_after_a_good_backup() -> None:
    task = make_task("daily 00:00", kind="forget", trigger=Trigger.DAILY_AFTER_BACKUP)
    yesterday = good(NOON - 24 * HOUR)
    assert decide(task, Facts(yesterday, backup_done_at=NOON - 13 * HOUR), NOON).waits is Waits.BACKUP
    found = decide(task, Facts(yesterday, backup_done_at=NOON - HOUR), NOON)
    assert (found.is_due, found.why) == (True, Why.AFTER_BACKUP)
    assert not decide(task, Facts(good(NOON), backup_done_at=NOON + HOUR), NOON + 2 * HOUR).is_due
    assert not decide(task, Facts(backup_done_at=None), NOON).is_due


def test_a_copy_without_a_schedule_follows_each_backup() -> None:
    task = make_task(kind="copy", trigger=Trigger.EACH_BACKUP, schedules=())
    assert decide(task, Facts(), NOON).waits is Waits.BACKUP
    found = decide(task, Facts(good(NOON - HOUR), backup_done_at=NOON), NOON)
    assert (found.is_due, found.moment) == (True, NOON)
    assert not decide(task, Facts(good(NOON + MINUTE), backup_done_at=NOON), NOON + HOUR).is_due


def test_of_several_schedules_the_nearest_counts() -> None:
    task = make_task(kind="copy", schedules=(parse_schedule("daily 12:00"), parse_schedule("weekly sunday 02:00")))
    assert decide(task, Facts(good(NOON - 3 * HOUR), since=NOON - 99 * HOUR), NOON).moment == NOON
    saturday = NOON + 24 * HOUR
    assert decide(task, Facts(good(saturday), since=NOON), saturday).next_at == saturday + 14 * HOUR


def in_turn(services: int, states: dict[str, BackupState], now: datetime) -> list[Decision]:
    tasks = [
        make_task("weekly friday 05:00", service=f"s{number}", kind="restore-test", order=(4, 0))
        for number in range(services)
    ]
    since = NOON - timedelta(days=300)
    facts = {task.key: Facts(states.get(task.service), since=since) for task in tasks}
    return decide_all(tasks, facts, now, restored_within=timedelta(days=90))


def test_restore_tests_take_turns_so_that_each_service_has_one_in_time() -> None:
    states: dict[str, BackupState] = {}
    tested: dict[str, list[datetime]] = {}
    most = 0
    for week in range(30):
        friday = NOON + timedelta(weeks=week)
        chosen = [found for found in in_turn(42, states, friday) if found.is_due]
        most = max(most, len(chosen))
        for found in chosen:
            states[found.task.service] = replace(good(friday, found.moment), service=found.task.service)
            tested.setdefault(found.task.service, []).append(friday)
        again = [found for found in in_turn(42, states, friday + HOUR) if found.is_due]
        assert again == []
    assert most == 4
    assert len(tested) == 42
    for times in tested.values():
        gaps = [after - before for before, after in zip([NOON, *times], [*times, friday], strict=True)]
        assert max(gaps) <= timedelta(days=90)


def test_a_restore_test_that_failed_keeps_its_turn() -> None:
    first = next(found for found in in_turn(42, {}, NOON) if found.is_due)
    assert first.moment is not None
    state = replace(failed(NOON, first.moment), service=first.task.service)
    found = in_turn(42, {first.task.service: state}, NOON + HOUR)
    due = [each.task.service for each in found if each.is_due]
    assert first.task.service in due
    assert len(due) == 4
    later = next(each for each in found if each.waits is Waits.TURN)
    assert later.next_at == NOON - 7 * HOUR + timedelta(weeks=1)
    assert "turn" in reason_of(later)


def test_tier_then_nearest_breach_decides_the_order() -> None:
    def facts(newest: datetime | None) -> Facts:
        return Facts(good(NOON - HOUR, NOON - HOUR), newest_data=newest)

    tasks = [
        make_task(service="low-never", order=(0, 9), rpo=HOUR),
        make_task(service="high-late", order=(0, 1), rpo=4 * HOUR),
        make_task(service="high-soon", order=(0, 1), rpo=2 * HOUR),
        make_task(service="high-never", order=(0, 1), rpo=2 * HOUR),
        make_task(service="check", kind="check", order=(3, 0)),
        make_task("daily 13:00", service="not-due", order=(0, 0)),
    ]
    known = {
        ("low-never", "backup", ""): facts(None),
        ("high-late", "backup", ""): facts(NOON - HOUR),
        ("high-soon", "backup", ""): facts(NOON - HOUR),
        ("high-never", "backup", ""): facts(None),
        ("check", "check", ""): Facts(good(NOON - HOUR), since=NOON - 9 * HOUR),
        ("not-due", "backup", ""): Facts(good(NOON, NOON)),
    }
    found = decide_all(tasks, known, NOON, restored_within=timedelta(days=90))
    order = ["high-never", "high-soon", "high-late", "low-never", "check", "not-due"]
    assert [each.task.service for each in found] == order
    assert [each.is_due for each in found] == [True] * 5 + [False]


# -- any history -------------------------------------------------------------------------------------------------------


@dataclass
class History:
    """A ledger in small: what the projection makes of runs."""

    state: BackupState | None = None
    good_for: list[datetime] = field(default_factory=list)

    def run(self, moment: datetime, opened_at: datetime, *, succeeds: bool, took: timedelta) -> None:
        closed_at, old = opened_at + took, self.state
        if succeeds:
            self.good_for.append(moment)
            self.state = good(opened_at, moment, took=took)
        else:
            self.state = BackupState(
                "pengaduan", "run", opened_at, False, "failed", moment,
                old.done_at if old else None, old.done_due_at if old else None, (old.failures if old else 0) + 1,
                closed_at=closed_at, done_opened_at=old.done_opened_at if old else None,
            )  # fmt: skip


STEP = st.tuples(
    st.one_of(st.integers(1, 180), st.integers(3600, 100_000)),  # seconds until drp is called again
    st.booleans(),  # whether a run succeeds
    st.integers(1, 9000),  # how long it takes
)
HISTORIES = st.lists(STEP, min_size=1, max_size=60)
SCHEDULES = st.sampled_from(["hourly", "every 15m", "daily 12:00", "*/7 9-17 * * 1-5", "weekly friday 11:59"])
ZONES = st.sampled_from(["Asia/Jakarta", "Europe/Berlin", "America/New_York"])
STARTS = st.sampled_from([NOON, datetime(2026, 3, 28, 20, tzinfo=UTC), datetime(2026, 10, 24, 20, tzinfo=UTC)])


@settings(max_examples=300, deadline=None)
@given(text=SCHEDULES, zone=ZONES, start=STARTS, offset=st.integers(0, 200), steps=HISTORIES)
def test_over_any_history_each_moment_has_one_good_run_at_most_and_missed_ones_one_catch_up(
    text: str, zone: str, start: datetime, offset: int, steps: list[tuple[int, bool, int]]
) -> None:
    task = make_task(text, zone=zone, offset=timedelta(seconds=offset))
    timetable, history, now = timetable_of(task.schedules[0], zone), History(), start
    for pause, succeeds, took in steps:
        now += timedelta(seconds=pause)
        newest = timetable.latest(now - task.offset)
        found = decide(task, Facts(history.state), now)
        is_covered = (
            history.state is not None
            and max(
                history.state.done_due_at or start - timedelta(days=99),
                history.state.done_opened_at or start - timedelta(days=99),
            )
            >= newest
        )
        if found.is_due:
            assert not is_covered
            assert found.moment == newest
            history.run(newest, now, succeeds=succeeds, took=timedelta(seconds=took))
            now += timedelta(seconds=took)
            if succeeds and timetable.latest(now - task.offset) == newest:
                assert not decide(task, Facts(history.state), now).is_due
        elif not is_covered:  # only a failure of this very moment may make it wait, and not for long
            assert found.why is Why.RETRY
            assert found.next_at is not None
            assert now < found.next_at <= now + RETRY.longest
        else:
            assert found.moment == timetable.following(now - task.offset)
    assert len(set(history.good_for)) == len(history.good_for)
    assert history.good_for == sorted(history.good_for)


@settings(max_examples=300, deadline=None)
@given(
    text=st.sampled_from(["hourly", "every 15m", "daily 12:00"]),
    jump_at=st.integers(1, 200),
    jump=st.sampled_from([-60, 60, -59, 45]),
    offset=st.integers(0, 200),
)
def test_a_clock_that_jumps_an_hour_gives_each_moment_one_run(text: str, jump_at: int, jump: int, offset: int) -> None:
    """drp is called each minute, and every backup succeeds; the clock jumps once."""
    task = make_task(text, offset=timedelta(seconds=offset))
    history, now, latest = History(), NOON - 3 * HOUR, NOON - 3 * HOUR
    history.run(timetable_of(task.schedules[0], ZONE).latest(now - task.offset), now, succeeds=True, took=MINUTE / 6)
    for minute in range(400):
        now += MINUTE if minute != jump_at else jump * MINUTE
        latest = max(latest, now)
        found = decide(task, Facts(history.state), now)
        if found.is_due and found.moment is not None:
            history.run(found.moment, now, succeeds=True, took=MINUTE / 6)
    assert len(set(history.good_for)) == len(history.good_for)
    # Forward: what lies in the hour that was left out is covered by one run after it. Back: nothing is left out.
    timetable, at = timetable_of(task.schedules[0], ZONE), NOON - 3 * HOUR
    wanted = set()
    while (at := timetable.following(at)) <= latest - task.offset:
        wanted.add(at)
    skipped = wanted - set(history.good_for)
    assert (not skipped) if jump < 0 else len(skipped) <= timedelta(minutes=jump) // task.schedules[0].shortest_gap


def deferred(moment: datetime, at: datetime, count: int = 1) -> Deferral:
    return Deferral("pengaduan", "backup", "", moment, at, count, "drp prune is at work here")


def test_what_could_not_begin_waits_as_after_a_failure_and_is_missed_all_the_same() -> None:
    task, state = make_task(), good(NOON - HOUR)
    for count, wait in ((1, 2), (2, 4), (3, 8), (9, 60)):
        facts = Facts(state, deferral=deferred(NOON, NOON, count))
        before = decide(task, facts, NOON + (wait - 1) * MINUTE)
        assert (before.is_due, before.next_at, before.moment) == (False, NOON + wait * MINUTE, NOON)
        assert decide(task, facts, NOON + wait * MINUTE).is_due
    found = decide(task, Facts(state, deferral=deferred(NOON, NOON + 15 * MINUTE, 4)), NOON + 16 * MINUTE)
    assert (found.is_due, found.missed) == (False, NOON), "nobody has started it"


def test_a_new_moment_does_not_wait_for_what_kept_the_last_one_from_beginning() -> None:
    facts = Facts(good(NOON - 2 * HOUR), deferral=deferred(NOON - HOUR, NOON - MINUTE, 9))
    assert decide(make_task(), facts, NOON).is_due


def test_an_open_run_that_another_drp_follows_is_not_asked_for_each_minute() -> None:
    state = replace(good(NOON - HOUR), is_open=True, outcome=None)
    assert decide(make_task(), Facts(state), NOON).is_due
    found = decide(make_task(), Facts(state, deferral=deferred(NOON, NOON, 2)), NOON + MINUTE)
    assert (found.is_due, found.why, found.next_at) == (False, Why.UNFINISHED, NOON + 4 * MINUTE)


def test_a_clock_that_was_put_back_lets_what_could_not_begin_be_tried_at_once() -> None:
    facts = Facts(good(NOON - HOUR), deferral=deferred(NOON, NOON + HOUR))
    assert decide(make_task(), facts, NOON + MINUTE).is_due
