"""Drill copies on real hosts reach neither production nor mail, find each other under production's names, and are gone
afterwards; and a failover that needs a drill's hosts takes them."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from drp.lab import city
from tests.e2e.workbench import (
    ADDRESS,
    PRIMARY,
    PRIMARY_NAME,
    RECOVERY,
    SERVICE,
    Done,
    Running,
    Workbench,
    eventually,
    lab_address,
    processes_of,
    told,
)

pytestmark = pytest.mark.integration

RUNBOOK = """
schema: 1
id: rehearsal
title: {en: Rehearsal, id: Latihan}
purpose: {en: Try the steps, id: Mencoba langkah}
kind: full
hold: 2s
steps:
  - id: look-around
    kind: manual
    title: {en: Look around, id: Lihat sekitar}
    instructions: {en: Look whether the hall is dry., id: Periksa ruangan.}
    expected: 1m
    after: verify
    before: usable
"""
OTHER_PRIMARY, ELSEWHERE = lab_address("1.30"), lab_address("0.1")
"""A primary host that has no part in the drill, and the machine below the lab."""

TRY = """
import json, socket, sys
def attempt(kind, address, port):
    with socket.socket(socket.AF_INET, kind) as trial:
        trial.settimeout(60)
        try:
            trial.connect((address, port))
            if kind == socket.SOCK_DGRAM:
                trial.send(b"x")
        except OSError as error:
            return type(error).__name__
        return trial.recv(5).decode() if port == 22 else "reached"
kinds = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}
print(json.dumps([attempt(kinds[kind], address, port) for kind, address, port in json.load(sys.stdin)]))
"""


def attempts(bench: Workbench, *wanted: tuple[str, str, int]) -> list[str]:
    """What comes of it when a program on the recovery host tries to reach these places."""
    bench.ssh(RECOVERY, "cat >/tmp/try.py", stdin=TRY)
    found: list[str] = json.loads(bench.ssh(RECOVERY, "python3 /tmp/try.py; rm /tmp/try.py", stdin=json.dumps(wanted)))
    return found


def tables(bench: Workbench) -> str:
    return bench.ssh(RECOVERY, "nft list tables; iptables -S | grep DRP || true; ls -A /var/lib/drp/isolation || true")


@contextmanager
def heard(bench: Workbench) -> Iterator[list[int]]:
    """How many packets from the recovery host arrive at the primary host meanwhile; told at the end."""
    (host,) = (host for host in city.status(bench.folder).hosts if host.name == PRIMARY_NAME)

    def iptables(*words: str) -> str:
        argv = ["nsenter", f"--net=/proc/{host.pid}/ns/net", "--", "iptables", *words]
        return subprocess.run(argv, capture_output=True, text=True, check=True).stdout

    iptables("-I", "INPUT", "-s", RECOVERY)
    packets: list[int] = []
    try:
        yield packets
        lines = iptables("-nvxL", "INPUT").splitlines()
        packets.append(int(next(line for line in lines if RECOVERY in line).split()[0]))
    finally:
        iptables("-D", "INPUT", "-s", RECOVERY)


def bodies(bench: Workbench, run: str, type_: str) -> list[dict[str, Any]]:
    return [event["body"] for event in bench.events(run) if event["type"] == type_]


@pytest.fixture(autouse=True)
def rehearsal(bench: Workbench) -> None:
    path = bench.folder / "runbooks/rehearsal.yaml"
    if not path.exists():
        path.write_text(RUNBOOK)
        bench.back_up()


def drill_that_waits(bench: Workbench, *options: str) -> tuple[Running, str]:
    """A drill whose copies run, while it waits for a person."""
    going = bench.start("drill", "run", SERVICE, "--runbook", "rehearsal", "--json", *options)
    going.until("look-around: Look around")
    return going, bench.open_run("drill")


def test_a_drills_copy_reaches_its_own_kind_and_nothing_else(bench: Workbench) -> None:
    names = bench.ssh(RECOVERY, "cat /etc/hosts")
    assert attempts(bench, ("tcp", PRIMARY, 22)) == ["SSH-2"], "there is a way to production"
    with heard(bench) as packets:
        going, run = drill_that_waits(bench)
        assert (
            attempts(
                bench,
                ("tcp", PRIMARY, 22),
                ("tcp", PRIMARY, 22),
                ("tcp", OTHER_PRIMARY, 5432),
                ("tcp", PRIMARY, 25),
                ("tcp", ELSEWHERE, 25),
                ("tcp", ELSEWHERE, 465),
                ("tcp", ELSEWHERE, 587),
                ("tcp", ELSEWHERE, 7),
            )
            == ["ConnectionRefusedError"] * 8
        )
        assert attempts(bench, ("udp", OTHER_PRIMARY, 514)) == ["PermissionError"]
        # Production's addresses and names of what is rehearsed are the copy's.
        assert attempts(bench, ("tcp", PRIMARY, 80), ("tcp", ADDRESS, 80)) == ["reached", "reached"]
        assert bench.ssh(RECOVERY, f"getent ahosts {PRIMARY_NAME}").split()[0] == RECOVERY
        assert f"drp-isolation-{run}" in tables(bench)
        bench.drp("run", "approve", run, "look-around", "--by", "Siti")
        done = going.end()
    assert packets == [0], "production heard nothing"
    assert (done.code, done.json()["verdict"]) == (0, "MET"), done.stdout + done.stderr
    (begun,) = bodies(bench, run, "isolation.begun")
    assert (begun["in_force"], begun["tool"]) == (True, "nft")
    assert begun["proof"] == f"tried {PRIMARY}:22: refused, and counted"
    begun_at = next(event["sequence"] for event in bench.events(run) if event["type"] == "isolation.begun")
    (activated_at,) = [
        event["sequence"]
        for event in bench.events(run)
        if event["type"] == "step.started" and event["body"]["step"] == f"{SERVICE}/activate"
    ]
    assert begun_at < activated_at
    (ended,) = bodies(bench, run, "isolation.ended")
    refused = {(address, protocol, port): count for address, protocol, port, count in ended["refused"]}
    assert refused == {
        (PRIMARY, "tcp", 22): 2,
        (PRIMARY, "tcp", 25): 1,
        (OTHER_PRIMARY, "tcp", 5432): 1,
        (OTHER_PRIMARY, "udp", 514): 1,
        **{(ELSEWHERE, "tcp", port): 1 for port in (7, 25, 465, 587)},
    }
    assert ended["led"] == {PRIMARY: 1, ADDRESS: 1}
    line = f"1 attempt to reach {OTHER_PRIMARY}:5432 (balaikota-db-1), refused"
    assert line in done.stderr
    page, data = (Path(path) for path in done.json()["report"])
    for text in (line, f"tried {PRIMARY}:22: refused, and counted", f"2 attempts to reach {PRIMARY}:22"):
        assert text in page.read_text()
    bench.drp("report", "verify", str(data))
    assert tables(bench) == ""
    assert bench.ssh(RECOVERY, "cat /etc/hosts") == names
    assert attempts(bench, ("tcp", PRIMARY, 22)) == ["SSH-2"]


def test_an_aborted_drill_is_cleared_away_although_drp_was_killed(bench: Workbench) -> None:
    names = bench.ssh(RECOVERY, "cat /etc/hosts")
    going, run = drill_that_waits(bench)
    going.end(signal.SIGKILL)
    assert attempts(bench, ("tcp", OTHER_PRIMARY, 5432)) == ["ConnectionRefusedError"], "it outlives drp"
    assert f"drp-isolation-{run}" in tables(bench)
    aborted = bench.drp("run", "abort", run, "--reason", "selesai", code=130)
    assert "report.json" in aborted.stdout
    (row,) = [row for row in bench.runs("drill") if row.run == run]
    assert (row.outcome, row.verdict) == ("aborted", "ABORTED")
    assert tables(bench) == ""
    assert bench.ssh(RECOVERY, "cat /etc/hosts") == names
    assert bench.ssh(RECOVERY, "ls -d /srv/pengaduan /etc/pengaduan 2>/dev/null || true") == ""
    assert bodies(bench, run, "isolation.ended")[0]["refused"][0][:3] == [OTHER_PRIMARY, "tcp", 5432]
    eventually(lambda: not processes_of(run), "all that it started has ended")


SLOW_RESTIC = """#!/bin/sh
case "$*" in *" restore "*) touch /tmp/restoring; exec sleep 600;; esac
exec /usr/bin/restic "$@"
"""
FAILOVER = ("failover", SERVICE, "--yes", "--reason", "banjir", "--by", "Ratna Kusumah", "--json")


def lose_the_site(bench: Workbench) -> None:
    city.disaster(bench.folder, "site-loss", say=lambda _line: None)
    eventually(
        lambda: bench.drp("status", SERVICE, "--json", code=(0, 4)).json()[0]["usable"] is False,
        "drp watch sees it",
    )


def is_ended_by(bench: Workbench, going: Running, drill: str, failover: Done) -> None:
    """The failover met its objectives although a drill had its hosts, and all of that is on record."""
    result = failover.json()
    assert (result["verdict"], result["services"][0]["exceptions"]) == ("MET", []), failover.stderr
    run = result["run"]
    message = told(going.end())
    assert going.process.returncode == 130
    assert run in message
    assert "Ratna Kusumah" in message
    (row,) = [row for row in bench.runs("drill") if row.run == drill]
    assert (row.outcome, row.verdict, row.exit_code) == ("aborted", "ABORTED", 130)
    assert bodies(bench, drill, "run.preempted") == [
        {"run": run, "by": "Ratna Kusumah", "reason": "its hosts are needed"}
    ]
    (ended,) = bodies(bench, run, "drill.ended")
    assert (ended["run"], ended["by"], ended["hosts"]) == (drill, "Ratna Kusumah", ["drc-app-1"])
    assert f"ended {drill}: {ended['duration_ms'] / 1000:.1f} s" in failover.stderr
    at = {body["mark"]: datetime.fromisoformat(body["at"]) for body in bodies(bench, run, "mark")}
    # It is in the clock: between the declaration and the first recovery step.
    assert 0 < ended["duration_ms"] <= (at["T3"] - at["T2"]) / timedelta(milliseconds=1)
    reports = bench.folder / "var/reports"
    assert drill in (reports / run / "report.html").read_text()
    assert "ABORTED" in (reports / drill / "report.html").read_text()
    for name in (run, drill):
        bench.drp("report", "verify", str(reports / name / "report.json"))
    assert tables(bench) == ""
    assert "drp" not in bench.ssh(RECOVERY, "cat /etc/hosts")
    eventually(lambda: not processes_of(drill), "all that the drill started has ended")


def test_a_failover_ends_a_drill_in_the_middle_of_its_restore(bench: Workbench) -> None:
    with bench.program("restic", SLOW_RESTIC, RECOVERY):
        going = bench.start("drill", "run", SERVICE, "--runbook", "rehearsal", "--json")
        eventually(lambda: bench.ssh(RECOVERY, "ls /tmp/restoring || true"), "it is in its restore", 400)
        drill = bench.open_run("drill")
        second = bench.drp("drill", "run", SERVICE, code=11)
        assert drill in told(second)
        lose_the_site(bench)
    is_ended_by(bench, going, drill, bench.drp(*FAILOVER))
    eventually(lambda: "sleep 600" not in bench.ssh(RECOVERY, "ps -eo args"), "what it ran on the host has ended")


def test_a_failover_ends_a_drill_that_waits_for_a_person_and_replaces_what_it_restored(bench: Workbench) -> None:
    bench.rebuild()
    bench.back_up()
    going, drill = drill_that_waits(bench)
    lose_the_site(bench)
    failover = bench.drp(*FAILOVER)
    is_ended_by(bench, going, drill, failover)
    (absence,) = bodies(bench, failover.json()["run"], "absence.proved")
    assert (absence["found"], absence["copies_of"]) == ([], [drill])
    assert bench.ssh(RECOVERY, "ls /var/lib/drp/copies/* 2>/dev/null || true") == "", "what lies there is in use now"
