"""Do what is due, all the time, in one process: each lane of the schedule in a thread of its own.

What runs on hosts is no part of this process: when the daemon ends, for whatever reason, it goes on, and the next drp
takes it up.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol
from zoneinfo import ZoneInfo

from drp.domain.inventory import City
from drp.domain.recovery.clocks import ClockReading
from drp.errors import BusyError, DrpError, InvalidInventoryError
from drp.ports import Clock, Lock, Say, World
from drp.workflows.notify import note_state
from drp.workflows.schedule import LANES, TaskOutcome, TaskRunner, decisions_of, next_start, run_lane

LONGEST_PAUSE_SECONDS = 30.0
"""Between two looks at what is due: files and clocks change."""
SHORTEST_PAUSE_SECONDS = 1.0
REFRESH_SECONDS = 10.0
SAY_AGAIN_SECONDS = 600.0
LANE_SILENCE_SECONDS = 900.0
"""A lane whose work has not looked at a clock for so long hangs: the service manager is to start the daemon anew."""
END_LIMIT_SECONDS = 10.0


class Manager(Protocol):
    """What starts the daemon and wants to know how it does: systemd, or nobody."""

    watchdog_seconds: float | None

    def notify(self, **fields: str) -> bool: ...


class Stopped(BaseException):
    """The daemon is to end: a lane lets go of what it waits for, and touches neither it nor its run."""


OpenWorld = Callable[[City, Clock, Say], AbstractContextManager[World]]


@dataclass
class Inventory:
    """The workspace's files, read again when they change. Where they become faulty, those before stay in force."""

    load: Callable[[], City]
    signature: Callable[[], object]
    say: Say
    is_faulty: bool = False
    city: City = field(init=False)

    def __post_init__(self) -> None:
        self._seen = self.signature()
        self.city = self.load()

    def refresh(self) -> None:
        """Read the files again if they have changed."""
        signature = self.signature()
        if signature == self._seen:
            return
        self._seen = signature
        try:
            self.city = self.load()
        except (DrpError, OSError) as error:
            self.is_faulty = True
            self.say(f"the changed files are not used, those before stay in force: {error}")
            for fault in error.faults[:5] if isinstance(error, InvalidInventoryError) else ():
                self.say(f"  {fault.where}: {fault.message}")
        else:
            self.is_faulty = False
            self.say("the files have changed and were read again")


class LaneClock:
    """A clock that notes that it is looked at, and that a wait ends when the daemon is to end."""

    def __init__(self, clock: Clock, stop: threading.Event) -> None:
        self.clock, self.stop, self.looked_at = clock, stop, clock.monotonic()

    def now(self) -> datetime:
        self.looked_at = self.clock.monotonic()
        return self.clock.now()

    def reading(self) -> ClockReading:
        return self.clock.reading()

    def monotonic(self) -> float:
        self.looked_at = self.clock.monotonic()
        return self.looked_at

    def sleep(self, seconds: float) -> None:
        self.looked_at = self.clock.monotonic()
        if self.stop.wait(seconds):
            raise Stopped


class Lane:
    """One lane of the schedule, at work until told to stop. `failure` is what ended it otherwise."""

    def __init__(
        self,
        name: str,
        inventory: Inventory,
        open_world: OpenWorld,
        runners: Mapping[str, TaskRunner],
        clock: LaneClock,
        say: Say,
    ) -> None:
        self.name, self.inventory, self.open_world = name, inventory, open_world
        self.runners, self.clock, self.say = runners, clock, say
        self.doing = "starts"
        self.failure: BaseException | None = None
        self._complaint, self._complained_at = "", 0.0
        self.thread = threading.Thread(target=self._run, name=f"drp-{name}", daemon=True)

    @property
    def is_well(self) -> bool:
        silence = self.clock.clock.monotonic() - self.clock.looked_at
        return self.thread.is_alive() and silence < LANE_SILENCE_SECONDS

    def _run(self) -> None:
        try:
            while not self.clock.stop.is_set():
                with ExitStack() as opened:
                    self._work(opened)
        except Stopped:
            pass
        except BaseException as error:  # noqa: BLE001 - a thread's end must not go unnoticed: the daemon ends with it
            self.failure = error

    def _work(self, opened: ExitStack) -> None:
        """Work with the inventory of now, until that changes or something fails."""
        city = self.inventory.city
        try:
            world = opened.enter_context(self.open_world(city, self.clock, self.say))
            while self.inventory.city is city:
                self.clock.sleep(self._do_due(world))
        except BusyError as error:
            self._complain(error)
            self.clock.sleep(LONGEST_PAUSE_SECONDS)
        except (DrpError, OSError) as error:  # such as a full disk or a locked ledger: it may pass
            self._complain(error)
            self.clock.sleep(LONGEST_PAUSE_SECONDS)

    def _do_due(self, world: World) -> float:
        """Do what is due now; gives the seconds until something may be due again."""
        self.doing = f"{self.name}: at work"
        outcomes = run_lane(world, self.name, self.runners)
        for outcome in outcomes:
            self._tell(outcome)
        note_state(world)
        tried = {outcome.decision.task.key for outcome in outcomes}
        kinds = tuple(kind for kind in LANES[self.name] if kind in self.runners)
        # What is still due although it was just tried, as another drp is at it, can wait; it must not keep this busy.
        coming = [found for found in decisions_of(world, kinds=kinds) if not (found.is_due and found.task.key in tried)]
        next_at = next_start(coming)
        self._complaint = ""
        if next_at is None:
            self.doing = f"{self.name}: nothing to come"
            return LONGEST_PAUSE_SECONDS
        zone = ZoneInfo(world.city.workspace.organisation.time_zone)
        self.doing = f"{self.name}: next {next_at.astimezone(zone):%a %H:%M}"
        seconds = (next_at - world.clock.now()) / timedelta(seconds=1)
        return min(max(seconds, SHORTEST_PAUSE_SECONDS), LONGEST_PAUSE_SECONDS)

    def _tell(self, outcome: TaskOutcome) -> None:
        task = outcome.decision.task
        what = f"{task.service}: {task.name}"
        if outcome.error is None:
            self.say(f"{what} done{outcome.text and ': ' + outcome.text}")
        elif outcome.is_busy:
            self.say(f"{what}: {outcome.error}")
        else:
            self.say(f"{what} FAILED: {outcome.error}{outcome.error.hint and '; next: ' + outcome.error.hint}")

    def _complain(self, error: Exception) -> None:
        """Say what keeps the lane from its work: once, and again now and then while it lasts."""
        text, now = f"{self.name}: {error}; it goes on when that is over", self.clock.monotonic()
        self.doing = f"{self.name}: held up ({error})"
        if text != self._complaint or now - self._complained_at > SAY_AGAIN_SECONDS:
            self.say(text)
            self._complaint, self._complained_at = text, now


def serve(
    inventory: Inventory,
    open_world: OpenWorld,
    runners: Mapping[str, TaskRunner],
    *,
    locks: Lock,
    clock: Clock,
    manager: Manager,
    stop: threading.Event,
    say: Say,
) -> None:
    """Work until `stop` is set. BusyError where another daemon serves this workspace; what ends a lane is raised."""
    locks.acquire("daemon", "drp daemon")
    lanes = [
        Lane(name, inventory, open_world, runners, LaneClock(clock, stop), say)
        for name, kinds in LANES.items()
        if any(kind in runners for kind in kinds)
    ]
    try:
        for lane in lanes:
            lane.thread.start()
        manager.notify(READY="1", STATUS="started")
        say(f"drp daemon: {', '.join(runners)}, each when it is due; end with Ctrl-C")
        _look_after(lanes, inventory, manager, clock, stop)
    finally:
        stop.set()
        manager.notify(STOPPING="1", STATUS="ending; what runs on hosts goes on")
        limit = clock.monotonic() + END_LIMIT_SECONDS
        for lane in lanes:
            lane.thread.join(max(0.0, limit - clock.monotonic()))
        locks.release("daemon")
    say("drp daemon has ended; what runs on hosts goes on, and the next drp takes it up")


def _look_after(lanes: list[Lane], inventory: Inventory, manager: Manager, clock: Clock, stop: threading.Event) -> None:
    """Tell the manager that all is well for as long as it is, and look for changed files."""
    tick = min(REFRESH_SECONDS, (manager.watchdog_seconds or REFRESH_SECONDS * 3) / 3)
    refreshed_at, told = clock.monotonic(), ""
    while not stop.wait(tick):
        if clock.monotonic() - refreshed_at >= REFRESH_SECONDS:
            inventory.refresh()
            refreshed_at = clock.monotonic()
        for lane in lanes:
            if lane.failure is not None:
                raise lane.failure
        if all(lane.is_well for lane in lanes):
            manager.notify(WATCHDOG="1")
        faulty = "FAULTY FILES, older ones in force; " if inventory.is_faulty else ""
        status = faulty + "; ".join(lane.doing for lane in lanes)
        if status != told:
            manager.notify(STATUS=status)
            told = status
