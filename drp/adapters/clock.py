"""The machine's clocks."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from drp.domain.recovery.clocks import ClockReading


class SystemClock:
    """Implements `drp.ports.Clock`."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    def reading(self) -> ClockReading:
        return reading(self.now())


def reading(now: datetime) -> ClockReading:
    """How far the wall clock, which says `now`, is ahead of the one that counts from the machine's start."""
    since_start_us = time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000
    return ClockReading(_boot(), round(now.timestamp() * 1_000_000) - since_start_us)


@cache
def _boot() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()[:8]
