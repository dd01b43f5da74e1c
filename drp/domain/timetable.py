"""The moments at which schedules run, and the windows in which nothing may start, in the organisation's time zone.

Where clocks are put back or forward, moments are those of Debian's cron (so cronsim reckons): what is written for an
hour that is left out runs right after it; what is written for an hour that comes twice runs once; what runs all the
time (`*` for the hour or the minute) goes by time as it passes.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from cronsim import CronSim

from drp.domain.backup_settings import Blackout, Window
from drp.domain.schedule import Schedule

_DAY = timedelta(days=1)
_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_LOOKS_BACK = (timedelta(hours=3), *(timedelta(days=days) for days in (2, 8, 40, 400, 5 * 366, 41 * 366)))
"""How far back to look for a moment that was: the schedules that run often are many, and found at once."""
_MOST_MOMENTS = 4096
_LONGEST_BLACKOUT = timedelta(days=15)
"""Windows repeat every week: what has not ended by then never ends."""


class Timetable:
    """The moments of one schedule, in UTC. Those near the time last asked for are kept, so that asking costs little."""

    def __init__(self, schedule: Schedule, zone: str) -> None:
        self.schedule, self.zone = schedule, ZoneInfo(zone)
        self._moments: list[datetime] = []
        self._coming: Iterator[datetime] = iter(())

    def latest(self, at: datetime) -> datetime:
        """The last moment that is not after `at`."""
        position = self._position(at)
        return self._moments[position - 1]

    def following(self, at: datetime) -> datetime:
        """The first moment after `at`."""
        position = self._position(at)
        return self._moments[position]

    def _position(self, at: datetime) -> int:
        """How many of the known moments are not after `at`; at least one is, and at least one is after it."""
        if not self._moments or not self._moments[0] <= at < self._moments[-1]:
            self._know(at)
        return bisect_right(self._moments, at)

    def _know(self, at: datetime) -> None:
        known = self._moments
        if not known or at < known[0] or at - known[-1] > _DAY or len(known) > _MOST_MOMENTS:
            self._begin(at)
        while self._moments[-1] <= at:
            self._moments.append(next(self._coming))

    def _begin(self, at: datetime) -> None:
        """Start far enough back to have one moment before."""
        for back in _LOOKS_BACK:
            self._coming = self._from((at - back).astimezone(self.zone))
            self._moments = [next(self._coming)]
            if self._moments[0] <= at:
                return
        raise ValueError(f"{self.schedule.text!r} has not run in {_LOOKS_BACK[-1].days // 365} years")

    def _from(self, start: datetime) -> Iterator[datetime]:
        """The moments from near a time on, whatever the time: what runs at certain hours is reckoned by the wall clock
        and so from a noon, when no clock is put back or forward."""
        minute, hour, *_ = self.schedule.cron.split()
        if not minute.startswith("*") and not hour.startswith("*"):
            start = datetime.combine(start.date(), time(12), self.zone)
        for moment in CronSim(self.schedule.cron, start):
            yield moment.astimezone(UTC)


@lru_cache(maxsize=16384)
def timetable_of(schedule: Schedule, zone: str) -> Timetable:
    """Services with the same schedule share one."""
    return Timetable(schedule, zone)


def blackout_until(blackouts: Iterable[Blackout], zone: str, at: datetime) -> datetime | None:
    """When the blackout that `at` lies in is over, with those that join on to it; None where it lies in none.

    One that never ends is said to end after two weeks, to be looked at again then.
    """
    windows, until = tuple(blackouts), at
    while until - at < _LONGEST_BLACKOUT:
        ends = [end for window in windows if (end := window_end(window, zone, until)) is not None]
        if not ends:
            return None if until == at else until
        until = max(ends)
    return until


def window_end(window: Window, zone: str, at: datetime) -> datetime | None:
    """When the window that `at` lies in ends; None outside of it. One that starts when it ends lasts a whole day."""
    local = at.astimezone(ZoneInfo(zone))
    start, end = time.fromisoformat(window.start), time.fromisoformat(window.end)
    for day in (local.date(), local.date() - _DAY):
        if _DAYS[day.weekday()] not in window.days:
            continue
        opened = _instant(day, start, zone)
        closed = _instant(day if end > start else day + _DAY, end, zone)
        if opened <= at < closed:
            return closed
    return None


@lru_cache(maxsize=1024)
def _instant(day: date, clock: time, zone: str) -> datetime:
    return datetime.combine(day, clock, ZoneInfo(zone)).astimezone(UTC)
