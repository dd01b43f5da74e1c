"""Exercises against the programme: what counts for what, and when the next one is due."""

from __future__ import annotations

from datetime import timedelta

import pytest

from drp.domain.dossiers.exercises import Cadence, Exercise, Standing, cadences_of, standing_of
from drp.domain.objectives import Verdict
from drp.domain.protection.gaps import Gap
from drp.domain.runbooks.model import ExerciseLevel
from tests.fakes.city import NOW

DAY = timedelta(days=1)


def held(days_ago: float, level: ExerciseLevel | None = "full", verdict: Verdict = Verdict.MET) -> Exercise:
    return Exercise("run", "drill", level, NOW - days_ago * DAY, verdict, accepted=verdict is Verdict.MET)


@pytest.mark.parametrize(
    ("days_ago", "state"),
    [(0, "current"), (74.9, "current"), (75.1, "due"), (89.9, "due"), (90.1, "overdue"), (900, "overdue")],
)
def test_an_exercise_is_due_in_the_last_sixth_of_its_interval(days_ago: float, state: str) -> None:
    (found,) = cadences_of({"full": 90 * DAY}, [held(days_ago)], NOW)
    assert found.state == state
    assert found.due_at == NOW + (90 - days_ago) * DAY
    assert found.late == (state == "overdue")


def test_what_was_never_held_is_late() -> None:
    (found,) = cadences_of({"full": 90 * DAY}, [], NOW)
    assert (found.state, found.due_at, found.late) == ("never", None, True)


@pytest.mark.parametrize(
    ("exercised", "satisfied"),
    [
        ("full", {"full", "functional", "restore-test"}),
        ("functional", {"functional", "restore-test"}),
        ("restore-test", {"restore-test"}),
        ("component", {"component"}),
        ("tabletop", {"tabletop"}),
        (None, set()),
    ],
)
def test_what_an_exercise_counts_for(exercised: ExerciseLevel | None, satisfied: set[str]) -> None:
    levels: tuple[ExerciseLevel, ...] = ("tabletop", "restore-test", "component", "functional", "full")
    found = cadences_of(dict.fromkeys(levels, 90 * DAY), [held(1, exercised)], NOW)
    assert {cadence.level for cadence in found if cadence.state == "current"} == satisfied
    assert {cadence.level for cadence in found if cadence.state == "never"} == set(levels) - satisfied


def test_the_newest_counts_whatever_its_verdict_was() -> None:
    (found,) = cadences_of({"full": 90 * DAY}, [held(100), held(10, verdict=Verdict.NOT_MET), held(50)], NOW)
    assert found.last is not None
    assert (found.state, found.last.verdict) == ("current", Verdict.NOT_MET)


GAP = Gap("no-backup", "no backup is declared")
LATE = Cadence("full", 90 * DAY, None, "never")
GOOD = Cadence("full", 90 * DAY, held(1), "current")


@pytest.mark.parametrize(
    ("gaps", "stored", "rpo", "exercises", "cadences", "expected", "protected"),
    [
        ([GAP], True, Verdict.MET, [held(1)], [GOOD], Standing.NOT_BACKED_UP, False),
        ([], False, Verdict.NOT_MET, [held(1)], [GOOD], Standing.NOTHING_STORED, False),
        ([], True, Verdict.NOT_MET, [held(1)], [GOOD], Standing.TOO_OLD, False),
        ([], True, Verdict.NOT_MEASURED, [held(1)], [GOOD], Standing.TOO_OLD, False),
        ([], True, Verdict.MET, [], [], Standing.NEVER_PROVED, True),
        ([], True, Verdict.MET, [held(1, verdict=Verdict.NOT_MET)], [GOOD], Standing.NEVER_PROVED, True),
        ([], True, Verdict.MET, [held(1)], [GOOD, LATE], Standing.EXERCISE_LATE, True),
        ([], True, Verdict.MET, [held(1)], [GOOD], Standing.COVERED, True),
        ([], True, Verdict.MET, [held(1)], [], Standing.COVERED, True),
    ],
)
def test_the_worst_that_is_true_is_how_a_service_stands(
    gaps: list[Gap],
    stored: bool,
    rpo: Verdict,
    exercises: list[Exercise],
    cadences: list[Cadence],
    expected: Standing,
    protected: bool,
) -> None:
    found = standing_of(gaps, stored, rpo, exercises, cadences)
    assert found is expected
    assert found.protected is protected
