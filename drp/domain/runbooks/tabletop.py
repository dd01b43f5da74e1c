"""A tabletop exercise: people walk through a runbook and say what they would do. What its events tell.

Events of a tabletop, beside `run.opened` {plan, by, reason, …} and `run.closed` {outcome, exit_code, verdict}:

    step.started    {step, by}
    step.ended      {step, outcome: done | problem | skipped, by, remark}

Its plan is {runbook, declaration (the hash of the runbook's file), language, steps: [{id, title, text, who,
expected_ms}]}, so that one that was cut off goes on with the very words it began with. Nothing is recovered in it, so
that its verdict can never be better than NOT_TESTED.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from drp.domain.events import Body, Event, hash_of
from drp.domain.runbooks.by_hand import Language
from drp.domain.runbooks.model import Runbook
from drp.domain.runbooks.paper import expected_of
from drp.domain.runbooks.steps import AnyStep, ApprovalStep, ManualStep, NotificationStep
from drp.domain.values import from_stamp, milliseconds

KIND = "tabletop"

TalkOutcome = Literal["done", "problem", "skipped"]


@dataclass(frozen=True, slots=True)
class TalkStep:
    """A step that people walk through, in the words of one language."""

    id: str
    title: str
    text: str
    who: tuple[str, ...]
    expected: timedelta | None


@dataclass(slots=True)
class Walked:
    """How far people came with a step. The clock runs from its start to its end, also while drp is away."""

    step: TalkStep
    started_at: datetime | None = None
    ended_at: datetime | None = None
    outcome: TalkOutcome | None = None
    by: str = ""
    remark: str = ""

    @property
    def took(self) -> timedelta | None:
        return self.ended_at - self.started_at if self.started_at and self.ended_at else None

    @property
    def over(self) -> bool:
        """Whether it took longer than the runbook expects."""
        return self.took is not None and self.step.expected is not None and self.took > self.step.expected


@dataclass(slots=True)
class Tabletop:
    """A tabletop exercise so far; its steps in their order."""

    run: str
    runbook: str
    services: tuple[str, ...]
    steps: list[Walked]
    opened_at: datetime
    closed_at: datetime | None = None
    outcome: str = ""
    by: str = ""

    @property
    def next(self) -> Walked | None:
        """The first step that has not ended."""
        return next((walked for walked in self.steps if walked.outcome is None), None)


def talk_plan(runbook: Runbook, language: Language) -> Body:
    """What a tabletop of a runbook will walk through: the steps that people, and not only drp's stages, have."""
    steps = [
        {
            "id": step.id,
            "title": step.title.en if language == "en" else step.title.id,
            "text": _text(step, language),
            "who": list(step.who) if isinstance(step, ManualStep | ApprovalStep) else [],
            "expected_ms": None if (expected := expected_of(step)) is None else milliseconds(expected),
        }
        for step in runbook.all_steps
    ]
    declaration = hash_of(runbook.model_dump(mode="json"))
    return {"runbook": runbook.id, "declaration": declaration, "language": language, "steps": steps}


def _text(step: AnyStep, language: Language) -> str:
    match step:
        case ManualStep():
            said = step.instructions
        case ApprovalStep():
            said = step.question
        case NotificationStep():
            said = step.text
        case _:
            return ""
    return said.en if language == "en" else said.id


def replay_tabletop(run: str, events: Iterable[Event]) -> Tabletop:
    """The state of a tabletop, as its events tell it."""
    first, *others = events
    plan: dict[str, Any] = first.body["plan"]
    steps = {
        item["id"]: Walked(
            TalkStep(
                item["id"],
                item["title"],
                item["text"],
                tuple(item["who"]),
                None if item["expected_ms"] is None else timedelta(milliseconds=item["expected_ms"]),
            )
        )
        for item in plan["steps"]
    }
    found = Tabletop(
        run=run,
        runbook=plan["runbook"],
        services=tuple(first.body["services"]),
        steps=list(steps.values()),
        opened_at=from_stamp(first.at),
        by=first.body["by"],
    )
    for event in others:
        body = event.body
        if event.type == "step.started":
            steps[body["step"]].started_at = from_stamp(event.at)
        elif event.type == "step.ended":
            walked = steps[body["step"]]
            walked.ended_at, walked.outcome = from_stamp(event.at), body["outcome"]
            walked.by, walked.remark = body["by"], body["remark"]
        elif event.type == "run.closed":
            found.closed_at, found.outcome = from_stamp(event.at), body["outcome"]
    return found
