"""What the samples of outside probes say: when a service went, and when it was really back.

A service is usable while all of its checks succeed. Each check has its own rhythm, so samples are never mixed: every
check is read by itself, and what they say is put together in time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any

from drp.domain.recovery.clocks import ClockReading
from drp.domain.values import from_stamp

FAILURES_TO_DETECT = 2
"""How many failed attempts of a check in a row count as detected: one can be a lost packet."""

Gaps = Mapping[str, timedelta]
"""The checks of a service, the user path first, each with the longest silence in which still somebody looked."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One attempt at one check. Samples without a name are of a service's first check: an older drp tried no other."""

    started_at: datetime
    ended_at: datetime
    succeeded: bool
    detail: str
    check: str = ""
    clock: ClockReading | None = None

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Sample:
        """Read a line of a sample file."""
        return cls(
            started_at=from_stamp(record["started_at"]),
            ended_at=from_stamp(record["ended_at"]),
            succeeded=bool(record["succeeded"]),
            detail=str(record["detail"]),
            check=str(record.get("check", "")),
            clock=ClockReading.from_record(record.get("clock")),
        )


@dataclass(frozen=True, slots=True)
class Turn:
    """A check that went, or came back, and what it did from then on (`samples`, in the order of their beginnings).

    `at` comes from the first attempt that shows it: see `_went` and `_came`. The true moment lies between `earliest`
    (None: nobody had looked) and `latest`.
    """

    samples: tuple[Sample, ...]
    at: datetime
    earliest: datetime | None
    latest: datetime


@dataclass(frozen=True, slots=True)
class Outage:
    """A disruption as seen from outside: the first of its checks went, and since then there was always one that failed.

    T0 is `disrupted_at`, T1 the end of the attempt that made it certain. `earliest` and `latest` are how far from T0
    the true moment can be; `last_good_at` and `earliest` are None where nobody had seen the service work before.
    """

    disrupted_at: datetime
    detected_at: datetime
    last_good_at: datetime | None
    earliest: datetime | None
    latest: datetime
    check: str
    detail: str
    is_over: bool
    clock: ClockReading | None = None

    @property
    def uncertainty(self) -> timedelta | None:
        if self.earliest is None:
            return None
        return max(self.disrupted_at - self.earliest, self.latest - self.disrupted_at)


def last_outage(samples: Iterable[Sample], gaps: Gaps) -> Outage | None:
    """The newest detected outage. A silence longer than a check's gap ends what was seen of that check before it:
    nobody looked then."""
    spells = sorted(
        (spell for name, found in by_check(samples, gaps).items() for spell in _spells(found, gaps[name])),
        key=lambda spell: spell[0].at,
    )
    newest: list[tuple[Turn, datetime | None]] = []
    for turn, ended_at in spells:
        overlaps = any(end is None or end >= turn.at for _, end in newest)
        newest = [*newest, (turn, ended_at)] if overlaps else [(turn, ended_at)]
    if not newest:
        return None
    turns = [turn for turn, _ in newest]
    first = turns[0]
    earliest = [turn.earliest for turn in turns]
    known = [at for at in earliest if at is not None]
    seen = len(known) == len(earliest)
    return Outage(
        disrupted_at=first.at,
        detected_at=min(turn.samples[FAILURES_TO_DETECT - 1].ended_at for turn in turns),
        last_good_at=min(known) if seen else None,
        earliest=min(known) if seen else None,
        latest=min(turn.latest for turn in turns),
        check=first.samples[0].check,
        detail=first.samples[0].detail,
        is_over=all(end is not None for _, end in newest),
        clock=first.samples[0].clock,
    )


@dataclass(frozen=True, slots=True)
class UsableAgain:
    """T5 and how it was established: the moment since which all checks succeed. `check` is the one that came last."""

    usable_at: datetime
    held_until: datetime
    attempts: int
    check: str
    uncertainty: timedelta
    clock: ClockReading | None = None


def usable_again(samples: Iterable[Sample], gaps: Gaps, *, after: datetime, hold: timedelta) -> UsableAgain | None:
    """The first moment after `after` from which all checks succeeded for `hold`; None while there is none.

    A failed attempt of any check voids the success so far, and so does a silence longer than that check's gap: nobody
    looked then, so nothing is known.
    """
    returns = [list(_returns(found, gaps[name], after)) for name, found in by_check(samples, gaps).items()]
    positions = [0] * len(returns)
    while returns and all(position < len(found) for position, found in zip(positions, returns, strict=True)):
        turns = [found[position] for position, found in zip(positions, returns, strict=True)]
        last = max(turns, key=lambda turn: turn.at)
        ends = [turn.samples[-1].started_at for turn in turns]
        if min(ends) - last.at >= hold:
            return _found(turns, last, after, hold)
        positions[ends.index(min(ends))] += 1
    return None


def _found(turns: Sequence[Turn], last: Turn, after: datetime, hold: timedelta) -> UsableAgain:
    held_until = max(next(s.ended_at for s in turn.samples if s.started_at >= last.at + hold) for turn in turns)
    earliest = max(turn.earliest or after for turn in turns)
    latest = max(turn.latest for turn in turns)
    within = [s for turn in turns for s in turn.samples if s.ended_at >= last.at and s.ended_at <= held_until]
    return UsableAgain(
        usable_at=last.at,
        held_until=held_until,
        attempts=len(within),
        check=last.samples[0].check,
        uncertainty=max(last.at - earliest, latest - last.at),
        clock=last.samples[0].clock,
    )


def failing_now(samples: Iterable[Sample], gaps: Gaps) -> dict[str, str]:
    """The checks whose newest attempt failed, or that were not tried yet, each with the reason."""
    newest = {name: found[-1] if found else None for name, found in by_check(samples, gaps).items()}
    return {
        name: "not tried yet" if sample is None else sample.detail
        for name, sample in newest.items()
        if sample is None or not sample.succeeded
    }


def by_check(samples: Iterable[Sample], gaps: Gaps) -> dict[str, list[Sample]]:
    """The samples of each check in the order of their beginnings. Those of checks that are no longer declared are left
    out."""
    first = next(iter(gaps), "")
    found: dict[str, list[Sample]] = {name: [] for name in gaps}
    for sample in samples:
        name = sample.check or first
        if name in found:
            found[name].append(sample)
    for several in found.values():
        several.sort(key=lambda sample: sample.started_at)
    return found


def _spells(samples: Sequence[Sample], largest_gap: timedelta) -> Iterator[tuple[Turn, datetime | None]]:
    """When a check was down for certain, and when that was known to be over; None if it still is."""
    runs = list(_runs(samples, largest_gap))
    for position, (run, before) in enumerate(runs):
        if run[0].succeeded or len(run) < FAILURES_TO_DETECT:
            continue
        following, silence_before = runs[position + 1] if position + 1 < len(runs) else (None, None)
        if following is None:
            ended_at = None
        else:
            ended_at = run[-1].ended_at if silence_before is None else following[0].started_at
        yield _went(run, before), ended_at


def _returns(samples: Sequence[Sample], largest_gap: timedelta, after: datetime) -> Iterator[Turn]:
    """When a check began to succeed; attempts that began before `after` prove no use, but failures of that time still
    tell how it did not work."""
    last_failure: Sample | None = None
    counted = [sample for sample in samples if sample.started_at >= after or not sample.succeeded]
    for run, _ in _runs(counted, largest_gap):
        if run[0].succeeded:
            yield _came(run, last_failure, max(after, last_failure.started_at) if last_failure else after)
        else:
            last_failure = run[-1]


def _runs(samples: Sequence[Sample], largest_gap: timedelta) -> Iterator[tuple[list[Sample], Sample | None]]:
    """Attempts in a row with the same result and without a silence, and the one just before them; None where nobody
    looked just before."""
    number = 0
    previous: Sample | None = None
    keys: list[tuple[int, Sample | None]] = []
    for sample in samples:
        is_silence = previous is not None and sample.started_at - previous.started_at > largest_gap
        if previous is None or is_silence or previous.succeeded != sample.succeeded:
            number += 1
        keys.append((number, None if is_silence else previous))
        previous = sample
    for _, group in groupby(zip(keys, samples, strict=True), key=lambda item: item[0][0]):
        items = list(group)
        yield [sample for _, sample in items], items[0][0][1]


def _went(run: Sequence[Sample], before: Sample | None) -> Turn:
    """When a check went: when the answer to its first failed attempt was overdue (the one before was answered in so
    long), or when its failing was known, whichever was sooner."""
    at, latest = run[0].started_at, min(sample.ended_at for sample in run)
    if before is not None:
        at = min(latest, at + (before.ended_at - before.started_at))
    return Turn(tuple(run), at, None if before is None else before.started_at, latest)


def _came(run: Sequence[Sample], last_failure: Sample | None, earliest: datetime) -> Turn:
    """When a check came back: the start of its first good attempt. But where requests had been left waiting, that one
    may have waited too: then it is when the first answer came, less the time that an answer took right after it."""
    at, latest = run[0].started_at, min(sample.ended_at for sample in run)
    next_one = next((sample for sample in run if sample.started_at >= latest), None)
    usual = timedelta() if next_one is None else next_one.ended_at - next_one.started_at
    if last_failure is not None and last_failure.ended_at - last_failure.started_at > usual:
        at = max(at, latest - usual)
    return Turn(tuple(run), at, earliest, latest)
