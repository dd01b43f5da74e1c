"""`drp daemon` as systemd runs it: a process of its own, a real notification socket, real files that change."""

from __future__ import annotations

import os
import re
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import pytest

from drp.adapters.ledger import SqliteLedger
from drp.adapters.lock import FileLocks
from drp.adapters.template import write_template
from drp.domain.values import from_stamp
from drp.errors import BusyError
from tests.e2e.workbench import eventually
from tests.fakes.city import NOW

pytestmark = pytest.mark.integration

LIMIT_SECONDS = 180
WATCHDOG_SECONDS = 4.0
"""Of a machine that does much else: a sign comes after half of it."""


@dataclass
class Daemon:
    """The process, and what it has told: to the socket and to people."""

    process: subprocess.Popen[str]
    workspace: Path
    told: list[tuple[float, str]] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    def until(self, condition: Callable[[], bool], what: str) -> None:
        limit = time.monotonic() + LIMIT_SECONDS
        while not condition():
            assert self.process.poll() is None, f"the daemon ended: {self.said}"
            assert time.monotonic() < limit, f"waited in vain for {what}: {self.told[-3:]}, {self.said}"
            time.sleep(0.05)

    def has_said(self, text: str) -> bool:
        return any(text in line for line in self.said)

    def has_told(self, pattern: str, since: float = 0.0) -> bool:
        return any(re.search(pattern, message) for at, message in list(self.told) if at >= since)

    @property
    def processor_seconds(self) -> float:
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def listen(receiver: socket.socket, daemon: Daemon) -> None:
    while message := receiver.recv(4096):
        daemon.told.append((time.monotonic(), message.decode()))


def read(daemon: Daemon) -> None:
    assert daemon.process.stderr is not None
    daemon.said.extend(iter(daemon.process.stderr.readline, ""))


@pytest.fixture
def daemon() -> Iterator[Daemon]:
    """A daemon over a new workspace; its only service has no password file, so that each backup fails at once."""
    with tempfile.TemporaryDirectory(prefix="drp daemon ") as folder:
        workspace = Path(folder) / "kota"
        write_template(workspace)
        settings = workspace / "drp.yaml"
        settings.write_text(settings.read_text() + "\nbackups: {retry: {first: 1s, longest: 1s}}\n")
        path = Path(folder) / "notify"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
            receiver.bind(str(path))
            environment = os.environ | {"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": str(int(WATCHDOG_SECONDS * 1e6))}
            command = [sys.executable, "-m", "drp", "-w", str(workspace), "daemon"]
            process = subprocess.Popen(
                command, env=environment, text=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
            )
            found = Daemon(process, workspace)
            threads = [
                threading.Thread(target=listen, args=(receiver, found)),
                threading.Thread(target=read, args=(found,)),
            ]
            for thread in threads:
                thread.start()
            try:
                yield found
            finally:
                process.kill()
                process.wait()
                with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                    sender.sendto(b"", str(path))
                for thread in threads:
                    thread.join()
                assert process.stderr is not None
                process.stderr.close()


def test_it_tells_the_manager_how_it_does_and_ends_cleanly_when_told(daemon: Daemon) -> None:
    daemon.until(lambda: daemon.has_told("^READY=1"), "READY")
    daemon.until(lambda: daemon.has_said("example: backup FAILED"), "a first backup")
    daemon.until(lambda: sum("WATCHDOG=1" in message for _, message in daemon.told) >= 4, "the watchdog's signs")
    signs = [at for at, message in daemon.told if "WATCHDOG=1" in message]
    assert max(after - before for before, after in pairwise(signs)) < WATCHDOG_SECONDS
    daemon.until(lambda: daemon.has_told(r"^STATUS=.*backup: next"), "a status")

    with pytest.raises(BusyError):
        FileLocks(daemon.workspace / "var" / "locks").acquire("daemon", "the test")

    daemon.process.send_signal(signal.SIGTERM)
    assert daemon.process.wait(LIMIT_SECONDS) == 0
    eventually(lambda: daemon.has_told("^STOPPING=1"), "what it told last is read")
    assert not daemon.has_said("Traceback")


def test_a_failing_backup_is_tried_again_and_the_processor_is_left_alone(daemon: Daemon) -> None:
    daemon.until(lambda: daemon.has_said("retry 2"), "a second retry")
    used, started = daemon.processor_seconds, time.monotonic()
    daemon.until(lambda: time.monotonic() - started > 4, "four seconds")
    seconds = time.monotonic() - started
    assert daemon.processor_seconds - used < seconds / 2, "it must sleep between its looks"
    ledger = SqliteLedger(daemon.workspace / "var" / "ledger.sqlite3", lambda: NOW)
    runs = ledger.runs(kinds=("backup",))
    ledger.close()
    opened = sorted(from_stamp(run.opened_at) for run in runs)
    assert len(opened) >= 3
    gaps = [(after - before).total_seconds() for before, after in pairwise(opened)]
    assert min(gaps) >= 1, "the back-off is kept"


def test_faulty_files_leave_those_before_in_force_until_they_are_mended(daemon: Daemon) -> None:
    daemon.until(lambda: daemon.has_said("example: backup FAILED"), "a first backup")
    path = daemon.workspace / "inventories" / "services" / "example.yaml"
    good = path.read_text()
    path.write_text(good.replace("daily 02:00", "every full moon"))
    daemon.until(lambda: daemon.has_said("those before stay in force"), "word of the fault")
    daemon.until(lambda: daemon.has_said("every full moon"), "the fault itself")
    daemon.until(lambda: daemon.has_told("^STATUS=FAULTY FILES"), "a status of the fault")
    before = sum("is due" in line for line in daemon.said)
    daemon.until(lambda: sum("is due" in line for line in daemon.said) > before, "work by the files before")
    path.write_text(good)
    daemon.until(lambda: daemon.has_said("were read again"), "word of the mending")


def test_a_disk_that_takes_nothing_is_told_and_outlived(daemon: Daemon) -> None:
    daemon.until(lambda: daemon.has_said("retry 1"), "a first retry")
    _, hard = resource.prlimit(daemon.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(daemon.process.pid, resource.RLIMIT_FSIZE, (0, hard))
    daemon.until(lambda: daemon.has_said("the ledger cannot be used"), "word of the full disk")
    before = sum("No such file" in line for line in daemon.said)
    resource.prlimit(daemon.process.pid, resource.RLIMIT_FSIZE, (hard, hard))
    daemon.until(lambda: sum("No such file" in line for line in daemon.said) > before, "work with the disk freed")
    assert not daemon.has_said("Traceback")
