"""The state of a run, as its events tell it. Resuming, showing and reporting all read this and nothing else.

Events of a recovery (failover or drill), beside `run.opened` {kind, plan, by, reason, …} and `run.closed`
{outcome, exit_code, verdict}:

    mark            {service, mark, at, source, evidence, uncertainty_ms, clock}
    clock.measured  {service, clock, used_for, measured_at, offset_ms, uncertainty_ms}      None: not measured
    reservation     {service, text, accepted_by}             what keeps the result from being plainly MET
    step.started    {step, action}                           action: its folder under the run's, or "" for a wait
    step.ended      {step, outcome: ok | failed | skipped, error, duration_ms, evidence: [{path, sha256}]}
    task.ended      {step, host, task, outcome, started_at, duration_ms, changed}   from ansible-runner's events
    absence.proved  {service, looked_for: […], found: […]}
    data.verified   {service, dataset, check, expected, actual, ok}
    probe.started   {service, address, checks: […], file}
    probe.ended     {service, evidence: [{path, sha256}]}
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from drp.domain.events import Body, Event
from drp.domain.objectives import Verdict, worst
from drp.domain.recovery.plan import Plan, Step
from drp.domain.recovery.timeline import Mark, Measurement, Reservation, measure
from drp.domain.recovery.verification import checks_wanted
from drp.domain.values import from_stamp


@dataclass(slots=True)
class StepState:
    """What became of a step so far."""

    outcome: str = "pending"
    action: str = ""
    started_at: datetime | None = None
    ended_at: datetime | None = None
    error: str = ""
    evidence: list[dict[str, str]] = field(default_factory=list)
    tasks: list[Body] = field(default_factory=list)

    @property
    def ended(self) -> bool:
        return self.outcome in ("ok", "failed", "skipped")


@dataclass(slots=True)
class Recovery:
    """A failover or a drill: its plan, and all that has happened."""

    run: str
    genesis: str
    opened: Event
    plan: Plan
    steps: dict[str, StepState]
    marks: dict[str, dict[str, Mark]]
    reservations: dict[str, list[Reservation]]
    checks: dict[str, list[Body]]
    absences: dict[str, Body]
    probes: dict[str, Body]
    closed: Event | None = None
    events: list[Event] = field(default_factory=list)

    @property
    def opened_at(self) -> datetime:
        """When the run was declared."""
        return from_stamp(self.opened.at)

    @property
    def last_at(self) -> datetime:
        """When the run stopped looking: its close, or its newest event."""
        return from_stamp((self.closed or self.events[-1]).at)

    def data_verdict(self, service: str) -> Verdict:
        """Whether the recovered data is the restore point's: every check that was made must agree, and the content of
        each dataset and what dates it must have been checked."""
        checks = self.checks.get(service, [])
        if any(not check["ok"] or check["expected"] != check["actual"] for check in checks):
            return Verdict.NOT_MET
        wanted = checks_wanted(self.plan.services[service].restore_point)
        made = {(check["dataset"], check["check"]) for check in checks}
        return Verdict.MET if wanted and set(wanted) <= made else Verdict.NOT_MEASURED

    def measurement(self, service: str) -> Measurement:
        """The figures of one service, from its marks."""
        return measure(
            self.marks.get(service, {}),
            self.plan.services[service].objectives,
            data_verdict=self.data_verdict(service),
            ended_at=self.last_at,
            exceptions=self.reservations.get(service, []),
        )

    def verdict(self) -> Verdict:
        """The run's verdict: ABORTED if it was, else the worst of its services'."""
        if self.closed is not None and self.closed.body["outcome"] == "aborted":
            return Verdict.ABORTED
        return worst(*(self.measurement(name).verdict for name in self.plan.services))

    def ready(self) -> list[Step]:
        """Steps that may start now."""
        return [step for step in self.plan.steps if self.steps[step.id].outcome == "pending" and self._may_start(step)]

    def doomed(self) -> list[Step]:
        """Steps that can no longer start, because one that they need has failed or was skipped."""
        return [
            step
            for step in self.plan.steps
            if self.steps[step.id].outcome == "pending" and (self._must_not_clean_up(step) or self._lacks_a_need(step))
        ]

    def proved_empty(self, service: str) -> bool:
        """Whether the recovery hosts were seen to hold nothing of the service before this run restored it."""
        return service in self.absences and not self.absences[service]["found"]

    def _must_not_clean_up(self, step: Step) -> bool:
        # Cleaning up removes only what was proved absent before; a drill that found something there leaves it alone.
        return step.is_clean_up and self._others_ended() and not self.proved_empty(step.service)

    def _lacks_a_need(self, step: Step) -> bool:
        return not step.is_clean_up and any(self.steps[need].outcome in ("failed", "skipped") for need in step.needs)

    def _others_ended(self) -> bool:
        """Whether nothing of the run needs any service any more: one that is cleaned up takes others down with it."""
        return all(self.steps[other.id].ended for other in self.plan.steps if not other.is_clean_up)

    def _may_start(self, step: Step) -> bool:
        if step.is_clean_up:
            return self._others_ended() and self.proved_empty(step.service)
        return all(self.steps[need].outcome == "ok" for need in step.needs)


def replay(run: str, genesis: str, events: Iterable[Event]) -> Recovery:
    """Rebuild a recovery from its events."""
    iterator = iter(events)
    opened = next(iterator)
    plan = Plan.from_record(opened.body["plan"])
    recovery = Recovery(
        run=run,
        genesis=genesis,
        opened=opened,
        plan=plan,
        steps={step.id: StepState() for step in plan.steps},
        marks={},
        reservations={},
        checks={},
        absences={},
        probes={},
        events=[opened],
    )
    for event in iterator:
        apply(recovery, event)
    return recovery


def apply(recovery: Recovery, event: Event) -> None:
    """Carry one more event into the state."""
    recovery.events.append(event)
    body = event.body
    match event.type:
        case "mark":
            recovery.marks.setdefault(body["service"], {})[body["mark"]] = Mark.from_record(body)
        case "reservation":
            reservation = Reservation(body["text"], body["accepted_by"])
            recovery.reservations.setdefault(body["service"], []).append(reservation)
        case "step.started":
            state = recovery.steps[body["step"]]
            state.outcome, state.action = "running", body["action"]
            state.started_at = state.started_at or from_stamp(event.at)
        case "step.ended":
            state = recovery.steps[body["step"]]
            state.outcome, state.error, state.evidence = body["outcome"], body["error"], body["evidence"]
            state.ended_at = from_stamp(event.at)
        case "task.ended":
            recovery.steps[body["step"]].tasks.append(body)
        case "absence.proved":
            recovery.absences[body["service"]] = body
        case "data.verified":
            recovery.checks.setdefault(body["service"], []).append(body)
        case "probe.started":
            recovery.probes[body["service"]] = body
        case "run.closed":
            recovery.closed = event
