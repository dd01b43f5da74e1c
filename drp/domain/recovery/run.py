"""The state of a run, as its events tell it. Resuming, showing and reporting all read this and nothing else.

Events of a recovery (failover or drill), beside `run.opened` {kind, plan, by, reason, …} and `run.closed`
{outcome, exit_code, verdict}:

    mark            {service, mark, at, source, evidence, uncertainty_ms, clock}
    clock.measured  {service, clock, used_for, measured_at, offset_ms, uncertainty_ms}      None: not measured
    reservation     {service, text, accepted_by}             what keeps the result from being plainly MET
    step.started    {step, action}                           action: its folder under the run's, or "" for a wait
    step.repeated   {step, reason}                           begun again from its beginning, as part of the same step
    step.ended      {step, outcome: ok | failed | skipped, error, duration_ms, evidence: [{path, sha256}], ended_at}
                    and, where it is known of a failed one, trouble: {kind, host}
                    ended_at: before the event itself where nobody looked just then, as after a crash of drp
                    data_is_bad: it failed, and that speaks against the restored data
    restore.measured {service, dr_centre, host, dataset, part, bytes, duration_ms, computing_ms, loading_ms, line, …}
    task.ended      {step, host, task, outcome, started_at, duration_ms, changed}   from ansible-runner's events
    absence.proved  {service, looked_for: […], found: […], copies_of: […]}     found: beside copies of aborted drills
    traffic.rehearsed {…}                                     the same of a way whose switch was proved, not made
    traffic.switched {service, way, type, label, host, verb, site, before, after, changed, details}   a way's answer
    data.verified   {service, dataset, check, expected, actual, ok}
    restore_point.chosen  {…}                               what a planned move goes on with: the restore point's record
    restore_points.turned_down {points: {service: id}, step, reason, again: [step, …]}
                                 their data proved bad: the steps `again` are done with the next older ones of the plan
    stranded.found  {service, found: […], restore_point}     what lay at the old primary before a failback
    step.answered   {step, by, answer, comment}                       what a person said of it; see `ANSWERS`
    run.abandoned   {by, reason}                             a planned move or a drill that a person gives up
    isolation.begun {host, in_force, tool, proof, reason, was_gone, redirects, names}    a drill's recovery host
    isolation.ended {host, run, was_gone, refused: [[address, protocol, port, count]], led, stopped, running, whose}
    drill.ended     {run, by, duration_ms, hosts}            a drill that a failover has ended to have its hosts
    run.preempted   {run, by, reason}                        in that drill: the failover
    probe.started   {service, address, checks: […], file}
    probe.ended     {service, evidence: [{path, sha256}]}
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from drp.domain.backups.restore_point import RestorePoint
from drp.domain.events import Body, Event
from drp.domain.objectives import Verdict, worst
from drp.domain.recovery.plan import Plan, Step
from drp.domain.recovery.timeline import Mark, Measurement, Reservation, measure
from drp.domain.recovery.verification import checks_wanted
from drp.domain.recovery.walk import TurnedDown, must_withdraw
from drp.domain.values import from_stamp


@dataclass(slots=True)
class StepState:
    """What became of a step so far. `attempt` counts the restore points that it was done with, `since` is the event
    from which on the present one counts; `data_is_bad`: it failed, and that speaks against the restored data."""

    outcome: str = "pending"
    action: str = ""
    started_at: datetime | None = None
    ended_at: datetime | None = None
    error: str = ""
    trouble: Body | None = None
    evidence: list[dict[str, str]] = field(default_factory=list)
    tasks: list[Body] = field(default_factory=list)
    begun_at: datetime | None = None
    answer: Body | None = None
    data_is_bad: bool = False
    attempt: int = 1
    since: int = 0

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
    chosen: dict[str, RestorePoint] = field(default_factory=dict)
    turned_down: dict[str, list[TurnedDown]] = field(default_factory=dict)
    stranded: dict[str, Body] = field(default_factory=dict)
    restores: list[Body] = field(default_factory=list)
    isolations: dict[str, Body] = field(default_factory=dict)
    ended_drills: list[Body] = field(default_factory=list)
    closed: Event | None = None
    abandoned: Body | None = None
    events: list[Event] = field(default_factory=list)

    @property
    def opened_at(self) -> datetime:
        """When the run was declared."""
        return from_stamp(self.opened.at)

    @property
    def last_at(self) -> datetime:
        """When the run stopped looking: its close, or its newest event."""
        return from_stamp((self.closed or self.events[-1]).at)

    def point_of(self, service: str) -> RestorePoint | None:
        """The restore point that a service comes back from: the plan's, the next older one after each that was turned
        down, or the one that a planned move has made."""
        planned = self.plan.services[service]
        tried = self.turned_down.get(service)
        return planned.older[len(tried) - 1] if tried else planned.restore_point or self.chosen.get(service)

    def tried_last(self, service: str) -> RestorePoint | None:
        """The restore point that was restored before the present one, and then turned down; None where none was."""
        planned = self.plan.services[service]
        restored = [item.restore_point for item in self.turned_down.get(service, ()) if item.started_at is not None]
        points = {point.id: point for point in (planned.restore_point, *planned.older) if point is not None}
        return points[restored[-1]] if restored else None

    def use_counts_from(self, service: str) -> datetime | None:
        """Since when what answers can be the recovered service: after the verification, and after traffic began to be
        switched; where the primary had not been fenced, it may answer until the switch has ended. None: not yet."""
        verify, cutover = self.steps[f"{service}/verify"], self.steps.get(f"{service}/cutover")
        switched_at = None
        if cutover is not None:
            switched_at = cutover.ended_at if self.opened.body.get("unfenced") else cutover.started_at
        return switched_at or verify.ended_at

    def data_verdict(self, service: str) -> Verdict:
        """Whether the recovered data is the restore point's: every check that was made must agree, and the content of
        each dataset and what dates it must have been checked."""
        checks = self.checks.get(service, [])
        if any(not check["ok"] or check["expected"] != check["actual"] for check in checks):
            return Verdict.NOT_MET
        point = self.point_of(service)
        wanted = [] if point is None else checks_wanted(point)
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
            was_aborted=self.was_aborted,
        )

    @property
    def was_aborted(self) -> bool:
        """Whether people gave the run up."""
        return self.abandoned is not None or (self.closed is not None and self.closed.body["outcome"] == "aborted")

    def verdict(self) -> Verdict:
        """The run's verdict: ABORTED if it was, else the worst of its services'."""
        if self.was_aborted:
            return Verdict.ABORTED
        return worst(*(self.measurement(name).verdict for name in self.plan.services))

    def ready(self) -> list[Step]:
        """Steps that may start now."""
        return [step for step in self.plan.steps if self.steps[step.id].outcome == "pending" and self._may_start(step)]

    def doomed(self) -> list[Step]:
        """Steps that can no longer start, because one that they need has failed or was skipped."""
        return [step for step in self.plan.steps if self.steps[step.id].outcome == "pending" and self._is_idle(step)]

    def why_skipped(self, step: Step) -> str:
        """Why a doomed step does not run."""
        if step.is_way_back or (step.is_clean_up and self.plan.kind == "switchover"):
            return "it was not needed"
        missing = [need for need in step.needs if self.steps[need].outcome in ("failed", "skipped")]
        return (
            f"a step that it needs did not succeed: {', '.join(missing)}"
            if missing
            else "a step that it needs did not succeed"
        )

    def proved_empty(self, service: str) -> bool:
        """Whether the hosts were seen to hold nothing of the service before this run restored it."""
        return service in self.absences and not self.absences[service]["found"]

    @property
    def has_failed(self) -> bool:
        """Whether a step has failed on the way to the traffic switch of a planned move, or a person has given it up: it
        then goes back."""
        return self.abandoned is not None or any(
            self.steps[name].outcome in ("failed", "skipped") for name in self.before_users_go
        )

    @property
    def before_users_go(self) -> set[str]:
        return self.plan.before_users_go

    def _is_idle(self, step: Step) -> bool:
        if step.runs_last:
            return self._is_dropped(step)
        if step.stage == "withdraw":
            return self._others_ended() and not must_withdraw(self, step.service)
        if step.is_way_back:
            is_over = self._others_ended() or (self.has_failed and self._way_there_ended())
            return is_over and not self._goes_back(step)
        if step.is_clean_up:
            return self._others_ended() and not self._may_clean_up(step)
        return (
            self._is_dropped(step)
            or self._is_called_off(step)
            or any(self.steps[need].outcome in ("failed", "skipped") for need in step.needs)
        )

    def _may_start(self, step: Step) -> bool:
        if self._is_dropped(step):
            return False
        if step.runs_last:
            return all(self.steps[need].ended for need in step.needs)
        if step.stage == "withdraw":
            return must_withdraw(self, step.service)
        if step.is_way_back:
            is_next = all(self.steps[need].ended for need in step.needs)
            return is_next and self._way_there_ended() and self._goes_back(step)
        if step.is_clean_up:
            return self._others_ended() and self._may_clean_up(step)
        return not self._is_called_off(step) and all(self.steps[need].outcome == "ok" for need in step.needs)

    def _is_dropped(self, step: Step) -> bool:
        """A drill that was given up begins nothing but what clears it away, and waits for nobody."""
        is_for_people = step.extra is not None and step.extra.kind in ("manual", "approval", "wait")
        is_untouched = step.stage == "unisolate" and all(
            self.steps[f"{name}/restore"].started_at is None for name in self.plan.services
        )
        return self.gave_up_drill and (is_for_people or is_untouched or not step.is_clean_up)

    @property
    def gave_up_drill(self) -> bool:
        return self.abandoned is not None and self.plan.kind == "drill"

    def _is_called_off(self, step: Step) -> bool:
        """In a planned move that has failed, what runs may end, and nothing more is begun."""
        return self.plan.is_planned and self.has_failed and step.id in self.before_users_go

    def _may_clean_up(self, step: Step) -> bool:
        """A drill removes only what was proved absent before, and so does a switchover that goes back; a failback
        removes what it has left, once users work at the other site and a backup of it has arrived."""
        if self.plan.kind == "failback":
            is_over = all(self.steps[f"{name}/cutover"].outcome == "ok" for name in self.plan.services)
            return is_over and all(self.steps[need].outcome == "ok" for need in step.needs)
        # Once a switch has begun, somebody may have written there.
        if self.plan.kind == "switchover" and (
            not self._goes_back(step) or self.steps[f"{step.service}/cutover"].started_at is not None
        ):
            return False
        return self.proved_empty(step.service)

    def _goes_back(self, step: Step) -> bool:
        """Whether users must get the old site back: the service was stopped there, or half stopped, and never sent
        over."""
        stopped, cutover = (self.steps[f"{step.service}/{stage}"] for stage in ("stop", "cutover"))
        if step.stage == "close-again":  # the old primary, which a failback has opened
            was_opened = self.steps[f"{step.service}/unfence"].started_at is not None
            return self.has_failed and was_opened and cutover.outcome != "ok"
        if not self.has_failed or stopped.started_at is None or cutover.outcome == "ok":
            return False
        # Traffic is led back only where a switch has begun.
        return step.stage != "return" or cutover.started_at is not None

    def _way_there_ended(self) -> bool:
        """Whether nothing of a planned move is at work any more that users wait for: those who go back do not wait for
        what others do after the switch."""
        return all(self.steps[name].ended for name in self.before_users_go)

    def _others_ended(self) -> bool:
        """Whether all but the last steps have ended: one that is cleaned up takes others down with it."""
        return all(
            self.steps[other.id].ended for other in self.plan.steps if not other.is_clean_up and not other.is_way_back
        )


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
            known = recovery.reservations.setdefault(body["service"], [])
            if reservation not in known:  # after a crash in the middle of a step's end it is written once more
                known.append(reservation)
        case "step.started" | "step.repeated" | "step.ended" | "task.ended" | "step.answered":
            _apply_to_step(recovery.steps[body["step"]], event)
        case "run.abandoned":
            recovery.abandoned = body
        case "run.closed":
            recovery.closed = event
        case _:
            _apply_finding(recovery, event)


def _apply_to_step(state: StepState, event: Event) -> None:
    body = event.body
    match event.type:
        case "step.started":
            state.outcome, state.action = "running", body["action"]
            state.begun_at = from_stamp(event.at)
            if body.get("again"):
                state.answer = None  # a person's word of the try before says nothing of this one
            state.started_at = state.started_at or from_stamp(event.at)
        case "step.repeated":
            state.begun_at = from_stamp(event.at)
        case "step.ended":
            state.outcome, state.error, state.evidence = body["outcome"], body["error"], body["evidence"]
            state.trouble = body.get("trouble")
            state.ended_at = from_stamp(body.get("ended_at", event.at))
            state.data_is_bad = bool(body.get("data_is_bad"))
        case "task.ended":
            state.tasks.append(body)
        case "step.answered":
            state.answer = state.answer or body  # of two who answer at once, the first one counts


def _apply_finding(recovery: Recovery, event: Event) -> None:
    """What a step or a probe has found about a service."""
    body = event.body
    match event.type:
        case "absence.proved":
            recovery.absences[body["service"]] = body
        case "data.verified":
            checks = recovery.checks.setdefault(body["service"], [])
            if body not in checks:  # as with reservations
                checks.append(body)
        case "restore_points.turned_down":
            _turn_down(recovery, event)
        case "restore_point.chosen":
            recovery.chosen[body["service"]] = RestorePoint.from_record(body)
        case "stranded.found":
            recovery.stranded[body["service"]] = body
        case "restore.measured":
            recovery.restores.append(body)
        case "isolation.begun":
            recovery.isolations[body["host"]] = body
        case "drill.ended":
            recovery.ended_drills.append(body)
        case "probe.started":
            recovery.probes[body["service"]] = body


def _turn_down(recovery: Recovery, event: Event) -> None:
    """What was found out about data that is taken away holds no longer; its time does: no clock goes back."""
    body = event.body
    for service, point in body["points"].items():
        begun = recovery.steps[f"{service}/restore"].started_at
        tried = TurnedDown(point, body["step"], body["reason"], begun, from_stamp(event.at), event.sequence)
        recovery.turned_down.setdefault(service, []).append(tried)
        recovery.checks.pop(service, None)
        recovery.marks.get(service, {}).pop("Tb", None)
    again = set(body["again"])
    for step in recovery.plan.steps:
        if step.id in again:
            attempt = recovery.steps[step.id].attempt + 1
            recovery.steps[step.id] = StepState(attempt=attempt, since=event.sequence)
            if step.stage == "verify":
                recovery.marks.get(step.service, {}).pop("T4", None)
