"""What workflows rely on in `Actions` holds for the fake as for the real ones."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from drp.adapters.actions import SupervisedActions
from drp.domain.checks import HttpCheck
from drp.domain.inventory import SshAccess
from drp.errors import BusyError
from drp.ports import Actions, ActionState, ProbeTarget
from tests.fakes.actions import Ending, FakeActions
from tests.fakes.clock import FakeClock

CHECK = HttpCheck.model_validate({"type": "http", "id": "path", "port": 1, "steps": [{"request": "GET /"}]})


class Bench:
    """Some actions, and the folder of one."""

    def __init__(self, actions: Actions, folder: Path) -> None:
        self.actions, self.folder = actions, folder

    def start(self) -> None:
        """Start a probe of a port at which nobody listens: it runs until it is stopped."""
        target = ProbeTarget("127.0.0.1", [CHECK.model_dump(mode="json")], {}, {}, self.folder)
        self.actions.start_probe(self.folder, {"service": target})

    def stop(self) -> None:
        """Ask until it was heard: an action that has only just started does not hear it yet."""
        while self.actions.state(self.folder) is ActionState.RUNNING:
            self.actions.stop(self.folder)
            os.sched_yield()


@pytest.fixture(params=["fake", "real"])
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    folder = tmp_path / "var" / "action"
    if request.param == "fake":
        fake = FakeActions(
            tmp_path, FakeClock(), lambda _name, _spec: Ending(0, [{"event": "probe.started"}], running=True)
        )
        yield Bench(fake, folder)
        return
    ssh = SshAccess(private_key="key", known_hosts="known_hosts")
    real = SupervisedActions(tmp_path, ssh, tmp_path, tmp_path / "hosts.yaml")

    found = Bench(real, folder)
    yield found
    found.stop()


def test_an_action_is_absent_runs_and_ends_when_it_is_stopped(bench: Bench) -> None:
    assert bench.actions.state(bench.folder) is ActionState.ABSENT
    bench.start()
    assert bench.actions.state(bench.folder) is ActionState.RUNNING
    bench.stop()
    assert bench.actions.state(bench.folder) is ActionState.ENDED
    assert isinstance(bench.actions.exit_code(bench.folder), int)


def test_a_running_action_is_not_started_again_but_an_ended_one_is(bench: Bench) -> None:
    bench.start()
    with pytest.raises(BusyError):
        bench.start()
    bench.stop()
    bench.start()
    assert bench.actions.state(bench.folder) is ActionState.RUNNING
    bench.stop()


def test_stopping_what_does_not_run_does_nothing(bench: Bench) -> None:
    bench.actions.stop(bench.folder)
    assert bench.actions.state(bench.folder) is ActionState.ABSENT


def test_messages_and_evidence_of_what_never_ran_are_empty(bench: Bench) -> None:
    assert bench.actions.messages(bench.folder, 0) == []
    assert bench.actions.evidence(bench.folder) == []
    bench.actions.close_connections()


def test_evidence_lies_below_the_workspace(bench: Bench) -> None:
    bench.start()
    while not bench.actions.messages(bench.folder, 0) and bench.actions.state(bench.folder) is ActionState.RUNNING:
        os.sched_yield()
    bench.stop()
    evidence = bench.actions.evidence(bench.folder)
    assert "var/action/messages.jsonl" in {item.path for item in evidence}
    assert all(len(item.sha256) == 64 for item in evidence)
