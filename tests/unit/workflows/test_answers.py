"""Two who answer a step at once, and runbook playbooks that are killed: one decision, and nothing begun for ever."""

from __future__ import annotations

from pathlib import Path

import pytest

from drp.domain.events import Body, Event
from drp.domain.recovery.run import Recovery
from drp.errors import UsageError
from drp.ports import ActionState
from drp.workflows.naming import action_folder
from drp.workflows.runs import approve
from tests.fakes.actions import Ending
from tests.fakes.world import Crash, Stage
from tests.unit.workflows.test_every_crash import Bench, bench_of


@pytest.fixture
def asked(tmp_path: Path) -> Bench:
    """A drill whose drp died as it had asked for an approval."""
    bench = bench_of(tmp_path, "drill with steps")

    def die(type_: str, body: Body, is_written: bool) -> None:
        if is_written and type_ == "step.started" and body["step"] == "may-begin":
            raise Crash

    bench.stage.ledger.on_append = die
    with pytest.raises(Crash):
        bench.begin()
    bench.stage.ledger.on_append = lambda _type, _body, _is_written: None
    return bench


def answers(stage: Stage, run: str) -> list[Body]:
    return [event.body for event in stage.ledger.events(run) if event.type == "step.answered"]


def test_of_two_who_answer_at_once_one_is_written_down_and_the_other_is_told(asked: Bench) -> None:
    """The second one answers while the first, who has looked already, is about to write."""
    stage, run = asked.stage, asked.run
    assert run is not None
    append = stage.ledger.append_next

    def second_is_faster(run: str, type_: str, body: Body, after: int) -> Event | None:
        stage.ledger.append_next = append  # type: ignore[method-assign]
        approve(stage.world, run, "may-begin", "Siti", "yes from Siti", "yes")
        return stage.ledger.append_next(run, type_, body, after)

    stage.ledger.append_next = second_is_faster  # type: ignore[method-assign]
    with pytest.raises(UsageError, match="has its answer already: Siti said yes"):
        approve(stage.world, run, "may-begin", "Budi", "no from Budi", "no")
    assert [body["by"] for body in answers(stage, run)] == ["Siti"]


def test_another_event_meanwhile_keeps_nobody_from_answering(asked: Bench) -> None:
    stage, run = asked.stage, asked.run
    assert run is not None
    append = stage.ledger.append_next

    def something_else_first(run: str, type_: str, body: Body, after: int) -> Event | None:
        stage.ledger.append_next = append  # type: ignore[method-assign]
        stage.ledger.append(run, "run.resumed", {"operator": "x"})
        return stage.ledger.append_next(run, type_, body, after)

    stage.ledger.append_next = something_else_first  # type: ignore[method-assign]
    assert approve(stage.world, run, "may-begin", "Siti", "", None) == "yes"
    assert [body["by"] for body in answers(stage, run)] == ["Siti"]


def own_playbook(bench: Bench, *endings: Ending) -> Recovery:
    """A drill whose runbook's own playbook ends so, one time after the other."""
    waiting, script = list(endings), bench.stage.actions.script
    bench.stage.actions.script = lambda name, spec: waiting.pop(0) if name == "own" and waiting else script(name, spec)
    return bench.begin()


DONE: Body = {"event": "runner.ended", "status": "successful", "rc": 0}
TASK: Body = {"event": "task", "task": "Log in", "started_at": "2026-11-20T07:00", "duration_ms": 5, "changed": False}


def test_a_playbook_that_is_killed_is_begun_again(tmp_path: Path) -> None:
    bench = bench_of(tmp_path, "drill with steps")
    recovery = own_playbook(bench, Ending(128 + 9), Ending(0, [DONE]))
    assert recovery.steps["own"].outcome == "ok"
    assert bench.stage.actions.started.count("own") == 2


def test_a_playbook_that_is_always_killed_fails_in_the_end(tmp_path: Path) -> None:
    bench = bench_of(tmp_path, "drill with steps")
    recovery = own_playbook(bench, *[Ending(128 + 9)] * 9)
    assert recovery.steps["own"].outcome == "failed"
    assert bench.stage.actions.started.count("own") == 3


def test_a_playbook_whose_supervisor_was_killed_after_its_end_is_not_run_twice(tmp_path: Path) -> None:
    bench = bench_of(tmp_path, "drill with steps")
    recovery = own_playbook(bench, Ending(0, [DONE], lost=True))
    run_folder = action_folder(bench.stage.world, recovery.run, "own")
    assert bench.stage.actions.state(run_folder) is ActionState.LOST
    assert recovery.steps["own"].outcome == "ok"
    assert bench.stage.actions.started.count("own") == 1


def test_every_host_that_failed_is_named_and_what_the_others_did_is_on_record(tmp_path: Path) -> None:
    bench = bench_of(tmp_path, "drill with steps")
    lost = {"error": "Connection timed out", "kind": ""}
    told = [
        {**TASK, "host": "a", "outcome": "ok"},
        {**TASK, "host": "b", "outcome": "failed", "error": "no licence"},
        {**TASK, "host": "c", "outcome": "unreachable", **lost},
    ]
    recovery = own_playbook(bench, Ending(4, told))
    error = recovery.steps["own"].error
    assert error == "host b, task 'Log in': no licence; host c, task 'Log in': Connection timed out"
    assert {(task["host"], task["outcome"]) for task in recovery.steps["own"].tasks} == {
        ("a", "ok"),
        ("b", "failed"),
        ("c", "unreachable"),
    }
