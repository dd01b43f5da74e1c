"""`./dev bench due`: what it costs to decide what is due for 10 000 services, from the ledger on.

Each measurement is a process of its own that has decided nothing yet. The services have many kinds of schedules: each
minute of the day, several times an hour, days of the week and of the month. All of them have been backed up, some have
failed, some have missed runs; each kind of task has its own last runs in a real ledger of about 380 000 events.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from drp.adapters.inventory import read_city
from drp.adapters.ledger import SqliteLedger
from drp.adapters.ledger_projections import project
from drp.domain.backups.record import SCHEDULED_KINDS
from drp.domain.events import Event, canonical_json
from drp.domain.inventory import City
from drp.domain.schedules.schedule import parse_schedule
from drp.domain.values import to_stamp
from tests.bench.cities import write_city
from tests.bench.common import Figure, finish, median, progress

SIZE = 10_000
RUNS = 3
TARGET_SECONDS = 1.0
NOW = datetime(2026, 11, 20, 7, 7, tzinfo=UTC)
"""14:07 in Jakarta, a Friday."""


def main() -> None:
    if sys.argv[1:2] == ["--measure"]:
        print(
            json.dumps(
                measure(Path(sys.argv[2]), time.process_time if sys.argv[3] == "processor" else time.perf_counter)
            )
        )
        return
    with tempfile.TemporaryDirectory(prefix="drp-bench-") as folder:
        workspace = Path(folder)
        progress(f"{SIZE} services: writing them and a ledger of their runs")
        write_city(workspace, SIZE)
        write_ledger(workspace, scheduled(read_city(workspace, workspace / "runbooks")[0]))
        progress(f"{RUNS} processes decide")
        measured = [_measured_apart(workspace, "processor") for _ in range(RUNS)]
        elapsed = median([_measured_apart(workspace, "elapsed")["backups"] for _ in range(RUNS)])
    values = {name: median([run[name] for run in measured]) for name in measured[0]}
    figures = [
        Figure("backups: from the ledger to the order", values["backups"], "s", TARGET_SECONDS),
        Figure("of it reading the ledger", values["facts"], "s"),
        Figure("the same in elapsed time, beside whatever else runs here", elapsed, "s"),
        Figure("backups: decided again", values["again"], "s", TARGET_SECONDS),
        Figure("all kinds of tasks, decided again", values["all"], "s"),
        Figure("schedules, all different", values["schedules"], ""),
        Figure("backups that are due", values["due"], ""),
        Figure("memory", values["memory"], "MB"),
    ]
    finish(
        "due", figures, notes=[f"Medians of {RUNS} processes, each with {SIZE} services; reading them is not counted."]
    )


def scheduled(city: City) -> City:
    """The same city with schedules of all kinds."""
    services = {}
    for number, (name, service) in enumerate(city.services.items()):
        assert service.backup is not None
        minute, hour = number % 60, number // 60 % 24
        text = (
            f"daily {hour:02}:{minute:02}",
            f"{minute} * * * *",
            f"{minute % 15}-59/15 * * * *",
            f"weekdays {hour:02}:{minute:02}",
            f"{minute} {hour} {number % 28 + 1} * *",
        )[number % 5]
        parse_schedule(text)  # reading the files has done so
        services[name] = service.model_copy(update={"backup": service.backup.model_copy(update={"schedule": text})})
    return city.model_copy(update={"services": services})


def write_ledger(workspace: Path, city: City) -> None:
    """Two good runs of each kind, a day apart; one in 20 has failed since, one in 30 has not run for days."""
    at = [NOW]
    ledger = SqliteLedger(workspace / "var" / "ledger.sqlite3", lambda: at[0])
    ledger.database.execute("PRAGMA synchronous = OFF")
    ledger.database.execute("BEGIN")
    for number, name in enumerate(city.services):
        late = timedelta(days=5 if number % 30 == 0 else 0)
        for kind in SCHEDULED_KINDS:
            for ago, outcome in ((30, "done"), (6, "done"), *([(1, "failed")] if number % 20 == 0 else [])):
                run = f"{kind}-{name}-{ago}"
                at[0] = NOW - timedelta(hours=ago, seconds=number % 3600) - late
                _append(ledger, run, "run.opened", {"kind": kind, "services": [name], "due_at": to_stamp(at[0])}, at[0])
                if kind == "backup" and outcome == "done":
                    _record_point(ledger, run, name, at[0])
                at[0] += timedelta(seconds=40)
                _append(ledger, run, "run.closed", {"outcome": outcome, "exit_code": int(outcome != "done")}, at[0])
    ledger.database.execute("COMMIT")
    ledger.close()


def _append(ledger: SqliteLedger, run: str, type_: str, body: dict[str, object], at: datetime) -> None:
    """What the schedule reads of an event, without a transaction of its own and without a chain."""
    sequence = 3 if type_ == "run.closed" else 1
    event = Event(run, sequence, to_stamp(at), type_, {"genesis": "0" * 64, **body}, "0" * 64, "0" * 64)
    ledger.database.execute(
        "INSERT INTO events (run, sequence, at, type, body, previous, hash) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (run, sequence, event.at, type_, canonical_json(event.body), event.previous, event.hash),
    )
    project(ledger.database.execute, event)


def _record_point(ledger: SqliteLedger, run: str, service: str, at: datetime) -> None:
    ledger.database.execute(
        "INSERT INTO restore_points (id, service, site, dr_centre, sentinel_at, arrived_at, bytes, record)"
        " VALUES (?, ?, 'primary', 'drc', ?, ?, 1000, ?)",
        (run, service, to_stamp(at), to_stamp(at + timedelta(seconds=30)), " " * 2000),  # records are about so long
    )


def measure(workspace: Path, clock: Callable[[], float]) -> dict[str, float]:
    """Seconds and MB of this process, which has decided nothing yet."""
    from drp.domain.schedules.due import decide_all
    from drp.domain.schedules.tasks import tasks_of
    from drp.wiring import build_world
    from drp.workflows.schedule import facts_of

    world = build_world(workspace, progress)
    city = scheduled(world.city)
    within = city.workspace.backups.proof.restored_within
    started = clock()
    tasks = tasks_of(city, kinds=("backup",))
    listed = clock()
    facts = facts_of(world, tasks)
    read = clock()
    first = decide_all(tasks, facts, NOW, restored_within=within)
    decided = clock()
    later = NOW + timedelta(minutes=1)
    decide_all(tasks_of(city, kinds=("backup",)), facts_of(world, tasks), later, restored_within=within)
    again = clock()
    everything = tasks_of(city)
    decide_all(everything, facts_of(world, everything), later, restored_within=within)
    whole = clock()
    assert len(tasks) == SIZE, "each service has a schedule"
    due = sum(found.is_due for found in first)
    assert SIZE // 30 < due < SIZE, "some are due, some are not"
    return {
        "backups": decided - started,
        "facts": read - listed,
        "again": again - decided,
        "all": whole - again,
        "schedules": float(len({task.schedules for task in tasks})),
        "due": float(due),
        "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6,
    }


def _measured_apart(workspace: Path, clock: str) -> dict[str, float]:
    command = [sys.executable, "-m", "tests.bench.due", "--measure", str(workspace), clock]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"deciding failed:\n{done.stderr}")
    found: dict[str, float] = json.loads(done.stdout)
    return found


if __name__ == "__main__":
    main()
