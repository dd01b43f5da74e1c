"""Time marks, and the figures that follow from them. design.md, "Time marks", defines each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from drp.domain.objectives import Objectives, Verdict, judge, worst
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
    """A moment of a recovery: when, who or what says so, on what evidence, and how far off it can be."""

    name: MarkName
    at: datetime
    source: Source
    evidence: str
    uncertainty: timedelta = timedelta()

    def record(self) -> dict[str, Any]:
        """The mark as the ledger holds it."""
        return {
            "mark": self.name,
            "at": to_stamp(self.at),
            "source": self.source,
            "evidence": self.evidence,
            "uncertainty_ms": milliseconds(self.uncertainty),
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Mark:
        return cls(
            name=record["mark"],
            at=from_stamp(record["at"]),
            source=record["source"],
            evidence=record["evidence"],
            uncertainty=timedelta(milliseconds=record["uncertainty_ms"]),
        )


@dataclass(frozen=True, slots=True)
class Reservation:
    """Something that keeps a result from being plainly MET; `accepted_by` names the person who took it on."""

    text: str
    accepted_by: str | None = None


@dataclass(frozen=True, slots=True)
class Measurement:
    """What a recovery of one service really took. None means not measured, never zero."""

    rta: timedelta | None
    rta_at_least: timedelta | None
    rpa: timedelta | None
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
) -> Measurement:
    """All figures of one service from its marks.

    Args:
        marks: by name; a missing one makes every figure that needs it None.
        data_verdict: whether the recovered data is the restore point's (counts, sentinels).
        ended_at: when the run stopped looking; an unrecovered service was down at least until then.
        exceptions: what keeps the result from being plainly MET.
    """
    rta = _between(marks, "T0", "T5")
    recovered = "T5" in marks
    at_least = None if recovered or "T0" not in marks else ended_at - marks["T0"].at
    rpa = _between(marks, "Tb", "T0")
    rto_verdict = judge(rta, objectives.rto, open_ended=not recovered)
    rpo_verdict = judge(rpa, objectives.rpo)
    verdict = worst(rto_verdict, rpo_verdict, data_verdict)
    if verdict is Verdict.MET and exceptions:
        verdict = Verdict.MET_WITH_EXCEPTION
    return Measurement(
        rta=rta,
        rta_at_least=at_least,
        rpa=rpa,
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
