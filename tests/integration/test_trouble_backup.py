"""What goes wrong in backups: each time one clear message and a next step, no restore point, no lock, and the next
backup after mending is good."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import pytest

from drp.lab import city
from tests.e2e.workbench import (
    PRIMARY,
    PRIMARY_NAME,
    SERVICE,
    Workbench,
    eventually,
    files_below,
    processes_of,
    size_below,
    told,
)

pytestmark = pytest.mark.integration
IS_WATCHED = False
SECRETS = "var/lab/secrets"
KNOWN_HOSTS = "var/lab/ssh/known_hosts"


@dataclass(frozen=True)
class Trouble:
    """How something is broken (and mended), and what drp must say to it."""

    breaking: Callable[[Workbench], AbstractContextManager[None]]
    code: int
    says: str
    step: str


def without_primary(text: str) -> str:
    return "".join(line for line in text.splitlines(keepends=True) if not line.startswith(PRIMARY))


def with_keys_exchanged(text: str) -> str:
    first, second = (line.split(" ", 1) for line in text.splitlines())
    return f"{first[0]} {second[1]}\n{second[0]} {first[1]}\n"


@contextlib.contextmanager
def host_cut_off(bench: Workbench) -> Iterator[None]:
    cable = bench.names.interface(PRIMARY_NAME)
    subprocess.run(["ip", "link", "set", cable, "down"], check=True)
    try:
        yield
    finally:
        subprocess.run(["ip", "link", "set", cable, "up"], check=True)


@contextlib.contextmanager
def dr_centre_down(bench: Workbench) -> Iterator[None]:
    city.stop_dr_centre(bench.folder)
    try:
        yield
    finally:
        city.start_dr_centre(bench.folder)


@contextlib.contextmanager
def dr_centre_down_and_not_waited_for(bench: Workbench) -> Iterator[None]:
    with impatient(bench), dr_centre_down(bench):
        yield


def impatient(bench: Workbench) -> AbstractContextManager[None]:
    """The service's file gives a transfer that stands still five seconds instead of five minutes."""
    return bench.declared("  dr_centre: drc\n", "  dr_centre: drc\n  stall_timeout: 5s\n")


@contextlib.contextmanager
def full(bench: Workbench, folder: str) -> Iterator[None]:
    """Fill a file system of the host, and let production rest: the lack of space is to hit drp, not the application."""
    fill = f"head -c 4G /dev/zero >{folder}/full 2>/dev/null || true; df --output=avail {folder} | tail -n 1"
    with bench.quiet():
        try:
            assert int(bench.ssh(PRIMARY, fill)) < 64
            yield
        finally:
            bench.ssh(PRIMARY, f"rm {folder}/full")


@contextlib.contextmanager
def repository_gone(bench: Workbench) -> Iterator[None]:
    """The DR centre has lost the repository. It is stopped meanwhile, since it remembers what it had."""
    aside = bench.folder / "repository"
    with dr_centre_down(bench):
        shutil.move(bench.repository(), aside)
    try:
        yield
        assert list(files_below(bench.repository())) == [], "drp must not begin a new repository in silence"
    finally:
        with dr_centre_down(bench):
            shutil.rmtree(bench.repository(), ignore_errors=True)
            shutil.move(aside, bench.repository())


@contextlib.contextmanager
def moved(path: Path) -> Iterator[None]:
    path.rename(path.with_suffix(".elsewhere"))
    try:
        yield
    finally:
        path.with_suffix(".elsewhere").rename(path)


def program(name: str, script: str) -> Callable[[Workbench], AbstractContextManager[None]]:
    return lambda bench: bench.program(name, script)


def host(breaking: str, mending: str) -> Callable[[Workbench], AbstractContextManager[None]]:
    return lambda bench: bench.on_host(PRIMARY, breaking, mending)


def file(name: str, change: Callable[[str], str]) -> Callable[[Workbench], AbstractContextManager[None]]:
    return lambda bench: bench.changed(name, change)


HALF_A_DUMP = '#!/bin/sh\n/usr/bin/pg_dump "$@" | head -c 20000\necho "pg_dump: error: canceled" >&2\nexit 1\n'
RUBBISH = '#!/bin/sh\necho "Segmentation fault {[(\\""\nexit 77\n'
EMPTY = "#!/bin/sh\nexit 0\n"
OLD_RESTIC = '#!/bin/sh\necho "restic 0.9.6 compiled with go1.13"\n'
NO_SUMMARY = '#!/bin/sh\ncase " $* " in *" backup "*) cat >/dev/null; echo "Oops"; exit 0;; esac\n'
NO_SUMMARY += 'exec /usr/bin/restic "$@"\n'
NEW_CODE = '#!/bin/sh\ncase " $* " in *" backup "*) echo "Fatal: a new kind of error" >&2; exit 99;; esac\n'
NEW_CODE += 'exec /usr/bin/restic "$@"\n'

TROUBLES = {
    "wrong S3 secret key": Trouble(
        file(f"{SECRETS}/s3-secret-access-key", lambda _: "Wrong" * 8), 12, "refused the S3 keys", "secret_access_key"
    ),
    "wrong repository password": Trouble(
        file(f"{SECRETS}/pengaduan-repository-password", lambda _: "wrong"), 12, "password is wrong", "backup.password"
    ),
    "empty repository password": Trouble(
        file(f"{SECRETS}/pengaduan-repository-password", lambda _: "\n"), 1, "empty or not set", "put the secret there"
    ),
    "no file with the repository password": Trouble(
        lambda bench: moved(bench.folder / SECRETS / "pengaduan-repository-password"),
        1,
        "No such file or directory",
        "put the secret into this file",
    ),
    "untrusted certificate": Trouble(
        lambda bench: bench.changed(
            "drp.yaml", lambda text: text.replace("var/lab/tls/ca.pem", "/etc/ssl/certs/ca-certificates.crt")
        ),
        12,
        "certificate is not trusted",
        "ca_certificate",
    ),
    "no restic": Trouble(
        host("mv /usr/bin/restic /usr/bin/hidden", "mv /usr/bin/hidden /usr/bin/restic"),
        12,
        "restic is not installed",
        "apt-get install restic",
    ),
    "a restic that prints rubbish": Trouble(program("restic", RUBBISH), 12, "none that drp can use", "which -a restic"),
    "a restic that says nothing": Trouble(program("restic", EMPTY), 12, "none that drp can use", "which -a restic"),
    "a restic that is too old": Trouble(program("restic", OLD_RESTIC), 12, "0.14 or newer", "0.14 or newer"),
    "a restic with an unknown exit code": Trouble(program("restic", NEW_CODE), 1, "a new kind of error", "by hand"),
    "a restic whose JSON is none": Trouble(program("restic", NO_SUMMARY), 1, "drp cannot read", "var/runs"),
    "unknown host key": Trouble(file(KNOWN_HOSTS, without_primary), 12, "SSH key is not the pinned one", "fingerprint"),
    "changed host key": Trouble(
        file(KNOWN_HOSTS, with_keys_exchanged), 12, "SSH key is not the pinned one", "fingerprint"
    ),
    "host cut off": Trouble(host_cut_off, 12, "cannot be reached by SSH", "check that it is up"),
    "no space for temporary files": Trouble(
        lambda bench: full(bench, "/tmp"), 1, "balaikota-app-1: there is too little space", "free space there"
    ),
    "no space on the disk": Trouble(
        lambda bench: full(bench, "/srv"), 1, "balaikota-app-1: there is too little space", "free space there"
    ),
    "database down": Trouble(
        host("service postgresql stop", "service postgresql start"), 1, "connection to server", "by hand"
    ),
    "dump fails after half its output": Trouble(
        program("pg_dump", HALF_A_DUMP), 1, "the dump failed, so no snapshot", "database's log"
    ),
    "source missing": Trouble(
        host("mv /etc/pengaduan /etc/elsewhere", "mv /etc/elsewhere /etc/pengaduan"),
        1,
        "/etc/pengaduan does not exist",
        "correct the paths",
    ),
    "repository gone": Trouble(repository_gone, 13, "repository is gone", "do not start anew"),
    "DR centre down": Trouble(dr_centre_down_and_not_waited_for, 12, "does not answer", "check the line"),
}


NOTHING_STARTED = ("empty repository password", "no file with the repository password")


def snapshots(bench: Workbench) -> int:
    return len(list((bench.repository() / "snapshots").iterdir()))


def good_backup(bench: Workbench, known: list[str]) -> None:
    """The next backup makes exactly one restore point, and leaves no lock."""
    bench.back_up()
    assert bench.points()[1:] == known
    assert bench.locks() == []


@pytest.fixture
def known(bench: Workbench) -> list[str]:
    """The restore points before; there is at least one, so that the repository must exist."""
    if not bench.points():
        bench.back_up()
    return bench.points()


@pytest.mark.parametrize("name", TROUBLES)
def test_trouble(bench: Workbench, known: list[str], name: str) -> None:
    trouble = TROUBLES[name]
    with trouble.breaking(bench):
        failed = bench.back_up(code=trouble.code)
    message = told(failed)
    assert trouble.says in failed.stderr[failed.stderr.index(message) :]
    assert trouble.step in failed.stderr.split("next: ")[1]
    assert bench.points() == known
    run = bench.runs("backup")[0]
    assert (run.outcome, run.exit_code) == ("failed", trouble.code) or name in NOTHING_STARTED
    assert bench.locks() == []
    good_backup(bench, known)


WAITING_DUMP = """#!/bin/sh
test "$1" = --version && exec /usr/bin/pg_dump --version
echo $$ >/tmp/dump.pid
head -c 3000000 /dev/urandom
while ! test -e /tmp/go; do sleep 0.05; done
"""


def waiting_dump(bench: Workbench) -> Callable[[], str | None]:
    return lambda: bench.ssh(PRIMARY, "cat /tmp/dump.pid 2>/dev/null || true").strip() or None


def test_a_killed_dump_leaves_no_snapshot(bench: Workbench, known: list[str]) -> None:
    before = snapshots(bench)
    with bench.program("pg_dump", WAITING_DUMP), bench.on_host(PRIMARY, "rm -f /tmp/dump.pid", "rm -f /tmp/dump.pid"):
        backup = bench.start("backup", "run", SERVICE)
        pid = eventually(waiting_dump(bench), "the dump runs")
        bench.ssh(PRIMARY, f"kill -KILL {pid}")
        failed = backup.end()
    assert failed.code == 1
    assert "the dump failed, so no snapshot was kept" in told(failed)
    assert snapshots(bench) == before + 1, "the roles' only: the database's stream was not whole"
    assert bench.points() == known
    assert bench.locks() == []
    good_backup(bench, known)


SLOW_DUMP = """#!/bin/sh
test "$1" = --version && exec /usr/bin/pg_dump --version
echo $$ >/tmp/dump.pid
while ! test -e /tmp/go; do sleep 0.05; done
exec /usr/bin/pg_dump "$@"
"""


@pytest.fixture
def slow_dump(bench: Workbench) -> Iterator[None]:
    clean = "rm -f /tmp/dump.pid /tmp/go"
    with bench.program("pg_dump", SLOW_DUMP), bench.on_host(PRIMARY, clean, clean):
        yield


def test_a_killed_drp_finds_its_backup_again(bench: Workbench, known: list[str], slow_dump: None) -> None:
    backup = bench.start("backup", "run", SERVICE)
    eventually(waiting_dump(bench), "the dump runs")
    run = bench.open_run("backup")
    backup.end(signal.SIGKILL)
    again = bench.start("backup", "run", SERVICE)
    again.until(f"going on with {run}")
    # A third one must not mix with them.
    busy = bench.back_up(code=11)
    assert "is at work here" in told(busy)
    bench.ssh(PRIMARY, "touch /tmp/go")
    done = again.end()
    assert done.code == 0, done.stderr
    assert bench.points() == [run, *known]
    ours = json.loads(bench.restic("snapshots", "--no-lock", "--json", "--tag", f"run:{run}"))
    assert len(ours) == 3
    assert bench.restic("list", "locks", "--no-lock").split() == bench.locks() == []


def test_a_backup_that_ended_while_drp_was_dead_counts(bench: Workbench, known: list[str], slow_dump: None) -> None:
    backup = bench.start("backup", "run", SERVICE)
    eventually(waiting_dump(bench), "the dump runs")
    run = bench.open_run("backup")
    backup.end(signal.SIGKILL)
    bench.ssh(PRIMARY, "touch /tmp/go")
    eventually((bench.folder / "var/runs" / run / PRIMARY_NAME / "exit_code").exists, "the backup ends without drp")
    bench.back_up()
    assert bench.points() == [run, *known]


def test_a_control_node_that_loses_power_leaves_nothing_half(
    bench: Workbench, known: list[str], slow_dump: None
) -> None:
    """drp, its supervisor and its connection are gone at once. The host notices, and the next backup is a new one."""
    backup = bench.start("backup", "run", SERVICE)
    eventually(waiting_dump(bench), "the dump runs")
    run = bench.open_run("backup")
    for process in processes_of(run):
        with contextlib.suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)
    backup.end(signal.SIGKILL)
    eventually(lambda: "restic" not in bench.ssh(PRIMARY, "ps -eo comm"), "restic ends on the host")
    eventually(lambda: bench.locks() == [], "the host takes its lock away")
    bench.ssh(PRIMARY, "touch /tmp/go")
    good_backup(bench, known)
    assert [row.outcome for row in bench.runs("backup")[:2]] == ["done", "failed"]


def test_ctrl_c_leaves_no_restore_point_and_no_lock(bench: Workbench, known: list[str], slow_dump: None) -> None:
    backup = bench.start("backup", "run", SERVICE)
    eventually(waiting_dump(bench), "the dump runs")
    stopped = backup.end(signal.SIGINT)
    assert stopped.code == 130
    assert "no restore point" in stopped.stderr
    assert bench.points() == known
    assert bench.locks() == []
    bench.ssh(PRIMARY, "touch /tmp/go")
    good_backup(bench, known)


# 10 MiB a second: there is a middle, however late it is noticed.
SLOW_LINE = '#!/bin/sh\ncase " $* " in *" backup "*) exec /usr/bin/restic --limit-upload 10240 "$@";; esac\n'
SLOW_LINE += 'exec /usr/bin/restic "$@"\n'


def test_the_dr_centre_goes_away_in_the_middle(bench: Workbench, known: list[str]) -> None:
    """The transfer stalls and is ended; the lock that could not be taken away is by the next run."""
    large = bench.on_host(PRIMARY, "head -c 200M /dev/urandom >/srv/pengaduan/large", "rm /srv/pengaduan/large")
    with impatient(bench):
        with large, bench.program("restic", SLOW_LINE):
            stored = bench.repository() / "data"
            size = size_below(stored)
            backup = bench.start("backup", "run", SERVICE)

            def is_in_the_middle() -> bool:
                assert backup.runs(), backup.said()
                return size_below(stored) > size + 30_000_000

            eventually(is_in_the_middle, "the backup is in the middle")
            with dr_centre_down(bench):
                failed = backup.end()
        assert failed.code == 12
        message = told(failed)
        assert "stalled" in message or "does not answer" in message
        assert bench.points() == known
    good_backup(bench, known)
