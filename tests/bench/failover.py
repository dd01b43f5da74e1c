"""`./dev bench failover`: the loss of the primary site of the whole city, and what drp says was lost beside the truth.

In a lab of the default workspace people write in every service that takes something (`tests.fakes.city_writers`), all
services are backed up, people go on writing, drp watches, and the site goes. After `drp failover` of all, each
acknowledged text is looked for in the recovered service, as its users would. The truth: what is not there any more, and
the time from the first lost text to the loss of the site.

Every lost text must be newer than Tb. RPA must be no less than the truth, and exceed it by no more than the time from
the sentinel to the end of the dump, an interval and time-out of the outside probe, and the time between two texts.
`--small` takes a few services.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from drp.adapters.inventory import load_city
from drp.lab import city
from drp.lab.plan import LabPlan, names_of
from drp.lab.services import record_of
from drp.lab.state import load
from tests.bench.common import Figure, finish, progress
from tests.bench.recover import BIN, REPOSITORY, drp, workspace_copy
from tests.fakes.city_writers import EVERY, People, Written, complaints_in, lost_of, people_write_in

SMALL = ("absensi-penggajian", "pengaduan", "website-subdomain")
DEMO = "pengaduan"
HOLD = "5s"
AFTER_BACKUP_SECONDS = 20
SEEN_SECONDS = 600


@dataclass(frozen=True)
class Loss:
    """One service after the failover: what drp measured, beside what is really gone. Durations in seconds."""

    service: str
    written: int
    lost: int
    older_than_newest: int
    """Lost texts that are no newer than Tb: drp's word was wrong."""

    rpa: float
    truth: float
    allowed: float
    """By how much RPA may exceed the truth."""

    @property
    def understated(self) -> bool:
        return self.rpa < self.truth

    @property
    def overstated(self) -> bool:
        return self.rpa - self.truth > self.allowed


def time_of(stamp: str) -> datetime:
    return datetime.fromisoformat(stamp).astimezone(UTC)


@contextmanager
def watching(workspace: Path, services: Sequence[str]) -> Iterator[Path]:
    """drp watch meanwhile; gives what it says."""
    log = workspace / "watch.log"
    with log.open("wb") as output:
        argv = [str(BIN / "drp"), "-w", str(workspace), "watch", *services]
        process = subprocess.Popen(argv, stdout=output, stderr=output)
    try:
        yield log
    finally:
        process.send_signal(signal.SIGINT)
        process.wait()


def until_said(log: Path, text: str, services: Sequence[str]) -> None:
    end = time.monotonic() + SEEN_SECONDS
    while missing := [name for name in services if f"{name}: {text}" not in log.read_text()]:
        if time.monotonic() > end:
            sys.exit(f"drp watch never said {text!r} of: {', '.join(missing)}")
        time.sleep(0.5)


def measure(workspace: Path, names: Sequence[str]) -> None:
    try:
        progress("building the city")
        drp(workspace, "lab", "up", *(names or ("--all",)))
        state = load(names_of(workspace))
        assert state is not None
        plan, services = state.plan, [service.id for service in state.plan.services]
        writers = [service for service in plan.services if people_write_in(service)]
        progress(f"{len(services)} services on {len(plan.hosts)} hosts; people write in {len(writers)} of them")
        with watching(workspace, services) as log:
            with People(writers) as people:
                drp(workspace, "backup", "run", *services)
                progress("backed up; people go on writing")
                until_said(log, "usable from outside", services)
                time.sleep(AFTER_BACKUP_SECONDS)
                at = city.disaster(workspace, "site-loss", say=progress)
            until_said(log, "NOT usable", services)
        progress("drp watch has seen all of them go; a failover of all")
        declared = ["--yes", "--by", "Ratna Kusumah", "--reason", "site loss in the benchmark", "--hold", HOLD]
        started = time.monotonic()
        result = json.loads(drp(workspace, "failover", *services, *declared, "--json", allowed=(0, 4)))
        lasted = time.monotonic() - started
        progress(f"it took {lasted:.0f} s; looking for {sum(map(len, people.acknowledged.values()))} texts")
        if DEMO in services:
            people.acknowledged[DEMO] = [
                item for item in complaints_in(record_of(names_of(workspace), DEMO)) if item.at <= at
            ]
        events = json.loads(drp(workspace, "run", "show", result["run"], "--json"))
        losses = compare(workspace, plan, people.acknowledged, at, events)
    finally:
        drp(workspace, "lab", "down", "--purge")
    tell(result, losses, lasted, len(plan.hosts))


def compare(
    workspace: Path, plan: LabPlan, acknowledged: dict[str, list[Written]], at: datetime, events: list[dict[str, Any]]
) -> list[Loss]:
    """Each service in which people write: drp's marks beside what is gone."""
    declared = load_city(workspace, REPOSITORY / "runbooks").services
    points = {name: item["restore_point"] for name, item in events[0]["body"]["plan"]["services"].items()}
    marks: dict[str, dict[str, datetime]] = {}
    for event in events:
        if event["type"] == "mark":
            marks.setdefault(event["body"]["service"], {})[event["body"]["mark"]] = time_of(event["body"]["at"])
    found = []
    for name, written in acknowledged.items():
        service = plan.service(name)
        assert service is not None
        newest, gone = marks[name]["Tb"], marks[name]["T0"]
        lost = lost_of(service, written)
        probing = max((check.interval + check.timeout for check in declared[name].checks), default=timedelta())
        dumping = time_of(points[name]["arrived_at"]) - time_of(points[name]["sentinel_at"])
        found.append(
            Loss(
                name,
                len(written),
                len(lost),
                sum(item.at <= newest for item in lost),
                (gone - newest).total_seconds(),
                (at - lost[0].at).total_seconds() if lost else 0.0,
                (dumping + probing + EVERY).total_seconds(),
            )
        )
    return found


def tell(result: dict[str, Any], losses: list[Loss], lasted: float, hosts: int) -> None:
    services = result["services"]
    not_measured = [item["service"] for item in services if item["rta_ms"] is None or item["rpa_ms"] is None]
    wrong = [loss for loss in losses if loss.older_than_newest or loss.understated or loss.overstated]
    finish(
        "failover",
        [
            Figure("services", len(services), ""),
            Figure("hosts", hosts, ""),
            Figure("failover", lasted, "s"),
            Figure("services without measured RTA and RPA", len(not_measured), "", 0),
            Figure("services in which people wrote", len(losses), ""),
            Figure("texts acknowledged", sum(loss.written for loss in losses), ""),
            Figure("texts lost", sum(loss.lost for loss in losses), ""),
            Figure("lost texts that are no newer than Tb", sum(loss.older_than_newest for loss in losses), "", 0),
            Figure("services whose RPA is less than the truth", sum(loss.understated for loss in losses), "", 0),
            Figure("services whose RPA exceeds it by too much", sum(loss.overstated for loss in losses), "", 0),
            Figure("most that an RPA exceeds the truth", max(loss.rpa - loss.truth for loss in losses), "s"),
        ],
        notes=[
            *(["Not measured: " + ", ".join(not_measured)] if not_measured else []),
            *(f"{loss}" for loss in wrong),
        ],
    )


def main() -> None:
    if os.geteuid() != 0:
        sys.exit("the lab needs root")
    with workspace_copy() as workspace:
        # Nobody is here for the steps that people do.
        runbook = workspace / "runbooks" / "site-loss.yaml"
        runbook.write_text(runbook.read_text().partition("# Whatever follows")[0])
        measure(workspace, SMALL if "--small" in sys.argv[1:] else ())


if __name__ == "__main__":
    main()
