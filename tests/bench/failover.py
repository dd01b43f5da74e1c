"""`./dev bench failover`: the whole city loses its primary site while citizens write, and comes back; nothing but what
drp has said is lost, and nothing at all on the way home.

In one run, in a lab of the default workspace: every service is backed up and watched, citizens write, the site is lost,
`drp failover` recovers all services, and each one's citizens are compared with it (`tests.e2e.citizens`). Then the
primary site is built anew, empty, and `drp failback` brings all of them home, while citizens write. `--small` takes a
few services; `--no-failback` ends after the comparison.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from drp.lab import city
from drp.lab.plan import names_of
from drp.lab.state import load
from tests.bench.common import Figure, finish, progress
from tests.e2e.citizens import Comparison, Write, acknowledged, compare, missing_of_all, time_of, writers_of
from tests.e2e.workbench import Workbench, eventually

SMALL = ("absensi-penggajian", "transportasi", "diklat", "website-subdomain")
DECIDED = ("--yes", "--by", "Ratna Kusumah", "--reason", "flood in the data centre", "--json")
WRITES_SINCE_BACKUP = 8
LIMIT_SECONDS = 3600
CPU_SECONDS = 30


@dataclass(frozen=True)
class Run:
    """A run of drp that has ended: what it printed, its report, and how long it took."""

    result: dict[str, Any]
    report: dict[str, Any]
    seconds: float
    said: str

    @property
    def services(self) -> dict[str, dict[str, Any]]:
        return {item["service"]: item for item in self.result["services"]}

    def seconds_to(self, stage: str) -> float:
        """From the start of drp to the last end of a stage."""
        ended = [
            time_of(event["at"])
            for event in self.report["events"]
            if event["type"] == "step.ended" and event["body"]["step"].endswith(f"/{stage}")
        ]
        first = time_of(self.report["events"][0]["at"])
        return (max(ended) - first).total_seconds() if ended else float("nan")


def run_of(bench: Workbench, *arguments: str) -> Run:
    started = time.monotonic()
    done = bench.drp(*arguments, *DECIDED, code=(0, 4), limit_seconds=LIMIT_SECONDS)
    result = done.json()
    report = json.loads(Path(result["report"][1]).read_text())
    for cause in result["causes"]:
        progress(f"{arguments[0]}: {cause['service']}: {cause['text']}")
    return Run(result, report, time.monotonic() - started, done.stderr)


def processor_seconds(pid: int) -> float:
    fields = Path("/proc", str(pid), "stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def processor_percent_of_citizens(workspace: Path) -> float:
    """Of one processor, while all services work."""
    pid = next(client.pid for client in city.status(workspace).clients if client.pid is not None)
    before, started = processor_seconds(pid), time.monotonic()
    time.sleep(CPU_SECONDS)  # what is measured is this time itself
    return 100 * (processor_seconds(pid) - before) / (time.monotonic() - started)


def table(compared: Sequence[Comparison], failed_over: Run) -> None:
    head = ("service", "written", "lost", "true loss", "RPA", "more by", "allowed", "RTA", "")
    progress("{:<24} {:>7} {:>5} {:>9} {:>9} {:>8} {:>8} {:>9} {}".format(*head))
    for item in compared:
        rta = failed_over.services[item.service]["rta_ms"]
        shown = "-" if rta is None else f"{rta / 1000:.1f}"
        durations = (item.true_loss, item.rpa, item.overstated, item.allowance)
        seconds = " ".join(
            f"{value / timedelta(seconds=1):>{width}.1f}" for value, width in zip(durations, (9, 9, 8, 8), strict=True)
        )
        faults = "; ".join(item.faults) or "agrees"
        progress(f"{item.service:<24} {len(item.before):>7} {len(item.lost):>5} {seconds} {shown:>9} {faults}")


@dataclass(frozen=True)
class Failover:
    """A site loss, the failover, and what of each service's citizens is there after it."""

    run: Run
    compared: list[Comparison]
    not_compared: list[str]


def fail_over(bench: Workbench, names: Sequence[str]) -> Failover:
    writers = writers_of(bench.folder)
    watch = bench.start("watch", *names)
    for name in names:
        watch.until(f"{name}: usable from outside")
    enough = {name: len(acknowledged(writer)) + WRITES_SINCE_BACKUP for name, writer in writers.items()}
    eventually(
        lambda: all(len(acknowledged(writer)) >= enough[name] for name, writer in writers.items()), "citizens write"
    )
    at: datetime = city.disaster(bench.folder, "site-loss", say=progress)
    for name in names:
        watch.until(f"{name}: NOT usable")
    progress("drp watch has seen it; failing over")
    run = run_of(bench, "failover", *names)
    recovered = {name: writer for name, writer in writers.items() if run.services[name]["rpa_ms"] is not None}
    writes = {name: acknowledged(writer) for name, writer in recovered.items()}
    lost = missing_of_all(recovered, writes)
    compared = [compare(name, at, writes[name], lost[name], run.report) for name in recovered]
    table(compared, run)
    return Failover(run, compared, [name for name in writers if name not in recovered])


def fail_back(bench: Workbench, names: Sequence[str], before: Mapping[str, Sequence[Write]]) -> tuple[Run, int, int]:
    """Home again; gives how much was acknowledged and how much of it is lost. What the failover had lost, `before`,
    stays lost and is not counted."""
    progress("building the primary site anew")
    bench.drp("lab", "up", *names, limit_seconds=LIMIT_SECONDS)
    run = run_of(bench, "failback", *names)
    writers = writers_of(bench.folder)
    gone = {name: {write.sha256 for write in writes} for name, writes in before.items()}
    writes = {
        name: [write for write in acknowledged(writer) if write.sha256 not in gone.get(name, ())]
        for name, writer in writers.items()
    }
    lost = missing_of_all(writers, writes)
    for name, found in lost.items():
        if found:
            progress(f"{name}: lost in failback: {len(found)}, the first acknowledged at {found[0].at}")
    return run, sum(map(len, writes.values())), sum(map(len, lost.values()))


def not_met(run: Run) -> list[str]:
    return [f"{name} {item['verdict']}" for name, item in run.services.items() if item["rta_ms"] is None]


def measure(bench: Workbench, *, small: bool, with_failback: bool) -> None:
    progress("building the city")
    bench.drp("lab", "up", *(SMALL if small else ("--all",)), limit_seconds=LIMIT_SECONDS)
    state = load(names_of(bench.folder))
    assert state is not None
    names = [service.id for service in state.plan.services]
    progress(f"{len(names)} services on {len(state.plan.hosts)} hosts; citizens write to {len(state.clients)}")
    percent = processor_percent_of_citizens(bench.folder)
    bench.drp("backup", "run", *names, limit_seconds=LIMIT_SECONDS)
    over = fail_over(bench, names)
    compared = over.compared
    old = sum(write.at <= item.tb for item in compared for write in item.lost)
    disagreeing = [item.service for item in compared if item.faults] + over.not_compared
    figures = [
        Figure("services", len(names), ""),
        Figure("hosts", len(state.plan.hosts), ""),
        Figure("services that citizens write to", len(state.clients), ""),
        Figure("citizens, of one processor", percent, "%"),
        Figure("failover: services without measured RTA", len(not_met(over.run)), "", 0),
        Figure("failover: writes acknowledged before the disaster", sum(len(item.before) for item in compared), ""),
        Figure("failover: of these lost", sum(len(item.lost) for item in compared), ""),
        Figure("failover: services whose citizens disagree", len(disagreeing), "", 0),
        Figure("failover: lost writes older than Tb", old, "", 0),
        Figure("failover: makespan to the last verification", over.run.seconds_to("verify"), "s"),
        Figure("failover: makespan to the last usable service", over.run.seconds_to("usable"), "s"),
    ]
    notes = [
        *([f"Failover not measured: {', '.join(not_met(over.run))}"] if not_met(over.run) else []),
        *([f"Disagree: {', '.join(disagreeing)}"] if disagreeing else []),
        "Makespans are from the start of drp failover; people's steps are taken out of the runbooks, hold is 4 s.",
    ]
    if with_failback:
        back, written, lost = fail_back(bench, names, {item.service: item.lost for item in compared})
        figures += [
            Figure("failback: services without measured RTA", len(not_met(back)), "", 0),
            Figure("failback: writes acknowledged that the failover had not lost", written, ""),
            Figure("failback: of these lost", lost, "", 0),
            Figure("failback: makespan to the last usable service", back.seconds_to("usable"), "s"),
        ]
        notes += [f"Failback not measured: {', '.join(not_met(back))}"] if not_met(back) else []
    finish("failover", figures, notes=notes)


def main() -> None:
    with tempfile.TemporaryDirectory(dir="/var/tmp", prefix="drp-bench-") as folder:
        bench = Workbench(Path(folder))
        try:
            measure(bench, small="--small" in sys.argv[1:], with_failback="--no-failback" not in sys.argv[1:])
        finally:
            bench.down()


if __name__ == "__main__":
    main()
