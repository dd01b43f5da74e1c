"""Every part of a repository is read in time, also where checks are missed."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from drp.domain.backups.checking import MOST_PARTS, last_reads, parts_for, plan_check
from drp.domain.backups.record import RepositoryCheck
from tests.fakes.city import NOW

DAY = timedelta(days=1)
MONTH = timedelta(days=30)


def read(part: int, parts: int, at: timedelta, *, is_good: bool = True) -> RepositoryCheck:
    return RepositoryCheck("pengaduan", "pengaduan-1", "drc", NOW + at, part, parts, is_good, "check-1")


def run_checks(times: list[timedelta], gap: timedelta, within: timedelta) -> list[RepositoryCheck]:
    """What checks at these times read, each planned by what the ledger had before it."""
    done: list[RepositoryCheck] = []
    for at in times:
        plan = plan_check(done, gap, within, NOW + at)
        done += [read(number, plan.parts, at) for number in plan.numbers]
    return done


@settings(max_examples=150, deadline=None)
@given(
    gap_hours=st.integers(1, 24 * 7),
    within_days=st.integers(1, 90),
    missed=st.lists(st.integers(0, 400), min_size=2, max_size=60),
    late_minutes=st.lists(st.integers(0, 59), min_size=60, max_size=60),
)
def test_everything_is_read_in_time_also_after_missed_checks(
    gap_hours: int, within_days: int, missed: list[int], late_minutes: list[int]
) -> None:
    gap, within = timedelta(hours=gap_hours), timedelta(days=within_days)
    slack = within / 4
    at, times = timedelta(), []
    for count, late in zip(missed, late_minutes, strict=False):
        times.append(at)
        # The next one comes early by minutes, or after some were missed: never for longer than a quarter of the time.
        at += gap - timedelta(minutes=late) + min(gap * count, slack)
    # A gap longer than the other three quarters leaves no room for the delay: 55 h and 18 h more are over 3 days.
    is_possible = gap <= within - slack
    history: list[RepositoryCheck] = []
    for moment in times:
        now = NOW + moment
        before = last_reads(history, now)
        if history and is_possible:
            assert now - min(before) <= within, "some data was not read in time before this check"
        plan = plan_check(history, gap, within, now)
        assert not (plan.is_late and is_possible)
        history += [read(number, plan.parts, moment) for number in plan.numbers]


def test_a_usual_month_reads_one_part_a_day_and_each_of_them() -> None:
    checks = run_checks([DAY * number for number in range(60)], DAY, MONTH)
    assert parts_for(DAY, MONTH) == 22
    assert len(checks) == 60, "one part each day"
    for end in range(22, 60):
        assert {check.part for check in checks[end - 22 : end]} == set(range(1, 23))


def test_after_a_long_silence_all_that_is_late_is_read_at_once() -> None:
    checks = run_checks([DAY * number for number in range(10)], DAY, MONTH)
    plan = plan_check(checks, DAY, MONTH, NOW + DAY * 50)
    assert plan.is_late
    assert (plan.numbers, plan.parts) == ((1,), 1)


def test_damage_does_not_count_as_read_and_a_structure_check_reads_nothing() -> None:
    first = read(0, 0, -DAY)
    bad = read(1, 22, timedelta(), is_good=False)
    assert last_reads([first, bad], NOW) == [NOW - DAY - timedelta(microseconds=1)] * MOST_PARTS
    plan = plan_check([first, bad, *(read(part, 22, DAY * part) for part in range(2, 12))], DAY, MONTH, NOW + DAY * 12)
    assert 1 in plan.numbers


def test_a_change_of_the_schedule_loses_nothing_that_was_read() -> None:
    checks = run_checks([DAY * number for number in range(22)], DAY, MONTH)
    plan = plan_check(checks, DAY * 2, MONTH, NOW + DAY * 22)
    assert plan.parts == 11
    assert plan.numbers == (1, 2), "the parts whose first halves were read at first"


def test_parts_are_never_more_than_restic_knows_and_never_fewer_than_one() -> None:
    assert parts_for(timedelta(minutes=1), timedelta(days=365)) == MOST_PARTS
    assert parts_for(DAY * 90, MONTH) == 1
    assert plan_check([], DAY * 90, MONTH, NOW).numbers == (1,)
