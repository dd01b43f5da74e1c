"""`up` is killed at every step, and its state is torn or lost: `down` leaves nothing, and `up` then works."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from drp.errors import IntegrityError
from drp.lab import city
from drp.lab.plan import LabPlan, plan_to_json

pytestmark = pytest.mark.integration

UP = """
import json, os, signal, sys
from drp.lab import city
from drp.lab.plan import plan_from_json
plan, lines = plan_from_json(json.loads(sys.stdin.read())), 0
def say(line):
    global lines
    lines += 1
    if lines == int(sys.argv[1]):
        os.kill(os.getpid(), signal.SIGKILL)
city.up(plan, say=say)
"""


def silent(line: str) -> None:
    del line


def start_up(plan: LabPlan, *, kill_at_line: int = 0) -> subprocess.Popen[str]:
    argv = [sys.executable, "-c", UP, str(kill_at_line)]
    process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    assert process.stdin is not None
    process.stdin.write(json.dumps(plan_to_json(plan)))
    process.stdin.close()
    return process


@pytest.mark.parametrize("line", [1, 2, 3, 4, 5, 6])
def test_killed_at_a_step(new_plan: LabPlan, leftovers_of: Callable[[Path], list[str]], line: int) -> None:
    assert start_up(new_plan, kill_at_line=line).wait(300) == -signal.SIGKILL
    city.down(new_plan.workspace, say=silent)
    assert leftovers_of(new_plan.workspace) == []


@pytest.mark.parametrize("seconds", [0.3, 0.5, 0.7, 0.9, 1.2, 1.6, 2.2, 3.0, 4.0])
def test_killed_at_any_moment(new_plan: LabPlan, leftovers_of: Callable[[Path], list[str]], seconds: float) -> None:
    process = start_up(new_plan)
    time.sleep(seconds)  # the moment itself is what varies: nothing is waited for
    process.kill()
    process.wait(300)
    city.down(new_plan.workspace, say=silent)
    assert leftovers_of(new_plan.workspace) == []


def test_up_goes_on_after_it_was_killed(new_plan: LabPlan) -> None:
    assert start_up(new_plan, kill_at_line=4).wait(300) == -signal.SIGKILL
    assert start_up(new_plan, kill_at_line=4).wait(300) == -signal.SIGKILL
    city.up(new_plan, say=silent)
    status = city.status(new_plan.workspace)
    assert [host.state for host in status.hosts] == ["up", "up"]
    assert status.clients[0].up


def test_a_service_interrupted_while_it_was_installed_is_installed_again(new_plan: LabPlan) -> None:
    process = start_up(new_plan)
    state = new_plan.workspace / "var/lab/state.json"
    end = time.monotonic() + 180  # other tests run beside this one
    try:
        while not (state.exists() and '"pengaduan": {\n   "phase": "intended"' in state.read_text()):
            assert time.monotonic() < end
            time.sleep(0.01)
    finally:
        process.kill()
        process.wait(300)
    city.up(new_plan, say=silent)
    assert city.status(new_plan.workspace).clients[0].up


@pytest.mark.parametrize("content", [None, b"", b'{"schema": 1, "plan": {'])
def test_down_without_the_state(
    new_plan: LabPlan, leftovers_of: Callable[[Path], list[str]], content: bytes | None
) -> None:
    city.up(new_plan, say=silent)
    state = new_plan.workspace / "var/lab/state.json"
    if content is None:
        state.unlink()
    else:
        state.write_bytes(content)
        with pytest.raises(IntegrityError):
            city.status(new_plan.workspace)
    assert leftovers_of(new_plan.workspace) != []
    city.down(new_plan.workspace, say=silent)
    assert leftovers_of(new_plan.workspace) == []


def test_down_keeps_data_unless_it_is_told_to_purge(new_plan: LabPlan) -> None:
    city.up(new_plan, say=silent, clients=False)
    stored = new_plan.workspace / "var/lab/s3/drc/drp-test/object"
    stored.write_bytes(b"kept")
    city.down(new_plan.workspace, say=silent)
    assert stored.read_bytes() == b"kept"
    said: list[str] = []
    city.down(new_plan.workspace, say=said.append, purge=True)
    assert said[0] == "the lab was down already"
    assert [path.name for path in (new_plan.workspace / "var/lab").iterdir()] == ["lock"]


def test_down_ends_no_stranger(new_plan: LabPlan) -> None:
    """A process that has a lost host's pid by now is not the lab's."""
    city.up(new_plan, say=silent, clients=False)
    state = new_plan.workspace / "var/lab/state.json"
    with subprocess.Popen(["sleep", "600"]) as stranger:
        data = json.loads(state.read_text())
        data["hosts"]["app-1"]["process"]["pid"] = stranger.pid
        state.write_text(json.dumps(data))
        city.down(new_plan.workspace, say=silent)
        assert stranger.poll() is None
        stranger.kill()
