"""What stands in the printed runbook: decided here, put into words and laid out by `drp.reports`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from drp.domain.backups.restore_point import RestorePoint
from drp.domain.graph import wave_numbers
from drp.domain.impact.impact import Impact, urgency
from drp.domain.inventory import City
from drp.domain.objectives import Objectives, objectives_of
from drp.domain.recovery.compiling import steps_of
from drp.domain.recovery.plan import STAGES, WAY_BACK, Stage
from drp.domain.runbooks.by_hand import HandRecovery
from drp.domain.runbooks.model import Runbook
from drp.domain.runbooks.placement import place_steps
from drp.domain.runbooks.steps import AnyStep, ManualStep, WaitStep


@dataclass(frozen=True, slots=True)
class PaperStep:
    """One line to work through: a step of the runbook, or a stage that drp carries out for many services side by side.

    `expected` is None where nobody knows. `services` are those that a step of single services concerns; empty: all.
    """

    step: AnyStep | None
    stage: Stage | None
    services: tuple[str, ...]
    expected: timedelta | None
    is_clean_up: bool = False


@dataclass(frozen=True, slots=True)
class PaperService:
    """A service of the runbook, in the order of its recovery. `wave` 1 waits for no other. `hand` is None for one that
    cannot be recovered from what is declared: `obstacles` say why. `newest` is its newest restore point when this was
    printed."""

    service: str
    wave: int
    objectives: Objectives | None
    hand: HandRecovery | None
    obstacles: tuple[str, ...]
    newest: RestorePoint | None


@dataclass(frozen=True, slots=True)
class Paper:
    """The whole printed runbook. `impact` is what the loss that it is printed for does, where it names one."""

    city: City
    runbook: Runbook
    services: tuple[PaperService, ...]
    steps: tuple[PaperStep, ...]
    printed_at: datetime
    version: str
    impact: Impact | None = None


def recovery_sequence(city: City, names: Sequence[str]) -> list[tuple[str, int]]:
    """The services in the order in which people bring them back, each with its wave: dependencies first, then what is
    most urgent."""
    chosen = set(names)
    waves = wave_numbers({name: [need for need in city.services[name].depends_on if need in chosen] for name in names})
    return sorted(waves.items(), key=lambda item: (item[1], urgency(city, item[0])))


def objectives_for(city: City, name: str) -> Objectives | None:
    return objectives_of(city.services[name], city.workspace.tiers)


def paper_steps(
    runbook: Runbook, city: City, recovered: Sequence[str], durations: Mapping[Stage, timedelta | None]
) -> tuple[PaperStep, ...]:
    """All steps of a runbook in the order in which they come, whatever kind of run they are limited to, with the stages
    of the `recovered` services between them."""
    everything = runbook.model_copy(
        update={
            name: tuple(step.model_copy(update={"only": ()}) for step in getattr(runbook, name))
            for name in ("steps", "clean_up")
        }
    )
    planned = recovered if runbook.operation != "none" else ()
    among = {name: city.services[name] for name in planned}
    tries = runbook.walks_back and runbook.operation == "failover"
    plan = [step for name in planned for step in steps_of(city.services[name], "failover", among, tries=tries)]
    ranks: dict[str, float] = {step.id: 2 * STAGES.index(step.stage) + 1 for step in plan}
    originals = {step.id: step for step in runbook.all_steps}
    lines: dict[str, tuple[float, int, PaperStep]] = {}
    order = [stage for stage in STAGES if stage not in WAY_BACK]
    ordinary = [step for step in plan if not step.is_way_back]
    for number, placed in enumerate(place_steps(everything, "failover", ordinary, order)):
        rank = max((ranks[need] for need in placed.needs), default=0)
        rank = rank if rank % 2 == 0 else rank + 1
        ranks[placed.id] = rank
        step = originals[placed.step.id]
        if step.id not in lines:
            narrowed = any("/" in anchor for anchor in (*step.before, *step.after))
            concerned = placed.services if narrowed and len(placed.services) < len(planned) else ()
            at = len(STAGES) * 2 + 2 if placed.is_clean_up else rank
            lines[step.id] = (at, number, PaperStep(step, None, concerned, expected_of(step), placed.is_clean_up))
    for stage in dict.fromkeys(step.stage for step in plan):
        at = 2 * STAGES.index(stage) + 1
        lines[f"stage:{stage}"] = (at, 0, PaperStep(None, stage, (), durations.get(stage)))
    return tuple(line for _, _, line in sorted(lines.values(), key=lambda item: item[:2]))


def expected_of(step: AnyStep) -> timedelta | None:
    """How long a step is expected to take."""
    if isinstance(step, WaitStep):
        return step.expected or step.duration
    if isinstance(step, ManualStep):
        return step.expected
    return step.expected or getattr(step, "timeout", None)
