"""What the samples of an outside probe say: when a service went, and when it was really back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from drp.domain.values import from_stamp

FAILURES_TO_DETECT = 2
"""How many failed attempts in a row count as detected: one can be a lost packet."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One attempt at the whole user path."""

    started_at: datetime
    ended_at: datetime
    succeeded: bool
    detail: str

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Sample:
        """Read a line of a sample file."""
        return cls(
            started_at=from_stamp(record["started_at"]),
            ended_at=from_stamp(record["ended_at"]),
            succeeded=bool(record["succeeded"]),
            detail=str(record["detail"]),
        )


@dataclass(frozen=True, slots=True)
class Outage:
    """A disruption as seen from outside.

    T0 is the start of the first failed attempt, T1 the end of the attempt that made it certain. The service may have
    failed earlier, but not before the last good attempt: `uncertainty` is that distance.
    """

    disrupted_at: datetime
    detected_at: datetime
    last_good_at: datetime | None
    detail: str

    @property
    def uncertainty(self) -> timedelta | None:
        return None if self.last_good_at is None else self.disrupted_at - self.last_good_at


def last_outage(samples: Sequence[Sample], *, largest_gap: timedelta = timedelta.max) -> Outage | None:
    """The newest detected outage, whether it has ended or not. A silence longer than `largest_gap` between two attempts
    ends what was seen before it: nobody looked then."""
    found: Outage | None = None
    run_start: int | None = None
    for position, sample in enumerate(samples):
        if sample.succeeded:
            run_start = None
            continue
        if position and sample.started_at - samples[position - 1].started_at > largest_gap:
            run_start = None
        run_start = position if run_start is None else run_start
        if position - run_start + 1 == FAILURES_TO_DETECT:
            first = samples[run_start]
            before = samples[run_start - 1] if run_start else None
            found = Outage(first.started_at, sample.ended_at, before.ended_at if before else None, first.detail)
    return found


@dataclass(frozen=True, slots=True)
class UsableAgain:
    """T5 and how it was established. T5 is the end of the first attempt of an unbroken success: the moment at which
    use was proven, so that RTA is never understated."""

    usable_at: datetime
    held_until: datetime
    attempts: int
    last_failure_at: datetime | None
    uncertainty: timedelta


def usable_again(
    samples: Iterable[Sample], *, after: datetime, hold: timedelta, largest_gap: timedelta
) -> UsableAgain | None:
    """The first unbroken success after `after` that lasted for `hold`; None while there is none.

    A failed attempt voids the success so far, and so does a silence longer than `largest_gap` between two attempts:
    nobody looked then, so nothing is known.
    """
    first: Sample | None = None
    last: Sample | None = None
    attempts = 0
    last_failure: datetime | None = None
    for sample in samples:
        if sample.started_at < after:
            continue
        broken = last is not None and sample.started_at - last.started_at > largest_gap
        if not sample.succeeded:
            first, last, last_failure = None, None, sample.started_at
            continue
        if first is None or broken:
            first, attempts = sample, 0
        last = sample
        attempts += 1
        if sample.ended_at - first.ended_at >= hold:
            before = last_failure if last_failure is not None else after
            return UsableAgain(
                usable_at=first.ended_at,
                held_until=sample.ended_at,
                attempts=attempts,
                last_failure_at=last_failure,
                uncertainty=max(first.ended_at - before, timedelta()),
            )
    return None
