"""The self-test of drills, as people run it: things are really broken, and no drill gets a hint."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from drp.lab import network
from drp.lab.plan import names_of
from drp.lab.processes import find_marked
from drp.lab.selftest.engine import workspace_of
from drp.lab.state import load
from tests.e2e.workbench import DRP, LAB_NETWORK, Running, eventually, processes_of

pytestmark = pytest.mark.e2e

QUICK = ("wrong-repository-key", "dns-update-refused", "dead-dependency")
LIMIT_SECONDS = 500


@pytest.fixture
def workspace() -> Iterator[Path]:
    from ipaddress import IPv4Network

    found = workspace_of(IPv4Network(LAB_NETWORK))
    yield found
    if found.exists():  # a test has failed: leave nothing to the next one
        subprocess.run([DRP, "-w", str(found), "lab", "down", "--purge"], check=False, timeout=400)
        subprocess.run(["rm", "-rf", str(found)], check=True)


def selftest(workspace: Path, tmp_path: Path, *arguments: str) -> Running:
    argv = [str(DRP), "drill", "selftest", "--network", LAB_NETWORK, *arguments]
    return Running(argv, os.environ, tmp_path / "selftest")


def leftovers(workspace: Path) -> list[str]:
    names = names_of(workspace)
    processes = [f"process {process.pid}" for process in find_marked(names.marker)]
    mounts = [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if str(workspace) in line]
    return [*processes, *network.interfaces(names), *mounts, *([str(workspace)] if workspace.exists() else [])]


@pytest.mark.timeout(900)
def test_faults_are_caught_and_a_control_is_green(workspace: Path, tmp_path: Path) -> None:
    running = selftest(workspace, tmp_path, "--seed", "3", "--controls", "1", "--json", *QUICK)
    done = running.end(limit_seconds=850)
    found = json.loads(done.stdout)
    told = f"{done.stderr}\n{done.stdout}"
    assert found["summary"] == "3 of 3 faults caught, 1 of 1 controls green", told
    assert (done.code, found["exit_code"], found["seed"]) == (0, 0, 3)
    assert sorted(item["fault"] for item in found["drills"]) == sorted(["", *QUICK])
    causes = {item["fault"]: item["cause"] for item in found["drills"]}
    assert "the repository password is wrong" in causes["wrong-repository-key"]
    assert "the name server refused" in causes["dns-update-refused"]
    assert "drc-app-1" in causes["dead-dependency"]
    assert {item["exit_code"] for item in found["drills"] if item["fault"]} == {4}
    assert leftovers(workspace) == []


@pytest.mark.timeout(900)
def test_what_a_killed_self_test_leaves_is_mended_by_the_next_command(workspace: Path, tmp_path: Path) -> None:
    """Killed in the middle of a drill under a fault: the drill goes on by itself, and the password is a wrong one."""
    running = selftest(workspace, tmp_path, "--controls", "0", "wrong-repository-key")
    running.until("fault wrong-repository-key of service pengaduan", LIMIT_SECONDS)
    password = workspace / "var/lab/secrets/pengaduan-repository-password"
    wrong = password.read_text()
    folders = workspace / "var/runs"
    eventually(lambda: list(folders.glob("drill-*/pengaduan-restore/pid")), "a drill is at work", LIMIT_SECONDS)
    running.process.send_signal(signal.SIGKILL)
    running.process.wait()

    state = load(names_of(workspace))
    assert state is not None
    assert state.fault is not None
    assert state.fault["name"] == "wrong-repository-key"
    mended = subprocess.run([DRP, "-w", str(workspace), "lab", "mend"], capture_output=True, text=True, timeout=400)
    assert mended.returncode == 0, mended.stderr
    assert "fault wrong-repository-key: mended" in mended.stderr
    assert password.read_text() != wrong
    again = subprocess.run([DRP, "-w", str(workspace), "lab", "mend"], capture_output=True, text=True, timeout=400)
    assert "nothing is broken on purpose" in again.stderr

    (run,) = {path.name for path in folders.glob("drill-*")}
    cleared = selftest(workspace, tmp_path, "--controls", "0", "wrong-repository-key")
    cleared.until("a lab of its own in", LIMIT_SECONDS)  # what was left is gone by then
    assert processes_of(run) == []
    cleared.end(signal.SIGINT, limit_seconds=400)
    assert leftovers(workspace) == []
