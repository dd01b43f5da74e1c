"""The runbook's own steps in a report: who did or decided what, when, and how long the run waited for people."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from drp.domain.recovery.plan import Step
from drp.domain.recovery.run import Recovery
from drp.domain.runbooks.steps import ApprovalStep, ManualStep
from drp.domain.values import from_stamp, milliseconds
from drp.reports.lookup import Lookup, evidence_of
from drp.reports.model import RunbookLine, RunbookSteps


def runbook_steps(recovery: Recovery, lookup: Lookup) -> RunbookSteps | None:
    """All of them in the plan's order; None where the runbook has none."""
    steps = [step for step in recovery.plan.steps if step.extra is not None]
    if not steps:
        return None
    lines = tuple(_line(recovery, step, lookup) for step in steps)
    waits = [
        (line.started_at, line.ended_at or recovery.last_at)
        for line in lines
        if line.by_people and line.started_at is not None
    ]
    return RunbookSteps(lines, milliseconds(_together(waits)))


def _line(recovery: Recovery, step: Step, lookup: Lookup) -> RunbookLine:
    state, extra = recovery.steps[step.id], step.extra
    assert extra is not None
    started, ended, answers = (
        [event for event in lookup.of(kind, step.id) if event.sequence > state.since]
        for kind in ("step.started", "step.ended", "step.answered")
    )
    answer = state.answer or {}
    return RunbookLine(
        id=step.id,
        kind=extra.kind,
        title=extra.title.en,
        by_people=isinstance(extra, ManualStep | ApprovalStep),
        services=step.also,
        outcome=state.outcome,
        started_at=from_stamp(started[0].at) if started else None,
        ended_at=state.ended_at,
        expected_ms=None if extra.expected is None else milliseconds(extra.expected),
        duration_ms=ended[-1].body["duration_ms"] if ended else None,
        answer=answer.get("answer", ""),
        by=answer.get("by", ""),
        comment=answer.get("comment", ""),
        error=state.error,
        evidence=evidence_of([*started, *answers, *ended], tuple(lookup.file(item["path"]) for item in state.evidence)),
    )


def _together(spans: Iterable[tuple[datetime, datetime]]) -> timedelta:
    """How long at least one of these spans of time lasted."""
    total, until = timedelta(), None
    for start, end in sorted(spans):
        begin = start if until is None else max(start, until)
        if end > begin:
            total += end - begin
            until = end
    return total
