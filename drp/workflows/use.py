"""Whether users can work again, by what the probe from outside has seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from drp.domain.checks import CheckType
from drp.domain.recovery.probing import Sample, by_check, failing_now, usable_again
from drp.domain.recovery.run import Recovery
from drp.domain.recovery.timeline import Mark
from drp.domain.values import show_duration, to_stamp
from drp.ports import World


@dataclass(frozen=True, slots=True)
class FoundUse:
    """The user path works again: T5, and what keeps the finding from being beyond doubt."""

    marks: tuple[Mark, ...]
    reservations: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NoUse:
    """Users cannot work yet: which checks fail, and how (empty where none does), and whether anybody has tried."""

    why: str
    was_tried: bool


def find_use(world: World, recovery: Recovery, service: str, probe: Path) -> FoundUse | NoUse:
    """Look for T5 in the probe's samples: whether the user path has held for the runbook's hold time.

    Only attempts count that began when the recovered service could answer: see `Recovery.use_counts_from`.
    """
    ready_at = recovery.use_counts_from(service) or recovery.opened_at
    checks = world.city.services[service].checks
    gaps = world.city.services[service].check_gaps
    hold = recovery.plan.hold
    samples = world.watch.run_samples(probe)
    found = usable_again(samples, gaps, after=ready_at, hold=hold)
    if found is None:
        failing = failing_now(samples, gaps)
        return NoUse("; ".join(f"check {name}: {detail}" for name, detail in failing.items()), bool(samples))
    samples_file = probe.relative_to(world.workspace) / "samples.jsonl"
    evidence = (
        f"outside probe, {_checks_named(checks, found.check)}, {samples_file}: {found.attempts} attempts without a"
        f" failure from {to_stamp(found.usable_at)} to {to_stamp(found.held_until)}, hold {show_duration(hold)}"
    )
    reservations = []
    activated_at = recovery.steps[f"{service}/activate"].started_at or ready_at
    blind = [name for name, of_check in by_check(samples, gaps).items() if _succeeded_before(of_check, activated_at)]
    if blind:
        names = ", ".join(blind)
        reservations.append(f"check {names} did not fail before the service was activated: it may not tell an outage")
    if checks[0].compares_old_content and not recovery.opened.body["baselines"].get(service):
        reservations.append("old content was not compared: drp watch had not looked before the disruption")
    mark = Mark("T5", found.usable_at, "automatic", evidence, found.uncertainty, found.clock)
    return FoundUse((mark,), tuple(reservations))


def _succeeded_before(samples: Sequence[Sample], activated_at: datetime) -> bool:
    """Whether the last look at what was not there yet, or else the first look at all, was a good one."""
    before = [sample for sample in samples if sample.ended_at <= activated_at] or samples[:1]
    return before[-1].succeeded


def _checks_named(checks: Sequence[CheckType], last: str) -> str:
    if len(checks) == 1:
        return f"check {checks[0].id}"
    return f"checks {', '.join(check.id for check in checks)} (the last to succeed: {last})"
