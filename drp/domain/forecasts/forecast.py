"""What a recovery would be like if it began now: how long each step takes, what waits for what, when users are back,
and how much data would be gone at worst. Nothing is started; what is not known is not guessed."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from drp.domain.datasets.order import restore_order
from drp.domain.forecasts.data_loss import ExpectedLoss, expected_losses
from drp.domain.forecasts.estimates import Basis, Estimate, History, estimate_stage
from drp.domain.forecasts.restores import estimate_restores
from drp.domain.forecasts.transfer import Channel, channel_between
from drp.domain.inventory import City
from drp.domain.objectives import Objectives, objectives_of
from drp.domain.protection.gaps import Gap, backup_of, gaps_of, is_elsewhere
from drp.domain.recovery.compiling import steps_of
from drp.domain.recovery.plan import STAGES, RecoveryKind, Step
from drp.domain.recovery.probing import FAILURES_TO_DETECT
from drp.domain.runbooks.model import Runbook
from drp.domain.service import Service

MOST_LOST_NAMED = 5
NO_TIME = timedelta()


class Outlook(StrEnum):
    """Whether an objective can be kept, as far as anybody can know before it is tried. It is no verdict: only a drill
    or a failover measures."""

    FEASIBLE = "FEASIBLE"
    NOT_FEASIBLE = "NOT_FEASIBLE"
    UNKNOWN = "UNKNOWN"


@dataclass(frozen=True, slots=True)
class ExpectedStep:
    """A step with its place in time, counted from the first recovery step (T3).

    `start` and `end` are with the line shared by all; `alone_end` is what they would be if each restore had the line
    for itself. `certain` is False where some estimate on the way is unknown: the times are then lower bounds.
    `waits_for` is the step that ended last of those it needs.
    """

    step: Step
    estimate: Estimate
    start: timedelta
    end: timedelta
    alone_end: timedelta
    certain: bool
    waits_for: str | None


@dataclass(frozen=True, slots=True)
class ExpectedService:
    """What one service may expect. `rta` counts from the disruption (T0), people's time included; it is a lower bound
    unless `certain`. `lost_dependencies` are services it needs, at any remove, that cannot be recovered. `datasets` are
    in the order in which they are restored."""

    service: str
    wave: int
    objectives: Objectives
    size: int | None
    rta: timedelta
    certain: bool
    loss: ExpectedLoss
    lost_dependencies: tuple[str, ...]
    elsewhere: tuple[str, ...]
    datasets: tuple[str, ...] = ()

    @property
    def rto_outlook(self) -> Outlook:
        if self.lost_dependencies or self.rta > self.objectives.rto:
            return Outlook.NOT_FEASIBLE
        return Outlook.FEASIBLE if self.certain else Outlook.UNKNOWN

    @property
    def rpo_outlook(self) -> Outlook:
        known = [self.loss.gap, self.loss.arrival.duration]
        least = sum((part for part in known if part is not None), timedelta())
        if self.loss.falls_behind or least > self.objectives.rpo:
            return Outlook.NOT_FEASIBLE
        return Outlook.UNKNOWN if self.loss.rpa is None else Outlook.FEASIBLE


@dataclass(frozen=True, slots=True)
class PeopleTime:
    """What people need before the first machine does anything; None where the runbook does not say."""

    detect: Estimate
    decide: Estimate
    mobilise: Estimate

    @property
    def total(self) -> timedelta:
        parts = (self.detect, self.decide, self.mobilise)
        return sum((part.duration for part in parts if part.duration is not None), timedelta())

    @property
    def certain(self) -> bool:
        return None not in (self.detect.duration, self.decide.duration, self.mobilise.duration)


@dataclass(frozen=True, slots=True)
class Forecast:
    """A plan with its times. `cannot` holds what the plan should recover and cannot, with the reasons; `line_times`
    how long each part of the lines needs for all the data that must go over it. `attempts` is how many restore points
    the runbook lets be tried of a service; the times are those of the first one, with its trial."""

    kind: RecoveryKind
    runbook: str
    people: PeopleTime
    services: dict[str, ExpectedService]
    steps: dict[str, ExpectedStep]
    cannot: dict[str, tuple[Gap, ...]]
    elsewhere: tuple[str, ...]
    channels: dict[tuple[str, str], Channel]
    line_times: dict[str, timedelta]
    attempts: int = 1

    @property
    def makespan(self) -> timedelta:
        """From the first recovery step until the last service is usable."""
        return max((step.end for step in self.steps.values()), default=timedelta())

    @property
    def lower_bound(self) -> timedelta:
        """No execution can be faster: the longest chain of steps alone, or all bytes over the line they share."""
        chain = max((step.alone_end for step in self.steps.values()), default=timedelta())
        return max([chain, *self.line_times.values()])

    def steps_of(self, service: str) -> list[ExpectedStep]:
        """The steps of one service, in their order."""
        ids = (f"{service}/{stage}" for stage in STAGES)
        return [self.steps[step] for step in ids if step in self.steps]

    def critical_path(self, last: str | None = None) -> list[ExpectedStep]:
        """The chain of steps that decides when the plan ends, or when the step `last` does; first step first."""
        if not self.steps:
            return []
        step = self.steps[last] if last else max(self.steps.values(), key=lambda item: item.end)
        chain = [step]
        while step.waits_for is not None:
            step = self.steps[step.waits_for]
            chain.append(step)
        return chain[::-1]


def forecast(
    city: City,
    runbook: Runbook,
    kind: RecoveryKind,
    wanted: Sequence[str],
    history: History,
) -> Forecast:
    """Compile the recovery of `wanted` (dependencies before what needs them) and reckon its times."""
    elsewhere = tuple(name for name in wanted if is_elsewhere(city.services[name], city.hosts))
    channels = _channels(city)
    gaps = {
        name: _reasons_against(city, city.services[name], channels)
        for name in wanted
        if not is_elsewhere(city.services[name], city.hosts)
    }
    cannot = {name: found for name, found in gaps.items() if found}
    order = [name for name, found in gaps.items() if not found]
    people = _people(city, runbook, order)
    steps = _steps(city, kind, order, history, channels, tries=runbook.walks_back)
    return Forecast(
        kind=kind,
        runbook=runbook.id,
        people=people,
        services=_services(
            city, order, cannot, people, steps, expected_losses(city, order, history, channels), history
        ),
        steps=steps,
        cannot=cannot,
        elsewhere=elsewhere,
        channels=channels,
        line_times=_line_times(city, order, history, channels),
        attempts=runbook.walk_back.attempts if runbook.walks_back else 1,
    )


def _reasons_against(city: City, service: Service, channels: Mapping[tuple[str, str], Channel]) -> tuple[Gap, ...]:
    gaps = gaps_of(service, "recovery", city.hosts, city.workspace.tiers)
    if service.backup is not None and not channels[service.backup.dr_centre, "recovery"].exists:
        text = f"no line connects DR centre {service.backup.dr_centre} with the recovery site"
        gaps.append(Gap("no-line", text))
    return tuple(gaps)


def _centre(city: City, service: str) -> str:
    return backup_of(city.services[service]).dr_centre


def _channels(city: City) -> dict[tuple[str, str], Channel]:
    return {
        (centre, site): channel_between(city, centre, site)
        for centre in city.workspace.dr_centres
        for site in ("primary", "recovery")
    }


def _people(city: City, runbook: Runbook, order: Sequence[str]) -> PeopleTime:
    def declared(duration: timedelta | None) -> Estimate:
        if duration is None:
            return Estimate(None, Basis.UNKNOWN, f"runbook {runbook.id} says nothing under people:")
        return Estimate(duration, Basis.DECLARED, f"declared in runbook {runbook.id}")

    times = runbook.people
    if times is None:
        return PeopleTime(declared(None), declared(None), declared(None))
    detect = declared(times.detect)
    checks = [city.services[name].checks[0] for name in order]
    if detect.duration is None and checks:
        slowest = max(FAILURES_TO_DETECT * (check.interval + check.timeout) for check in checks)
        detect = Estimate(slowest, Basis.COMPUTED, f"{FAILURES_TO_DETECT} failed looks of drp watch")
    return PeopleTime(detect, declared(times.decide), declared(times.mobilise))


def _steps(
    city: City,
    kind: RecoveryKind,
    order: Sequence[str],
    history: History,
    channels: Mapping[tuple[str, str], Channel],
    *,
    tries: bool,
) -> dict[str, ExpectedStep]:
    """Every step with its times: one pass over the graph, in which all restores share the lines."""
    services = [city.services[name] for name in order]
    restores = estimate_restores(services, {name: channels[_centre(city, name), "recovery"] for name in order}, history)
    expected: dict[str, ExpectedStep] = {}
    planned = {service.id: service for service in services}
    for name in order:
        for step in steps_of(city.services[name], kind, planned, tries=tries):
            if step.is_clean_up or step.is_way_back:
                continue
            if step.stage == "restore":
                estimate, longest = restores.alone[name], restores.shared.get(name)
            else:
                estimate, longest = estimate_stage(city, city.services[name], step.stage, history), None
            known = restores.all_known or step.stage != "restore"
            expected[step.id] = _placed(step, estimate, longest, expected, known=known)
    return expected


def _placed(
    step: Step, estimate: Estimate, shared: timedelta | None, before: Mapping[str, ExpectedStep], *, known: bool
) -> ExpectedStep:
    start = alone_start = NO_TIME
    certain = known and estimate.duration is not None
    last: ExpectedStep | None = None
    for name in step.needs:
        need = before[name]
        if last is None or need.end > start:
            start, last = need.end, need
        alone_start = max(alone_start, need.alone_end)
        certain = certain and need.certain
    duration = estimate.duration or NO_TIME
    return ExpectedStep(
        step=step,
        estimate=estimate,
        start=start,
        end=start + (duration if shared is None else max(duration, shared)),
        alone_end=alone_start + duration,
        certain=certain,
        waits_for=last.step.id if last else None,
    )


def _services(
    city: City,
    order: Sequence[str],
    cannot: Collection[str],
    people: PeopleTime,
    steps: Mapping[str, ExpectedStep],
    losses: Mapping[str, ExpectedLoss],
    history: History,
) -> dict[str, ExpectedService]:
    found: dict[str, ExpectedService] = {}
    for name in order:
        service = city.services[name]
        objectives = objectives_of(service, city.workspace.tiers)
        assert objectives is not None  # one without is not in the order
        needed = [found[dependency] for dependency in service.depends_on if dependency in found]
        lost = [dependency for dependency in service.depends_on if dependency in cannot]
        for other in needed:
            lost += other.lost_dependencies
        usable = steps[f"{name}/usable"]
        found[name] = ExpectedService(
            service=name,
            wave=1 + max((other.wave for other in needed), default=0),
            objectives=objectives,
            size=history.size_of(service),
            rta=people.total + usable.end,
            certain=people.certain and usable.certain,
            loss=losses[name],
            lost_dependencies=tuple(dict.fromkeys(lost))[:MOST_LOST_NAMED],
            elsewhere=tuple(item for item in service.depends_on if is_elsewhere(city.services[item], city.hosts)),
            datasets=_datasets(service, history),
        )
    return found


def _datasets(service: Service, history: History) -> tuple[str, ...]:
    """Those that would be restored, in this order."""
    declared = [dataset.id for dataset in service.datasets]
    points = history.restore_points.get(service.id)
    return restore_order(declared, points[0].datasets if points else declared)


def _line_times(
    city: City, order: Sequence[str], history: History, channels: Mapping[tuple[str, str], Channel]
) -> dict[str, timedelta]:
    times: dict[str, timedelta] = {}
    for name in order:
        size = history.size_of(city.services[name]) or 0
        for part, rate in channels[_centre(city, name), "recovery"].parts:
            times[part] = times.get(part, timedelta()) + timedelta(seconds=size * 8 / rate)
    return times
