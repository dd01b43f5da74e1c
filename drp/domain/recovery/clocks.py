"""What clocks a figure rests on, and what is known about them. What was not measured is told as that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from drp.domain.backups.restore_point import RestorePoint
from drp.domain.events import Body
from drp.domain.values import milliseconds, to_stamp


@dataclass(frozen=True, slots=True)
class ClockReading:
    """How far a machine's wall clock was ahead of one that counts from its start and that nobody sets; `boot` tells
    which start. Two readings tell whether the wall clock was set in between."""

    boot: str
    ahead_us: int

    def record(self) -> dict[str, Any]:
        return {"boot": self.boot, "ahead_us": self.ahead_us}

    @classmethod
    def from_record(cls, record: Mapping[str, Any] | None) -> ClockReading | None:
        return None if record is None else cls(str(record["boot"]), int(record["ahead_us"]))


def moved(first: ClockReading | None, last: ClockReading | None) -> timedelta | None:
    """How far a wall clock was set between two readings; None where nobody can know: it was not read, or the machine
    was started anew."""
    if first is None or last is None or first.boot != last.boot:
        return None
    return timedelta(microseconds=abs(last.ahead_us - first.ahead_us))


def of_hosts(service: str, point: RestorePoint) -> list[Body]:
    """The events about the hosts' clocks that date the data of a restore point, as they were found at the backup."""
    return [
        measured(
            service,
            host,
            "Tb: it dates the newest data",
            point.sentinel_at,
            None if clock is None else (timedelta(milliseconds=clock["offset_ms"]), _uncertainty_of(clock)),
        )
        for host in sorted({str(dataset["host"]) for dataset in point.datasets.values()})
        for clock in (point.clocks.get(host),)
    ]


def measured(service: str, clock: str, used_for: str, at: datetime, found: tuple[timedelta, timedelta] | None) -> Body:
    """The event `clock.measured`: how far a clock is ahead of the control node's, and how sure that is."""
    return {
        "service": service,
        "clock": clock,
        "used_for": used_for,
        "measured_at": to_stamp(at),
        "offset_ms": None if found is None else milliseconds(found[0]),
        "uncertainty_ms": None if found is None else -milliseconds(-found[1]),
    }


def _uncertainty_of(clock: Mapping[str, int]) -> timedelta:
    return timedelta(milliseconds=clock["uncertainty_ms"])
