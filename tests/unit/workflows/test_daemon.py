"""The daemon: works in lanes, tells how it does, outlives what passes, and leaves what runs to the next drp."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from drp.adapters.clock import SystemClock
from drp.adapters.ledger import SqliteLedger
from drp.domain.inventory import City
from drp.domain.values import to_stamp
from drp.errors import BusyError, DrpError, Fault, InvalidInventoryError
from drp.ports import ActionState, Clock, Say, World
from drp.workflows import daemon
from drp.workflows.backup import back_up
from drp.workflows.daemon import Inventory, LaneClock, Stopped, serve
from drp.workflows.schedule import TaskResult, TaskRunner
from tests.fakes.actions import Ending
from tests.fakes.city import make_city, service_record
from tests.fakes.world import FakeLocks, Stage, make_stage

LIMIT_SECONDS = 30


class FakeManager:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.watchdog_seconds: float | None = 0.15
        self.told: list[dict[str, str]] = []

    def notify(self, **fields: str) -> bool:
        self.told.append(fields)
        return True


class Bench:
    """A daemon in threads of this process, over a real ledger and fake hosts."""

    def __init__(self, folder: Path) -> None:
        record = service_record("pengaduan")
        record["backup"]["schedule"] = "hourly"
        self.stage: Stage = make_stage(folder, make_city(record), restore_points=False)
        self.manager, self.locks, self.stop = FakeManager(), FakeLocks(), threading.Event()
        self.said: list[str] = []
        self.open_errors: list[Exception] = []
        self.opened = 0
        self.inventory = Inventory(lambda: self.stage.world.city, lambda: 0, self.said.append)
        self.ended: BaseException | None = None
        self.thread: threading.Thread | None = None

    @contextmanager
    def open_world(self, city: City, clock: Clock, say: Say) -> Iterator[World]:
        self.opened += 1
        if self.open_errors:
            raise self.open_errors.pop(0)
        world = self.stage.world
        ledger = SqliteLedger(world.workspace / "var" / "ledger.sqlite3", clock.now)
        try:
            yield World(
                workspace=world.workspace,
                city=city,
                ledger=ledger,
                actions=world.actions,
                store=world.store,
                secrets=world.secrets,
                locks=self.locks,
                clock=clock,
                watch=world.watch,
                reachability=world.reachability,
                host_keys=world.host_keys,
                figures=world.figures,
                messenger=world.messenger,
                say=say,
                operator="siti",
            )
        finally:
            ledger.close()

    def start(self, runners: Mapping[str, TaskRunner]) -> None:
        def work() -> None:
            try:
                serve(
                    self.inventory,
                    self.open_world,
                    runners,
                    locks=self.locks,
                    clock=SystemClock(),
                    manager=self.manager,
                    stop=self.stop,
                    say=self.said.append,
                )
            except BaseException as error:  # noqa: BLE001 - the test looks at it
                self.ended = error

        self.thread = threading.Thread(target=work)
        self.thread.start()

    def until(self, condition: Callable[[], bool]) -> None:
        limit = time.monotonic() + LIMIT_SECONDS
        while not condition():
            assert time.monotonic() < limit, (self.said, self.manager.told[-3:])
            time.sleep(0.01)

    def end(self) -> None:
        self.stop.set()
        if self.thread is not None:
            self.thread.join(LIMIT_SECONDS)
            assert not self.thread.is_alive()


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    monkeypatch.setattr(daemon, "LONGEST_PAUSE_SECONDS", 0.05)
    monkeypatch.setattr(daemon, "SHORTEST_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(daemon, "REFRESH_SECONDS", 0.05)
    found = Bench(tmp_path)
    yield found
    found.end()


def done(world: World, due: Mapping[str, datetime]) -> list[TaskResult]:
    for service, moment in due.items():
        run = f"backup-{service}-{time.monotonic_ns()}"
        world.ledger.open_run(run, "backup", "0" * 64, [service], {"due_at": to_stamp(moment)})
        world.ledger.append(run, "run.closed", {"outcome": "done", "exit_code": 0})
    return [TaskResult(service) for service in due]


def test_it_does_what_is_due_and_tells_the_manager_that_all_is_well(bench: Bench) -> None:
    bench.start({"backup": done})
    bench.until(lambda: "pengaduan: backup done" in bench.said)
    bench.until(lambda: {"WATCHDOG": "1"} in bench.manager.told)
    bench.until(lambda: any("backup: next" in told.get("STATUS", "") for told in bench.manager.told))
    bench.end()
    assert bench.ended is None
    assert bench.manager.told[0]["READY"] == "1"
    assert bench.manager.told[-1]["STOPPING"] == "1"
    assert bench.said.count("pengaduan: backup done") == 1
    assert bench.locks.held == {}


def test_told_to_end_it_leaves_what_runs_on_a_host_to_the_next_drp(bench: Bench) -> None:
    bench.stage.actions.script = lambda _name, _spec: Ending(running=True)
    runs: list[str] = []

    def backups(world: World, due: Mapping[str, datetime]) -> list[TaskResult]:
        return [TaskResult(result.service, result.error) for result in back_up(world, list(due), due)]

    bench.start({"backup": backups})
    bench.until(lambda: bool(bench.stage.actions.known))
    bench.end()
    assert bench.ended is None
    (folder,) = bench.stage.actions.known
    assert bench.stage.actions.state(folder) is ActionState.RUNNING
    runs = [row.run for row in bench.stage.ledger.runs(kinds=("backup",), only_open=True)]
    assert len(runs) == 1
    assert bench.stage.ledger.backup_states()["pengaduan"].is_open
    assert bench.locks.held == {}


def test_what_passes_is_told_once_and_outlived(bench: Bench) -> None:
    trouble = DrpError("the ledger cannot be used: database or disk is full")
    bench.open_errors = [trouble, trouble, OSError(28, "No space left on device")]
    bench.start({"backup": done})
    bench.until(lambda: "pengaduan: backup done" in bench.said)
    assert sum("disk is full" in line for line in bench.said) == 1
    assert sum("No space left" in line for line in bench.said) == 1


def test_a_lane_that_another_drp_holds_is_waited_for(bench: Bench) -> None:
    bench.locks.acquire("scheduler", "drp backup run --due")
    bench.start({"backup": done})
    bench.until(lambda: any("is at work here" in line for line in bench.said))
    bench.locks.release("scheduler")
    bench.until(lambda: "pengaduan: backup done" in bench.said)


def test_a_fault_of_drp_itself_ends_it_so_that_it_is_started_anew(bench: Bench) -> None:
    def broken(_world: World, _due: Mapping[str, datetime]) -> list[TaskResult]:
        raise RuntimeError("a fault of drp")

    bench.start({"backup": broken})
    bench.until(lambda: bench.ended is not None)
    assert str(bench.ended) == "a fault of drp"
    assert bench.locks.held == {}


def test_a_lane_that_hangs_gets_no_more_signs_of_life(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(daemon, "LANE_SILENCE_SECONDS", 0.3)
    hold = threading.Event()

    def hanging(_world: World, _due: Mapping[str, datetime]) -> list[TaskResult]:
        hold.wait(LIMIT_SECONDS)
        return []

    bench.start({"backup": hanging})
    bench.until(lambda: any("is due" in line for line in bench.said))
    time.sleep(0.5)  # the silence itself is what is waited for
    before = bench.manager.told.count({"WATCHDOG": "1"})
    time.sleep(0.5)
    assert bench.manager.told.count({"WATCHDOG": "1"}) == before
    hold.set()


def test_a_second_daemon_is_refused(bench: Bench) -> None:
    bench.locks.acquire("daemon", "drp daemon")
    bench.start({"backup": done})
    bench.until(lambda: bench.ended is not None)
    assert isinstance(bench.ended, BusyError)
    assert bench.manager.told == []


def test_files_that_become_faulty_leave_those_before_in_force(tmp_path: Path) -> None:
    said: list[str] = []
    cities: list[Any] = [make_city(), make_city(service_record("baru"))]
    answers: list[Any] = [cities[0], InvalidInventoryError([Fault("drp.yaml", 3, "no such tier")]), cities[1]]
    seen = [1]

    def load() -> City:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        city: City = answer
        return city

    inventory = Inventory(load, lambda: seen[0], said.append)
    inventory.refresh()
    assert (inventory.city, said) == (cities[0], [])
    seen[0] = 2
    inventory.refresh()
    inventory.refresh()
    assert inventory.city is cities[0]
    assert inventory.is_faulty
    assert [line for line in said if "drp.yaml:3: no such tier" in line]
    seen[0] = 3
    inventory.refresh()
    assert inventory.city is cities[1]
    assert not inventory.is_faulty


def test_a_wait_of_a_lane_ends_when_the_daemon_is_to_end() -> None:
    stop = threading.Event()
    clock = LaneClock(SystemClock(), stop)
    clock.sleep(0.001)
    stop.set()
    with pytest.raises(Stopped):
        clock.sleep(LIMIT_SECONDS)
