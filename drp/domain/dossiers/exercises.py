"""Whether services are exercised as often as the exercise programme wants, and how well they stand in all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Literal, get_args

from drp.domain.objectives import Verdict
from drp.domain.protection.gaps import Gap
from drp.domain.runbooks.model import ExerciseLevel

LEVELS: tuple[ExerciseLevel, ...] = get_args(ExerciseLevel)

ALSO_EXERCISES: Mapping[ExerciseLevel, tuple[ExerciseLevel, ...]] = {
    "functional": ("restore-test",),
    "full": ("functional", "restore-test"),
}
"""What else an exercise of a level shows. People at a table and single components are exercised by nothing else."""

DUE_SHARE = 6
"""An exercise is due in the last sixth of its interval: two months of a year, a fortnight of a quarter."""


@dataclass(frozen=True, slots=True)
class Exercise:
    """A recovery of one service, rehearsed or real, that was carried out to its end. `accepted`: it met the objectives,
    or its exceptions were accepted by name. `level` is None where its scenario is no longer known."""

    run: str
    kind: str
    level: ExerciseLevel | None
    at: datetime
    verdict: Verdict
    accepted: bool


CadenceState = Literal["never", "overdue", "due", "current"]


@dataclass(frozen=True, slots=True)
class Cadence:
    """How a service stands to one line of the exercise programme."""

    level: ExerciseLevel
    every: timedelta
    last: Exercise | None
    state: CadenceState

    @property
    def due_at(self) -> datetime | None:
        """By when the next one must be held; None where there never was one, so that it is wanted at once."""
        return None if self.last is None else self.last.at + self.every

    @property
    def late(self) -> bool:
        return self.state in ("never", "overdue")


def cadences_of(
    programme: Mapping[ExerciseLevel, timedelta], exercises: Sequence[Exercise], now: datetime
) -> tuple[Cadence, ...]:
    """How a service stands to its tier's programme. An exercise counts as held whatever its verdict was; whether it
    proved anything is another question."""
    return tuple(_cadence(level, programme[level], exercises, now) for level in LEVELS if level in programme)


def _cadence(level: ExerciseLevel, every: timedelta, exercises: Sequence[Exercise], now: datetime) -> Cadence:
    held = [
        exercise
        for exercise in exercises
        if exercise.level is not None and level in (exercise.level, *ALSO_EXERCISES.get(exercise.level, ()))
    ]
    last = max(held, key=lambda exercise: exercise.at, default=None)
    if last is None:
        return Cadence(level, every, None, "never")
    left = last.at + every - now
    state: CadenceState = "overdue" if left < timedelta() else "due" if left < every / DUE_SHARE else "current"
    return Cadence(level, every, last, state)


class Standing(StrEnum):
    """How well a service is covered, worst first."""

    NOT_BACKED_UP = "not backed up"
    NOTHING_STORED = "no restore point at the DR centre"
    TOO_OLD = "data older than its RPO"
    NEVER_PROVED = "protected, recovery never proved"
    EXERCISE_LATE = "protected and proved, exercise late"
    COVERED = "protected, proved, exercised in time"

    @property
    def protected(self) -> bool:
        """Data at the DR centre that is young enough."""
        return self in (Standing.NEVER_PROVED, Standing.EXERCISE_LATE, Standing.COVERED)


def standing_of(
    gaps: Sequence[Gap], stored: bool, rpo_verdict: Verdict, exercises: Sequence[Exercise], cadences: Sequence[Cadence]
) -> Standing:
    """The worst that is true. `gaps` are what stands in the way of a backup; `stored`: there is a restore point."""
    if gaps:
        return Standing.NOT_BACKED_UP
    if not stored:
        return Standing.NOTHING_STORED
    if rpo_verdict is not Verdict.MET:
        return Standing.TOO_OLD
    if not any(exercise.accepted for exercise in exercises):
        return Standing.NEVER_PROVED
    return Standing.EXERCISE_LATE if any(cadence.late for cadence in cadences) else Standing.COVERED
