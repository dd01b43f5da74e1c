"""The outside probe of a run: all checks of its services, tried from before the first step until after the last."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from drp.domain.recovery.clocks import measured, of_hosts
from drp.domain.recovery.run import Recovery
from drp.domain.recovery.timeline import own_clock
from drp.ports import ActionState, World
from drp.workflows import stages
from drp.workflows.naming import action_folder

POLL_SECONDS = 0.05
LOOK_AFTER_SECONDS = 2.0
"""How often to see whether the probe still lives."""
STOP_LIMIT_SECONDS = 40


class OutsideProbe:
    """One process that tries all services of a run. `record` writes into the run's ledger."""

    def __init__(self, world: World, recovery: Recovery, record: stages.Record) -> None:
        self.world, self.recovery, self.record = world, recovery, record
        self.due = 0.0

    def start(self) -> None:
        """Try all checks of each service from outside from now on, so that their failing is on record as well."""
        self.due = self.world.clock.monotonic() + LOOK_AFTER_SECONDS
        if self.recovery.gave_up_drill or self.world.actions.state(self.process_folder) is ActionState.RUNNING:
            return
        targets = {}
        for name in self.recovery.plan.services:
            usable = self.recovery.steps.get(f"{name}/usable")
            if usable is not None and usable.ended:
                continue
            target = stages.probe_target(self.world, self.recovery, name, self.folder(name))
            file = str((target.folder / "samples.jsonl").relative_to(self.world.workspace))
            checks = [check["id"] for check in target.checks]
            # Written down first: that is refused where another terminal has aborted the run, and nothing is started.
            self.record("probe.started", {"service": name, "address": target.address, "checks": checks, "file": file})
            targets[name] = target
        if targets:
            self.world.actions.start_probe(self.process_folder, targets)

    def keep(self) -> None:
        """One that was killed goes on; meanwhile nobody looked, and that voids what had held until then."""
        if self.world.clock.monotonic() >= self.due:
            self.start()

    def stop(self) -> None:
        """End it, and write down what it left."""
        self.world.actions.stop(self.process_folder)
        limit = self.world.clock.monotonic() + STOP_LIMIT_SECONDS
        while self.world.actions.state(self.process_folder) is ActionState.RUNNING:
            if self.world.clock.monotonic() > limit:
                break
            self.world.clock.sleep(POLL_SECONDS)
        of_all = self.world.actions.evidence(self.process_folder)
        for name in self.recovery.plan.services:
            found = [*self.world.actions.evidence(self.folder(name)), *of_all]
            self.record("probe.ended", {"service": name, "evidence": [item.record() for item in found]})

    @property
    def process_folder(self) -> Path:
        """Of the process that tries all services. No step can have this name."""
        return action_folder(self.world, self.recovery.run, "_probe")

    def folder(self, service: str) -> Path:
        """Where the samples of a service are."""
        return action_folder(self.world, self.recovery.run, f"{service}-probe")


def measure_clocks(world: World, recovery: Recovery, record: stages.Record) -> None:
    """Write down what is known about each clock that a figure rests on. At the end, when nobody waits for it."""
    known = {event.body["service"] for event in recovery.events if event.type == "clock.measured"}
    centres: dict[str, tuple[timedelta, timedelta] | None] = {}
    for name in recovery.plan.services:
        if name in known:
            continue
        record("clock.measured", own_clock(name, recovery.marks.get(name, {}), world.clock.now()))
        point = recovery.point_of(name)
        if point is None:
            continue  # a planned move that came to none: no figure rests on another clock
        for body in of_hosts(name, point):
            record("clock.measured", body)
        if point.dr_centre not in centres:
            centre = world.city.workspace.dr_centres.get(point.dr_centre)
            centres[point.dr_centre] = None if centre is None else world.store.clock_ahead(centre)
        use = "when the restore point had arrived there"
        now = world.clock.now()
        body = measured(name, f"DR centre {point.dr_centre}", use, now, centres[point.dr_centre])
        record("clock.measured", body)
