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
_DAY = timedelta(days=1)
_UNEVEN_YEARS = 4
"""Schedules by day of month or month are looked at over this time: it holds every length of month and a leap day."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """A repeating moment, in the wall-clock time of the organisation. `text` is as it was written."""

    text: str
    cron: str

    @property
    def longest_gap(self) -> timedelta:
        """The longest time between two runs that follow each other, by the wall clock."""
        return _longest_gap(self.cron)


@lru_cache(maxsize=4096)
def parse_schedule(text: str) -> Schedule:
    """Read calendar words or a cron expression; ValueError says what may be written instead."""
    found = _WORDS.fullmatch(text)
    cron = text if found is None else _cron_of(found)
    if len(text) > 100 or (found is None and len(text.split()) != 5):
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


@lru_cache(maxsize=4096)
def _longest_gap(cron: str) -> timedelta:
    start = datetime(2024, 1, 1, tzinfo=UTC)
    _, _, day, month, _ = cron.split()
    # Days that repeat every week need a look at two weeks only.
    span = timedelta(days=15) if day == month == "*" else timedelta(days=_UNEVEN_YEARS * 366)
    runs: list[datetime] = []
    for moment in CronSim(cron, start):
        if moment - start > span and len(runs) > 1:
            break
        runs.append(moment)
    return max(after - before for before, after in pairwise(runs))
