"""Back to an older restore point where the data of the one that was taken proves bad, step by step.

The plan names the restore points that may be taken, newest first (`PlannedService.older`). One is turned down when what
was restored from it fails a check of its data: the comparison after the restore, the start, the verification, a step of
the runbook that examines it, or the trial of the user path at the recovery host (`trial`). All of that happens before
users are led there; from then on nothing is taken away any more, for it would be theirs.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from drp.domain.backups.restore_point import RestorePoint
from drp.domain.recovery.plan import Plan, Step
from drp.domain.recovery.restore_choice import youngest_data
from drp.domain.runbooks.steps import CommandStep, PlaybookStep, TrafficStep
from drp.errors import BusyError, CancelledError, DrpError, UnreachableError, UsageError

if TYPE_CHECKING:
    from drp.domain.recovery.run import Recovery

_OF_THE_PLACE = (
    *("not_empty", "no_space", "little_space", "not_own", "not_alone", "control_node", "no_repository"),
    *("playbook", "lost", "guard"),
)
"""Kinds of trouble (`drp.domain.trouble`) that an older restore point would meet as well."""


@dataclass(frozen=True, slots=True)
class TurnedDown:
    """A restore point that was tried: which step turned it down, why, and how long that took."""

    restore_point: str
    step: str
    reason: str
    started_at: datetime | None
    ended_at: datetime
    event: int


@dataclass(frozen=True, slots=True)
class Turning:
    """What comes next: `points` are turned down, by service; the steps `again` are done again with the next ones. It
    has to wait while `at_work` work on what is to be taken away."""

    step: str
    reason: str
    points: dict[str, str]
    again: tuple[str, ...]
    at_work: tuple[str, ...]


def candidates(points: Iterable[RestorePoint], *, before: datetime | None, most: int) -> tuple[RestorePoint, ...]:
    """The restore points that may be taken, newest data first, `most` of them. With `before` only such in which nothing
    is younger than that moment: what was written while the backup ran may be in it."""
    fit = [point for point in points if before is None or youngest_data(point) <= before]
    return tuple(sorted(fit, key=lambda point: point.sentinel_at, reverse=True)[:most])


def speaks_of_data(error: DrpError) -> bool:
    """Whether a failure says something about what was restored. A host that cannot be reached, or has no space, says
    nothing: an older restore point would fare no better, and would be a greater loss for nothing."""
    if isinstance(error, UnreachableError | BusyError | CancelledError | UsageError):
        return False
    return error.kind not in _OF_THE_PLACE


def standing_on(plan: Plan, service: str) -> tuple[Step, ...]:
    """The restore of a service and all steps that need it, near or far, but for the clean-up; in the plan's order."""
    needed = {f"{service}/restore"}
    ordered = [step for step in plan.steps if not step.is_clean_up and not step.is_way_back]
    grows = True
    while grows:
        more = {step.id for step in ordered if step.id not in needed and not needed.isdisjoint(step.needs)}
        needed |= more
        grows = bool(more)
    return tuple(step for step in ordered if step.id in needed)


def turnings(recovery: Recovery) -> list[Turning]:
    """The restore points that are to be turned down now."""
    found: list[Turning] = []
    for step in recovery.plan.steps:
        state = recovery.steps[step.id]
        if state.outcome != "failed" or not state.data_is_bad:
            continue
        services = can_turn_down(recovery, step)
        known = {name for turning in found for name in turning.points}
        if services and known.isdisjoint(services):
            found.append(_turning(recovery, step, services))
    return found


def can_turn_down(recovery: Recovery, step: Step) -> list[str]:
    """The services that a failure of a step would take back to an older restore point."""
    return [name for name in _examined(recovery.plan, step) if has_next(recovery, name)]


def held(recovery: Recovery, due: Sequence[Turning]) -> set[str]:
    """The steps that must wait until the restore points are turned down: they would work on what is taken away."""
    return {step.id for turning in due for name in turning.points for step in standing_on(recovery.plan, name)}


def must_withdraw(recovery: Recovery, service: str) -> bool:
    """Whether what was started of a service proved bad, no other restore point is left, and nobody was led there: it is
    stopped, as soon as nothing works on it any more. Its data stays for those who find out what happened."""
    bad = [step for step in recovery.plan.steps if recovery.steps[step.id].data_is_bad]
    if not bad or recovery.steps[f"{service}/activate"].started_at is None:
        return False
    standing = standing_on(recovery.plan, service)
    if has_next(recovery, service) or any(_leads_users(recovery, step) for step in standing):
        return False
    at_work = any(recovery.steps[step.id].outcome == "running" and _changes_hosts(step) for step in standing)
    return not at_work and any(service in _examined(recovery.plan, step) for step in bad)


def _examined(plan: Plan, step: Step) -> list[str]:
    """The services whose data a step says something about: its own; of a step of the runbook, those that it concerns
    and that are restored before it."""
    names = [step.service] if step.service else step.also
    return [name for name in names if any(item.id == step.id for item in standing_on(plan, name))]


def has_next(recovery: Recovery, service: str) -> bool:
    """Whether there is another restore point, and nobody works with what came of this one."""
    tried = len(recovery.turned_down.get(service, ()))
    if tried >= len(recovery.plan.services[service].older):
        return False
    return not any(_leads_users(recovery, step) for step in standing_on(recovery.plan, service))


def _leads_users(recovery: Recovery, step: Step) -> bool:
    """Whether a step has begun with which users may come; in a drill, that stands for it."""
    state = recovery.steps[step.id]
    if state.started_at is None or state.outcome == "skipped":
        return False
    return step.stage in ("cutover", "usable") or isinstance(step.extra, TrafficStep)


def _turning(recovery: Recovery, step: Step, services: Sequence[str]) -> Turning:
    affected = {item.id: item for name in services for item in standing_on(recovery.plan, name)}
    touched = [
        item
        for item in affected.values()
        if recovery.steps[item.id].outcome != "pending" or recovery.steps[item.id].answer is not None
    ]
    at_work = [item.id for item in touched if recovery.steps[item.id].outcome == "running" and _changes_hosts(item)]
    points = {name: point.id for name in services if (point := recovery.point_of(name)) is not None}
    reason = recovery.steps[step.id].error
    return Turning(step.id, reason, points, tuple(item.id for item in touched), tuple(at_work))


def _changes_hosts(step: Step) -> bool:
    if step.extra is not None:
        return isinstance(step.extra, PlaybookStep | CommandStep)
    return step.stage not in ("trial", "usable")


def younger_beside(recovery: Recovery, service: str, linked: Iterable[str]) -> list[str]:
    """Of the services that work together with one that was taken back, those whose data in this run is younger."""
    own = recovery.point_of(service)
    if own is None or not recovery.turned_down.get(service):
        return []
    others = {name: recovery.point_of(name) for name in linked if name in recovery.plan.services}
    return [name for name, point in others.items() if point is not None and point.sentinel_at > own.sentinel_at]
