"""What happens to a drill that is under way: its host restarts, the line from the control node to the recovery site is
cut for a minute, the DR centre is slow. Each goes on by itself, or says clearly why not, and is never taken for good
where it was not."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from drp.lab import city
from tests.e2e.workbench import LAB_NETWORK, RECOVERY, RECOVERY_NAME, SERVICE, Done, Running, Workbench, eventually
from tests.fakes.relay import Relay
from tests.integration.test_trouble_s3 import iptables, relay

__all__ = ["relay"]
pytestmark = [pytest.mark.integration, pytest.mark.timeout(1500)]
CUT_SECONDS = 60
SLOW_RATE, SLOW_DELAY = 4_000_000 // 8, 0.3
GATEWAY = LAB_NETWORK.replace(".0/20", ".1")

# Waits, with its first word on a host, until somebody lets it go on; the second time it does not.
WAITING = """#!/bin/sh
case "$*" in *WORD*)
    if ! test -e /tmp/waits; then touch /tmp/waits; while ! test -e /tmp/go; do sleep 0.1; done; fi;;
esac
exec PROGRAM "$@"
"""
CLEAN = "rm -f /tmp/waits /tmp/go"


@pytest.fixture(autouse=True)
def backed_up(bench: Workbench) -> Iterator[None]:
    bench.back_up()
    yield
    assert bench.ssh(RECOVERY, "ls -d /srv/pengaduan /etc/pengaduan 2>/dev/null || true") == ""


@contextlib.contextmanager
def waiting(bench: Workbench, program: str, word: str, place: str) -> Iterator[None]:
    script = WAITING.replace("WORD", word).replace("PROGRAM", place)
    with bench.program(program, script, RECOVERY), bench.on_host(RECOVERY, CLEAN, CLEAN):
        yield


def it_waits(bench: Workbench) -> bool:
    return bench.ssh(RECOVERY, "ls /tmp/waits 2>/dev/null || true") != ""


def host_process(bench: Workbench) -> int:
    (host,) = (host for host in city.status(bench.folder).hosts if host.name == RECOVERY_NAME)
    assert host.pid is not None
    return host.pid


def restart(bench: Workbench) -> None:
    """Power off and on: all that runs there is gone at once, no connection is closed; the disk is as it was."""
    cable, process = bench.names.interface(RECOVERY_NAME), host_process(bench)
    subprocess.run(["ip", "link", "set", cable, "down"], check=True)
    os.kill(process, signal.SIGHUP)
    subprocess.run(["ip", "link", "set", cable, "up"], check=True)
    eventually(lambda: bench.ssh(RECOVERY, "echo up", check=False) == "up\n", "it answers again")


def bodies(bench: Workbench, run: str, type_: str) -> list[dict[str, Any]]:
    return [event["body"] for event in bench.events(run) if event["type"] == type_]


def ended_well(bench: Workbench, going: Running, run: str) -> Done:
    done = going.end(limit_seconds=500)
    assert done.code == 0, done.stderr
    assert done.json()["verdict"] == "MET"
    outcomes = {body["outcome"] for body in bodies(bench, run, "step.ended")}
    assert outcomes == {"ok"}
    bench.drp("report", "verify", done.json()["report"][1])
    return done


@pytest.mark.parametrize(
    ("stage", "program", "word", "place"),
    [
        ("restore", "restic", "dump", "/usr/bin/restic"),
        ("activate", "nginx", "-t", "/usr/sbin/nginx"),
    ],
)
def test_the_recovery_host_restarts_in_the_middle(
    bench: Workbench, stage: str, program: str, word: str, place: str
) -> None:
    """It goes on once the host answers, with the servers that it needs: a restore from its beginning, for its data must
    be whole."""
    with waiting(bench, program, word, place):
        going = bench.start("drill", "run", SERVICE, "--json")
        going.until("restoring …")
        run = bench.open_run("drill")
        eventually(lambda: it_waits(bench), f"the {stage} is at work", 400)
        restart(bench)
        done = ended_well(bench, going, run)
    repeated = [body["step"] for body in bodies(bench, run, "step.repeated")]
    assert set(repeated) <= {f"{SERVICE}/{stage}"}
    if stage == "restore":
        assert len(repeated) == 1
        assert f"{RECOVERY_NAME} was lost in {SERVICE}/restore" in done.stderr
    assert all(body["ok"] for body in bodies(bench, run, "data.verified"))


def test_the_control_node_is_cut_off_from_the_recovery_site_for_a_minute(bench: Workbench) -> None:
    """The restore goes on, or is repeated once the line is back; nothing fails, and the probe tells what it saw."""
    process = host_process(bench)
    rules = [("INPUT", "-s", GATEWAY, "-j", "DROP"), ("OUTPUT", "-d", GATEWAY, "-j", "DROP")]
    with waiting(bench, "restic", "dump", "/usr/bin/restic"):
        going = bench.start("drill", "run", SERVICE, "--json")
        going.until("restoring …")
        run = bench.open_run("drill")
        eventually(lambda: it_waits(bench), "the restore is at work", 400)
        for chain, *rule in rules:
            iptables(process, "-A", chain, *rule)
        cut_at = datetime.now(UTC)
        try:
            time.sleep(CUT_SECONDS)  # the minute itself is what is tested
        finally:
            back_at = datetime.now(UTC)
            for chain, *rule in rules:
                iptables(process, "-D", chain, *rule)
        bench.ssh(RECOVERY, "touch /tmp/go")
        done = ended_well(bench, going, run)
    assert "FAILED" not in done.stderr
    assert done.json()["services"][0]["rta_ms"] >= CUT_SECONDS * 1000, "its clock did not stop"
    samples = [
        json.loads(line)
        for line in (bench.folder / f"var/runs/{run}/{SERVICE}-probe/samples.jsonl").read_text().splitlines()
    ]
    # Those that were begun before the line was back may have gone through when it was.
    meanwhile = [
        sample
        for sample in samples
        if "started_at" in sample
        and cut_at <= datetime.fromisoformat(sample["started_at"])
        and datetime.fromisoformat(sample["ended_at"]) <= back_at
    ]
    assert len(meanwhile) >= 5
    assert not any(sample["succeeded"] for sample in meanwhile)


def test_a_slow_dr_centre_only_takes_longer(bench: Workbench, relay: Relay) -> None:
    """4 Mbit/s and 300 ms: no error, and the time that it takes is told."""
    relay.become("none")
    relay.slow_down(rate=SLOW_RATE, delay=SLOW_DELAY)
    done = bench.drp("drill", "run", SERVICE, "--json", limit_seconds=500)
    assert done.json()["verdict"] == "MET", done.stderr
    assert "FAILED" not in done.stderr
    assert relay.passed > 100_000
    assert done.json()["services"][0]["rta_ms"] >= relay.passed / SLOW_RATE * 1000
