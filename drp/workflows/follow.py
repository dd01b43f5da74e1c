"""Follow a recovery, whoever carries it out: ledger and samples tell all, and only what is new is read each time."""

from __future__ import annotations

from pathlib import Path

from drp.domain.forecasts.estimates import Estimate
from drp.domain.progress.estimates import estimates_of
from drp.domain.progress.probe_look import Spells
from drp.domain.progress.run import Progress, progress_of
from drp.domain.recovery.plan import RecoveryKind
from drp.domain.recovery.run import Recovery, apply, replay
from drp.domain.runbooks.steps import CommandStep, PlaybookStep
from drp.ports import World
from drp.workflows.naming import action_folder
from drp.workflows.plan import read_history
from drp.workflows.runbook_steps import was_cut_off


class Following:
    """One recovery that is followed. Estimates are reckoned once: what is measured meanwhile is this run itself."""

    def __init__(self, world: World, run: str) -> None:
        self.world = world
        self.recovery = _read(world, run)
        self.estimates = _estimates(world, self.recovery)
        self.probes: dict[str, _Probe] = {}

    def look(self) -> Progress:
        """How far it is by now."""
        recovery = self.recovery
        for event in self.world.ledger.events(recovery.run, after=recovery.events[-1].sequence):
            apply(recovery, event)
        now = self.world.clock.now()
        spells = {name: self._spells(name) for name in recovery.probes}
        return progress_of(self.world.city, recovery, self.estimates, spells, now, lost=self._lost())

    def _spells(self, service: str) -> Spells:
        if service not in self.probes:
            found = self.world.city.services.get(service)
            file = self.world.workspace / self.recovery.probes[service]["file"]
            self.probes[service] = _Probe(self.world, file.parent, Spells(found.check_gaps if found else {}))
        probe = self.probes[service]
        if "T5" not in self.recovery.marks.get(service, {}):
            probe.read()
        return probe.spells

    def _lost(self) -> list[str]:
        """Steps that were cut off, and that nobody but a person may have begun again."""
        return [
            step.id
            for step in self.recovery.plan.steps
            if isinstance(step.extra, PlaybookStep | CommandStep)
            and not step.extra.rerun
            and self.recovery.steps[step.id].outcome == "running"
            and was_cut_off(self.world, self._folder(step.id))
        ]

    def _folder(self, step: str) -> Path:
        return action_folder(self.world, self.recovery.run, self.recovery.steps[step].action)


class _Probe:
    """The samples of one service's probe, as far as they were read."""

    def __init__(self, world: World, folder: Path, spells: Spells) -> None:
        self.world, self.folder, self.spells = world, folder, spells
        self.read_so_far = 0

    def read(self) -> None:
        samples = self.world.watch.run_samples(self.folder)
        if len(samples) < self.read_so_far:  # it is another file
            self.spells, self.read_so_far = Spells(self.spells.gaps), 0
        self.spells.take(samples[self.read_so_far :])
        self.read_so_far = len(samples)


def _read(world: World, run: str) -> Recovery:
    return replay(run, world.ledger.run(run).genesis, world.ledger.events(run))


def _estimates(world: World, recovery: Recovery) -> dict[str, Estimate]:
    plan = recovery.plan
    # A planned move goes other ways than a recovery, and does other things.
    kinds: tuple[RecoveryKind, ...] = (plan.kind,) if plan.is_planned else ("failover", "drill")
    return estimates_of(world.city, plan, read_history(world, list(plan.services), kinds))
