"""Playbooks and commands of a runbook that lose their host in the middle: begun again once it answers, as stages are;
what must not be begun again by itself is asked of a person."""

from __future__ import annotations

from pathlib import Path

import pytest

from drp.domain.events import Body
from drp.domain.inventory import AnsibleHost
from drp.domain.progress.run import Progress
from drp.domain.recovery.run import Recovery
from drp.domain.runbooks.model import Runbook
from drp.workflows.follow import Following
from drp.workflows.runs import approve
from tests.fakes.actions import Ending
from tests.unit.workflows.test_answers import DONE, TASK, own_playbook
from tests.unit.workflows.test_every_crash import Bench, bench_of

HOST = "drc-pengaduan-1"
LOST: Body = {**TASK, "task": "Work", "host": HOST, "outcome": "unreachable", "error": "Connection timed out"}
CUT_OFF = Ending(4, [{**TASK, "host": HOST, "outcome": "ok"}, {**LOST, "kind": ""}])


def bench_with(folder: Path, *, rerun: bool, answers_after: int) -> Bench:
    """A drill whose host answers only after so many looks; its own step may be begun again by itself, or not."""
    bench = bench_of(folder, "drill with steps")
    runbook = bench.stage.world.city.runbooks["site-loss"]
    record = runbook.model_dump(mode="json", by_alias=True, exclude_none=True)
    for step in record["steps"]:
        if step["id"] == "own":
            step["rerun"] = rerun
    bench.stage.world.city.runbooks["site-loss"] = Runbook.model_validate(record)
    looks = 0

    def answers(host: AnsibleHost) -> bool:
        nonlocal looks
        looks += host.name == HOST
        return looks > answers_after

    bench.stage.reachability.answers = answers  # type: ignore[method-assign]
    bench.stage.clock.tick = 1
    return bench


def begun(recovery: Recovery) -> list[Body]:
    return [event.body for event in recovery.events if event.type == "step.started" and event.body.get("step") == "own"]


def test_what_may_be_repeated_is_begun_again_once_its_host_answers(tmp_path: Path) -> None:
    bench = bench_with(tmp_path, rerun=True, answers_after=3)
    recovery = own_playbook(bench, CUT_OFF, Ending(0, [DONE]))
    assert recovery.steps["own"].outcome == "ok"
    assert [body.get("again", False) for body in begun(recovery)] == [False, True]
    assert any(f"{HOST} was lost in own; waiting up to 2 m" in line for line in bench.stage.said)
    assert "ansible_ssh_retries" not in bench.stage.actions.specs["own"]["variables"]


def test_a_host_that_does_not_come_back_fails_the_step_and_is_named(tmp_path: Path) -> None:
    bench = bench_with(tmp_path, rerun=True, answers_after=10_000)
    recovery = own_playbook(bench, CUT_OFF)
    state = recovery.steps["own"]
    assert (state.outcome, bench.stage.actions.started.count("own")) == ("failed", 1)
    assert state.error == f"host {HOST}, task 'Work': Connection timed out"
    assert state.started_at is not None
    assert state.ended_at is not None


@pytest.mark.parametrize(("answer", "times", "outcome"), [("again", 2, "ok"), ("done", 1, "ok"), ("skip", 1, "ok")])
def test_what_must_not_be_repeated_by_itself_asks_a_person_who_decides(
    tmp_path: Path, answer: str, times: int, outcome: str
) -> None:
    bench = bench_with(tmp_path, rerun=False, answers_after=0)
    stage, sleep = bench.stage, bench.stage.clock.sleep
    shown: list[Progress] = []

    def decide(seconds: float) -> None:
        sleep(seconds)
        if (
            bench.run is not None
            and not shown
            and any("must not be begun again by itself" in line for line in stage.said)
        ):
            shown.append(Following(stage.world, bench.run).look())
            approve(stage.world, bench.run, "own", "Siti", "looked", answer)  # type: ignore[arg-type]

    stage.clock.sleep = decide  # type: ignore[method-assign]
    recovery = own_playbook(bench, CUT_OFF, Ending(0, [DONE]))
    assert recovery.steps["own"].outcome == outcome
    assert stage.actions.started.count("own") == times
    assert stage.actions.specs["own"]["variables"]["ansible_ssh_retries"] == 0, "nor does Ansible begin it again"
    assert [item.step.id for item in shown[0].asked] == ["own"], "whoever follows it sees that somebody is waited for"
