"""What a recovery would be like now, from what the ledger has measured and the inventory declares."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from drp.domain.forecasts.estimates import RUNS_REMEMBERED, History, MeasuredStage, measured_stages
from drp.domain.forecasts.feasibility import Shortfall, shortfalls_of
from drp.domain.forecasts.forecast import Forecast, forecast
from drp.domain.recovery.plan import RecoveryKind, Stage
from drp.domain.recovery.run import replay
from drp.errors import UsageError
from drp.ports import World
from drp.workflows.selection import recovery_order, runbook_of

RUNS_READ = 50
BACKUPS_REMEMBERED = 10


@dataclass(frozen=True, slots=True)
class PlanReport:
    """A forecast, and everything in it that cannot be kept."""

    forecast: Forecast
    shortfalls: list[Shortfall]

    @property
    def feasible(self) -> bool:
        """Whether all that was asked for can be recovered in time, as far as anybody can know."""
        return not self.shortfalls


def plan(world: World, names: Sequence[str], runbook: str, kind: RecoveryKind) -> PlanReport:
    """Forecast the recovery of the services named (and what they need), or of all. Nothing is started."""
    scenario = runbook_of(world, runbook)
    for name in names:
        if name not in world.city.services:
            raise UsageError(f"no service {name!r}", hint="list them: drp inventory list")
    at_primary = [name for name in world.city.services if world.ledger.active_site(name) == "primary"]
    wanted = recovery_order(world, names or at_primary)
    history = read_history(world, wanted)
    expected = forecast(world.city, scenario, kind, wanted, history)
    return PlanReport(expected, shortfalls_of(world.city, expected, history))


def read_history(
    world: World, services: Sequence[str], kinds: tuple[RecoveryKind, ...] = ("failover", "drill")
) -> History:
    """What the ledger knows about these services: their newest restore points, and the stages of their last runs of
    these kinds."""
    stages: dict[tuple[str, Stage], list[MeasuredStage]] = {}
    wanted = set(services)
    for row in world.ledger.runs(kinds=kinds, limit=RUNS_READ):
        if row.closed_at is None or row.outcome != "done" or not wanted.intersection(row.services):
            continue
        measured = measured_stages(replay(row.run, row.genesis, world.ledger.events(row.run)))
        for key, item in measured.items():
            if len(stages.setdefault(key, [])) < RUNS_REMEMBERED:
                stages[key].append(item)
    points = {name: world.ledger.restore_points(name, limit=BACKUPS_REMEMBERED) for name in services}
    return History(stages, {name: found for name, found in points.items() if found})
