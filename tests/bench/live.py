"""`./dev bench live`: what it costs to look at a recovery of many services: CPU seconds of `drp run show --follow` on a
terminal, per second, while probes try every check twice a second and steps report their tasks. Its start, when it reads
what earlier runs have measured, is not counted."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from drp.adapters.inventory import read_city
from drp.adapters.ledger import SqliteLedger
from drp.domain.inventory import City
from drp.domain.recovery.plan import Plan
from drp.domain.recovery.timeline import Mark
from drp.domain.values import to_stamp
from tests.bench.cities import write_city
from tests.bench.common import Figure, finish, progress
from tests.fakes.synthetic_run import plan_for
from tests.fakes.terminal import TerminalCommand

REPOSITORY = Path(__file__).resolve().parents[2]
DRP = str(Path(sys.executable).with_name("drp"))
SERVICES, SECONDS, TICK = 30, 30.0, 0.5
RUN = "drill-20261120-070000-0001"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--services", type=int, default=SERVICES)
    services = parser.parse_known_args()[0].services
    figures = []
    for name, arguments, target in (("live view", (), 3.0), ("lines alone", ("--plain",), None)):
        with tempfile.TemporaryDirectory() as folder:
            share, resident = looked_at(Path(folder) / "city", services, arguments)
        progress(f"{name}: {share:.2%} of a core, {resident:.0f} MB")
        figures.append(Figure(f"{name}, {services} services: of one core", 100 * share, "%", target))
        figures.append(Figure(f"{name}: memory", resident, "MB"))
    finish("live", figures)


def looked_at(workspace: Path, services: int, arguments: tuple[str, ...]) -> tuple[float, float]:
    """The share of a core that looking takes, and the memory in MB."""
    write_city(workspace, services)
    city, _ = read_city(workspace, REPOSITORY / "runbooks")
    with closing(SqliteLedger(workspace / "var/ledger.sqlite3", lambda: datetime.now(UTC))) as ledger:
        plan = plan_for(city)
        open_run(workspace, ledger, city, plan)
        argv = [DRP, "-w", str(workspace), "run", "show", RUN, "--follow", *arguments]
        environment = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        shown = TerminalCommand(argv, environment, columns=100, rows=40)
        shown.until("step.started" if arguments else "since the first step")
        feed(workspace, ledger, city, plan, 5.0)
        before, begun = cpu_seconds(shown.process.pid), time.monotonic()
        feed(workspace, ledger, city, plan, SECONDS)
        share = (cpu_seconds(shown.process.pid) - before) / (time.monotonic() - begun)
        resident = resident_megabytes(shown.process.pid)
        ledger.append(RUN, "run.closed", {"outcome": "done", "exit_code": 0, "verdict": "MET"})
        assert shown.end() == 0, shown.screen.text
    return share, resident


def open_run(workspace: Path, ledger: SqliteLedger, city: City, plan: Plan) -> None:
    opened = {"plan": plan.record(), "by": "siti", "reason": "bench", "unfenced": False}
    ledger.open_run(RUN, "drill", plan.hash, list(plan.services), opened)
    for name in plan.services:
        went = Mark("T0", datetime.now(UTC), "simulated", "bench")
        ledger.append(RUN, "mark", {"service": name, **went.record()})
        file = samples_of(workspace, name)
        file.parent.mkdir(parents=True)
        checks = [check.id for check in city.services[name].checks]
        started = {"service": name, "address": "x", "checks": checks, "file": str(file.relative_to(workspace))}
        ledger.append(RUN, "probe.started", started)
        ledger.append(RUN, "step.started", {"step": f"{name}/restore", "action": f"{name}-restore"})


def samples_of(workspace: Path, service: str) -> Path:
    return workspace / "var/runs" / RUN / f"{service}-probe" / "samples.jsonl"


def feed(workspace: Path, ledger: SqliteLedger, city: City, plan: Plan, seconds: float) -> None:
    """Let every check of every service fail, and one task end, at each tick."""
    begun = time.monotonic()
    ticks = 0
    while time.monotonic() - begun < seconds:
        now = to_stamp(datetime.now(UTC))
        for name in plan.services:
            with samples_of(workspace, name).open("a") as file:
                for check in city.services[name].checks:
                    sample = {"check": check.id, "started_at": now, "ended_at": now, "succeeded": False}
                    file.write(json.dumps(sample | {"detail": "GET /: connection refused"}) + "\n")
        step = f"{list(plan.services)[ticks % len(plan.services)]}/restore"
        task = {"step": step, "host": "h", "task": f"task {ticks}", "outcome": "ok", "duration_ms": 1}
        ledger.append(RUN, "task.ended", task | {"started_at": now, "changed": True})
        ticks += 1
        time.sleep(max(begun + ticks * TICK - time.monotonic(), 0))


def cpu_seconds(pid: int) -> float:
    """User and system seconds of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_megabytes(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


if __name__ == "__main__":
    main()
