"""Build the neutral document of a failover or an exercise from its ledger events. Pure: no clock, no files."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from drp.domain.events import Event, first_break, hash_of
from drp.domain.recovery.plan import WAY_BACK, Step
from drp.domain.recovery.run import Recovery
from drp.domain.recovery.verification import checks_wanted
from drp.domain.values import from_stamp, milliseconds
from drp.reports.figures import (
    disordered,
    mark_lines,
    mtpd_figure,
    overrides_of,
    parts_of,
    parts_sum,
    rpa_figure,
    rta_figure,
    side_figure,
)
from drp.reports.isolation import ended_drills, isolation_lines
from drp.reports.lookup import PLAN_EVENT, Lookup, evidence_of, join, text_of
from drp.reports.model import (
    AbsenceLine,
    CheckLine,
    ClockLine,
    Control,
    Document,
    Evidence,
    Gap,
    MarkLine,
    ProbeLine,
    ReportContext,
    ReservationLine,
    RestorePointLine,
    ServiceContext,
    ServiceReport,
    SnapshotLine,
    StepLine,
    TaskLine,
)
from drp.reports.runbook_steps import runbook_steps
from drp.reports.turned_down import present_since, turned_down

__all__ = ["Document", "ReportContext", "ServiceContext", "build"]

KIND_WORDS = {"drill": "exercise", "failover": "failover", "switchover": "switchover", "failback": "failback"}
"""What reports call a run: auditors know a drill as an exercise."""


def build(recovery: Recovery, context: ReportContext, *, generated_at: datetime, tool_version: str) -> Document:
    """Collect every fact of a run, each with its evidence.

    Args:
        recovery: the run as `drp.domain.recovery.run.replay` rebuilt it; open, closed or aborted.
        context: names for people; services that it does not know are shown by their ids.
        generated_at: when the report is made, with a time zone.
        tool_version: drp's version.

    Raises:
        LookupError, TypeError, ValueError: the events do not have the shape that drp.domain.recovery.run describes.
    """
    lookup = Lookup(recovery)
    services = tuple(_service(recovery, name, lookup) for name in recovery.plan.services)
    verdict = recovery.verdict()
    return Document(
        control=_control(recovery, generated_at, tool_version),
        context=context,
        verdict=verdict,
        # An aborted run proves nothing, even where single services had come back before.
        accepted=verdict in ("MET", "MET_WITH_EXCEPTION") and all(service.accepted for service in services),
        services=services,
        runbook_steps=runbook_steps(recovery, lookup),
        isolation=isolation_lines(recovery),
        ended_drills=ended_drills(recovery),
        evidence=lookup.index(),
        plan=recovery.opened.body["plan"],
        events=tuple(recovery.events),
    )


def _control(recovery: Recovery, generated_at: datetime, tool_version: str) -> Control:
    opened, closed, last = recovery.opened, recovery.closed, recovery.events[-1]
    return Control(
        report=recovery.run,
        kind=KIND_WORDS[recovery.plan.kind],
        runbook=recovery.plan.runbook,
        generated_at=generated_at,
        tool_version=tool_version,
        opened_at=from_stamp(opened.at),
        opened_by=text_of(opened.body, "by"),
        reason=text_of(opened.body, "reason"),
        closed_at=None if closed is None else from_stamp(closed.at),
        outcome=None if closed is None else closed.body["outcome"],
        last_event_at=from_stamp(last.at),
        plan_hash=recovery.genesis,
        plan_matches=_hash_or_empty(opened.body["plan"]) == recovery.genesis,
        head=last.hash,
        event_count=len(recovery.events),
        chain_broken_at=break_of(recovery.run, recovery.genesis, recovery.events),
        hold_ms=milliseconds(recovery.plan.hold),
        give_up_after_ms=milliseconds(recovery.plan.give_up_after),
    )


def break_of(run: str, genesis: str, events: list[Event]) -> int | None:
    """Where the chain stops being what was recorded; an event that cannot be hashed at all counts as changed.

    An event of another run breaks the chain too: its hash covers its own run's name, but not that it stands here.
    """
    for count, event in enumerate(events, start=1):
        if event.run != run or not _can_be_hashed(event):
            return first_break(genesis, events[: count - 1]) or count
    return first_break(genesis, events)


def _can_be_hashed(event: Event) -> bool:
    try:
        hash_of([event.at, event.type, event.body, bytes.fromhex(event.previous).hex()])
    except (TypeError, ValueError, RecursionError):
        return False
    return True


def _hash_or_empty(plan: dict[str, Any]) -> str:
    try:
        return hash_of(plan)
    except (TypeError, ValueError):
        return ""


def _service(recovery: Recovery, name: str, lookup: Lookup) -> ServiceReport:
    planned = recovery.plan.services[name]
    marks = recovery.marks.get(name, {})
    measured = recovery.measurement(name)
    lines = mark_lines(recovery, name, lookup)
    parts = parts_of(marks, lines)
    total = parts_sum(parts)
    rta = rta_figure(measured, planned, lines, lookup)
    since = present_since(recovery, name)
    checks = [event for event in lookup.of("data.verified", name) if event.sequence > since]
    steps = tuple(
        _step(recovery, step, lookup) for step in recovery.plan.steps if step.service == name and not step.extra
    )
    return ServiceReport(
        service=name,
        hosts=planned.hosts,
        address=planned.address,
        verdict=measured.verdict,
        accepted=measured.accepted,
        rta=rta,
        rpa=rpa_figure(measured, planned, lines),
        mtpd=mtpd_figure(rta, planned),
        since_declaration=side_figure("since_declaration", measured.since_declaration, "T2", "T5", lines, marks),
        technical=side_figure("technical", measured.technical, "T2", "T4", lines, marks),
        parts=parts,
        parts_sum_ms=total,
        parts_add_up=None if total is None or rta.value_ms is None else total == rta.value_ms,
        disordered=disordered(marks),
        marks=tuple(lines.values()),
        data_verdict=measured.data_verdict,
        data_evidence=evidence_of(checks),
        overrides=overrides_of(planned),
        reservations=tuple(
            ReservationLine(event.body["text"], event.body["accepted_by"], evidence_of([event]))
            for event in lookup.of("reservation", name)
        ),
        gaps=_gaps(recovery, name, lines, steps),
        steps=steps,
        restore_point=_restore_point(recovery, name, lookup),
        turned_down=turned_down(recovery, name),
        absence=_absence(lookup.of("absence.proved", name)),
        checks=tuple(_check(event) for event in checks),
        probe=_probe(lookup, name),
        clocks=tuple(_clock(event) for event in lookup.of("clock.measured", name)),
    )


def _step(recovery: Recovery, step: Step, lookup: Lookup) -> StepLine:
    state = recovery.steps[step.id]

    def of(event_type: str) -> list[Event]:
        return [event for event in lookup.of(event_type, step.id) if event.sequence > state.since]

    ended = of("step.ended")
    files = tuple(lookup.file(item["path"]) for item in state.evidence)
    return StepLine(
        id=step.id,
        stage=step.stage,
        needs=step.needs,
        outcome=state.outcome,
        started_at=state.started_at,
        ended_at=state.ended_at,
        # The event's own figure is from a clock that never jumps; the two stamps are wall-clock times.
        duration_ms=ended[-1].body["duration_ms"] if ended else None,
        error=state.error,
        tasks=tuple(_task(event) for event in of("task.ended")),
        evidence=evidence_of([*of("step.started"), *ended], files),
    )


def _task(event: Event) -> TaskLine:
    body = event.body
    started = body.get("started_at")
    return TaskLine(
        host=body["host"],
        task=body["task"],
        outcome=body["outcome"],
        changed=bool(body["changed"]),
        started_at=from_stamp(started) if started else None,
        duration_ms=body["duration_ms"],
        evidence=evidence_of([event]),
    )


def _restore_point(recovery: Recovery, name: str, lookup: Lookup) -> RestorePointLine | None:
    point = recovery.point_of(name)
    if point is None:
        return None
    chosen = lookup.of("restore_point.chosen", name)
    planned = evidence_of(chosen[-1:]) if chosen else Evidence((PLAN_EVENT,))
    tried = recovery.turned_down.get(name, [])[-1:]  # what led to this one
    return RestorePointLine(
        id=point.id,
        site=point.site,
        dr_centre=point.dr_centre,
        sentinel=point.sentinel,
        sentinel_at=point.sentinel_at,
        arrived_at=point.arrived_at,
        snapshots=tuple(
            SnapshotLine(item.dataset, item.part, item.snapshot, item.files, item.bytes) for item in point.snapshots
        ),
        tools=dict(sorted(point.tools.items())),
        evidence=join(Evidence(tuple(item.event for item in tried)), planned),
    )


def _absence(events: list[Event]) -> AbsenceLine | None:
    if not events:
        return None
    body = events[-1].body
    return AbsenceLine(
        tuple(_as_text(item) for item in body["looked_for"]),
        tuple(_as_text(item) for item in body["found"]),
        evidence_of(events[-1:]),
    )


def _check(event: Event) -> CheckLine:
    body = event.body
    return CheckLine(
        dataset=body["dataset"],
        check=body["check"],
        expected=_as_text(body["expected"]),
        actual=_as_text(body["actual"]),
        ok=bool(body["ok"]),
        evidence=evidence_of([event]),
    )


def _probe(lookup: Lookup, name: str) -> ProbeLine | None:
    events = lookup.of("probe.started", name)
    if not events:
        return None
    body = events[-1].body
    file = lookup.file(body["file"])
    return ProbeLine(body["address"], checks_of(body), file, join(evidence_of(events), Evidence((), (file,))))


def checks_of(body: dict[str, Any]) -> tuple[str, ...]:
    """The checks that a probe tried; an older drp tried one, and called it `check`."""
    return tuple(_as_text(name) for name in body.get("checks") or [body.get("check", "")] if name)


def _clock(event: Event) -> ClockLine:
    body = event.body
    return ClockLine(
        clock=_as_text(body["clock"]),
        used_for=_as_text(body["used_for"]),
        measured_at=from_stamp(body["measured_at"]),
        offset_ms=body["offset_ms"],
        uncertainty_ms=body["uncertainty_ms"],
        evidence=evidence_of([event]),
    )


def _gaps(recovery: Recovery, name: str, lines: dict[str, MarkLine], steps: tuple[StepLine, ...]) -> tuple[Gap, ...]:
    """What this run leaves open for a service, in a fixed order."""
    found = []
    for mark in ("T0", "T1"):
        if lines[mark].source in ("simulated", "human"):
            found.append(Gap(f"{mark}_{lines[mark].source}", ""))
    stages = {step.stage for step in steps}
    if recovery.plan.is_planned and recovery.plan.kind == "failback":
        kept = recovery.stranded.get(name)
        if kept is not None and kept["found"] and recovery.opened.body.get("discard_stranded"):
            found.append(Gap("stranded_discarded", ", ".join(kept["found"])))
    if recovery.plan.kind == "drill":
        found += [Gap("traffic_not_switched", ""), Gap("real_users_absent", "")]
    elif "cutover" not in stages:
        found.append(Gap("no_cutover", ""))
    not_run = [step.stage for step in steps if step.outcome in ("pending", "skipped") and not is_spare(step)]
    found += [Gap("steps_not_run", ", ".join(not_run))] if not_run else []
    if name not in recovery.absences:
        found.append(Gap("absence_not_recorded", ""))
    elif recovery.absences[name]["found"]:
        found.append(Gap("absence_found_something", ""))
    made = {(check["dataset"], check["check"]) for check in recovery.checks.get(name, [])}
    point = recovery.point_of(name)
    wanted = [] if point is None else checks_wanted(point)
    missing = [f"{kind} of {dataset}" for dataset, kind in wanted if (dataset, kind) not in made]
    found += [Gap("checks_not_made", ", ".join(missing))] if missing else []
    if len(recovery.plan.services) == 1:
        found.append(Gap("alone", ""))
    found += [Gap("owner_not_asked", ""), Gap("load", "")]
    if not recovery.plan.is_planned:
        found.append(Gap("failback", ""))
    return tuple(found)


def is_spare(step: StepLine) -> bool:
    """Steps for a planned move that has failed: nothing is missing where there was no need for them."""
    is_undoing = step.stage == "cleanup" and any(need.endswith("/reopen") for need in step.needs)
    return step.stage in WAY_BACK or is_undoing


def _as_text(value: Any) -> str:
    """A compared value as the report prints it: counts, hashes and stamps alike."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, dict):
        return ", ".join(f"{key}: {_as_text(item)}" for key, item in sorted(value.items()))
    if isinstance(value, list):
        return ", ".join(_as_text(item) for item in value)
    return str(value)
