"""How far a recovery is at a moment: per service and for the whole, with what it waits for and when it should end."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import IntEnum

from drp.domain.forecasts.estimates import Estimate
from drp.domain.inventory import City
from drp.domain.progress.probe_look import ProbeLook, Spells, look_of
from drp.domain.progress.steps import StepProgress, is_lost, place_steps_in_time
from drp.domain.recovery.plan import STAGES, Step
from drp.domain.recovery.run import Recovery, StepState
from drp.domain.recovery.urgency import runs_playbook
from drp.domain.runbooks.answers import answers_to, waits_for
from drp.domain.values import from_stamp

NO_TIME = timedelta()


class Standing(IntEnum):
    """How a service stands; what matters most comes first."""

    FAILED = 1
    ASKS = 2
    LATE = 3
    SLOW = 4
    RUNNING = 5
    WAITING = 6
    USABLE = 7


@dataclass(frozen=True, slots=True)
class Asked:
    """A step that waits for a person: who may answer, since when, and the command to answer with. `blocks` are the
    services that cannot go on before."""

    step: Step
    title: str
    who: str
    since: datetime
    command: str
    blocks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RtoClock:
    """The time since T0, up to T5 where that is known, beside the RTO. `expected`: what it should be in the end; None
    where the service will not be back. `certain` is False where that is a lower bound."""

    passed: timedelta
    rto: timedelta
    has_stopped: bool
    expected: timedelta | None
    certain: bool

    @property
    def over(self) -> timedelta:
        return max(self.passed - self.rto, NO_TIME)


@dataclass(frozen=True, slots=True)
class ServiceProgress:
    """One service. `step` is what it is at, or the next one if nothing of it runs; None where nothing is left.

    `clock` is None where nobody knows T0. `waits_for` are the services, and `waits_for_steps` the steps of the runbook,
    that the next step needs. `is_next`: it needs nothing more, and still has not begun: only so many run at once, or
    nobody carries the run out. `lost_hosts`
    did not answer any more in the middle of a step.
    """

    service: str
    standing: Standing
    step: StepProgress | None
    others: tuple[StepProgress, ...]
    failed: tuple[tuple[str, str], ...]
    clock: RtoClock | None
    probe: ProbeLook | None
    hold_left: timedelta | None
    waits_for: tuple[str, ...]
    waits_for_steps: tuple[str, ...]
    is_next: bool
    lost_hosts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Progress:
    """The whole run. `services` has first what matters most; `path` is the chain of steps that decides the end, what
    is at work or next first; `since_first` is the time since the first step (its makespan so far); `playbooks` how many
    steps run a playbook now."""

    run: str
    kind: str
    runbook: str
    at: datetime
    since_first: timedelta
    services: tuple[ServiceProgress, ...]
    asked: tuple[Asked, ...]
    runbook_steps: tuple[StepProgress, ...]
    ends_at: datetime
    certain: bool
    path: tuple[StepProgress, ...]
    is_closed: bool
    playbooks: int

    def count(self, *standings: Standing) -> int:
        return sum(item.standing in standings for item in self.services)


def progress_of(
    city: City,
    recovery: Recovery,
    estimates: Mapping[str, Estimate],
    probes: Mapping[str, Spells],
    now: datetime,
    *,
    lost: Collection[str] = (),
) -> Progress:
    """How far the run is. `lost` are steps of the runbook that were cut off and must not be begun again by themselves:
    they wait for a person too."""
    at = now if recovery.closed is None else recovery.last_at
    looks = {name: _look(recovery, name, spells, at) for name, spells in probes.items()}
    good_since = {
        name: look.good_since for name, look in looks.items() if look is not None and look.good_since is not None
    }
    steps = place_steps_in_time(recovery, estimates, good_since, at)
    asked = _asked(city, recovery, steps, lost)
    own: dict[str, list[StepProgress]] = {}
    for item in steps.values():
        own.setdefault(item.step.service, []).append(item)
    services = [
        _service(recovery, name, steps, own[name], asked, looks.get(name), at) for name in recovery.plan.services
    ]
    left = [item for item in steps.values() if item.is_left]
    starts = [state.started_at for state in recovery.steps.values()]
    starts += [tried.started_at for found in recovery.turned_down.values() for tried in found]
    first = min((start for start in starts if start is not None), default=None)
    return Progress(
        run=recovery.run,
        kind=recovery.plan.kind,
        runbook=recovery.plan.runbook,
        at=at,
        since_first=NO_TIME if first is None else at - first,
        services=tuple(sorted(services, key=_importance)),
        asked=asked,
        runbook_steps=tuple(item for item in steps.values() if item.is_running and item.step.extra is not None),
        ends_at=max((item.ends_at for item in left if item.ends_at is not None), default=at),
        certain=all(item.certain for item in left),
        path=_path(steps, left),
        is_closed=recovery.closed is not None,
        playbooks=sum(item.is_running and runs_playbook(item.step) for item in steps.values()),
    )


def _look(recovery: Recovery, service: str, spells: Spells, now: datetime) -> ProbeLook | None:
    usable = recovery.steps[f"{service}/usable"]
    counts_from = None if usable.started_at is None else recovery.use_counts_from(service)
    return look_of(spells, counts_from, now)


def _asked(
    city: City, recovery: Recovery, steps: Mapping[str, StepProgress], lost: Collection[str]
) -> tuple[Asked, ...]:
    found: list[Asked] = []
    for item in steps.values():
        extra, state = item.step.extra, recovery.steps[item.step.id]
        if extra is None or not item.is_running or state.answer is not None or state.begun_at is None:
            continue
        if not answers_to(extra, was_cut_off=item.step.id in lost):
            continue
        asks = Asked(
            step=item.step,
            title=extra.title.en,
            who=waits_for(city, extra),
            since=state.begun_at,
            command=f'drp run approve {recovery.run} {item.step.id} --by "NAME"',
            blocks=_blocked_by(recovery, item.step),
        )
        found.append(asks)
    return tuple(sorted(found, key=lambda asks: (-len(asks.blocks), asks.since)))


def _blocked_by(recovery: Recovery, step: Step) -> tuple[str, ...]:
    """The services whose next step waits for this one and for no other stage of a service; through other steps of the
    runbook too."""
    blocking, services = {step.id}, set[str]()
    if step.service and step.stage == "runbook" and not step.runs_last:
        services.add(step.service)
    for other in recovery.plan.steps:  # the runbook's steps stand in the order of their needs
        if other.extra is not None and recovery.steps[other.id].outcome == "pending" and blocking & set(other.needs):
            blocking.add(other.id)
    for other in recovery.plan.steps:
        if other.extra is not None or other.is_clean_up or recovery.steps[other.id].outcome != "pending":
            continue
        unmet = {need for need in other.needs if recovery.steps[need].outcome != "ok"}
        if unmet & blocking and unmet <= blocking:
            services.add(other.service)
    return tuple(name for name in recovery.plan.services if name in services)


def _service(
    recovery: Recovery,
    name: str,
    steps: Mapping[str, StepProgress],
    own: Sequence[StepProgress],
    asked: Sequence[Asked],
    probe: ProbeLook | None,
    now: datetime,
) -> ServiceProgress:
    stages = sorted((item for item in own if item.step.extra is None), key=lambda item: STAGES.index(item.step.stage))
    running = [item for item in stages if item.is_running] + [
        item for item in own if item.is_running and item.step.extra is not None
    ]
    pending = [item for item in stages if item.is_left and not item.is_running]
    current = next(iter((*running, *pending)), None)
    is_usable = "T5" in recovery.marks.get(name, {})
    failed = _failures(own, steps)
    usable = next(item for item in stages if item.step.stage == "usable")
    clock = _clock(recovery, name, usable, now)
    waits, waits_steps, is_next = ((), (), False) if running or not pending else _unmet(recovery, pending[0].step)
    standing = Standing.WAITING if current is None or not running else Standing.RUNNING
    if failed or (current is None and not is_usable):
        standing = Standing.FAILED
    elif any(name in asks.blocks for asks in asked):
        standing = Standing.ASKS
    elif is_usable:
        standing = Standing.USABLE
    elif clock is not None and clock.over:
        standing = Standing.LATE
    elif any(item.over for item in running):
        standing = Standing.SLOW
    is_holding = probe is not None and probe.is_good and not is_usable
    return ServiceProgress(
        service=name,
        standing=standing,
        step=current,
        others=tuple(running[1:]),
        failed=failed,
        clock=clock,
        probe=None if is_usable else probe,
        hold_left=max(recovery.plan.hold - probe.held, NO_TIME) if probe is not None and is_holding else None,
        waits_for=waits,
        waits_for_steps=waits_steps,
        is_next=is_next,
        lost_hosts=_lost_hosts([recovery.steps[item.step.id] for item in running]),
    )


def _lost_hosts(running: Sequence[StepState]) -> tuple[str, ...]:
    """The hosts that could not be reached any more in the present try of these steps."""
    found = [
        str(task["host"])
        for state in running
        for task in state.tasks
        if task["outcome"] == "unreachable" and state.begun_at and from_stamp(task["started_at"]) >= state.begun_at
    ]
    return tuple(dict.fromkeys(found))


def _failures(own: Sequence[StepProgress], steps: Mapping[str, StepProgress]) -> tuple[tuple[str, str], ...]:
    """The steps that failed, with the reason; where it is lost with another service, the steps that it needed."""
    failed = [(item.step.id, f"failed: {item.error}") for item in own if item.outcome == "failed"]
    if failed:
        return tuple(failed)
    for item in own:
        is_spare = item.step.is_clean_up or item.step.is_way_back
        if not is_spare and (item.outcome == "skipped" or item.ends_at is None):
            guilty = [need for need in item.step.needs if is_lost(steps[need])]
            return ((item.step.id, f"cannot begin: {', '.join(guilty) or item.error} did not succeed"),)
    return ()


def _clock(recovery: Recovery, name: str, usable: StepProgress, now: datetime) -> RtoClock | None:
    marks = recovery.marks.get(name, {})
    if "T0" not in marks:
        return None
    disrupted_at, rto = marks["T0"].at, recovery.plan.services[name].objectives.rto
    if "T5" in marks:
        rta = marks["T5"].at - disrupted_at
        return RtoClock(rta, rto, has_stopped=True, expected=rta, certain=True)
    expected = None
    if usable.ends_at is not None and usable.outcome in ("pending", "running"):
        # The hold time comes after T5, and is no part of RTA.
        expected = usable.ends_at - recovery.plan.hold - disrupted_at
    return RtoClock(now - disrupted_at, rto, has_stopped=False, expected=expected, certain=usable.certain)


def _unmet(recovery: Recovery, step: Step) -> tuple[tuple[str, ...], tuple[str, ...], bool]:
    """What a step that has not begun waits for: services, steps of the runbook; and whether it waits for nothing."""
    by_id = {item.id: item for item in recovery.plan.steps}
    unmet = [by_id[need] for need in step.needs if recovery.steps[need].outcome != "ok"]
    services = dict.fromkeys(need.service for need in unmet if need.extra is None and need.service != step.service)
    extras = tuple(need.id for need in unmet if need.extra is not None)
    return tuple(services), extras, not unmet and not step.is_clean_up


def _path(steps: Mapping[str, StepProgress], left: Sequence[StepProgress]) -> tuple[StepProgress, ...]:
    """The chain of what is left that ends last."""
    item = max(left, key=lambda found: found.ends_at or datetime.min.replace(tzinfo=UTC), default=None)
    chain: list[StepProgress] = []
    while item is not None:
        chain.append(item)
        item = None if item.waits_for is None else steps[item.waits_for]
    return tuple(reversed(chain))


def _importance(item: ServiceProgress) -> tuple[int, float]:
    """What matters most first; of equals, the one with the least time left."""
    if item.clock is None:
        return item.standing, 0.0
    return item.standing, (item.clock.rto - item.clock.passed).total_seconds()
