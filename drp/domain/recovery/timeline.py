"""Time marks, and the figures that follow from them. design.md, "Time marks", defines each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from drp.domain.objectives import Objectives, Verdict, judge, worst
from drp.domain.recovery.clocks import ClockReading, measured, moved
from drp.domain.values import from_stamp, milliseconds, to_stamp

MarkName = Literal["Tb", "T0", "T1", "T2", "T3", "T4", "T5"]
Source = Literal["automatic", "human", "simulated"]

PARTS = (
    ("detect", "T0", "T1"),
    ("decide", "T1", "T2"),
    ("mobilise", "T2", "T3"),
    ("restore", "T3", "T4"),
    ("validate", "T4", "T5"),
)
"""The five parts of RTA, each between two marks; together they are T5 - T0."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A moment of a recovery: when, who or what says so, on what evidence, and how far off it can be, clocks included.

    `uncertainty` None: nobody measured how far. It is never taken for nothing. `clock` is how the control node's clock
    stood then, where that gave the time.
    """

    name: MarkName
    at: datetime
    source: Source
    evidence: str
    uncertainty: timedelta | None = timedelta()
    clock: ClockReading | None = None

    def record(self) -> dict[str, Any]:
        """The mark as the ledger holds it."""
        return {
            "mark": self.name,
            "at": to_stamp(self.at),
            "source": self.source,
            "evidence": self.evidence,
            "uncertainty_ms": None if self.uncertainty is None else _rounded_up(self.uncertainty),
            "clock": None if self.clock is None else self.clock.record(),
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Mark:
        return cls(
            name=record["mark"],
            at=from_stamp(record["at"]),
            source=record["source"],
            evidence=record["evidence"],
            uncertainty=(
                None if record["uncertainty_ms"] is None else timedelta(milliseconds=record["uncertainty_ms"])
            ),
            clock=ClockReading.from_record(record.get("clock")),
        )


@dataclass(frozen=True, slots=True)
class Reservation:
    """Something that keeps a result from being plainly MET; `accepted_by` names the person who took it on."""

    text: str
    accepted_by: str | None = None


@dataclass(frozen=True, slots=True)
class Measurement:
    """What a recovery of one service really took. None means not measured, never zero.

    The uncertainty of a figure is the sum of those of its two marks, and of what the control node's clock was set by
    in between: what it can be off at worst.
    """

    rta: timedelta | None
    rta_at_least: timedelta | None
    rpa: timedelta | None
    rta_uncertainty: timedelta | None
    rpa_uncertainty: timedelta | None
    parts: dict[str, timedelta | None]
    since_declaration: timedelta | None
    technical: timedelta | None
    rto_verdict: Verdict
    rpo_verdict: Verdict
    data_verdict: Verdict
    verdict: Verdict
    exceptions: tuple[Reservation, ...]

    @property
    def accepted(self) -> bool:
        """Whether the result may be taken as good: MET, or with exceptions that named people accepted."""
        if self.verdict is Verdict.MET:
            return True
        return self.verdict is Verdict.MET_WITH_EXCEPTION and all(item.accepted_by for item in self.exceptions)


def measure(
    marks: Mapping[str, Mark],
    objectives: Objectives,
    *,
    data_verdict: Verdict,
    ended_at: datetime,
    exceptions: Sequence[Reservation] = (),
    was_aborted: bool = False,
) -> Measurement:
    """All figures of one service from its marks.

    Args:
        marks: by name; a missing one makes every figure that needs it None.
        data_verdict: whether the recovered data is the restore point's (counts, sentinels).
        ended_at: when the run stopped looking; an unrecovered service was down at least until then.
        exceptions: what keeps the result from being plainly MET.
        was_aborted: whether people gave the run up: a service that was not back by then, and not late yet, is ABORTED.
    """
    rta = _between(marks, "T0", "T5")
    recovered = "T5" in marks
    at_least = None if recovered or "T0" not in marks else ended_at - marks["T0"].at
    rpa = _between(marks, "Tb", "T0")
    is_late = at_least is not None and at_least > objectives.rto
    rto_verdict = judge(rta, objectives.rto, open_ended=not recovered)
    if was_aborted and not recovered and not is_late:
        rto_verdict = Verdict.ABORTED
    rpo_verdict = judge(rpa, objectives.rpo)
    verdict = worst(rto_verdict, rpo_verdict, data_verdict)
    if verdict is Verdict.MET and exceptions:
        verdict = Verdict.MET_WITH_EXCEPTION
    return Measurement(
        rta=rta,
        rta_at_least=at_least,
        rpa=rpa,
        rta_uncertainty=uncertainty_between(marks, "T0", "T5"),
        rpa_uncertainty=uncertainty_between(marks, "Tb", "T0"),
        parts={name: _between(marks, start, end) for name, start, end in PARTS},
        since_declaration=_between(marks, "T2", "T5"),
        technical=_between(marks, "T2", "T4"),
        rto_verdict=rto_verdict,
        rpo_verdict=rpo_verdict,
        data_verdict=data_verdict,
        verdict=verdict,
        exceptions=tuple(exceptions),
    )


def _between(marks: Mapping[str, Mark], start: str, end: str) -> timedelta | None:
    if start not in marks or end not in marks:
        return None
    return marks[end].at - marks[start].at


def uncertainty_between(marks: Mapping[str, Mark], start: str, end: str) -> timedelta | None:
    """How far the time between two marks can be off; None where a part of that was not measured."""
    if start not in marks or end not in marks:
        return None
    first, last = marks[start], marks[end]
    if first.uncertainty is None or last.uncertainty is None:
        return None
    # Other clocks than the control node's have their offset in the uncertainty of their mark.
    is_one_clock = start != "Tb" and "human" not in (first.source, last.source)
    set_by = moved(first.clock, last.clock) if is_one_clock else timedelta()
    return None if set_by is None else first.uncertainty + last.uncertainty + set_by


def own_clock(service: str, marks: Mapping[str, Mark], now: datetime) -> dict[str, Any]:
    """The event about the control node's own clock: by how much it was set between the loss and use."""
    first, last = marks.get("T0"), marks.get("T5")
    set_by = None if first is None or last is None else moved(first.clock, last.clock)
    found = None if set_by is None else (set_by, timedelta())
    return measured(service, "control node", "T0 to T5: by how much it was set meanwhile", now, found)


def _rounded_up(duration: timedelta) -> int:
    """Whole milliseconds: what is uncertain is never understated."""
    return -milliseconds(-duration)
