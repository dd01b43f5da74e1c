"""Moments of schedules, through every change of clocks; and windows in which nothing starts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drp.domain.backups.settings import Blackout, Window
from drp.domain.schedules.schedule import parse_schedule
from drp.domain.schedules.timetable import Timetable, blackout_until, window_end

BERLIN, JAKARTA = "Europe/Berlin", "Asia/Jakarta"
TEXTS = (
    "hourly",
    "every 15m",
    "every 2h",
    "daily 02:30",
    "daily 00:00",
    "weekdays 07:15",
    "weekly sunday 02:30",
    "7 1,2,3 * * *",
    "*/20 2 * * *",
    "30 */3 * * *",
    "0 4 1 * *",
    "0 1 * * SUN#5",
    "0 0 29 2 *",
)


def local(text: str, zone: str = BERLIN, fold: int = 0) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold).astimezone(UTC)


def table(text: str, zone: str = BERLIN) -> Timetable:
    return Timetable(parse_schedule(text), zone)


def moments(text: str, start: datetime, end: datetime, zone: str = BERLIN) -> list[datetime]:
    found, at, timetable = [], start, table(text, zone)
    while (at := timetable.following(at)) <= end:
        found.append(at)
    return found


def test_moments_are_those_of_the_organisations_clocks() -> None:
    assert table("daily 02:00", JAKARTA).latest(datetime(2026, 11, 20, 7, tzinfo=UTC)) == local(
        "2026-11-20T02:00", JAKARTA
    )
    assert table("weekdays 02:00", JAKARTA).latest(local("2026-11-22T12:00", JAKARTA)) == local(
        "2026-11-20T02:00", JAKARTA
    )


def test_a_moment_is_the_latest_from_its_own_time_on_and_following_before() -> None:
    at, hourly = local("2026-11-20T05:00"), table("hourly")
    assert hourly.latest(at) == at
    assert hourly.following(at) == at + timedelta(hours=1)
    assert hourly.latest(at - timedelta(microseconds=1)) == at - timedelta(hours=1)
    assert hourly.following(at - timedelta(microseconds=1)) == at


def test_an_hour_that_is_left_out_delays_what_was_to_run_in_it() -> None:
    found = moments("daily 02:30", local("2026-03-28T12:00"), local("2026-03-30T12:00"))
    assert found == [local("2026-03-29T03:00"), local("2026-03-30T02:30")]


def test_an_hour_that_comes_twice_runs_a_daily_schedule_once_and_an_hourly_one_twice() -> None:
    start, end = local("2026-10-24T12:00"), local("2026-10-25T12:00")
    assert moments("daily 02:30", start, end) == [local("2026-10-25T02:30", fold=0)]
    hourly = moments("hourly", start, end)
    assert len(hourly) == 25
    assert {after - before for before, after in pairwise(hourly)} == {timedelta(hours=1)}


@pytest.mark.parametrize("text", TEXTS)
@settings(max_examples=25, deadline=None)
@given(
    asked=st.lists(
        st.datetimes(datetime(2026, 3, 20), datetime(2026, 11, 5)).map(lambda at: at.replace(tzinfo=UTC)),  # noqa: DTZ001
        min_size=1,
        max_size=6,
    )
)
def test_it_makes_no_difference_what_was_asked_before(text: str, asked: list[datetime]) -> None:
    kept = table(text)
    for at in asked:
        latest, following = kept.latest(at), kept.following(at)
        assert latest <= at < following
        fresh = table(text)
        assert (fresh.following(at), fresh.latest(at)) == (following, latest)
        assert kept.following(latest) == following
        assert kept.latest(following) == following


class ByCronsim(Timetable):
    """Without the short way for days that are alike."""

    def _on_steady_days(self, at: datetime, direction: int) -> None:  # noqa: ARG002 - the signature is given
        return None


@pytest.mark.parametrize("text", TEXTS)
@settings(max_examples=40, deadline=None)
@given(
    zone=st.sampled_from([BERLIN, JAKARTA, "America/Santiago", "Africa/Casablanca", "Asia/Kathmandu", "UTC"]),
    at=st.datetimes(datetime(2026, 1, 1), datetime(2027, 12, 31)).map(lambda at: at.replace(tzinfo=UTC)),  # noqa: DTZ001
    on_the_minute=st.booleans(),
)
def test_the_short_way_finds_what_cronsim_finds(text: str, zone: str, at: datetime, on_the_minute: bool) -> None:
    at = at.replace(second=0, microsecond=0) if on_the_minute else at
    schedule = parse_schedule(text)
    by_cronsim, short = ByCronsim(schedule, zone), Timetable(schedule, zone)
    assert (short.latest(at), short.following(at)) == (by_cronsim.latest(at), by_cronsim.following(at))


def test_the_short_way_is_taken_where_clocks_go_evenly_and_only_there() -> None:
    hourly = table("hourly")
    assert hourly._on_steady_days(local("2026-07-01T12:00"), 1) is not None
    assert hourly._on_steady_days(local("2026-10-25T00:30"), 1) is None
    assert hourly._on_steady_days(local("2026-10-25T12:00"), -1) is None
    assert table("0 0 29 2 *")._on_steady_days(local("2026-07-01T12:00"), 1) is None


def test_moments_that_were_asked_for_long_ago_are_let_go() -> None:
    timetable = ByCronsim(parse_schedule("every 1m"), BERLIN)
    at = local("2026-01-01T00:00")
    for _ in range(10_000):
        at = timetable.following(at)
    assert len(timetable._moments) < 6000


def window(start: str, end: str, **more: object) -> Window:
    return Window.model_validate({"start": start, "end": end, **more})


@pytest.mark.parametrize(
    ("found", "at", "end"),
    [
        (window("08:00", "16:00"), "2026-11-20T07:59:59", None),
        (window("08:00", "16:00"), "2026-11-20T08:00", "2026-11-20T16:00"),
        (window("08:00", "16:00"), "2026-11-20T15:59:59", "2026-11-20T16:00"),
        (window("08:00", "16:00"), "2026-11-20T16:00", None),
        (window("22:00", "04:00"), "2026-11-20T23:00", "2026-11-21T04:00"),
        (window("22:00", "04:00"), "2026-11-20T03:00", "2026-11-20T04:00"),
        (window("22:00", "04:00"), "2026-11-20T05:00", None),
        # A window belongs to the day on which it starts: 20 November 2026 is a Friday.
        (window("22:00", "04:00", days=["friday"]), "2026-11-20T03:00", None),
        (window("22:00", "04:00", days=["friday"]), "2026-11-21T03:00", "2026-11-21T04:00"),
        (window("06:00", "06:00", days=["friday"]), "2026-11-20T23:00", "2026-11-21T06:00"),
        (window("06:00", "06:00", days=["friday"]), "2026-11-20T05:00", None),
        # The night on which clocks are put back is an hour longer.
        (window("01:00", "03:00"), "2026-10-25T02:30", "2026-10-25T03:00"),
    ],
)
def test_a_window_ends_by_the_organisations_clocks(found: Window, at: str, end: str | None) -> None:
    assert window_end(found, BERLIN, local(at)) == (None if end is None else local(end))


def blackout(start: str, end: str) -> Blackout:
    return Blackout.model_validate({"start": start, "end": end})


def test_blackouts_that_join_are_one_and_the_rest_of_the_day_is_free() -> None:
    day = [
        blackout("08:00", "12:00"),
        blackout("11:00", "13:00"),
        blackout("13:00", "15:00"),
        blackout("18:00", "19:00"),
    ]
    assert blackout_until(day, BERLIN, local("2026-11-20T09:00")) == local("2026-11-20T15:00")
    assert blackout_until(day, BERLIN, local("2026-11-20T16:00")) is None


def test_a_blackout_that_never_ends_is_looked_at_again() -> None:
    at = local("2026-11-20T09:00")
    until = blackout_until([blackout("00:00", "00:00")], BERLIN, at)
    assert until is not None
    assert timedelta(days=14) < until - at < timedelta(days=17)


def test_the_shortest_gap_of_a_schedule() -> None:
    assert parse_schedule("0,5 * * * *").shortest_gap == timedelta(minutes=5)
    assert parse_schedule("daily 02:00").shortest_gap == timedelta(days=1)
    assert parse_schedule("59 23,0 * * *").shortest_gap == timedelta(hours=1)


@given(
    minutes=st.sets(st.integers(0, 59), min_size=1, max_size=12),
    hours=st.sets(st.integers(0, 23), min_size=1, max_size=12),
)
def test_the_shortest_gap_is_the_shortest_of_all(minutes: set[int], hours: set[int]) -> None:
    fields = [",".join(map(str, sorted(values))) for values in (minutes, hours)]
    for hour in (fields[1], "*"):
        schedule = parse_schedule(f"{fields[0]} {hour} * * *")
        times = [*schedule.minutes_of_day, schedule.minutes_of_day[0] + 24 * 60]
        assert schedule.shortest_gap == timedelta(minutes=min(after - before for before, after in pairwise(times)))
