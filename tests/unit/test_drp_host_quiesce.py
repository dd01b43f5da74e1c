"""Services that are held still for a backup go on afterwards, whatever happens to the backup."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.test_drp_host import FAKES, SECRETS, Host

LIMIT_SECONDS = 20


def eventually(condition: Callable[[], Any], what: str) -> None:
    until = time.monotonic() + LIMIT_SECONDS
    while not condition():
        assert time.monotonic() < until, f"in vain: {what}"
        time.sleep(0.02)


class Bench(Host):
    """A host whose service notes what it is told to do."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.notes, self.state = folder / "notes", folder / "state"
        self.running: list[subprocess.Popen[bytes]] = []

    def note(self, word: str, then: str = "") -> list[str]:
        return ["sh", "-c", f"echo {word} >>{self.notes}; {then}"]

    def quiet(self, dump: str, limit: float = 20, **changes: Any) -> dict[str, Any]:
        quiesce = {"before": [self.note("hold")], "after": [self.note("go on")], "limit_seconds": limit} | changes
        return self.job(f"echo dump >>{self.notes}; {dump}", quiesce=[quiesce], state_directory=str(self.state))

    def start(self, job: dict[str, Any]) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.fakes.host_driver", self.programs],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            cwd=FAKES.parents[1],
        )
        self.running.append(process)
        assert process.stdin is not None
        process.stdin.write(json.dumps({"job": job, "secrets": SECRETS, "ca_pem": ""}).encode() + b"\n")
        process.stdin.flush()
        return process

    def noted(self) -> list[str]:
        return self.notes.read_text().splitlines() if self.notes.exists() else []

    def orders(self) -> list[Path]:
        return sorted(self.state.glob("*"))


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Bench]:
    found = Bench(tmp_path)
    yield found
    for process in found.running:
        process.kill()
        assert process.stdin is not None
        process.stdin.close()
        process.wait()


def events(messages: list[dict[str, Any]]) -> list[str]:
    return [message["event"] for message in messages if message["event"].startswith("quiesce.")]


def test_services_are_held_still_around_the_dump(host: Bench) -> None:
    messages = host.carry_out(host.quiet("printf x"))
    assert host.noted() == ["hold", "dump", "go on"]
    assert events(messages) == ["quiesce.started", "quiesce.resumed"]
    assert messages[-1]["result"]["quiesce"]["failed"] == []
    assert host.orders() == []
    assert host.state.stat().st_mode & 0o777 == 0o700


def test_a_failed_dump_lets_them_go_on(host: Bench) -> None:
    assert host.trouble(host.quiet("exit 3"))["kind"] == "dump"
    assert host.noted() == ["hold", "dump", "go on"]
    assert host.orders() == []


def test_a_command_before_that_fails_ends_the_backup_and_lets_them_go_on(host: Bench) -> None:
    trouble = host.trouble(host.quiet("printf x", before=[host.note("hold"), host.note("lock", "exit 4")]))
    assert (trouble["kind"], "ended with 4" in trouble["text"]) == ("quiesce", True)
    assert host.noted() == ["hold", "lock", "go on"]
    assert not host.has("committed")


def test_the_limit_lets_them_go_on_in_the_middle_and_the_backup_fails(host: Bench) -> None:
    until_resumed = f"until grep -q 'go on' {host.notes}; do sleep 0.05; done"
    trouble = host.trouble(host.quiet(until_resumed, limit=1))
    assert (trouble["kind"], "limit" in trouble["text"]) == ("quiesce", True)
    assert host.noted() == ["hold", "dump", "go on"]


def test_a_resume_that_fails_is_told_and_the_data_is_good(host: Bench) -> None:
    job = host.quiet("printf x", after=[host.note("go on", "exit 5"), host.note("open the doors")])
    messages = host.carry_out(job)
    assert host.noted() == ["hold", "dump", "go on", "open the doors"], "each is tried"
    assert events(messages)[-1] == "quiesce.resume_failed"
    assert messages[-1]["event"] == "result"
    assert messages[-1]["result"]["quiesce"]["failed"] == ["sh ended with 5"]
    assert len(host.orders()) == 1, "somebody still has to resume"


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, None])
def test_a_program_that_is_killed_or_left_alone_lets_them_go_on(host: Bench, how: signal.Signals | None) -> None:
    process = host.start(host.quiet("exec sleep 1000", limit=600))
    eventually(lambda: host.noted() == ["hold", "dump"], "the dump runs")
    if how is None:
        assert process.stdin is not None
        process.stdin.close()
    else:
        process.send_signal(how)
    eventually(lambda: host.noted() == ["hold", "dump", "go on"], "the services go on")
    eventually(lambda: host.orders() == [], "the order is carried out")
    assert not host.has("committed")


def guards(host: Bench) -> list[int]:
    """The processes that hold an order of this host's."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            held = [os.readlink(descriptor) for descriptor in (entry / "fd").iterdir()]
        except OSError:
            continue
        if any(path.startswith(str(host.state)) for path in held):
            found.append(int(entry.name))
    return found


def test_what_a_lost_guard_left_is_done_first_by_the_next_backup(host: Bench) -> None:
    process = host.start(host.quiet("exec sleep 1000", limit=600))
    eventually(lambda: host.noted() == ["hold", "dump"], "the dump runs")
    for pid in guards(host):
        os.kill(pid, signal.SIGKILL)
    process.kill()
    process.wait()
    host.notes.unlink()
    messages = host.carry_out(host.job("printf x", run="run-2", state_directory=str(host.state)))
    assert host.noted() == ["go on"]
    told = next(message for message in messages if message["event"] == "quiesce.resumed")
    assert (told["why"], told["earlier_run"]) == ("left over", "run-1")
    assert host.orders() == []


def test_a_guard_that_is_lost_alone_is_replaced(host: Bench) -> None:
    process = host.start(host.quiet(f"until test -e {host.folder}/go; do sleep 0.05; done", limit=600))
    eventually(lambda: host.noted() == ["hold", "dump"], "the dump runs")
    for pid in guards(host):
        os.kill(pid, signal.SIGKILL)
    (host.folder / "go").touch()
    assert process.wait(LIMIT_SECONDS) == 1, "nobody knows how long the services were still"
    assert host.noted() == ["hold", "dump", "go on"]
    assert host.orders() == []


def test_the_guard_knows_no_secret(host: Bench) -> None:
    host.start(host.quiet("exec sleep 1000", limit=600))
    eventually(lambda: host.noted() == ["hold", "dump"], "the dump runs")
    (guard,) = guards(host)
    held = [os.readlink(descriptor) for descriptor in Path(f"/proc/{guard}/fd").iterdir()]
    assert not any("memfd" in path for path in held)
    for name in ("cmdline", "environ"):
        assert SECRETS["password"].encode() not in Path(f"/proc/{guard}/{name}").read_bytes()
