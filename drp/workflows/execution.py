"""Carries a plan out: starts every step as soon as it may start, follows what runs, and writes all of it down.

The ledger is the journal. After a crash the same loop goes on from the replayed state: an action that still runs is
followed further, one that ended meanwhile is read, one that was lost is started again (stages may be repeated).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

from drp.domain.events import Body
from drp.domain.recovery.plan import BACKUP_STAGES, Stage, Step
from drp.domain.recovery.probing import last_outage
from drp.domain.recovery.run import Recovery, apply
from drp.domain.recovery.timeline import Mark, MarkName
from drp.domain.recovery.urgency import to_start, urgency_of
from drp.domain.recovery.walk import Turning, can_turn_down, held, speaks_of_data, turnings
from drp.domain.values import from_stamp, milliseconds, to_stamp
from drp.errors import DrpError
from drp.ports import ActionState, World
from drp.workflows import stages
from drp.workflows.failures import failure_of
from drp.workflows.isolation import note_isolation
from drp.workflows.move_backup import MoveBackup, told_of
from drp.workflows.naming import action_folder
from drp.workflows.open_runs import ended_from_elsewhere
from drp.workflows.outside_probe import OutsideProbe, measure_clocks
from drp.workflows.runbook_steps import Ending, RunbookSteps
from drp.workflows.trial import follow_trial, proofs_of, start_trial
from drp.workflows.tries import Tries
from drp.workflows.use import FoundUse, find_use
from drp.workflows.walking import pass_over, tell_of_taken, turn_down

POLL_SECONDS, QUIET_POLL_SECONDS = 0.05, 0.2
"""How often the steps at work are looked at: at once after something has happened, and more seldom the longer nothing
does. When a step has ended is told by its own action, not by when drp looks."""
PLANNED_MARKS: tuple[MarkName, ...] = ("T0", "T1", "T2", "T3")
_FOLLOWING = ("run.opened", "run.resumed")
LOOK_SECONDS = 0.25
PROBES_SECONDS = 2.0


def execute(world: World, recovery: Recovery) -> None:
    """Run until no step can start any more and none runs. What failed is in the ledger."""
    execution = _Execution(world, recovery)
    try:
        execution.probe.start()
        execution.run()
    except KeyboardInterrupt:
        execution.let_go()
        world.say("")
        world.say(f"drp stops following {recovery.run}; what it started goes on by itself")
        world.say(f"go on: drp run resume {recovery.run}    give it up: drp run abort {recovery.run}")
        raise
    tell_of_taken(world, recovery, execution.record)
    measure_clocks(world, recovery, execution.record)
    execution.probe.stop()
    world.actions.close_connections()


class _Execution:
    def __init__(self, world: World, recovery: Recovery) -> None:
        self.world, self.recovery = world, recovery
        self.messages: dict[str, list[Body]] = {}
        self.told: dict[str, str] = {}
        self.backups: dict[str, MoveBackup] = {}
        self.runbook = RunbookSteps(world, recovery, self.record)
        self.tries = Tries(world, recovery, self.begin_again)
        self.probe = OutsideProbe(world, recovery, self.record)
        self.next_look = 0.0
        self.is_time_to_look = False
        self.urgency = urgency_of(recovery.plan)
        # Only waiting is given up: a restore that takes its time is ended by a person (drp run abort), not by a clock.
        followed_since = max(from_stamp(event.at) for event in recovery.events if event.type in _FOLLOWING)
        self.given_up_at = followed_since + recovery.plan.give_up_after

    def record(self, type_: str, body: Body) -> None:
        self.world.ledger.append(self.recovery.run, type_, body)
        self.take_in()

    def take_in(self) -> None:
        """Learn what is new in the ledger: our own events, and what other terminals have decided."""
        for event in self.world.ledger.events(self.recovery.run, after=self.recovery.events[-1].sequence):
            apply(self.recovery, event)

    def run(self) -> None:
        pause = POLL_SECONDS
        decided_at = 0
        due: Sequence[Turning] = ()
        waiting: Collection[str] = ()
        running: list[Step] = []
        while True:
            known = self.recovery.events[-1].sequence
            self.refuse_if_closed()
            # What may start, and what never will, changes with an event alone.
            if decided_at != self.recovery.events[-1].sequence or due:
                decided_at = self.recovery.events[-1].sequence
                due = turnings(self.recovery)
                waiting = self.decide(due)
                running = self.running()
                if not running and not due and not self.recovery.ready() and not self.recovery.doomed():
                    return
            now = self.world.clock.monotonic()
            self.is_time_to_look = now >= self.next_look
            if self.is_time_to_look:
                self.next_look = now + LOOK_SECONDS
            for step in running:
                if step.stage != "trial" or step.id not in waiting:
                    self.follow(step)
            self.probe.keep()
            is_quiet = self.recovery.events[-1].sequence == known
            pause = min(pause * 1.2, QUIET_POLL_SECONDS) if is_quiet else POLL_SECONDS
            self.world.clock.sleep(pause)

    def decide(self, due: Sequence[Turning]) -> Collection[str]:
        """Turn restore points down, give up what waits in vain, and start what may start. Gives the steps that wait for
        a restore point to be turned down."""
        for turning in due:
            self.turn_down(turning)
        waiting = held(self.recovery, due)
        for step in self.recovery.doomed():
            if step.id not in waiting:
                self.end(step, "skipped", self.recovery.why_skipped(step))
        at_once = self.world.actions.playbooks_at_once
        ready = [step for step in self.recovery.ready() if step.id not in waiting]
        for step in to_start(ready, self.running(), at_once, self.urgency):
            self.start(step)
        return waiting

    def running(self) -> list[Step]:
        return [step for step in self.recovery.plan.steps if self.recovery.steps[step.id].outcome == "running"]

    def refuse_if_closed(self) -> None:
        """Another terminal may have aborted the run."""
        self.take_in()
        if self.recovery.closed is not None:
            raise ended_from_elsewhere(self.world, self.recovery.run)

    # -- steps -----------------------------------------------------------------------------------------------------

    def start(self, step: Step) -> None:
        if step.stage == "restore":
            pass_over(self.world, self.recovery, step.service, self.record)
        self.mark_start(step)
        self.record("step.started", {"step": step.id, "action": self.folder(step).name})
        if step.extra is None:
            self.world.say(f"{step.service}: {stages.NAMES[step.stage]} …")
        if step.stage == "usable" or step.stage in BACKUP_STAGES:
            return
        try:
            if step.extra is not None:
                self.runbook.start(step, self.folder(step))
                return
            if step.stage == "trial":
                start_trial(self.world, self.recovery, step, self.folder(step))
                return
            stages.start(self.world, self.recovery, step, self.folder(step))
        except DrpError as error:
            if step.extra is not None:
                self.end_runbook(step, Ending("failed", _told(error), f"step {step.id} failed: {error}"))
                return
            self.fail(step, error)

    def mark_start(self, step: Step) -> None:
        """T3; and in a planned move T0 to T2 with it: nobody has to find out what drp itself does."""
        known = self.recovery.marks.get(step.service, {})
        if step.extra is not None:
            return  # what people do and decide is before the first machine does anything
        if not self.recovery.plan.is_planned:
            if "T3" not in known:
                self.mark(step.service, self.moment("T3", "first recovery step started"))
        elif step.stage == "stop":
            self.mark_stop(step.service, known)

    def mark_stop(self, service: str, known: Mapping[str, Mark]) -> None:
        """Users may have been sent away before drp stops anything, as by a maintenance page: then the probe saw it."""
        marks = [self.moment(name, "drp began to stop it, as planned") for name in PLANNED_MARKS]
        folder = self.probe.folder(service)
        outage = last_outage(self.world.watch.run_samples(folder), self.world.city.services[service].check_gaps)
        was_seen_well = outage is not None and not outage.is_over and outage.last_good_at is not None
        if outage is not None and was_seen_well and outage.disrupted_at < marks[0].at:
            file = folder.relative_to(self.world.workspace) / "samples.jsonl"
            seen = f"outside probe, {file}, before drp stopped it: {outage.detail}"
            uncertainty = outage.uncertainty or timedelta()
            early = replace(marks[0], at=outage.disrupted_at, evidence=seen, uncertainty=uncertainty)
            marks[:2] = [early, replace(early, name="T1", at=min(outage.detected_at, marks[2].at))]
        for mark in (mark for mark in marks if mark.name not in known):
            self.mark(service, mark)

    def follow(self, step: Step) -> None:
        if step.stage == "usable":
            self.look_for_use(step)
            return
        if step.stage in BACKUP_STAGES:
            self.follow_backup(step)
            return
        if step.extra is not None:
            self.follow_runbook(step)
            return
        if step.stage == "trial":
            self.follow_trial(step)
            return
        folder = self.folder(step)
        state = self.world.actions.state(folder)
        self.take_messages(step, folder)
        is_taken_back = self.recovery.abandoned is not None and self.is_given_up(step)
        if state is ActionState.RUNNING:
            if is_taken_back or self.tries.is_late(step):
                self.world.actions.stop(folder)  # each time: one that has only just started does not hear it yet
            return
        try:
            code = self.tries.exit_code(step, folder, self.messages[step.id])
            if code is None:
                self.begin_lost(step, folder, state)
                return
            if code != 0:
                error = self.tries.hang(step, folder, self.messages[step.id]) or self.failure(step)
                if not is_taken_back and self.tries.waits_for_host(step, folder, self.messages[step.id], error):
                    return
                raise error
            stages.finish(self.world, self.recovery, step, self.messages.get(step.id, []), self.record)
        except DrpError as error:
            self.fail(step, error, data_is_bad=speaks_of_data(error))
            return
        # The mark comes first: after a crash between the two it would otherwise be missing for good.
        if step.stage == "verify" and "T4" not in self.recovery.marks.get(step.service, {}):
            self.mark(step.service, self.moment("T4", f"{step.id} ended well", self.ended_at(step)))
        self.end(step, "ok", "")

    def begin_lost(self, step: Step, folder: Path, state: ActionState) -> None:
        if self.recovery.gave_up_drill and not step.is_clean_up:
            raise DrpError("the drill was given up", where=step.id)
        if state is ActionState.ABSENT:  # drp died between the record of the start and the start
            stages.start(self.world, self.recovery, step, folder)
            return
        self.world.say(f"{step.service}: {stages.NAMES[step.stage]} was lost; starting it again")
        self.begin_again(step, "its processes were gone without a result")

    def begin_again(self, step: Step, why: str) -> None:
        """Carry a stage out once more, from its beginning. DrpError where the drill was given up."""
        if self.recovery.gave_up_drill and not step.is_clean_up:
            raise DrpError("the drill was given up", where=step.id)
        self.record("step.repeated", {"step": step.id, "reason": why})
        self.messages[step.id] = []
        stages.start(self.world, self.recovery, step, self.folder(step))

    def follow_trial(self, step: Step) -> None:
        """See `drp.workflows.trial`."""
        if self.is_given_up(step):
            self.world.actions.stop(self.folder(step))
            self.end(step, "failed", "the run was given up")
            return
        ending = follow_trial(self.world, self.recovery, step, self.folder(step))
        if ending is None:
            return
        for body in () if ending.error else proofs_of(self.recovery, step.service):
            self.record("proof.recorded", body)
        trouble = {"kind": "user_path", "host": ""} if ending.error else None
        self.end(step, "failed" if ending.error else "ok", ending.error, trouble, data_is_bad=ending.data_is_bad)

    def turn_down(self, turning: Turning) -> None:
        """See `drp.workflows.walking`."""
        if turn_down(self.world, self.recovery, turning, self.folder, self.record):
            for name in turning.again:
                self.messages.pop(name, None)
                self.told.pop(name, None)
            self.runbook.forget(turning.again)

    def follow_backup(self, step: Step) -> None:
        """A planned move's own backups; see `drp.workflows.move_backup`."""
        is_given_up = self.is_given_up(step) or self.recovery.abandoned is not None
        if step.stage == "keep" and not self.must_keep(step):
            self.end(step, "ok", "")
            return
        if step.id not in self.backups:
            self.backups[step.id] = MoveBackup(self.world, self.recovery, step)
        if is_given_up:
            if self.backups[step.id].has_stopped():
                del self.backups[step.id]
                self.end(step, "failed", "the move was given up")
            return
        try:
            point = self.backups[step.id].follow()
        except DrpError as error:
            self.backups.pop(step.id).let_go()
            self.end(step, "failed", _told(error) + _WHAT_THEN.get(step.stage, ""))
            return
        if point is None:
            return
        if self.backups[step.id].trouble:
            self.reserve(step.service, f"after the backup {point.id}: {self.backups[step.id].trouble}")
        del self.backups[step.id]
        if step.stage == "backup":
            self.record("restore_point.chosen", point.record())
        elif step.stage == "keep":
            self.record("stranded.kept", {"service": step.service, "restore_point": point.id})
            for line in told_of(point):
                self.world.say(f"{step.service}: kept as {point.id}: {line}")
        self.end(step, "ok", "")

    def follow_runbook(self, step: Step) -> None:
        """A step of the runbook; see `drp.workflows.runbook_steps`."""
        if self.is_given_up(step):
            self.world.actions.stop(self.folder(step))
            if self.world.actions.state(self.folder(step)) is not ActionState.RUNNING:
                self.end(step, "failed", "the run was given up")
            return
        self.take_messages(step, self.folder(step))
        if self.world.actions.state(self.folder(step)) is not ActionState.RUNNING:
            self.messages.pop(step.id)  # it may be begun again, and tells all anew
        try:
            ending = self.runbook.follow(step, self.folder(step))
        except DrpError as error:
            self.end_runbook(step, Ending("failed", _told(error), f"step {step.id} failed: {error}"))
            return
        if ending is not None:
            self.end_runbook(step, ending, data_is_bad=ending.outcome == "failed")

    def end_runbook(self, step: Step, ending: Ending, *, data_is_bad: bool = False) -> None:
        # What turns a restore point down says nothing against the one that is taken in the end.
        is_examination = data_is_bad and bool(can_turn_down(self.recovery, step))
        for service in step.also if ending.reservation and not is_examination else ():
            self.reserve(service, ending.reservation, ending.accepted_by)
        self.end(step, ending.outcome, ending.error, data_is_bad=data_is_bad)

    def is_given_up(self, step: Step) -> bool:
        """Whether a planned move goes back, or a drill was given up, so that nobody has to wait for this step."""
        if self.recovery.gave_up_drill:
            return not step.is_clean_up
        return self.recovery.plan.is_planned and self.recovery.has_failed and step.id in self.recovery.before_users_go

    def reserve(self, service: str, text: str, accepted_by: str | None = None) -> None:
        self.record("reservation", {"service": service, "text": text, "accepted_by": accepted_by})

    def must_keep(self, step: Step) -> bool:
        """Whether something lies at the old primary that nobody has given up."""
        found = self.recovery.stranded[step.service]["found"]
        if found and not self.recovery.opened.body["discard_stranded"]:
            return True
        fate = f"{', '.join(found)} will be overwritten unkept, as ordered" if found else "nothing of it lies there"
        self.world.say(f"{step.service}: at the old primary: {fate}")
        return False

    def let_go(self) -> None:
        for backup in self.backups.values():
            backup.let_go()
        self.backups.clear()

    def failure(self, step: Step) -> DrpError:
        hint_path = self.folder(step).relative_to(self.world.workspace)
        hint = f"see {hint_path}/stdout and stderr"
        return failure_of(step, self.messages.get(step.id, [])) or DrpError(
            "the step failed without a reason", where=step.id, hint=hint
        )

    def take_messages(self, step: Step, folder: Path) -> None:
        messages = self.messages.setdefault(step.id, [])
        new = self.world.actions.messages(folder, len(messages))
        for message in new:
            messages.append(message)
            if message["event"] == "task" and not message["outcome"].startswith("item"):
                self.task_ended(step, message)
        if new:
            note_isolation(self.world, self.recovery, messages, self.record)
            stages.note_absence(self.recovery, step, messages, self.record)

    def task_ended(self, step: Step, message: Body) -> None:
        if message["outcome"] == "skipped":
            return
        known = {(task["host"], task["task"], task["started_at"]) for task in self.recovery.steps[step.id].tasks}
        if (message["host"], message["task"], message["started_at"]) in known:
            return  # after a resumption: it is in the ledger already
        kept = ("host", "task", "outcome", "started_at", "duration_ms", "changed")
        self.record("task.ended", {"step": step.id, **{name: message[name] for name in kept}})

    def fail(self, step: Step, error: DrpError, *, data_is_bad: bool = False) -> None:
        self.end(step, "failed", _told(error), {"kind": error.kind, "host": error.host}, data_is_bad=data_is_bad)

    def end(
        self, step: Step, outcome: str, error: str, trouble: Body | None = None, *, data_is_bad: bool = False
    ) -> None:
        if outcome == "failed" and step.stage in _BESIDE:
            # Before the end is on record: after a crash between the two, the result would look plainly good.
            self.reserve(step.service, f"{_BESIDE[step.stage]}: {error}")
        started_at = self.recovery.steps[step.id].started_at
        ended_at = self.ended_at(step)
        evidence = [item.record() for item in self.world.actions.evidence(self.folder(step))]
        duration = milliseconds(ended_at - started_at) if started_at else 0
        ended = {"step": step.id, "outcome": outcome, "error": error, "duration_ms": duration, "evidence": evidence}
        ended |= {"ended_at": to_stamp(ended_at)} | ({"data_is_bad": True} if data_is_bad else {})
        self.record("step.ended", ended if trouble is None else {**ended, "trouble": trouble})
        what = f"{step.service}: {stages.NAMES[step.stage]}" if step.extra is None else step.id
        if outcome == "ok":
            self.world.say(f"{what}: done in {duration / 1000:.1f} s")
        elif outcome == "failed":
            self.world.say(f"{what}: FAILED: {error}")

    def ended_at(self, step: Step) -> datetime:
        """When a step ended: where it was an action, that may be before anybody looked, as after a crash of drp."""
        now, folder = self.world.clock.now(), self.folder(step)
        begun_at = self.recovery.steps[step.id].begun_at
        if begun_at is None or self.world.actions.state(folder) not in (ActionState.ENDED, ActionState.LOST):
            return now
        return min(max(self.world.actions.ended_at(folder), begun_at), now)

    def moment(self, name: MarkName, evidence: str, at: datetime | None = None) -> Mark:
        """A mark of now, or of a moment that has just passed."""
        clock = self.world.clock
        return Mark(name, at or clock.now(), "automatic", evidence, clock=clock.reading())

    def mark(self, service: str, mark: Mark) -> None:
        self.record("mark", {"service": service, **mark.record()})

    def folder(self, step: Step) -> Path:
        attempt = self.recovery.steps[step.id].attempt
        name = step.id.replace("/", "-") + (f"+{attempt}" if attempt > 1 else "")  # as no step is named
        return action_folder(self.world, self.recovery.run, name)

    def look_for_use(self, step: Step) -> None:
        """See `drp.workflows.use`."""
        if self.recovery.abandoned is not None:
            self.end(step, "failed", "the run was given up")
            return
        if not self.is_time_to_look:
            return
        found = find_use(self.world, self.recovery, step.service, self.probe.folder(step.service))
        if isinstance(found, FoundUse):
            self.take_use(step, found)
        elif self.world.clock.now() > self.given_up_at:
            why = found.why or "it did not hold for long enough"
            text = f"the user path did not work from outside; given up ({why})"
            self.end(step, "failed", text, {"kind": "user_path", "host": ""})
        elif found.was_tried and found.why and self.told.get(step.id) != found.why:
            self.told[step.id] = found.why
            self.world.say(f"{step.service}: not usable yet: {found.why}")

    def take_use(self, step: Step, found: FoundUse) -> None:
        """Users can work again: that ends the step."""
        for mark in found.marks:
            self.mark(step.service, mark)
        for text in found.reservations:
            self.reserve(step.service, text)
        if self.recovery.plan.kind == "failover" and f"{step.service}/cutover" not in self.recovery.steps:
            body = {"service": step.service, "site": self.recovery.plan.site, "reason": self.recovery.run}
            self.record("site.activated", body)
        self.end(step, "ok", "")


_BESIDE: dict[Stage, str] = {
    "protect": "no backup has arrived from the site that it has moved to",
    "fence": "the hosts that were left are not closed",
    "close-again": "the old primary was opened, and is not closed again",
    "cleanup": "what should be removed is still there",
    "unisolate": "the recovery hosts are not connected again",
    "withdraw": "the copy that proved bad still runs at the recovery host",
}
"""Stages that no use of the service waits for: where one fails, nobody may take the result for plainly good."""

_WHAT_THEN: dict[Stage, str] = {
    "keep": ". Nothing was stopped. To give up what lies at the old primary: --discard-stranded",
    "protect": ". The service works; its data is not safe until: drp backup run",
}


def _told(error: DrpError) -> str:
    return f"{error}. Next: {error.hint}" if error.hint else str(error)
