"""Locks are the kernel's: they name their holder, and vanish with it."""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path

import pytest

from drp.adapters.lock import FileLocks
from drp.errors import BusyError

HOLDER = (
    "import sys; from pathlib import Path; from drp.adapters.lock import FileLocks\n"
    "FileLocks(Path(sys.argv[1])).acquire('recovery', 'drp drill')\n"
    "print('held', flush=True); sys.stdin.read()\n"
)


def test_a_lock_vanishes_with_the_process_that_is_killed(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", HOLDER, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdin is not None
    assert process.stdout.readline() == b"held\n"
    locks = FileLocks(tmp_path)
    with pytest.raises(BusyError, match="drp drill is at work here"):
        locks.acquire("recovery", "drp failover")
    process.kill()
    process.wait()
    process.stdin.close()
    process.stdout.close()
    locks.acquire("recovery", "drp failover")
    locks.release("recovery")


def test_a_shorter_holder_leaves_nothing_of_a_longer_ones_name(tmp_path: Path) -> None:
    locks = FileLocks(tmp_path)
    for holder in ("a very long holder", "short"):
        locks.acquire("x", holder)
        locks.release("x")
    assert (tmp_path / "x.lock").read_text() == "short"


def test_lock_files_are_for_their_user_alone(tmp_path: Path) -> None:
    locks = FileLocks(tmp_path / "locks")
    locks.acquire("x", "holder")
    assert stat.S_IMODE((tmp_path / "locks").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "locks/x.lock").stat().st_mode) == 0o600
    locks.release("x")
