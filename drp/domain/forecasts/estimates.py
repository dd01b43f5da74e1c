"""How long each step of a recovery will take, and where that figure comes from: a run that measured it, the size of
the data and the line, or somebody's declaration. What none of these tells is unknown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from enum import StrEnum

from drp.domain.backups.restore_point import RestorePoint
from drp.domain.forecasts.transfer import Channel, Rush
from drp.domain.inventory import City
from drp.domain.recovery.plan import Stage
from drp.domain.recovery.run import Recovery
from drp.domain.service import Service
from drp.domain.traffic import DnsZone
from drp.domain.values import show_duration, show_rate, show_size

RUNS_REMEMBERED = 5
"""How many of the newest runs count. Of these the longest is taken: nobody was ever late by being early."""


class Basis(StrEnum):
    """Where an estimate comes from, from the strongest to the weakest."""

    MEASURED = "measured"
    COMPUTED = "computed"
    DECLARED = "declared"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Estimate:
    """How long; None where nothing tells. `text` says how the figure was found."""

    duration: timedelta | None
    basis: Basis
    text: str


UNKNOWN = Estimate(None, Basis.UNKNOWN, "never measured, no size to compute from, nothing declared")


@dataclass(frozen=True, slots=True)
class MeasuredStage:
    """How long a stage took in a run that was not interrupted; `size` is what was restored, in bytes."""

    run: str
    duration: timedelta
    size: int


@dataclass(frozen=True, slots=True)
class History:
    """What the ledger has measured, newest first: stages by service and stage, restore points by service."""

    stages: Mapping[tuple[str, Stage], Sequence[MeasuredStage]] = field(default_factory=dict)
    restore_points: Mapping[str, Sequence[RestorePoint]] = field(default_factory=dict)
    _sizes: dict[str, int | None] = field(default_factory=dict, compare=False)

    def size_of(self, service: Service) -> int | None:
        """The bytes of a service's data: as last backed up, else as declared; None where a dataset has no size."""
        if service.id not in self._sizes:
            self._sizes[service.id] = self._size_of(service)
        return self._sizes[service.id]

    def _size_of(self, service: Service) -> int | None:
        points = self.restore_points.get(service.id)
        if points:
            return sum(snapshot.bytes for snapshot in points[0].snapshots)
        total = 0
        for dataset in service.datasets:
            if dataset.size is None:
                return None
            total += dataset.size
        return total


def measured_stages(recovery: Recovery) -> dict[tuple[str, Stage], MeasuredStage]:
    """What one ended recovery tells about its stages. One that was cut off tells nothing: its pause would count."""
    if any(event.type == "run.resumed" for event in recovery.events):
        return {}
    found: dict[tuple[str, Stage], MeasuredStage] = {}
    for step in recovery.plan.steps:
        state = recovery.steps[step.id]
        if step.extra is not None or state.outcome != "ok" or state.started_at is None or state.ended_at is None:
            continue
        duration = state.ended_at - state.started_at
        if step.stage == "usable":
            usable = recovery.marks.get(step.service, {}).get("T5")
            if usable is None:
                continue
            duration = max(usable.at - state.started_at, timedelta())  # the hold time after T5 is not part of it
        point = recovery.point_of(step.service)
        size = 0 if point is None else sum(snapshot.bytes for snapshot in point.snapshots)
        found[step.service, step.stage] = MeasuredStage(recovery.run, duration, size)
    return found


def estimate_stage(city: City, service: Service, stage: Stage, history: History) -> Estimate:
    """Any stage but `restore`."""
    measured = history.stages.get((service.id, stage), ())
    if measured:
        return _longest(measured)
    declared: timedelta | None = getattr(service.recovery.estimates, stage, None)
    if declared is not None:
        return Estimate(declared, Basis.DECLARED, "declared in the service's file")
    declared = getattr(city.workspace.estimates, stage, None)
    if declared is not None:
        return Estimate(declared, Basis.DECLARED, "declared in drp.yaml for every service")
    if stage == "rehearse":
        longest = max((way.timeout for way in service.traffic or () if isinstance(way, DnsZone)), default=timedelta())
        return Estimate(longest, Basis.COMPUTED, "the longest that its name server may take")
    if stage in ("trial", "usable") and service.checks:
        check = max(service.checks, key=lambda check: check.interval + check.timeout)
        text = f"one more look of the probe: interval {show_duration(check.interval)} + timeout"
        return Estimate(check.interval + check.timeout, Basis.COMPUTED, text)
    return UNKNOWN


def estimate_restore(service: Service, channel: Channel, history: History) -> Estimate:
    """The restore of a service that has the line for itself."""
    size = history.size_of(service)
    alone = None if size is None else channel.time_for(size)
    measured = history.stages.get((service.id, "restore"), ())
    if measured:
        longest = _longest([_for_size(item, size) for item in measured])
        assert longest.duration is not None
        if alone is None or alone <= longest.duration:
            return longest
    declared = service.recovery.estimates.restore
    if alone is not None and size is not None and channel.capacity is not None:
        text = f"{show_size(size)} over {channel.narrowest} at {show_rate(channel.capacity)}"
        if declared is None or alone >= declared:
            return Estimate(alone, Basis.COMPUTED, text)
        return Estimate(declared, Basis.DECLARED, f"declared in the service's file; the line alone: {text}")
    if declared is not None:
        return Estimate(declared, Basis.DECLARED, "declared in the service's file")
    return UNKNOWN


def estimate_arrival(
    service: Service, channel: Channel, history: History, changes: int | None, rush: Rush | None
) -> Estimate:
    """From the sentinel of a backup until it has arrived at the DR centre.

    `changes` are the bytes that one backup of this service sends, `rush` all that start with it at the worst moment.
    """
    points = [point for point in history.restore_points.get(service.id, ()) if point.site == "primary"]
    alone = None if changes is None else channel.time_for(changes)
    if points:
        slowest = max(points, key=lambda point: point.arrived_at - point.sentinel_at)
        measured = slowest.arrived_at - slowest.sentinel_at
        if alone is None or alone <= measured:
            return Estimate(measured, Basis.MEASURED, f"slowest of the last {len(points)}: {slowest.id}")
    if rush is not None and channel.capacity is not None:
        text = f"{show_size(rush.size)} of backups that start together, over {rush.part} at {show_rate(rush.rate)}"
        return Estimate(rush.time, Basis.COMPUTED, text)
    declared = service.backup.estimate if service.backup else None
    if declared is not None:
        return Estimate(declared, Basis.DECLARED, "declared in the service's file")
    return UNKNOWN


def _for_size(item: MeasuredStage, size: int | None) -> MeasuredStage:
    """A restore as long as it would take now that the data has grown."""
    growth = size / item.size if size and item.size else 1.0
    return replace(item, duration=item.duration * growth, size=size or item.size) if growth > 1 else item


def _longest(items: Sequence[MeasuredStage]) -> Estimate:
    longest = max(items, key=lambda item: item.duration)
    count = f"longest of the last {len(items)} runs: " if len(items) > 1 else ""
    return Estimate(longest.duration, Basis.MEASURED, f"{count}{longest.run}")
