"""Upkeep in the lab: over SSH, at the DR centre's S3, by the recovery stand-in; also while drp is killed."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.e2e.workbench import PRIMARY, RECOVERY, RECOVERY_NAME, SERVICE, Workbench, eventually, told

pytestmark = pytest.mark.integration
IS_WATCHED = False
RETENTION = "  retention: {last: 1, minimum_points: 1, minimum_age: 0s}\n"
SLOW_CHECK = """#!/bin/sh
case " $* " in *" check "*) touch /tmp/checking; while ! test -e /tmp/go; do sleep 0.05; done;; esac
exec /usr/bin/restic "$@"
"""

# Nothing from the cache and little from the line: it works until the test has seen its lock.
SLOW_PRUNE = """#!/bin/sh
case " $* " in *" prune "*)
  /usr/bin/restic --no-cache --limit-download 1 "$@" & echo $! >/tmp/prune.pid
  wait $!; exit $?;; esac
exec /usr/bin/restic "$@"
"""
SLOW_RESTORE = """#!/bin/sh
test "$1" = --version && exec /usr/bin/pg_restore --version
touch /tmp/restoring
while ! test -e /tmp/go; do sleep 0.05; done
exec /usr/bin/pg_restore "$@"
"""
TO_PRUNE = "until test -s /tmp/prune.pid; do sleep 0.05; done; kill -{} $(cat /tmp/prune.pid)"


@pytest.fixture(scope="module")
def points(bench: Workbench) -> list[str]:
    for _ in range(2):
        bench.back_up()
    return bench.points()


def test_upkeep(bench: Workbench, points: list[str]) -> None:
    """Forget, prune, check and spot check, one after the other, and nothing left behind on any host."""
    snapshots = len(list((bench.repository() / "snapshots").iterdir()))
    with bench.declared("  dr_centre: drc\n", "  dr_centre: drc\n" + RETENTION):
        preview = bench.drp("backup", "forget", SERVICE, "--dry-run")
        assert "goes" in preview.stdout
        assert bench.points() == points
        bench.drp("backup", "hold", points[-1], "--reason", "audit")
        (result,) = bench.drp("backup", "forget", SERVICE, "--json").json()
        assert points[-1] in bench.points()
        bench.drp("backup", "release", points[-1], "--reason", "audit closed")
        (result,) = bench.drp("backup", "forget", SERVICE, "--json").json()
        assert points[-1] in result["result"]["forgotten"]
    assert bench.points()[0] == points[0]
    assert points[-1] not in bench.points()
    assert len(list((bench.repository() / "snapshots").iterdir())) < snapshots
    (pruned,) = bench.drp("backup", "prune", SERVICE, "--json").json()
    assert pruned["result"]["repositories"][0]["good"]
    (checked,) = bench.drp("backup", "check", SERVICE, "--all", "--json").json()
    assert checked["result"]["repositories"][0]["parts"] == [[1, 1]]
    started = [event for event in bench.events(checked["run"]) if event["type"] == "action.started"]
    assert [event["body"]["host"] for event in started] == [RECOVERY_NAME]
    (compared,) = bench.drp("backup", "check", SERVICE, "--source", "--json").json()
    assert sum(part["compared"] for part in compared["result"]["parts"]) > 0
    assert bench.locks() == []
    for address in (PRIMARY, RECOVERY):
        assert bench.ssh(address, "ls -d /root/.cache/drp/check-* 2>/dev/null || true") == ""


def test_a_killed_drp_finds_its_check_again(bench: Workbench, points: list[str]) -> None:
    clean = "rm -f /tmp/checking /tmp/go"
    with bench.program("restic", SLOW_CHECK, RECOVERY):
        bench.ssh(RECOVERY, clean)
        checking = bench.start("backup", "check", SERVICE)
        eventually(
            lambda: bench.ssh(RECOVERY, "ls /tmp/checking 2>/dev/null || true").strip() or None, "the check runs"
        )
        run = bench.open_run("check")
        checking.end(signal.SIGKILL)
        # A backup is kept from nothing by a check, and a forget waits for it.
        bench.back_up()
        with bench.declared("  dr_centre: drc\n", "  dr_centre: drc\n" + RETENTION):
            assert "has not ended" in told(bench.drp("backup", "forget", SERVICE, code=11))
        bench.ssh(RECOVERY, "touch /tmp/go")
        (done,) = bench.drp("backup", "check", SERVICE, "--json").json()
        bench.ssh(RECOVERY, clean)
    assert done["run"] == run
    assert [row.outcome for row in bench.runs("check")[:1]] == ["done"]


def test_a_dead_lock_of_another_host_lets_the_next_run_in(bench: Workbench, points: list[str]) -> None:
    """An exclusive lock that a killed prune left: restic itself would keep all backups out for half an hour."""
    bench.ssh(RECOVERY, "rm -f /tmp/prune.pid")
    with bench.program("restic", SLOW_PRUNE, RECOVERY):
        pruning = bench.start("backup", "prune", SERVICE)
        lock = eventually(lambda: bench.locks() or None, "prune has made its lock")[0]
        bench.ssh(RECOVERY, TO_PRUNE.format("KILL"))
        pruning.end()
    assert bench.locks() == [lock]
    (listed,) = bench.drp("backup", "locks", SERVICE, "--json").json()
    (found,) = listed["result"]["locks"]
    assert (found["id"], found["is_dead"], found["exclusive"]) == (lock, True, True)
    assert "is dead; drp has removed its lock" in told(bench.back_up(code=11))
    assert bench.locks() == []
    bench.back_up()
    bench.drp("backup", "prune", SERVICE)
    assert bench.locks() == []


def test_no_restore_begins_while_a_prune_runs_and_no_prune_beside_a_restore(
    bench: Workbench, points: list[str], tmp_path: Path
) -> None:
    """All of them read without restic's lock, which would have kept them apart."""
    bench.ssh(RECOVERY, "rm -f /tmp/prune.pid; service postgresql start")
    with bench.program("restic", SLOW_PRUNE, RECOVERY):
        pruning = bench.start("backup", "prune", SERVICE)
        eventually(lambda: bench.locks() or None, "prune has made its lock")
        bench.ssh(RECOVERY, TO_PRUNE.format("STOP"))  # it holds its lock for as long as the test needs
        run = bench.open_run("prune")
        for arguments in (
            ("restore", "test", SERVICE),
            ("restore", SERVICE, "--scratch", "/var/tmp/drp-look/here"),
            ("restore", SERVICE, "--dataset", "database", "--to", RECOVERY_NAME),
            ("restore", "list", SERVICE),
            ("restore", "download", SERVICE, "/pengaduan.database.pgdump", "-o", str(tmp_path / "dump")),
        ):
            assert f"{run} removes data at the DR centre" in told(bench.drp(*arguments, code=11))
        assert bench.runs("restore-test") == []
        assert list(tmp_path.iterdir()) == []
        bench.ssh(RECOVERY, f"{TO_PRUNE.format('INT')}; {TO_PRUNE.format('CONT')}")
        pruning.end()
    with bench.program("pg_restore", SLOW_RESTORE, RECOVERY):
        testing = bench.start("restore", "test", SERVICE)
        eventually(lambda: bench.ssh(RECOVERY, "ls /tmp/restoring 2>/dev/null || true"), "a restore is at work")
        assert "restore-test" in told(bench.drp("backup", "prune", SERVICE, code=11))
        bench.ssh(RECOVERY, "touch /tmp/go")
        assert testing.end().code == 0
        bench.ssh(RECOVERY, "rm -f /tmp/go /tmp/restoring")
    bench.drp("backup", "prune", SERVICE)


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_damage_at_the_dr_centre_ends_with_13_and_is_in_the_status(bench: Workbench, points: list[str]) -> None:
    packs = [path for path in (bench.repository() / "data").rglob("*") if path.is_file()]
    victim = max(packs, key=lambda path: path.stat().st_size)
    content = victim.read_bytes()
    flip(victim)
    try:
        failed = bench.drp("backup", "check", SERVICE, "--all", code=13)
        assert victim.name in told(failed)
        assert "cannot be trusted" in told(failed)
        assert "distrusted" in bench.drp("backup", "list", SERVICE).stdout
    finally:
        victim.write_bytes(content)
    bench.drp("backup", "check", SERVICE, "--all")
    assert "distrusted" not in bench.drp("backup", "list", SERVICE).stdout
