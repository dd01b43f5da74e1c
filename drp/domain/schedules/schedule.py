"""When something is due: cron expressions and calendar words, and the longest time that they leave between two runs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import pairwise

from cronsim import CronSim, CronSimError

SCHEDULE_HINT = (
    "write hourly, every 15m, daily 02:00, weekdays 02:00, weekly sunday 02:00, or a cron expression of five fields"
)

_DAYS = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")
_WORDS = re.compile(
    r"(?P<hourly>hourly)"
    r"|every (?P<every>[0-9]{1,2})(?P<unit>[mh])"
    rf"|(?P<days>daily|weekdays|weekly (?:{'|'.join(_DAYS)})) (?P<hour>[0-9]{{2}}):(?P<minute>[0-9]{{2}})"
)
SCHEDULE_PATTERN = "^(" + re.sub(r"\?P<[a-z]+>", "", _WORDS.pattern) + r"|\S+(\s+\S+){4})$"
"""The same for editors, which know no named groups, and do not look into a cron expression."""

_MANY = 16_384
"""Schedules of a large city that all differ: what was reckoned of one is kept."""
_DAY = timedelta(days=1)
_UNEVEN_YEARS = 4
"""Schedules by day of month or month are looked at over this time: it holds every length of month and a leap day."""
_FIFTH_WEEKDAYS_YEARS = 28
"""The same for the fifth Sunday of a month and the like."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """A repeating moment, in the wall-clock time of the organisation. `text` is as it was written."""

    text: str
    cron: str

    @property
    def longest_gap(self) -> timedelta:
        """The longest time between two runs that follow each other, by the wall clock."""
        return _longest_gap(self.cron)

    @property
    def shortest_gap(self) -> timedelta:
        """No two runs follow each other more closely, by the wall clock."""
        return _shortest_gap(self.cron)

    @property
    def minutes_of_day(self) -> tuple[int, ...]:
        """The minutes of a day, counted from midnight, at which it runs on the days on which it does; in order."""
        return _minutes_of_day(self.cron)


@lru_cache(maxsize=_MANY)
def parse_schedule(text: str) -> Schedule:
    """Read calendar words or a cron expression; ValueError says what may be written instead."""
    found = _WORDS.fullmatch(text)
    cron = " ".join(text.split()) if found is None else _cron_of(found)
    if len(text) > 100 or not text.isprintable() or (found is None and len(text.split()) != 5):
        raise ValueError(f"{text[:100]!r} is not a schedule: {SCHEDULE_HINT}")
    try:
        next(CronSim(cron, datetime(2026, 1, 1, tzinfo=UTC)))
    except (CronSimError, StopIteration) as error:
        raise ValueError(f"{text!r} is not a schedule that ever runs ({error}): {SCHEDULE_HINT}") from error
    return Schedule(text, cron)


def _cron_of(found: re.Match[str]) -> str:
    if found["hourly"]:
        return "0 * * * *"
    if found["every"]:
        amount, whole = int(found["every"]), 60 if found["unit"] == "m" else 24
        if not amount or whole % amount:
            raise ValueError(f"{found[0]!r}: the step must divide {whole} evenly, so that each day is alike")
        step = f"*/{amount}" if amount < whole else "0"
        return f"{step} * * * *" if found["unit"] == "m" else f"0 {step} * * *"
    day = {"daily": "*", "weekdays": "1-5"}.get(found["days"])
    if day is None:
        day = str(_DAYS.index(found["days"].removeprefix("weekly ")))
    return f"{int(found['minute'])} {int(found['hour'])} * * {day}"


@lru_cache(maxsize=_MANY)
def _longest_gap(cron: str) -> timedelta:
    """A day's runs are the same on every day that has some: what counts is their order, and the days between."""
    minute, hour, day, month, weekday = cron.split()
    midnight = datetime(2024, 1, 1, tzinfo=UTC)
    times = _runs(f"{minute} {hour} * * *", midnight, _DAY)[:-1]
    if day == month == "*" and not set("#L") & set(weekday.upper()):
        span = timedelta(days=15)  # days that repeat every week
    else:
        span = timedelta(days=366 * (_FIFTH_WEEKDAYS_YEARS if "#" in weekday else _UNEVEN_YEARS))
    days = _runs(f"0 0 {day} {month} {weekday}", midnight, span)
    within = max((after - before for before, after in pairwise(times)), default=timedelta())
    return max(within, max(after - before for before, after in pairwise(days)) - (times[-1] - times[0]))


def _runs(cron: str, start: datetime, span: timedelta) -> list[datetime]:
    """The runs within a time from the start on (which is the first moment that counts), at least one, and the next."""
    runs: list[datetime] = []
    for moment in CronSim(cron, start - timedelta(minutes=1)):
        runs.append(moment)
        if moment - start >= span and len(runs) > 1:
            break
    return runs


@lru_cache(maxsize=_MANY)
def _shortest_gap(cron: str) -> timedelta:
    """As if it ran every day: days between only make gaps longer. Each of its hours has the same minutes."""
    minute, hour, *_ = cron.split()
    minutes, hours = _values(minute, "*")[0], _values("0", hour)[1]
    between_hours = 60 * min(after - before for before, after in pairwise([*hours, hours[0] + 24]))
    within_hours = (after - before for before, after in pairwise(minutes))
    return timedelta(minutes=min(between_hours - (minutes[-1] - minutes[0]), *within_hours, 24 * 60))


@lru_cache(maxsize=_MANY)
def _minutes_of_day(cron: str) -> tuple[int, ...]:
    minute, hour, *_ = cron.split()
    minutes = _values(minute, "*")[0]
    return tuple(hour * 60 + minute for hour in _values("0", hour)[1] for minute in minutes)


@lru_cache(maxsize=_MANY)
def _values(minute: str, hour: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The minutes and the hours that two fields stand for, in order."""
    fields = CronSim(f"{minute} {hour} * * *", datetime(2026, 1, 1, tzinfo=UTC))
    return tuple(sorted(fields.minutes)), tuple(sorted(fields.hours))
