"""Which restore point a time, a name or chance means."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drp.domain.backups.record import Proof
from drp.domain.backups.restore_point import RestorePoint
from drp.domain.recovery.restore_choice import (
    AmbiguousError,
    draw_point,
    draw_service,
    newest,
    newest_not_younger,
    parse_moment,
    unproved_for,
    with_snapshot,
    youngest_data,
)
from tests.fakes.city import NOW, make_restore_point

JAKARTA, BERLIN = ZoneInfo("Asia/Jakarta"), ZoneInfo("Europe/Berlin")


def point(minutes_ago: float, took: float = 1) -> RestorePoint:
    at = NOW - timedelta(minutes=minutes_ago)
    return replace(make_restore_point(at=at), arrived_at=at + timedelta(minutes=took))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-20 13:30", datetime(2026, 11, 20, 6, 30, tzinfo=UTC)),
        ("2026-11-20T13:30:15", datetime(2026, 11, 20, 6, 30, 15, tzinfo=UTC)),
        ("today 13:30", datetime(2026, 11, 20, 6, 30, tzinfo=UTC)),
        ("13:30", datetime(2026, 11, 20, 6, 30, tzinfo=UTC)),
        (" yesterday 14:00 ", datetime(2026, 11, 19, 7, 0, tzinfo=UTC)),
        ("2026-11-20T07:00:00+01:00", datetime(2026, 11, 20, 6, 0, tzinfo=UTC)),
        ("2026-11-20T06:00:00Z", datetime(2026, 11, 20, 6, 0, tzinfo=UTC)),
    ],
)
def test_a_time_is_read_in_the_organisations_zone(text: str, expected: datetime) -> None:
    assert parse_moment(text, NOW, JAKARTA) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "14",
        "2026-11-20",
        "20.11.2026 14:00",
        "2026-13-01 14:00",
        "25:00",
        "tomorrow 09:00",
        "14:00 PM",
        "None 1:00",
    ],
)
def test_what_is_no_time_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="is not a time: write"):
        parse_moment(text, NOW, JAKARTA)


def test_the_future_holds_no_backups() -> None:
    with pytest.raises(ValueError, match="future"):
        parse_moment("2026-11-20 14:01", NOW, JAKARTA)


def test_an_hour_that_the_clocks_left_out_is_refused_and_one_that_came_twice_is_the_first() -> None:
    with pytest.raises(ValueError, match="put forward"):
        parse_moment("2026-03-29 02:30", NOW, BERLIN)
    assert parse_moment("2026-10-25 02:30", NOW, BERLIN) == datetime(2026, 10, 25, 0, 30, tzinfo=UTC)


def test_a_restore_point_that_was_still_being_made_may_hold_younger_data() -> None:
    # Asked for 13:50: the one that began at 13:45 arrived at 13:55 only.
    older, began_before, later = point(60), point(15, took=10), point(2)
    choice = newest_not_younger([later, began_before, older], NOW - timedelta(minutes=10))
    assert choice is not None
    assert choice.point is older
    assert choice.next_newer is began_before
    assert choice.distance == timedelta(minutes=50)


def test_where_all_are_younger_there_is_none() -> None:
    assert newest_not_younger([point(5)], NOW - timedelta(hours=1)) is None
    assert newest_not_younger([], NOW) is None
    assert newest([]) is None


@given(
    st.lists(st.tuples(st.integers(0, 500), st.integers(-30, 30)), max_size=12),
    st.integers(-10, 510),
)
def test_the_choice_is_never_younger_and_nothing_better_was_passed_over(
    times: list[tuple[int, int]], asked: int
) -> None:
    points = [point(minutes, took) for minutes, took in times]
    moment = NOW - timedelta(minutes=asked)
    choice = newest_not_younger(points, moment)
    fitting = [found for found in points if youngest_data(found) <= moment]
    assert (choice is None) == (not fitting)
    if choice is not None:
        assert choice.point.sentinel_at <= moment
        assert choice.point.arrived_at <= moment
        assert all(found.sentinel_at <= choice.point.sentinel_at for found in fitting)


def test_a_snapshot_leads_to_its_restore_point_and_dataset() -> None:
    one = point(5)
    assert with_snapshot([one], "33333333") == (one, "files")
    for wrong in ("3333333", "44444444", "zzzzzzzzz", ""):
        with pytest.raises(AmbiguousError):
            with_snapshot([one], wrong)
    with pytest.raises(AmbiguousError, match="2 snapshots"):
        with_snapshot([one, point(9)], "3" * 64)


def proof(dataset: str, hours_ago: float, how: str = "drill") -> Proof:
    return Proof("pengaduan", dataset, how, "x", NOW - timedelta(hours=hours_ago), "run")


def test_a_service_is_as_unproved_as_its_worst_dataset() -> None:
    proofs = [proof("database", 1), proof("database", 9, "test-restore"), proof("files", 30)]
    assert unproved_for(["database", "files"], proofs, NOW) == timedelta(hours=30)
    assert unproved_for(["database", "mail"], proofs, NOW) > timedelta(days=3000)


def test_chance_prefers_what_was_not_proved_for_long() -> None:
    chance = random.Random(4)
    unproved = {"new": timedelta(days=99), "old": timedelta(days=1), "now": timedelta()}
    drawn = Counter(draw_service(unproved, chance) for _ in range(2000))
    assert drawn["new"] > 1900
    assert 1 <= drawn["old"] < 100


def test_old_restore_points_are_drawn_too() -> None:
    chance = random.Random(4)
    points = [point(minutes) for minutes in range(5)]
    assert {draw_point(points, chance).id for _ in range(200)} == {found.id for found in points}
