"""Walks people through a runbook at a table, and times them. No host, no DR centre and no service is touched."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from drp.domain.events import hash_of
from drp.domain.objectives import Verdict
from drp.domain.runbooks.by_hand import Language
from drp.domain.runbooks.services import services_of
from drp.domain.runbooks.tabletop import KIND, Tabletop, TalkOutcome, Walked, replay_tabletop, talk_plan
from drp.errors import CancelledError, ExitCode, UsageError
from drp.ports import World
from drp.workflows.naming import new_run
from drp.workflows.selection import runbook_of


@dataclass(frozen=True, slots=True)
class TalkEnd:
    """What was said at the end of a step."""

    outcome: TalkOutcome
    by: str
    remark: str


class Facilitator(Protocol):
    """Speaks with the people at the table. Either raises CancelledError where they break off."""

    def begin(self, walked: Walked, number: int, count: int) -> bool:
        """Show a step, and wait until they begin with it; False: they skip it. One that was begun already goes on."""
        ...

    def finish(self) -> TalkEnd:
        """Wait until they are through with the step; who did it, and what they remark."""
        ...


@dataclass(frozen=True, slots=True)
class TalkRequest:
    """Which runbook is walked through, and for which services; without any, for those that it is about."""

    runbook: str
    services: tuple[str, ...]
    by: str
    reason: str
    language: Language


def hold(world: World, request: TalkRequest, facilitator: Facilitator) -> Tabletop:
    """Walk through a runbook from its first step. CancelledError where people break off; the run stays open then."""
    runbook = runbook_of(world, request.runbook)
    if not runbook.all_steps:
        hint = "add steps to it, or take another runbook: drp runbook list"
        raise UsageError("it has no steps to walk through", where=f"runbook {runbook.id}", hint=hint)
    for name in request.services:
        if name not in world.city.services:
            raise UsageError(f"no service {name!r}", hint="list them: drp inventory list")
    plan = talk_plan(runbook, request.language)
    run = new_run(KIND, world.clock.now())
    services = list(request.services or services_of(runbook, world.city))
    body = {"plan": plan, "by": request.by, "reason": request.reason}
    world.ledger.open_run(run, KIND, hash_of(plan), services, body)
    return walk(world, run, facilitator)


def walk(world: World, run: str, facilitator: Facilitator) -> Tabletop:
    """Go on with a tabletop at the first step that has not ended. BusyError where another terminal walks through it."""
    if world.ledger.run(run).closed_at is not None:
        raise UsageError(f"run {run} has ended", hint=f"see it: drp run show {run}")
    world.locks.acquire(f"tabletop-{run}", "drp drill run --tabletop")
    try:
        while (walked := (state := _state(world, run)).next) is not None:
            _walk_through(world, state, walked, facilitator)
        body = {"outcome": "done", "exit_code": int(ExitCode.NOT_MET), "verdict": str(Verdict.NOT_TESTED)}
        world.ledger.append(run, "run.closed", body)
        return _state(world, run)
    except CancelledError as error:
        raise CancelledError(error.message, where=run, hint=f"go on with it: drp run resume {run}") from error
    finally:
        world.locks.release(f"tabletop-{run}")


def give_up(world: World, run: str, reason: str) -> None:
    """Close a tabletop that nobody will go on with."""
    body = {"outcome": "aborted", "exit_code": int(ExitCode.CANCELLED), "verdict": "ABORTED", "reason": reason}
    world.ledger.append(run, "run.closed", body)


def _state(world: World, run: str) -> Tabletop:
    return replay_tabletop(run, world.ledger.events(run))


def _walk_through(world: World, state: Tabletop, walked: Walked, facilitator: Facilitator) -> None:
    number, step = state.steps.index(walked) + 1, walked.step.id
    if not facilitator.begin(walked, number, len(state.steps)):
        body = {"step": step, "outcome": "skipped", "by": state.by, "remark": ""}
        world.ledger.append(state.run, "step.ended", body)
        return
    if walked.started_at is None:
        world.ledger.append(state.run, "step.started", {"step": step, "by": state.by})
    end = facilitator.finish()
    body = {"step": step, "outcome": end.outcome, "by": end.by, "remark": end.remark}
    world.ledger.append(state.run, "step.ended", body)
