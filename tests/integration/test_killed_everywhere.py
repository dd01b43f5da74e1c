"""A drill and a failover whose drp is killed with -9 at every boundary of every step and in the middle of each; in the
failover, all that it has started dies with it. Each ends as if nothing had happened, and its clocks are those of a
stopwatch that is not drp's."""

from __future__ import annotations

import hashlib
import signal
import sys
import threading
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from drp.lab import city
from tests.e2e.workbench import (
    ADDRESS,
    RECOVERY,
    REPOSITORY,
    SERVICE,
    Done,
    Running,
    Workbench,
    eventually,
    processes_of,
)

# Dozens of starts of drp, one after the other: on a busy machine that takes a while.
pytestmark = [pytest.mark.integration, pytest.mark.e2e, pytest.mark.timeout(1500)]
MOST_DEATHS = 80
RESTIC = '#!/bin/sh\necho "$*" >>/tmp/restic-calls\nexec /usr/bin/restic "$@"\n'
MARK = """
- hosts: "{{ drp_hosts }}"
  gather_facts: false
  tasks:
    - name: Leave a mark, once more for each time that this runs
      ansible.builtin.shell: {cmd: "echo {{ drp_after }} >>/tmp/marks"}
"""
OWN = "recovery:\n  playbooks: {after_activate: mark}\n"


class Stopwatch(threading.Thread):
    """Asks for an old complaint all the time, and looks when a file appears; all by its own clock."""

    def __init__(self, url: str) -> None:
        super().__init__(daemon=True)
        self.url = url
        self.looks: list[tuple[datetime, datetime, bool]] = []
        self.ended = threading.Event()
        self.opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def run(self) -> None:
        while not self.ended.wait(0.05):
            begun, good = datetime.now(UTC), False
            with suppress(OSError), self.opener.open(self.url, timeout=2) as answer:
                good = answer.status == 200
            self.looks.append((begun, datetime.now(UTC), good))

    def first_good(self, after: datetime) -> datetime:
        return next(begun for begun, _, good in self.looks if good and begun >= after)

    def slack(self, at: datetime) -> timedelta:
        """How exact it can have been at a moment on this machine: the longest time for which it did not look."""
        near = [look for look in self.looks if abs(look[0] - at) < timedelta(seconds=10)]
        return max((later[1] - sooner[0] for sooner, later in pairwise(near)), default=timedelta())


@contextmanager
def stopwatch(address: str) -> Iterator[Stopwatch]:
    found = Stopwatch(f"http://{address}/complaints/1")
    found.start()
    try:
        yield found
    finally:
        found.ended.set()
        found.join()


@dataclass(frozen=True)
class Walked:
    """A run that was killed again and again."""

    run: str
    done: Done
    deaths: list[str]
    events: list[dict[str, Any]]

    def bodies(self, type_: str) -> list[dict[str, Any]]:
        return [event["body"] for event in self.events if event["type"] == type_]

    def mark(self, name: str) -> datetime:
        at = next(body["at"] for body in self.bodies("mark") if body["mark"] == name)
        return datetime.fromisoformat(at).astimezone(UTC)

    def beyond_a_second(self, name: str) -> timedelta:
        """How far beyond a second a mark is uncertain: a busy machine may not let the probe look."""
        told = next(body["uncertainty_ms"] for body in self.bodies("mark") if body["mark"] == name)
        return max(timedelta(milliseconds=told) - timedelta(seconds=1), timedelta())

    def outcomes(self) -> dict[str, str]:
        ended = [body["step"].partition("/")[2] for body in self.bodies("step.ended")]
        assert max(Counter(ended).values()) == 1, "no step ends twice"
        return {body["step"].partition("/")[2]: body["outcome"] for body in self.bodies("step.ended")}


def walk(bench: Workbench, kind: str, *arguments: str, **environment: str) -> Walked:
    """Carry a run out with a drp that dies at each boundary once."""
    died_at = bench.folder / f"died-at-{kind}"
    words, run = arguments, ""
    for number in range(MOST_DEATHS):
        argv = [sys.executable, "-m", "tests.fakes.dying_drp", str(died_at), *bench.argv(*words)[1:]]
        log = bench.folder / f"dying-{kind}-{number}"
        bench.started.append(Running(argv, bench.environment(PYTHONPATH=str(REPOSITORY), **environment), log))
        done = bench.started[-1].end()
        if done.code != -signal.SIGKILL:
            return Walked(run, done, died_at.read_text().splitlines(), bench.events(run))
        run = bench.open_run(kind)
        words = ("run", "resume", run, "--json")
    raise AssertionError(f"it died {MOST_DEATHS} times and had not ended: {died_at.read_text()}")


def ended_at(bench: Workbench, run: str, stage: str) -> datetime:
    """When the file with an action's result came to be, by the file system's clock."""
    return datetime.fromtimestamp((bench.folder / f"var/runs/{run}/{SERVICE}-{stage}/exit_code").stat().st_mtime, UTC)


def near(mark: datetime, truth: datetime, slack: timedelta) -> None:
    assert abs(mark - truth) <= timedelta(seconds=1) + slack, (mark, truth, slack)


def test_a_drill_is_killed_at_every_boundary_of_every_step(bench: Workbench) -> None:
    bench.back_up()
    (bench.folder / "playbooks/mark.yml").write_text(MARK)
    clean = "rm -f /tmp/restic-calls /tmp/marks"
    with (
        bench.declared("recovery:\n", OWN),
        bench.program("restic", RESTIC, RECOVERY),
        bench.on_host(RECOVERY, clean, clean),
        stopwatch(RECOVERY) as watch,
    ):
        walked = walk(bench, "drill", "drill", "run", SERVICE, "--json")
        calls = Counter(bench.ssh(RECOVERY, "cat /tmp/restic-calls").splitlines())
        marks = bench.ssh(RECOVERY, "cat /tmp/marks").split()

    steps = ["restore", "activate", "after-activate", "verify", "usable", "cleanup", "unisolate"]
    assert walked.outcomes() == dict.fromkeys(steps, "ok")
    for step in steps:
        for place in ("after step.started", "before step.ended", "after step.ended"):
            assert f"{place} {SERVICE}/{step}" in walked.deaths
    middles = {place.rpartition("-")[2] for place in walked.deaths if place.startswith("in the middle")}
    assert middles >= {"restore", "activate", "verify", "cleanup", "unisolate"}
    assert len(walked.bodies("run.resumed")) == len(walked.deaths) > 3 * len(steps)

    result = walked.done.json()
    assert (result["verdict"], result["exit_code"]) == ("MET", 0), walked.done.stderr
    assert walked.bodies("step.repeated") == []
    assert marks == ["activate"], "the workspace's own playbook was carried out once"
    loads = {
        call: count for call, count in calls.items() if call.split()[-1].startswith("/") and "dump" in call.split()
    }
    assert loads
    assert set(loads.values()) == {1}, "each dump was loaded once"
    assert sum(count for call, count in calls.items() if " restore " in f" {call} ") == 1

    verified = ended_at(bench, walked.run, "verify")
    near(walked.mark("T4"), verified, timedelta())
    near(walked.mark("T5"), watch.first_good(verified), watch.slack(verified) + walked.beyond_a_second("T5"))
    assert walked.mark("T0") < walked.mark("T3") < walked.mark("T4") < walked.mark("T5")
    bench.drp("report", "verify", result["report"][1])


def test_a_failover_whose_processes_are_all_killed_again_and_again(bench: Workbench) -> None:
    """Restore, activate and verify are cut off in their middle with everything that carried them out, and begun
    again; the switch too. What had ended is not done once more."""
    bench.back_up()
    eventually(lambda: bench.drp("status", SERVICE, "--json").json()[0]["usable"], "drp watch sees the service")
    at = city.disaster(bench.folder, "site-loss", say=lambda _line: None)
    over_by = datetime.now(UTC)
    seen = lambda: bench.drp("status", SERVICE, "--json", code=0).json()[0]["usable"] is False  # noqa: E731
    eventually(seen, "drp watch sees it go")
    words = ("failover", SERVICE, "--yes", "--reason", "banjir", "--by", "Ratna Kusumah", "--json")
    with stopwatch(ADDRESS) as watch:
        walked = walk(bench, "failover", *words, KILL_ALL="1")

    assert walked.outcomes() == dict.fromkeys(["restore", "activate", "verify", "cutover", "usable"], "ok")
    result = walked.done.json()
    assert (result["verdict"], result["exit_code"]) == ("MET", 0), walked.done.stderr
    repeated = [body["step"].partition("/")[2] for body in walked.bodies("step.repeated")]
    middles = [place.rpartition("-")[2] for place in walked.deaths if place.startswith("in the middle")]
    # One may have ended in the moment in which its processes were looked for.
    assert repeated
    assert repeated == [stage for stage in middles if stage in repeated], "what was cut off is begun again, once each"
    assert set(middles) >= {"restore", "activate", "verify"}

    # An attempt that was under way as the site went, which takes the lab a moment.
    near(walked.mark("T0"), at, timedelta(seconds=1) + (over_by - at) + walked.beyond_a_second("T0"))
    near(walked.mark("T4"), ended_at(bench, walked.run, "verify"), timedelta())
    switched = next(event["at"] for event in walked.events if event["body"].get("step") == f"{SERVICE}/cutover")
    truth = watch.first_good(datetime.fromisoformat(switched).astimezone(UTC))
    near(walked.mark("T5"), truth, watch.slack(truth) + walked.beyond_a_second("T5"))
    citizens = len(bench.acknowledged())
    eventually(lambda: len(bench.acknowledged()) > citizens + 3, "citizens write again")


def is_over(run: str) -> bool:
    return processes_of(run) == []


def test_nothing_of_a_killed_run_is_left_at_work(bench: Workbench) -> None:
    for kind in ("drill", "failover"):
        (row,) = bench.runs(kind)
        eventually(partial(is_over, row.run), f"nothing of {row.run} is left")
    tag = hashlib.sha256(str(bench.folder).encode()).hexdigest()[:10]
    assert not list(Path("/dev/shm").glob(f"drp-*{tag}*")), "no file with secrets is left"
