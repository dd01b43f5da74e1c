"""A clock that only moves when somebody waits."""

from __future__ import annotations

from datetime import datetime, timedelta

from drp.domain.recovery.clocks import ClockReading
from tests.fakes.city import NOW


class FakeClock:
    """Every wait takes at least `tick`, so that a loop that polls comes to its end at once."""

    def __init__(self, at: datetime = NOW, tick: float = 0.25) -> None:
        self.at, self.tick, self.waited = at, tick, 0.0

    def now(self) -> datetime:
        self.at += timedelta(microseconds=1)  # no two looks at a clock give the same
        return self.at

    def reading(self) -> ClockReading:
        return ClockReading("fake", 0)

    def monotonic(self) -> float:
        return self.waited

    def sleep(self, seconds: float) -> None:
        passed = max(seconds, self.tick)
        self.waited += passed
        self.at += timedelta(seconds=passed)
