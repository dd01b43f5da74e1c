"""Drills while production works: nothing secret is left anywhere, and people may interrupt, resume and abort them."""

from __future__ import annotations

import json
import re
import shlex
import signal
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from drp.lab.processes import find_marked
from tests.e2e.workbench import (
    ADDRESS,
    PASSWORD_CANARY,
    PRIMARY,
    RECOVERY,
    S3_CANARY,
    SERVICE,
    Done,
    Workbench,
    content_of,
    eventually,
    files_below,
    processes_of,
    told,
)
from tests.fakes.terminal import TerminalCommand

pytestmark = pytest.mark.e2e

ROLE_CANARY, TOKEN_CANARY = "canary-of-a-database-role-9c3d", "canary-of-the-operators-own-token-41aa"
SHOULD_BE_NOWHERE = (PASSWORD_CANARY, S3_CANARY, ROLE_CANARY, TOKEN_CANARY)
NO_SUCH_PLACES = "/srv/pengaduan /etc/pengaduan /etc/init.d/pengaduan /etc/nginx/sites-enabled/pengaduan"


class Spy(threading.Thread):
    """Looks at the arguments and the environment of every process, again and again."""

    def __init__(self, spared: set[int]) -> None:
        super().__init__(daemon=True)
        self.spared, self.ended, self.found, self.looks = spared, threading.Event(), set[str](), 0

    def run(self) -> None:
        while not self.ended.wait(0.02):
            self.looks += 1
            for entry in Path("/proc").iterdir():
                if entry.name.isdecimal() and int(entry.name) not in self.spared:
                    self.look(entry)

    def look(self, entry: Path) -> None:
        try:
            arguments, environment = ((entry / name).read_bytes() for name in ("cmdline", "environ"))
        except OSError:
            return
        for canary in SHOULD_BE_NOWHERE:
            if canary.encode() in arguments:
                self.found.add(f"{canary} in the arguments {arguments!r}")
            # A child of drp between fork and exec still is drp, and shows drp's own environment.
            if canary.encode() in environment and not (canary == TOKEN_CANARY and b"bin/drp" in arguments):
                self.found.add(f"{canary} in the environment of {arguments!r}")


@dataclass(frozen=True)
class Watched:
    """A backup and a drill that were spied on."""

    outputs: tuple[Done, ...]
    drill: Done
    spy: Spy
    complaints: tuple[int, int]


def complaints_of(bench: Workbench) -> int:
    return int(bench.sql(PRIMARY, "SELECT count(*) FROM complaints"))


@pytest.fixture(scope="module")
def watched(bench: Workbench) -> Watched:
    bench.sql(PRIMARY, f"CREATE ROLE canary LOGIN PASSWORD '{ROLE_CANARY}'")
    bench.ssh(PRIMARY, "touch /tmp/before-the-drill")
    # The lab's own S3 server has its key in its environment; a real one is elsewhere.
    spy = Spy({process.pid for process in find_marked(bench.names.marker, role="dr-centre-drc")})
    spy.start()
    try:
        backup = bench.drp("backup", "run", SERVICE, MY_TOKEN=TOKEN_CANARY)
        before = complaints_of(bench)
        bench.ssh(PRIMARY, "touch /tmp/before-the-drill")
        drill = bench.drp("drill", "run", SERVICE, MY_TOKEN=TOKEN_CANARY)
        asked = (("status", SERVICE), ("run", "list"), ("backup", "list"))
        lists = [bench.drp(*words, MY_TOKEN=TOKEN_CANARY) for words in asked]
    finally:
        spy.ended.set()
        spy.join()
    return Watched((backup, drill, *lists), drill, spy, (before, complaints_of(bench)))


def is_this_machines(path: str, at: str) -> bool:
    """Whether a file is one of the machine's own that shines through, and that something outside the lab wrote, or has
    written again since: other tests are at work at this moment."""
    there = Path(path)
    return there.is_file() and (int(there.stat().st_mtime) >= int(at) or there.is_relative_to("/var/tmp"))


def test_a_drill_meets_its_objectives_while_production_works(watched: Watched, bench: Workbench) -> None:
    assert "MET" in watched.drill.stdout
    assert "NOT_MET" not in watched.drill.stdout
    assert watched.complaints[1] > watched.complaints[0] + 20
    # What is new on the primary host is the application's own work, none of drp's.
    places = "/etc /home /opt /root /srv /tmp /usr/local /var"
    new = bench.ssh(PRIMARY, f"find {places} -newer /tmp/before-the-drill -type f -printf '%Ts %p\\n'")
    own = ("/var/lib/postgresql/", "/srv/pengaduan/uploads/", "/var/log/")
    found = [line.split(" ", 1) for line in new.splitlines()]
    strange = [path for at, path in found if not path.startswith(own) and not is_this_machines(path, at)]
    # What others took away again shone through only for a moment; drp's would still be there.
    assert [path for path in strange if bench.ssh(PRIMARY, f"ls -d {shlex.quote(path)} || true")] == []
    # Nothing went to the primary host: what names it is the proof that the drill cannot reach it.
    named = [line for line in watched.drill.stderr.splitlines() if PRIMARY in line]
    assert [line for line in named if "refused, and counted" not in line] == []
    assert bench.drp("status", SERVICE, "--json").json()[0]["active_site"] == "primary"
    assert ADDRESS not in bench.ssh(RECOVERY, "ip -4 address")


def test_the_recovery_host_is_clean_after_the_drill(watched: Watched, bench: Workbench) -> None:
    del watched
    assert bench.ssh(RECOVERY, f"ls -d {NO_SUCH_PLACES} 2>/dev/null || true") == ""
    assert bench.sql(RECOVERY, "SELECT datname FROM pg_database WHERE datname = 'pengaduan'", "postgres") == ""


def test_no_secret_is_in_arguments_or_environments(watched: Watched) -> None:
    assert watched.spy.looks > 100
    assert watched.spy.found == set()


def test_no_secret_is_printed_or_left_on_the_control_node(watched: Watched, bench: Workbench) -> None:
    for done in watched.outputs:
        assert not [canary for canary in SHOULD_BE_NOWHERE if canary in done.stdout + done.stderr]
    secret_files = bench.folder / "var/lab/secrets"
    stored = bench.folder / "var/lab/s3"
    searched, leaks = 0, []
    for top in (bench.folder, Path("/dev/shm"), *Path("/tmp").glob("*drp*"), *Path("/tmp").glob("*ansible*")):
        for path in files_below(top):
            if secret_files in path.parents or stored in path.parents:
                continue
            content = content_of(path)
            searched += 1
            leaks += [f"{canary} in {path}" for canary in SHOULD_BE_NOWHERE if canary.encode() in content]
    assert leaks == []
    assert searched > 50


@pytest.mark.parametrize("address", [PRIMARY, RECOVERY], ids=["primary", "recovery"])
def test_no_secret_is_left_on_a_host(watched: Watched, bench: Workbench, address: str) -> None:
    del watched
    places = "/run /tmp /var/tmp /dev/shm /root /var/log /var/cache/drp /var/spool"
    words = "\n".join(SHOULD_BE_NOWHERE) + "\n"
    assert bench.ssh(address, f"grep -rlaF -f /dev/stdin {places} 2>/dev/null || true", stdin=words) == ""


def test_reports_and_lists_are_readable_for_programs_and_people(watched: Watched, bench: Workbench) -> None:
    del watched
    status = bench.drp("status", SERVICE, "--json").json()[0]
    assert (status["service"], status["rpo_verdict"], status["usable"]) == (SERVICE, "MET", True)
    assert status["last_recovery"]["verdict"] == "MET"
    assert SERVICE in bench.drp("status", SERVICE).stdout
    points = bench.drp("backup", "list", "--json").json()
    assert [point["id"] for point in points] == bench.points()
    point = points[0]
    assert {item["dataset"] for item in point["snapshots"]} == {"database", "files"}
    assert point["id"] in bench.drp("backup", "list").stdout
    run = bench.runs("drill")[0].run
    assert run in bench.drp("run", "list").stdout
    assert "step.ended" in bench.drp("run", "show", run).stdout
    assert bench.drp("run", "show", run, "--json").json() == bench.events(run)


def test_on_a_terminal_a_drill_shows_each_step_beside_its_estimate_and_leaves_it_clean(
    bench: Workbench, watched: Watched
) -> None:
    del watched  # it has measured how long each step takes
    drill = TerminalCommand(bench.argv("drill", "run", SERVICE), bench.environment())
    try:
        beside_estimate = re.compile(
            rf"{SERVICE} +[A-Za-z ]+ +(restore|activate|verify|usable) \S+ (of|>) \S+ measured"
        )
        drill.until_true(lambda: bool(beside_estimate.search(drill.drawn)), "a step and its estimate")
        run = bench.open_run("drill")
        # From elsewhere, where there is no terminal, it is followed by lines.
        follower = bench.start("run", "show", run, "--follow")
        drill.resize(60, 15)
        drill.until(f"{SERVICE}: waiting until users can work again …")
        drill.resize(100, 30)
    finally:
        code = drill.end(400)
    assert code == 0
    assert (drill.screen.cursor_visible, drill.screen.alternate) == (True, False)
    text = drill.screen.text
    for line in (
        "restoring …",
        "restoring: done in",
        "activating: done in",
        "verifying: done in",
        "cleaning up: done in",
    ):
        assert text.count(f"{SERVICE}: {line}") == 1, text
    assert "last event hash: " in text
    assert not any(line.startswith("── ") for line in drill.screen.shown)
    followed = follower.end()
    assert (followed.code, "run.closed" in followed.stdout, "── " in followed.stdout) == (0, True, False)


def test_ctrl_c_says_how_to_go_on_and_an_rto_that_is_missed_is_not_met(bench: Workbench, watched: Watched) -> None:
    del watched
    drill = bench.start("drill", "run", SERVICE, "--rto", "1s")
    drill.until("restoring …")
    run = bench.open_run("drill")
    stopped = drill.end(signal.SIGINT)
    assert stopped.code == 130
    assert f"drp run resume {run}" in stopped.stderr
    assert f"drp run abort {run}" in stopped.stderr

    done = bench.drp("run", "resume", run, "--json", code=4)
    result = done.json()
    assert (result["verdict"], result["exit_code"]) == ("NOT_MET", 4)
    assert result["services"][0]["rta_ms"] > 1000
    page, data = (Path(path) for path in result["report"])
    report = json.loads(data.read_text())
    assert report["services"][0]["verdict"] == "NOT_MET"
    assert "NOT MET" in page.read_text().replace("_", " ").upper()
    bench.drp("report", "verify", str(data))


# It never ends by itself: however fast drills are, this one is in the middle of its restore.
ENDLESS_RESTIC = """#!/bin/sh
case " $* " in *" dump "*|*" restore "*) touch /tmp/restoring; exec sleep 47110816;; esac
exec /usr/bin/restic "$@"
"""


@pytest.fixture
def new_recovery_host(bench: Workbench) -> Iterator[None]:
    yield
    bench.rebuild_recovery_host()


def test_a_second_drill_is_refused_and_another_terminal_aborts_the_first(
    bench: Workbench, watched: Watched, new_recovery_host: None
) -> None:
    del watched
    with bench.program("restic", ENDLESS_RESTIC, RECOVERY):
        drill = bench.start("drill", "run", SERVICE)
        eventually(lambda: bench.ssh(RECOVERY, "ls /tmp/restoring 2>/dev/null || true"), "the restore runs")
    run = bench.open_run("drill")
    second = bench.drp("drill", "run", SERVICE, code=(2, 11))  # 11 where it meets the lock before the open run
    assert run in told(second) or "drp drill is at work here" in told(second)
    assert "drp run" in second.stderr
    busy = bench.drp("run", "resume", run, code=11)
    assert "drp drill is at work here" in told(busy)

    aborted = bench.drp("run", "abort", run, "--reason", "salah layanan", code=130)
    assert "report.json" in aborted.stdout
    done = drill.end()
    assert done.code == 130
    assert "aborted" in told(done)
    row = bench.runs("drill")[0]
    assert (row.run, row.outcome, row.verdict) == (run, "aborted", "ABORTED")
    # Nothing that it started still runs, here or on the host.
    eventually(lambda: not processes_of(run), "all that it started has ended")
    eventually(lambda: "47110816" not in bench.ssh(RECOVERY, "ps -eo args"), "restic ends on the host")
    again = bench.drp("run", "abort", run, "--reason", "x", code=2)
    told(again)
