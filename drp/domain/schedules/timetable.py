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
from threading import Lock
from zoneinfo import ZoneInfo

from cronsim import CronSim

from drp.domain.backups.settings import Blackout, Window
from drp.domain.schedules.schedule import Schedule

_DAY = timedelta(days=1)
_NEVER = datetime.min.replace(tzinfo=UTC)
_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_LOOKS_BACK = (timedelta(hours=3), *(timedelta(days=days) for days in (2, 8, 40, 400, 5 * 366, 41 * 366)))
"""How far back to look for a moment that was: the schedules that run often are many, and found at once."""
_MOST_MOMENTS = 4096
_STEADY = 45
"""So many days either way are looked at together: enough for what runs once a month."""
_LONGEST_BLACKOUT = timedelta(days=15)
"""Windows repeat every week: what has not ended by then never ends."""


class Timetable:
    """The moments of one schedule, in UTC. Those near the time last asked for are kept, so that asking costs little."""

    def __init__(self, schedule: Schedule, zone: str) -> None:
        self.schedule, self.zone = schedule, ZoneInfo(zone)
        self._zone_name, self._minutes = zone, schedule.minutes_of_day
        self._days = schedule.cron.split(" ", 2)[2]
        self._latest = self._following = (_NEVER, _NEVER)
        self._lock = Lock()
        self._moments: list[datetime] = []
        self._coming: Iterator[datetime] = iter(())

    def latest(self, at: datetime) -> datetime:
        """The last moment that is not after `at`."""
        moment, asked = self._latest
        if not moment <= at <= asked:  # between them there is none
            moment = self._on_steady_days(at, -1) or self._known(at, -1)
            self._latest = moment, at
        return moment

    def following(self, at: datetime) -> datetime:
        """The first moment after `at`."""
        asked, moment = self._following
        if not asked <= at < moment:
            moment = self._on_steady_days(at, 1) or self._known(at, 1)
            self._following = at, moment
        return moment

    def _known(self, at: datetime, direction: int) -> datetime:
        """The same through cronsim; one thread at a time, which goes on where another has left off."""
        with self._lock:
            position = self._position(at)
            return self._moments[position - 1 if direction < 0 else position]

    def _on_steady_days(self, at: datetime, direction: int) -> datetime | None:
        """The same while no clock is put back or forward, when every day is alike: many times as fast. None where that
        does not reach to the moment."""
        first, last, offset = _steady_days(self._zone_name, at.toordinal())
        local = at + offset
        today, minute = local.toordinal(), local.hour * 60 + local.minute
        if not first <= today <= last:
            return None
        days = _days_between(self._days, first, last)
        place = bisect_right(days, today)
        is_today = place > 0 and days[place - 1] == today
        within = bisect_right(self._minutes, minute)
        if direction < 0:
            if is_today and within:
                day, minute = today, self._minutes[within - 1]
            else:
                place -= 1 + is_today
                if place < 0:
                    return None
                day, minute = days[place], self._minutes[-1]
        elif is_today and within < len(self._minutes):
            day, minute = today, self._minutes[within]
        else:
            if place >= len(days):
                return None
            day, minute = days[place], self._minutes[0]
        return datetime.fromordinal(day).replace(tzinfo=UTC) - offset + timedelta(minutes=minute)

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


@lru_cache(maxsize=256)
def _steady_days(zone: str, day: int) -> tuple[int, int, timedelta]:
    """The days around a day of UTC, by their ordinal numbers, on which the zone's clocks are neither put back nor
    forward, and how far they are ahead of UTC; the last before the first where it is such a day itself."""
    midnights = [datetime.fromordinal(day + off).replace(tzinfo=ZoneInfo(zone)) for off in range(-_STEADY, _STEADY + 1)]
    offsets = [midnight.utcoffset() or timedelta() for midnight in midnights]
    offset = offsets[_STEADY]
    first = last = _STEADY
    while first > 0 and offsets[first - 1] == offset:
        first -= 1
    while last < 2 * _STEADY and offsets[last + 1] == offset:
        last += 1
    return day - _STEADY + first, day - _STEADY + last - 1, offset  # a day is known by the midnight at its end too


@lru_cache(maxsize=4096)
def _days_between(fields: str, first: int, last: int) -> tuple[int, ...]:
    """The days on which a schedule runs, by ordinal number; `fields` are the last three of its cron expression."""
    found: list[int] = []
    for moment in CronSim(f"0 0 {fields}", datetime.fromordinal(first).replace(tzinfo=UTC) - timedelta(minutes=1)):
        if moment.toordinal() > last:
            break
        found.append(moment.toordinal())
    return tuple(found)


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
