"""Locks of real restics: a living one's stays, a dead one's goes, whatever is in between stays."""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from drp.errors import BusyError
from drp.workflows.naming import action_folder
from drp.workflows.repository_locks import look_at_locks
from drp.workflows.retention import forget, prune
from tests.fakes.real_restic import HOST, SERVICE, Bench
from tests.fakes.world import SECRET
from tests.integration.repositories.conftest import MakeBench
from tests.integration.repositories.test_retention import LOOSE, days_ago

pytestmark = pytest.mark.integration


@contextlib.contextmanager
def running(bench: Bench, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """A restic that has made its lock."""
    known = set(bench.locks())
    process = subprocess.Popen(
        [str(bench.restic_program), "-r", str(bench.repository), *arguments],
        env={"RESTIC_PASSWORD": SECRET, "RESTIC_CACHE_DIR": str(bench.folder / "cache"), "PATH": "/usr/bin:/bin"},
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdin is not None
    with process.stdin:
        try:
            end = time.monotonic() + 180
            while set(bench.locks()) == known:
                assert process.poll() is None, "it ended without a lock"
                assert time.monotonic() < end, "it made no lock"
                time.sleep(0.001)
            yield process
        finally:
            process.kill()
            process.wait()


def locks_of(bench: Bench, *, remove_dead: bool = False) -> Any:
    (result,) = look_at_locks(bench.world, [SERVICE], remove_dead=remove_dead)
    assert result.error is None
    return result.body["locks"]


def present(bench: Bench) -> None:
    """restic dates its locks by the machine's clock."""
    bench.clock.at = datetime.now(UTC)


def test_a_living_ones_lock_is_never_removed(make_bench: MakeBench) -> None:
    bench = make_bench(retention=LOOSE | {"last": 1})
    runs = [bench.back_up(days_ago(age)) for age in (9, 8)]
    present(bench)
    with running(bench, "backup", "--stdin") as restic:
        (lock,) = locks_of(bench, remove_dead=True)
        assert (lock["pid"], lock["is_dead"], lock["removed"], lock["exclusive"]) == (restic.pid, False, False, False)
        (result,) = forget(bench.world, [SERVICE])
        assert isinstance(result.error, BusyError)
        assert f"process {restic.pid}" in str(result.error)
        assert bench.locks() == [lock["id"]]
        assert bench.store.removed == []
        assert bench.points() == runs[::-1]
        restic.kill()
        restic.wait()
        (result,) = forget(bench.world, [SERVICE])
    assert result.error is None
    assert bench.store.removed == [lock["id"]]
    assert bench.points() == runs[1:]
    assert bench.locks() == []


def test_what_a_killed_prune_left_is_removed_by_the_next_with_the_proof(make_bench: MakeBench) -> None:
    bench = make_bench()
    bench.back_up(days_ago(9))
    present(bench)
    with running(bench, "prune") as restic:
        restic.kill()
        restic.wait()
    (lock,) = bench.locks()
    (result,) = prune(bench.world, [SERVICE])
    assert result.error is None
    (event,) = [event for event in bench.ledger.events(result.run) if event.type == "lock.removed"]
    assert event.body["lock"]["id"] == lock
    assert event.body["lock"]["exclusive"]
    assert f"no restic with process number {restic.pid}" in event.body["proof"]
    assert bench.locks() == []


def test_a_dead_lock_stays_while_any_run_of_drp_is_at_work_on_the_service(make_bench: MakeBench) -> None:
    bench = make_bench()
    bench.back_up(days_ago(9))
    present(bench)
    with running(bench, "prune") as restic:
        restic.kill()
        restic.wait()
    bench.ledger.open_run("backup-x", "backup", "0" * 64, [SERVICE], {})
    folder = action_folder(bench.world, "backup-x", HOST)
    folder.mkdir(parents=True)
    bench.actions.running.add(folder)
    (lock,) = locks_of(bench, remove_dead=True)
    assert not lock["is_dead"]
    assert lock["why"] == "backup-x is at work"
    bench.actions.running.clear()
    (lock,) = locks_of(bench)
    assert (lock["is_dead"], lock["removed"]) == (True, False)
    (lock,) = locks_of(bench, remove_dead=True)
    assert (lock["is_dead"], lock["removed"]) == (True, True)
    assert locks_of(bench) == []
