"""When backups are due, and the longest time that a schedule leaves between two of them."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from cronsim import CronSim
from hypothesis import given, settings
from hypothesis import strategies as st

from drp.domain.schedules.schedule import parse_schedule

DAY = timedelta(days=1)


@pytest.mark.parametrize(
    ("text", "cron", "gap"),
    [
        ("hourly", "0 * * * *", timedelta(hours=1)),
        ("every 15m", "*/15 * * * *", timedelta(minutes=15)),
        ("every 60m", "0 * * * *", timedelta(hours=1)),
        ("every 6h", "0 */6 * * *", timedelta(hours=6)),
        ("every 24h", "0 0 * * *", DAY),
        ("daily 02:00", "0 2 * * *", DAY),
        ("weekdays 02:30", "30 2 * * 1-5", 3 * DAY),
        ("weekly sunday 23:00", "0 23 * * 0", 7 * DAY),
        ("0 8,20 * * *", "0 8,20 * * *", timedelta(hours=12)),
        ("0 8,10 * * *", "0 8,10 * * *", timedelta(hours=22)),
        ("0 0 1 * *", "0 0 1 * *", 31 * DAY),
        ("0 0 31 * *", "0 0 31 * *", 61 * DAY),
        ("0 2 L * *", "0 2 L * *", 31 * DAY),
        ("0 0 1 1 *", "0 0 1 1 *", 366 * DAY),
        ("0 0 29 2 *", "0 0 29 2 *", 1461 * DAY),
        ("* * 29 2 *", "* * 29 2 *", 1460 * DAY + timedelta(minutes=1)),
        ("0 2 * * 5#2", "0 2 * * 5#2", 35 * DAY),
        ("0 2 * * 5L", "0 2 * * 5L", 35 * DAY),
        ("0 0 * * 0#5", "0 0 * * 0#5", 119 * DAY),
        ("0 0 1-7 * 1", "0 0 1-7 * 1", 7 * DAY),
        ("  0 2  * * *", "0 2 * * *", DAY),
    ],
)
def test_the_longest_gap_of_a_schedule(text: str, cron: str, gap: timedelta) -> None:
    schedule = parse_schedule(text)
    assert (schedule.cron, schedule.longest_gap) == (cron, gap)


MINUTES = st.sampled_from(["0", "30", "5,50"])
HOURS = st.sampled_from(["0", "*", "*/5", "23", "1,22", "8-17"])
DAYS = st.sampled_from(["*", "*", "1", "15", "31", "L", "1-5", "*/10"])
MONTHS = st.sampled_from(["*", "*", "*/3", "1", "6-8"])
WEEKDAYS = st.sampled_from(["*", "*", "1-5", "0", "3,6"])


@settings(deadline=None, max_examples=25)
@given(fields=st.tuples(MINUTES, HOURS, DAYS, MONTHS, WEEKDAYS))
def test_the_longest_gap_is_the_longest_between_any_two_runs(fields: tuple[str, ...]) -> None:
    """Against a walk through all runs of four years."""
    cron = " ".join(fields)
    start = datetime(2024, 1, 1, tzinfo=UTC)
    runs = []
    for moment in CronSim(cron, start - timedelta(minutes=1)):
        runs.append(moment)
        if moment > start + 1464 * DAY and len(runs) > 1:
            break
    assert parse_schedule(cron).longest_gap == max(after - before for before, after in pairwise(runs))


@pytest.mark.parametrize(
    "cron", ["* * */1 * *", "* * 1-31 * *", "0-59 0-23 1-31 1-12 0-6", "* * * * 5#5", "* * 1 * 5L"]
)
def test_no_schedule_takes_long_to_look_at(cron: str) -> None:
    started = time.process_time()
    assert parse_schedule(cron).longest_gap > timedelta()
    assert time.process_time() - started < 1


@pytest.mark.parametrize(
    "text",
    [
        *("", "daily", "daily 24:00", "daily 2:00", "daily 02:60", "every 7m", "every 0m", "every 5h", "weekly 02:00"),
        *("* * * *", "* * * * * *", "60 * * * *", "0 0 30 2 *", "0 0 0 * *", "*/0 * * * *", "0-99999999999 * * * *"),
        *("0 2 * * *\n", "0 2 * *\t*", "0 2 * * *\x00", "0 2 * * * ; id", "@daily", "٣ * * * *", "* " * 60),
    ],
    ids=ascii,
)
def test_what_is_no_schedule_is_refused_with_the_forms_that_are(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a schedule|must divide"):
        parse_schedule(text)
