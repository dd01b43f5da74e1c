"""A tabletop is walked through, timed, broken off, resumed; it proves no recovery."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from drp.domain.objectives import Verdict
from drp.domain.runbooks.model import Runbook
from drp.domain.runbooks.tabletop import Tabletop, Walked
from drp.errors import BusyError, CancelledError, UsageError
from drp.workflows.coverage import exercises_of
from drp.workflows.runs import abort
from drp.workflows.tabletop import TalkEnd, TalkRequest, hold, walk
from tests.fakes.city import make_city, runbook_record
from tests.fakes.world import Stage, make_stage

TEXT = {"en": "Text", "id": "Teks"}
STEPS: list[dict[str, Any]] = [
    {"id": "a", "kind": "manual", "title": {"en": "Call", "id": "Telepon"}, "instructions": TEXT, "expected": "5m"},
    {"id": "b", "kind": "approval", "title": TEXT, "question": TEXT, "who": ["declares"], "expected": "1m"},
    {"id": "c", "kind": "manual", "title": TEXT, "instructions": TEXT, "expected": "5m"},
]


@dataclass
class Table:
    """People who take some minutes for each step, skip some, and break off after some."""

    stage: Stage
    minutes: dict[str, int]
    skips: set[str] = field(default_factory=set)
    break_off_in: str = ""
    seen: list[str] = field(default_factory=list)
    at: str = ""

    def begin(self, walked: Walked, number: int, count: int) -> bool:
        assert count == len(STEPS)
        self.seen.append(f"{number} {walked.step.title}{' again' if walked.started_at else ''}")
        self.at = walked.step.id
        return walked.step.id not in self.skips

    def finish(self) -> TalkEnd:
        if self.at == self.break_off_in:
            raise CancelledError("the tabletop was broken off")
        self.stage.clock.sleep(60 * self.minutes[self.at])
        return TalkEnd("problem" if self.minutes[self.at] > 5 else "done", "Ratna", "sulit")


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    runbooks = {
        "talk": Runbook.model_validate(runbook_record() | {"id": "talk", "kind": "tabletop", "steps": STEPS}),
        "site-loss": Runbook.model_validate(runbook_record()),
    }
    return make_stage(tmp_path, make_city().model_copy(update={"runbooks": runbooks}))


def request(runbook: str = "talk", *services: str) -> TalkRequest:
    return TalkRequest(runbook, services, "Lead", "quarterly", "id")


def times(tabletop: Tabletop) -> list[tuple[str | None, timedelta | None, bool]]:
    """Times in whole seconds: the ledger puts each event a microsecond behind the one before it, at least."""
    second = timedelta(seconds=1)
    return [
        (step.outcome, None if step.took is None else step.took // second * second, step.over)
        for step in tabletop.steps
    ]


def test_each_step_is_timed_and_nothing_is_proved(stage: Stage) -> None:
    table = Table(stage, {"a": 3, "b": 2, "c": 7})
    held = hold(stage.world, request("talk", "pengaduan"), table)
    minute = timedelta(minutes=1)
    assert times(held) == [("done", 3 * minute, False), ("done", 2 * minute, True), ("problem", 7 * minute, True)]
    assert table.seen == ["1 Telepon", "2 Teks", "3 Teks"]
    assert {walked.by for walked in held.steps} == {"Ratna"}
    row = stage.world.ledger.run(held.run)
    assert (row.kind, row.outcome, row.verdict, row.exit_code) == ("tabletop", "done", "NOT_TESTED", 4)
    stage.world.ledger.verify(held.run)
    exercises, not_counted = exercises_of(stage.world)
    assert not_counted == []
    assert list(exercises) == ["pengaduan"]
    (exercise,) = exercises["pengaduan"]
    assert (exercise.level, exercise.verdict, exercise.accepted) == ("tabletop", Verdict.NOT_TESTED, False)


def test_one_that_was_broken_off_goes_on_where_it_was_and_its_clock_went_on(stage: Stage) -> None:
    with pytest.raises(CancelledError) as broken:
        hold(stage.world, request(), Table(stage, {"a": 3}, break_off_in="b"))
    (row,) = stage.world.ledger.runs(kinds=("tabletop",))
    assert broken.value.hint == f"go on with it: drp run resume {row.run}"
    assert row.closed_at is None
    stage.clock.sleep(600)
    table = Table(stage, {"b": 1, "c": 1}, skips={"c"})
    held = walk(stage.world, row.run, table)
    assert table.seen == ["2 Teks again", "3 Teks"], "what had ended is not asked again"
    minute = timedelta(minutes=1)
    assert times(held) == [("done", 3 * minute, False), ("done", 11 * minute, True), ("skipped", None, False)]
    with pytest.raises(UsageError, match="has ended"):
        walk(stage.world, row.run, table)
    exercises, not_counted = exercises_of(stage.world)
    assert exercises == {}, "a part of an exercise is none"
    assert [(item.run, item.reason) for item in not_counted] == [(row.run, "1 of its 3 steps were skipped")]


def test_two_cannot_walk_through_it_at_once(stage: Stage) -> None:
    with pytest.raises(CancelledError):
        hold(stage.world, request(), Table(stage, {}, break_off_in="a"))
    (row,) = stage.world.ledger.runs(kinds=("tabletop",))
    stage.world.locks.acquire(f"tabletop-{row.run}", "another terminal")
    with pytest.raises(BusyError):
        walk(stage.world, row.run, Table(stage, {"a": 1}))


def test_it_can_be_given_up_and_then_counts_for_nothing(stage: Stage) -> None:
    with pytest.raises(CancelledError):
        hold(stage.world, request(), Table(stage, {}, break_off_in="a"))
    (row,) = stage.world.ledger.runs(kinds=("tabletop",))
    abort(stage.world, row.run, "nobody came")
    assert stage.world.ledger.run(row.run).verdict == "ABORTED"
    assert exercises_of(stage.world)[0] == {}


def test_what_cannot_be_walked_through_is_told(stage: Stage) -> None:
    for runbook, services, says in (
        ("site-loss", (), "no steps"),
        ("x", (), "no runbook"),
        ("talk", ("x",), "no service"),
    ):
        with pytest.raises(UsageError, match=says):
            hold(stage.world, request(runbook, *services), Table(stage, {}))
    assert stage.world.ledger.runs(kinds=("tabletop",)) == []
