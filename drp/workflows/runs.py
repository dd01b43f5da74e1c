"""What people say to runs from other terminals: an answer that a step waits for, or that a run is given up."""

from __future__ import annotations

from drp.domain.recovery.plan import RECOVERY_KINDS, Step
from drp.domain.recovery.run import Recovery, replay
from drp.domain.runbooks.answers import Answer, answers_to, refuse_stranger
from drp.domain.runbooks.steps import AnyStep
from drp.errors import BusyError, CancelledError, UsageError
from drp.ports import World
from drp.workflows.preemption import aborted, stop_actions
from drp.workflows.recovery_run import resume
from drp.workflows.tabletop import give_up

POLL_SECONDS = 0.25


def abort(world: World, run: str, reason: str) -> None:
    """End what a recovery started and close it as aborted, also while another drp follows it. A drill clears away what
    it has built first; what a failover restored stays where it is."""
    row = world.ledger.run(run)
    if row.kind == "tabletop" and row.closed_at is None:
        give_up(world, run, reason)
        return
    if row.kind not in RECOVERY_KINDS:
        raise UsageError(f"run {run} is a {row.kind}; only recoveries, drills and tabletops can be aborted")
    if row.closed_at is not None:
        raise UsageError(f"run {run} has ended", hint=f"see it: drp run show {run}")
    if row.kind in ("switchover", "failback"):
        _take_back(world, run, reason)
        return
    recovery = replay(run, row.genesis, world.ledger.events(run))
    plan = recovery.plan
    if plan.isolates and recovery.abandoned is None:
        _clear_away(world, run, reason)
        return
    # Closed first: a drp that follows this run can then start nothing more. So ends a drill, too, that was given up
    # before and does not come to an end.
    world.ledger.append(run, "run.closed", aborted(reason))
    stop_actions(world, [run])
    world.actions.close_connections()
    for name, planned in plan.services.items():
        world.say(f"{name}: aborted; what was restored on {', '.join(planned.hosts)} is still there")


def _clear_away(world: World, run: str, reason: str) -> None:
    """Give a drill up: it removes what it has built, and connects its hosts again. Whoever follows it does that; where
    nobody does, this process."""
    world.ledger.append(run, "run.abandoned", {"by": world.operator, "reason": reason})
    is_told = False
    while world.ledger.run(run).closed_at is None:
        try:
            resume(world, run)
        except BusyError:
            if not is_told:
                world.say(f"the drp that follows {run} clears it away; should it hang, the same command again ends it")
                is_told = True
            world.clock.sleep(POLL_SECONDS)
        except CancelledError:
            break
        except UsageError:
            if world.ledger.run(run).closed_at is None:
                raise
    recovery = replay(run, world.ledger.run(run).genesis, world.ledger.events(run))
    for name, planned in recovery.plan.services.items():
        is_clear = recovery.steps[f"{name}/cleanup"].outcome == "ok" or name not in recovery.absences
        what = "nothing of the drill is left" if is_clear else "what was restored is still there"
        world.say(f"{name}: aborted; {what} on {', '.join(planned.hosts)}")


def approve(world: World, run: str, step_id: str, by: str, comment: str, answer: Answer | None) -> Answer:
    """Answer a step that waits for a person, or will; gives what was answered. A no to an approval gives the run up.

    UsageError for who may not answer, for what cannot be said of the step, and where somebody has answered already.
    """
    while True:
        recovery, step = _asked_of(world, run, step_id)
        chosen = _allowed(recovery, step, answer)
        is_known = refuse_stranger(world.city, _extra(step), by)
        body = {"step": step_id, "by": by, "answer": chosen, "comment": comment}
        # Of two who answer at once only one is written down; the other looks again, and is told.
        if world.ledger.append_next(run, "step.answered", body, recovery.events[-1].sequence) is not None:
            break
    if not is_known:
        for service in step.also:
            text = f"nobody is registered for step {step_id}; {by} answered"
            world.ledger.append(run, "reservation", {"service": service, "text": text, "accepted_by": by})
    if chosen == "no":
        abort(world, run, f"{by} said no to {step_id}: {comment}")
    return chosen


def _asked_of(world: World, run: str, step_id: str) -> tuple[Recovery, Step]:
    """A run as it stands now, and its step that may be answered."""
    row = world.ledger.run(run)
    if row.kind not in RECOVERY_KINDS or row.closed_at is not None:
        text = f"run {run} has ended" if row.closed_at is not None else f"run {run} is a {row.kind}"
        raise UsageError(text, hint="see what runs: drp run list")
    recovery = replay(run, row.genesis, world.ledger.events(run))
    step = next((step for step in recovery.plan.steps if step.id == step_id and step.extra is not None), None)
    if step is None:
        known = [step.id for step in recovery.plan.steps if step.extra is not None]
        raise UsageError(f"{run} has no step {step_id!r} of its runbook", hint=f"it has: {', '.join(known) or 'none'}")
    state = recovery.steps[step_id]
    if state.ended or state.answer is not None:
        said = f": {state.answer['by']} said {state.answer['answer']}" if state.answer else ""
        raise UsageError(f"step {step_id} has its answer already{said}", hint=f"see it: drp run show {run}")
    return recovery, step


def _allowed(recovery: Recovery, step: Step, answer: Answer | None) -> Answer:
    """What is answered; UsageError where it says nothing of the step."""
    extra, state = _extra(step), recovery.steps[step.id]
    possible = answers_to(extra, was_cut_off=state.outcome == "running" and not extra.rerun)
    chosen = answer or (possible[0] if possible else None)
    if chosen is None or chosen not in possible:
        text = f"step {step.id} waits for nobody" if not possible else f"{chosen!r} says nothing of step {step.id}"
        raise UsageError(text, hint=f"possible: {', '.join(possible) or 'nothing'}")
    return chosen


def _extra(step: Step) -> AnyStep:
    assert step.extra is not None, "only steps of the runbook come here"
    return step.extra


def _take_back(world: World, run: str, reason: str) -> None:
    """End a planned move before users are sent over: the services start again where they were. Whoever follows the run
    does that; where nobody does, this process."""
    recovery = replay(run, world.ledger.run(run).genesis, world.ledger.events(run))
    switches = [recovery.steps[f"{name}/cutover"] for name in recovery.plan.services]
    at_work = any(switch.started_at is not None and not switch.ended for switch in switches)
    if at_work and recovery.abandoned is None:
        hint = f"wait a moment, or let it go on: drp run resume {run}"
        raise UsageError("users are being sent over at this moment", where=run, hint=hint)
    if recovery.abandoned is None:
        world.ledger.append(run, "run.abandoned", {"by": world.operator, "reason": reason})
    while world.ledger.run(run).closed_at is None:
        try:
            resume(world, run)
        except BusyError:
            world.clock.sleep(POLL_SECONDS)  # another drp follows it, and has taken notice
        except UsageError:
            if world.ledger.run(run).closed_at is None:
                raise
    for name in recovery.plan.services:
        world.say(f"{name}: {run} is given up; its users are at the {world.ledger.active_site(name)} site")
