"""What happens to a backup that is under way: a host restarts, the DR centre's disk fills up, a clock jumps. Each time
nothing is lost or half kept, and the next backup is good."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest

from drp.lab import city
from tests.e2e.workbench import (
    PRIMARY,
    PRIMARY_NAME,
    REPOSITORY,
    SERVICE,
    Running,
    Workbench,
    eventually,
    size_below,
    told,
)

pytestmark = pytest.mark.integration
IS_WATCHED = False

SLOW_DUMP = """#!/bin/sh
test "$1" = --version && exec /usr/bin/pg_dump --version
echo $$ >/tmp/dump.pid
while ! test -e /tmp/go; do sleep 0.05; done
exec /usr/bin/pg_dump "$@"
"""


@pytest.fixture
def known(bench: Workbench) -> list[str]:
    if not bench.points():
        bench.back_up()
    return bench.points()


@pytest.fixture
def slow_dump(bench: Workbench) -> Iterator[None]:
    clean = "rm -f /tmp/dump.pid /tmp/go"
    with bench.program("pg_dump", SLOW_DUMP), bench.on_host(PRIMARY, clean, clean):
        yield


def the_dump_runs(bench: Workbench) -> Callable[[], bool]:
    return lambda: bool(bench.ssh(PRIMARY, "cat /tmp/dump.pid 2>/dev/null || true").strip())


def good_backup(bench: Workbench, known: list[str]) -> None:
    bench.back_up()
    assert bench.points()[1:] == known
    assert bench.locks() == []


def test_the_host_restarts_in_the_middle(bench: Workbench, known: list[str], slow_dump: None) -> None:
    """Everything on it is gone at once, and no connection is closed. The lock that restic left is its host's own and
    dead, so the next backup takes it away."""
    backup = bench.start("backup", "run", SERVICE)
    eventually(the_dump_runs(bench), "the dump runs")
    cable = bench.names.interface(PRIMARY_NAME)
    (host,) = (host for host in city.status(bench.folder).hosts if host.name == PRIMARY_NAME)
    assert host.pid is not None
    eventually(bench.locks, "restic is at work")
    subprocess.run(["ip", "link", "set", cable, "down"], check=True)
    os.kill(host.pid, signal.SIGHUP)
    subprocess.run(["ip", "link", "set", cable, "up"], check=True)
    failed = backup.end()
    assert failed.code == 12
    assert "connection to the host was lost" in told(failed)
    assert bench.points() == known
    eventually(lambda: bench.ssh(PRIMARY, "echo up", check=False) == "up\n", "it answers again")
    bench.ssh(PRIMARY, "touch /tmp/go; service postgresql start && service pengaduan start && service nginx start")
    good_backup(bench, known)


def test_the_dr_centres_disk_is_full(bench: Workbench, known: list[str]) -> None:
    """A small disk is put in the DR centre's place. What did not fit is no restore point; with room all is well."""
    stored, aside = bench.folder / "var/lab/s3/drc", bench.folder / "stored"
    size = size_below(stored) // 1024 + 40_000
    city.stop_dr_centre(bench.folder)
    stored.rename(aside)
    stored.mkdir(mode=0o700)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}k,mode=700", "tmpfs", stored], check=True)
    try:
        subprocess.run(["cp", "--archive", f"{aside}/.", stored], check=True)
        city.start_dr_centre(bench.folder)
        large = bench.on_host(PRIMARY, "head -c 80M /dev/urandom >/srv/pengaduan/large", "rm /srv/pengaduan/large")
        with large, bench.declared("  dr_centre: drc\n", "  dr_centre: drc\n  stall_timeout: 20s\n"):
            failed = bench.back_up(code=(1, 12))
        assert bench.points() == known
        message = told(failed)
        assert "its storage may be full" in message or "no space" in message, message
        city.stop_dr_centre(bench.folder)
        shutil.rmtree(aside)
        shutil.copytree(stored, aside)
    finally:
        city.stop_dr_centre(bench.folder)
        subprocess.run(["umount", stored], check=True)
        stored.rmdir()
        aside.rename(stored)
        city.start_dr_centre(bench.folder)
    good_backup(bench, known)


@pytest.mark.parametrize("hours", [1, -1])
def test_the_control_nodes_clock_jumps(bench: Workbench, known: list[str], slow_dump: None, hours: int) -> None:
    """drp's own clock jumps an hour while a backup runs. The restore point's times are those of the data and of the DR
    centre; the next backup is one more, and counts as newer."""
    shift = bench.folder / "clock"
    shift.write_text("0")
    started = datetime.now(UTC)
    argv = [sys.executable, "-m", "tests.fakes.jumping_clock", str(shift), *bench.argv("backup", "run", SERVICE)[1:]]
    backup = Running(argv, bench.environment(PYTHONPATH=str(REPOSITORY)), bench.folder / "drp-jumping-clock")
    bench.started.append(backup)
    eventually(the_dump_runs(bench), "the dump runs")
    shift.write_text(str(hours))
    bench.ssh(PRIMARY, "touch /tmp/go")
    done = backup.end()
    assert done.code == 0, done.stderr
    with bench.ledger() as ledger:
        point = ledger.restore_points(SERVICE)[0]
    assert started - timedelta(seconds=5) <= point.sentinel_at <= datetime.now(UTC)
    assert point.arrived_at <= datetime.now(UTC) + timedelta(seconds=5)
    assert bench.points()[1:] == known
    good_backup(bench, bench.points())
