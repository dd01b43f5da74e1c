"""When each step of a run that is under way began and ended, and when those that are left should end: the plan's graph,
carried forward from now."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from graphlib import TopologicalSorter

from drp.domain.forecasts.estimates import UNKNOWN, Estimate
from drp.domain.progress.estimates import least_of
from drp.domain.recovery.plan import Plan, Step
from drp.domain.recovery.run import Recovery, StepState
from drp.domain.recovery.urgency import runs_playbook
from drp.domain.recovery.walk import must_withdraw

NO_TIME = timedelta()
LEAST_TOLD = timedelta(seconds=1)


@dataclass(frozen=True, slots=True)
class StepProgress:
    """A step and its place in time.

    `ends_at` is when it ended or should end; None where it never will. It is a lower bound unless `certain`: something
    on the way there is unknown, or takes longer than it should. `waits_for` is the step that should end last of those
    that it needs.
    """

    step: Step
    outcome: str
    estimate: Estimate
    elapsed: timedelta
    ends_at: datetime | None
    certain: bool
    waits_for: str | None = None
    error: str = ""

    @property
    def is_running(self) -> bool:
        return self.outcome == "running"

    @property
    def is_left(self) -> bool:
        """Whether it is still to be done, or under way."""
        return self.ends_at is not None and self.outcome in ("pending", "running")

    @property
    def over(self) -> timedelta:
        """By how much a running step has gone beyond its estimate; less than a second is no news."""
        if not self.is_running or self.estimate.duration is None:
            return NO_TIME
        over = self.elapsed - self.estimate.duration
        return over if over >= LEAST_TOLD else NO_TIME


def place_steps_in_time(
    recovery: Recovery, estimates: Mapping[str, Estimate], good_since: Mapping[str, datetime], now: datetime
) -> dict[str, StepProgress]:
    """Every step of the plan as it stands, needs before what needs them. `good_since`: the services that work from
    outside by now, and since when."""
    placing = _Placing(recovery, estimates, good_since, now)
    order = in_order(recovery.plan)
    for step in order:
        if not step.is_clean_up:
            placing.place(step)
    placing.work = [item for item in placing.placed.values() if item.is_left]
    placing.work.sort(key=lambda item: item.ends_at or now)
    for step in order:
        if step.is_clean_up:
            placing.place(step)
    return placing.placed


def in_order(plan: Plan) -> list[Step]:
    """The steps, those that are needed before those that need them."""
    steps = {step.id: step for step in plan.steps}
    return [
        steps[name] for name in TopologicalSorter({name: step.needs for name, step in steps.items()}).static_order()
    ]


def is_lost(need: StepProgress) -> bool:
    """Whether what needs this step can no longer begin."""
    return need.outcome in ("failed", "skipped") or need.ends_at is None


class _Placing:
    def __init__(
        self, recovery: Recovery, estimates: Mapping[str, Estimate], good_since: Mapping[str, datetime], now: datetime
    ) -> None:
        self.recovery, self.estimates, self.good_since, self.now = recovery, estimates, good_since, now
        self.placed: dict[str, StepProgress] = {}
        self.work: list[StepProgress] = []
        """What is left of all that clean-up waits for, the last one last."""
        running = (step for step in recovery.plan.steps if recovery.steps[step.id].outcome == "running")
        self.is_busy = any(runs_playbook(step) for step in running)
        self.called_off = recovery.before_users_go if recovery.plan.is_planned and recovery.has_failed else set()

    def place(self, step: Step) -> None:
        state = self.recovery.steps[step.id]
        if state.ended:
            self._put(step, state, state.ended_at, certain=True)
        elif state.outcome == "running":
            self._place_running(step, state)
        elif self._never_runs(step):
            self._put(step, state, None, certain=True)
        else:
            self._place_pending(step, state)

    def _put(
        self, step: Step, state: StepState, ends_at: datetime | None, *, certain: bool, waits_for: str | None = None
    ) -> None:
        elapsed = NO_TIME if state.started_at is None else (state.ended_at or self.now) - state.started_at
        estimate = self.estimates.get(step.id, UNKNOWN)
        self.placed[step.id] = StepProgress(
            step, state.outcome, estimate, elapsed, ends_at, certain, waits_for, state.error
        )

    def _place_running(self, step: Step, state: StepState) -> None:
        least = self.now + least_of(step, self.recovery.plan)
        good_since = self.good_since.get(step.service) if step.stage == "usable" else None
        if good_since is not None:
            self._put(step, state, max(good_since + self.recovery.plan.hold, self.now), certain=True)
            return
        duration = self.estimates.get(step.id, UNKNOWN).duration
        if duration is None or state.started_at is None:
            self._put(step, state, least, certain=False)
            return
        expected = state.started_at + duration
        self._put(step, state, max(expected, least), certain=expected >= least)

    def _never_runs(self, step: Step) -> bool:
        """Whether nothing will start it any more, as far as can be seen."""
        if step.runs_last:
            return False
        if step.stage == "withdraw":
            return not must_withdraw(self.recovery, step.service)
        if step.is_way_back:
            return not self.recovery.has_failed
        if step.is_clean_up and self.recovery.plan.kind == "switchover":
            return not self.recovery.has_failed  # it removes only what a switchover that goes back has begun
        if step.is_clean_up and self.recovery.plan.kind == "drill":
            absence = self.recovery.absences.get(step.service)
            nothing_restored = absence is None and self.recovery.steps[f"{step.service}/restore"].ended
            return nothing_restored or (absence is not None and bool(absence["found"]))
        return step.id in self.called_off or any(is_lost(self.placed[need]) for need in step.needs)

    def _place_pending(self, step: Step, state: StepState) -> None:
        starts_at, certain, last = self.now, True, None
        for need in self._awaited(step):
            if need.ends_at is None:
                continue
            certain = certain and need.certain
            if need.is_left and (last is None or need.ends_at > starts_at):
                starts_at, last = max(starts_at, need.ends_at), need.step.id
        duration = self.estimates.get(step.id, UNKNOWN).duration
        waits_for_turn = last is None and self.is_busy and runs_playbook(step)  # nobody can say when that comes
        certain = certain and duration is not None and not step.is_way_back and not waits_for_turn
        if duration is None:
            duration = least_of(step, self.recovery.plan)
        self._put(step, state, starts_at + duration, certain=certain, waits_for=last)

    def _awaited(self, step: Step) -> Iterable[StepProgress]:
        needs = [self.placed[need] for need in step.needs if need in self.placed]
        if not step.is_clean_up or (step.stage == "cleanup" and self.recovery.plan.kind == "failback"):
            return needs
        return [*self.work, *needs]
