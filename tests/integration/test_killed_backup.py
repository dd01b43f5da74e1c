"""drp is killed with -9 at random moments of a backup, alone or with what it started. Whatever was hit: the next
`drp backup run` ends well, nothing runs twice, no lock stays, and every restore point is whole."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.workbench import PRIMARY, SERVICE, Running, Workbench, eventually, processes_of

pytestmark = [pytest.mark.integration, pytest.mark.e2e]
IS_WATCHED = False
SEED = int(os.environ.get("DRP_TEST_SEED") or random.SystemRandom().randrange(10**6))
MOMENTS = int(os.environ.get("DRP_TEST_MOMENTS") or 12)


def kill(*processes: int) -> None:
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)


def drp_alone(backup: Running, _files: list[Path]) -> None:
    kill(backup.process.pid)


def drp_and_supervisor(backup: Running, files: list[Path]) -> None:
    kill(backup.process.pid, *(int(path.read_text().split()[0]) for path in files))


def drp_and_worker(backup: Running, files: list[Path]) -> None:
    kill(backup.process.pid, *(int(path.read_text().split()[1]) for path in files))


def everything(backup: Running, files: list[Path]) -> None:
    """As when the control node loses power: also the connection to the host."""
    kill(backup.process.pid)
    for path in files:
        kill(*processes_of(path.parents[1].name))


VICTIMS: tuple[Callable[[Running, list[Path]], None], ...] = (
    drp_alone,
    drp_and_supervisor,
    drp_and_worker,
    everything,
)


def process_files(bench: Workbench) -> list[Path]:
    """The files with the process numbers of actions that have not ended."""
    files = (bench.folder / "var/runs").glob("backup-*/*/pid")
    return [path for path in files if not (path.parent / "exit_code").exists()]


def whole_and_single(bench: Workbench, known: int) -> None:
    """The ledger is sound, each restore point's snapshots are at the DR centre, and no part was made twice."""
    stored = {path.name for path in (bench.repository() / "snapshots").iterdir()}
    with bench.ledger() as ledger:
        rows = ledger.runs(kinds=("backup",))
        points = {point.id: point for point in ledger.restore_points(SERVICE)}
        for row in rows[: len(rows) - known]:
            ledger.verify(row.run)
            assert row.closed_at is not None, row
            assert (row.outcome == "done") == (row.run in points), row
            started = Counter(
                event.body["action"] for event in ledger.events(row.run) if event.type == "action.started"
            )
            assert all(count == 1 for count in started.values()), (row.run, started)
    for point in points.values():
        assert {part.snapshot for part in point.snapshots} <= stored, point.id


def test_drp_killed_at_random_moments(bench: Workbench) -> None:
    """At least half of the moments are in the middle of a backup. More of them find more: DRP_TEST_MOMENTS."""
    print(f"seed {SEED}: run again with DRP_TEST_SEED={SEED}")
    chance = random.Random(SEED)
    bench.back_up()  # the first one also makes the repository
    started = time.monotonic()
    bench.drp("backup", "run", "--no-copy", SERVICE)
    whole = time.monotonic() - started
    known = len(bench.runs("backup"))
    adopted = cut_off = 0
    for number in itertools.count():
        if number >= MOMENTS and cut_off >= MOMENTS // 2 and adopted:
            break
        assert number < 4 * MOMENTS, f"of {number} moments {cut_off} were in the middle, {adopted} were taken up again"
        victim = VICTIMS[number % len(VICTIMS)]
        backup = bench.start("backup", "run", "--no-copy", SERVICE)
        time.sleep(chance.uniform(0, whole))
        victim(backup, process_files(bench))
        backup.process.wait()
        cut_off += any(row.closed_at is None for row in bench.runs("backup"))
        started = time.monotonic()
        again = bench.drp("backup", "run", "--no-copy", SERVICE)
        if "going on with" in again.stderr:
            adopted += 1
        else:  # how long one takes depends on what else this machine does by now
            whole = time.monotonic() - started
        what = f"seed {SEED}, moment {number}, {victim.__name__}"
        whole_and_single(bench, known)
        eventually(lambda: bench.locks() == [], f"no lock is left ({what})")
        eventually(lambda: all_gone(bench), f"nothing of it is at work ({what})")
        eventually(lambda: "restic" not in bench.ssh(PRIMARY, "ps -eo comm"), f"no restic is left ({what})")
    runs = Counter(
        next(tag for tag in snapshot["tags"] if tag.startswith("run:")) + str(sorted(snapshot["tags"]))
        for snapshot in json.loads(bench.restic("snapshots", "--no-lock", "--json"))
    )
    assert max(runs.values()) == 1, "a part was backed up twice in one run"
    bench.back_up()
    assert bench.restic("list", "locks", "--no-lock").split() == []
    assert "no errors were found" in bench.restic("check")


def all_gone(bench: Workbench) -> bool:
    """Those that have no result were killed: nothing of them runs."""
    return all(not processes_of(path.parents[1].name) for path in process_files(bench))
