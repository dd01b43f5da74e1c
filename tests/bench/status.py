"""`./dev bench status`: what it costs to ask how well the services are protected, with a full ledger.

The ledger is built the way drp writes it (events with true hashes, projected by drp's own code), only in few
transactions: 1 000 000 events, of which 60 000 backups of 100 services over 40 days, their checks and proofs, and the
events of many recoveries. The figures are of whole commands as a user runs them, from the start of the process to its
end; beside them the same with 10 000 services.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from drp.adapters.inventory import load_city
from drp.adapters.ledger import SqliteLedger
from drp.adapters.ledger_projections import project
from drp.domain.events import Body, Event, canonical_json, event_hash, hash_of
from drp.domain.service import Service
from drp.domain.values import to_stamp
from tests.bench.cities import write_city
from tests.bench.common import Figure, finish, median, progress
from tests.bench.startup import cpu_seconds
from tests.fakes.city import make_restore_point

EVENTS, POINTS, DAYS = 1_000_000, 60_000, 40
PARTS = 30
RUNS = 5
DRP = str(Path(sys.executable).with_name("drp"))
_COLUMNS = "run, sequence, at, type, body, previous, hash"

Written = Iterator[tuple[datetime, str, str, Body]]
"""When, in which run, of what type, and what."""


def main() -> None:
    figures = []
    with tempfile.TemporaryDirectory(prefix="drp-bench-") as folder:
        for services, target in ((100, 1.0), (10_000, None)):
            workspace = Path(folder) / str(services)
            write_city(workspace, services)
            figures.append(Figure(f"{services}: without a ledger", _seconds(workspace), "s"))
            progress(f"{services} services: writing {EVENTS} events")
            build(workspace, EVENTS, POINTS)
            figures.append(Figure(f"{services}: drp backup status", _seconds(workspace), "s", target))
            figures.append(Figure(f"{services}: the same with --json", _seconds(workspace, "--json"), "s", target))
            one = next(iter(load_city(workspace, workspace / "runbooks").services))
            figures.append(Figure(f"{services}: one service", _seconds(workspace, one), "s"))
            command = [DRP, "-w", str(workspace), "backup", "status"]
            figures.append(Figure(f"{services}: CPU of it", cpu_seconds(command, runs=RUNS), "s"))
        finish("status", figures, notes=[f"{EVENTS} events each; medians of {RUNS} runs."])


def build(workspace: Path, events: int, points: int) -> None:
    """Write a ledger of so many events, with so many restore points, into a workspace."""
    services = [found for found in load_city(workspace, workspace / "runbooks").services.values() if found.backup]
    now = datetime.now(UTC)
    with closing(SqliteLedger(workspace / "var" / "ledger.sqlite3", lambda: now)) as ledger:
        database = ledger.database
        database.execute("PRAGMA synchronous = OFF")
        database.execute("PRAGMA cache_size = -200000")
        chains: dict[str, tuple[int, str]] = {}
        rows = []
        database.execute("BEGIN")
        for event in _chained(_story(services, points, events, now), chains):
            project(database.execute, event)
            rows.append(
                (
                    *(event.run, event.sequence, event.at, event.type),
                    *(canonical_json(event.body), event.previous, event.hash),
                )
            )
            if len(rows) == 10_000:
                database.executemany(f"INSERT INTO events ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
                rows.clear()
        database.executemany(f"INSERT INTO events ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
        database.execute("COMMIT")
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        count = database.execute("SELECT count(*) FROM events").fetchone()[0]
        assert count == events, f"{count} events were written instead of {events}"
        ledger.verify(next(iter(chains)))


def _chained(story: Written, chains: dict[str, tuple[int, str]]) -> Iterator[Event]:
    for at, run, type_, body in story:
        sequence, previous = chains.get(run, (0, body.get("genesis", "")))
        sequence, stamp = sequence + 1, to_stamp(at)
        digest = event_hash(previous, run, sequence, stamp, type_, body)
        chains[run] = (sequence, digest)
        yield Event(run, sequence, stamp, type_, body, previous, digest)


def _story(services: list[Service], points: int, events: int, now: datetime) -> Written:
    """Backups of all services in turn, checks of each day, and what recoveries wrote, up to the number of events."""
    written = 0
    for event in [*_proofs(services, now)]:
        written += 1
        yield event
    each = points // len(services)
    step = timedelta(days=DAYS) / each
    template = make_restore_point("pengaduan")
    for number in range(each):
        at = now - step * (each - number) + step / 2
        for service in services:
            run = f"backup-{service.id}-{number:05}"
            host = service.datasets[0].host
            point = replace(
                template,
                id=run,
                service=service.id,
                sentinel_at=at,
                arrived_at=at + timedelta(seconds=40),
                repositories={host: f"s3:https://192.0.2.10:9000/drp/{service.id}/{host}"},
                datasets={dataset.id: dataset.mechanics() for dataset in service.datasets},
            )
            plan = {"service": service.id, "site": "primary", "hosts": [host]}
            genesis = hash_of(plan)
            opened = {"kind": "backup", "services": [service.id], "genesis": genesis, "plan": plan}
            yield at, run, "run.opened", opened
            yield at, run, "action.started", {"action": host, "host": host}
            yield at, run, "clock.measured", {"host": host, "offset_ms": 0, "uncertainty_ms": 20}
            yield point.arrived_at, run, "restore_point.recorded", point.record()
            yield point.arrived_at, run, "run.closed", {"outcome": "done", "exit_code": 0}
            written += 5
    genesis = hash_of("drill")
    for number in range(events - written):
        run = f"drill-{number // 2000:05}"
        if number % 2000 == 0:
            yield now, run, "run.opened", {"kind": "drill", "services": [], "genesis": genesis}
        else:
            yield now, run, "step.ended", {"step": f"restore-{number}", "outcome": "done", "duration_ms": number}


def _proofs(services: list[Service], now: datetime) -> Written:
    """A month of checks, one part a day, and a proven restore of each dataset."""
    run, genesis = "check-1", hash_of("check")
    yield now, run, "run.opened", {"kind": "check", "services": [], "genesis": genesis}
    for day in range(PARTS):
        for service in services:
            for host in {dataset.host for dataset in service.datasets}:
                body = {"service": service.id, "host": host, "dr_centre": "drc", "is_good": True}
                at = now - timedelta(days=PARTS - day, hours=-1)
                yield at, run, "check.recorded", body | {"part": day + 1, "parts": PARTS}
    for service in services:
        for dataset in service.datasets:
            body = {"service": service.id, "dataset": dataset.id, "how": "test-restore", "restore_point": "x"}
            yield now - timedelta(days=3), run, "proof.recorded", body


def _seconds(workspace: Path, *arguments: str) -> float:
    measured = []
    for _ in range(RUNS):
        started = time.perf_counter()
        done = subprocess.run(
            [DRP, "-w", str(workspace), "backup", "status", *arguments], capture_output=True, text=True, check=False
        )
        measured.append(time.perf_counter() - started)
        if done.returncode not in (0, 4):
            sys.exit(f"drp backup status ended with {done.returncode}:\n{done.stderr}")
    return median(measured)


if __name__ == "__main__":
    main()
