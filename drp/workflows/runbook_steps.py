"""The steps of a runbook that no stage of a service is: people's work and decisions, waiting, own playbooks, commands,
messages. `drp.domain.runbooks.steps` says what each kind means."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from drp.domain.events import Body
from drp.domain.recovery.plan import Step
from drp.domain.recovery.run import Recovery
from drp.domain.recovery.timeouts import away_limit
from drp.domain.runbooks.answers import waits_for
from drp.domain.runbooks.steps import (
    AnyStep,
    ApprovalStep,
    CommandStep,
    ManualStep,
    NotificationStep,
    PlaybookStep,
    TrafficStep,
    WaitStep,
)
from drp.domain.values import show_duration
from drp.ports import ActionState, Delivery, World
from drp.workflows import stages
from drp.workflows.drill_guard import kept_from, refuse_touching
from drp.workflows.lost_hosts import Loss, LostHosts, hosts_away
from drp.workflows.traffic import finish_switch, start_switch
from drp.workflows.tries import KILLED, MOST_KILLS, told_code

Record = Callable[[str, Body], None]
KILL_AFTER_SECONDS, GRACE_SECONDS = 5, 30


@dataclass(frozen=True, slots=True)
class Ending:
    """How a step has ended; `reservation` is what keeps the result from being plainly MET, and who took that on."""

    outcome: str
    error: str = ""
    reservation: str = ""
    accepted_by: str | None = None


class RunbookSteps:
    """Carries them out for one run. Nothing here waits: each look is short."""

    def __init__(self, world: World, recovery: Recovery, record: Record) -> None:
        self.world, self.recovery, self.record = world, recovery, record
        self.messages: dict[str, _Message] = {}
        self.asked: set[str] = set()
        self.lost_hosts = LostHosts(world, recovery)

    def forget(self, steps: Iterable[str]) -> None:
        """These steps are done again, with other data: whoever was asked is asked anew."""
        self.asked -= set(steps)
        for name in steps:
            self.messages.pop(name, None)

    def start(self, step: Step, folder: Path) -> None:
        """Begin a step. DrpError where it cannot be begun."""
        extra = _of(step)
        match extra:
            case ManualStep():
                self._ask(step, extra, extra.instructions.en)
            case ApprovalStep():
                self._ask(step, extra, extra.question.en)
            case WaitStep():
                self.world.say(f"{step.id}: waiting {show_duration(extra.duration)}: {extra.title.en}")
            case PlaybookStep() | CommandStep():
                self.world.say(f"{step.id}: {extra.title.en} …")
                self._start_playbook(step, extra, folder)
            case NotificationStep():
                self.messages[step.id] = _Message(self.world, extra)
            case TrafficStep():
                self.world.say(f"{step.id}: {extra.title.en} …")
                plan, run = self.recovery.plan, self.recovery.run
                for name, place in self._switches(step, folder):
                    start_switch(self.world, place, name, extra.to, run=run, kind=plan.kind, release=plan.is_planned)

    def follow(self, step: Step, folder: Path) -> Ending | None:
        """Look once; how it has ended, if it has."""
        extra = _of(step)
        match extra:
            case ManualStep() | ApprovalStep():
                return self._answered(step)
            case WaitStep():
                started = self.recovery.steps[step.id].started_at
                is_over = started is not None and self.world.clock.now() >= started + extra.duration
                return Ending("ok") if is_over else None
            case PlaybookStep() | CommandStep():
                return self._follow_playbook(step, extra, folder)
            case NotificationStep():
                return self._told(step)
            case TrafficStep():
                return self._follow_switches(step, extra, folder)

    # -- people ------------------------------------------------------------------------------------------------------

    def _ask(self, step: Step, extra: AnyStep, text: str) -> None:
        self.asked.add(step.id)
        self.world.say(f"{step.id}: {extra.title.en}")
        self.world.say(f"    {text}")
        who = waits_for(self.world.city, extra)
        self.world.say(f'    waits for {who}: drp run approve {self.recovery.run} {step.id} --by "NAME"')

    def _answered(self, step: Step) -> Ending | None:
        answer = self.recovery.steps[step.id].answer
        if answer is None:
            if step.id not in self.asked:  # drp was started again meanwhile
                extra = _of(step)
                self._ask(step, extra, extra.title.en)
            return None
        said = f"{answer['by']}: {answer['comment']}" if answer["comment"] else str(answer["by"])
        self.world.say(f"{step.id}: {answer['answer']} ({said})")
        match answer["answer"]:
            case "yes" | "done":
                return Ending("ok")
            case "skip":
                return Ending("ok", reservation=f"step {step.id} was skipped ({said})", accepted_by=answer["by"])
            case _:
                text = f"{answer['answer']} ({said})"
                return Ending("failed", text, f"step {step.id}: {text}")

    # -- machines ----------------------------------------------------------------------------------------------------

    def _start_playbook(self, step: Step, extra: PlaybookStep | CommandStep, folder: Path) -> None:
        hosts = (extra.host,) if isinstance(extra, CommandStep) else (extra.hosts or self._hosts_of(step))
        kind = self.recovery.plan.kind
        variables = stages.base_variables(self.world, self.recovery, hosts)
        variables |= {"drp_services": list(step.also)}
        playbook = "command" if isinstance(extra, CommandStep) else extra.playbook
        if isinstance(extra, CommandStep):
            # Ended on the host itself: what Ansible has begun there outlives it.
            seconds = f"{extra.timeout.total_seconds():g}s"
            variables["drp_argv"] = ["timeout", f"--kill-after={KILL_AFTER_SECONDS}s", seconds, *extra.argv]
        refuse_touching(self.world, kind, step.id, variables, hosts)
        if not extra.rerun:
            variables["ansible_ssh_retries"] = 0  # else Ansible itself would begin again what was cut off
        kept = kept_from(self.world, kind)
        self.world.actions.start_playbook(folder, playbook, hosts, variables, {}, "", kept_from=kept)

    def _hosts_of(self, step: Step) -> tuple[str, ...]:
        planned = self.recovery.plan.services
        return tuple(dict.fromkeys(host for name in step.also for host in planned[name].hosts))

    def _follow_playbook(self, step: Step, extra: PlaybookStep | CommandStep, folder: Path) -> Ending | None:
        state = self.world.actions.state(folder)
        begun_at = self.recovery.steps[step.id].begun_at
        passed = timedelta() if begun_at is None else self.world.clock.now() - begun_at
        if state is ActionState.RUNNING:
            # A command is ended on its host, which takes a moment; a playbook only from here.
            grace = timedelta(seconds=GRACE_SECONDS if isinstance(extra, CommandStep) else 0)
            if passed > extra.timeout + grace:
                self.world.actions.stop(folder)
            return None
        code = self._code_of(step, folder, state)
        if code is not None:
            if code == 0:
                return Ending("ok")
            if not self._was_late(step, extra, folder):
                loss = self._loss(step, extra, folder)
                if loss is not Loss.NONE:
                    return self._lost(step, extra, folder) if loss is Loss.OVER else None
            limit = f"it took longer than {show_duration(extra.timeout)} and was ended"
            text = limit if self._was_late(step, extra, folder) else _errors(self.world, folder)
            return Ending("failed", text, f"step {step.id} failed: {text}")
        return self._lost(step, extra, folder)

    def _loss(self, step: Step, extra: PlaybookStep | CommandStep, folder: Path) -> Loss:
        """Whether a failed action lost its host. What must not be begun again by itself is asked of a person at once,
        who has to look how far it came; with everything else, drp waits for the host."""
        messages = self.world.actions.messages(folder, 0)
        if not extra.rerun:
            return Loss.OVER if self.lost_hosts.of(step, messages) else Loss.NONE
        limit = max(away_limit(self.world.city.services[name]) for name in step.also)
        return self.lost_hosts.look(step, folder, messages, limit)

    def _was_late(self, step: Step, extra: PlaybookStep | CommandStep, folder: Path) -> bool:
        begun_at = self.recovery.steps[step.id].begun_at
        return begun_at is not None and self.world.actions.ended_at(folder) >= begun_at + extra.timeout

    def _code_of(self, step: Step, folder: Path, state: ActionState) -> int | None:
        """How an action that does not run has ended; None where it was lost, as by a kill of its worker."""
        told = told_code(self.world.actions.messages(folder, 0))
        if state is not ActionState.ENDED:
            return told
        code = self.world.actions.exit_code(folder)
        begun = [event.body.get("step") for event in self.recovery.events if event.type == "step.started"]
        is_killed = code == KILLED and told is None and begun.count(step.id) < MOST_KILLS
        return None if is_killed else code

    def _lost(self, step: Step, extra: PlaybookStep | CommandStep, folder: Path) -> Ending | None:
        """It is gone without a result, as after a power cut, or has lost its host: begun again, or a person decides."""
        answer = self.recovery.steps[step.id].answer
        if extra.rerun or (answer is not None and answer["answer"] == "again"):
            self.world.say(f"{step.id}: was lost; starting it again")
            self.asked.discard(step.id)
            self.record("step.started", {"step": step.id, "action": folder.name, "again": True})
            self._start_playbook(step, extra, folder)
            return None
        if answer is None:
            if step.id not in self.asked:
                self.asked.add(step.id)
                self.world.say(f"{step.id}: was cut off, and must not be begun again by itself; look how far it came")
                self.world.say(f'    drp run approve {self.recovery.run} {step.id} --by "NAME"   (or --again, --skip)')
            return None
        return self._answered(step)

    def _switches(self, step: Step, folder: Path) -> list[tuple[str, Path]]:
        """The services whose traffic is switched, each with an action of its own."""
        return [(name, folder.with_name(f"{folder.name}-{name}")) for name in step.also]

    def _follow_switches(self, step: Step, extra: TrafficStep, folder: Path) -> Ending | None:
        switches = self._switches(step, folder)
        states = [self.world.actions.state(place) for _, place in switches]
        if ActionState.RUNNING in states:
            return None
        plan, release = self.recovery.plan, self.recovery.plan.is_planned
        lost = [item for item, state in zip(switches, states, strict=True) if state is not ActionState.ENDED]
        for name, place in lost:  # drp was cut off before it had started all of them, or they were lost with it
            start_switch(self.world, place, name, extra.to, run=self.recovery.run, kind=plan.kind, release=release)
        if lost:
            return None
        for (name, place), state in zip(switches, states, strict=True):
            if state is not ActionState.ENDED or self.world.actions.exit_code(place) != 0:
                text = _errors(self.world, place)
                return Ending("failed", text, f"step {step.id} failed for {name}: {text}")
            messages = self.world.actions.messages(place, 0)
            finish_switch(self.world, name, extra.to, messages, self.record, release=release)
            self.record("site.activated", {"service": name, "site": extra.to, "reason": self.recovery.run})
        return Ending("ok")

    # -- messages ----------------------------------------------------------------------------------------------------

    def _told(self, step: Step) -> Ending | None:
        message = self.messages.get(step.id)
        if message is None:
            text = f"step {step.id}: drp was cut off as it sent the message; it may not have arrived"
            return Ending("ok", reservation=text, accepted_by=self.world.operator)
        delivery = message.delivery
        if delivery is None:
            return None
        for failure in delivery.failures:
            self.world.say(f"{step.id}: {failure}")
        if delivery.reached:
            return Ending("ok")
        text = f"step {step.id}: nobody could be told: {'; '.join(delivery.failures) or 'drp.yaml names nobody'}"
        return Ending("ok", reservation=text, accepted_by=self.recovery.opened.body["by"])


class _Message(threading.Thread):
    """A message on its way; the recovery goes on meanwhile."""

    def __init__(self, world: World, extra: NotificationStep) -> None:
        super().__init__(daemon=True)
        self.world, self.extra = world, extra
        self.delivery: Delivery | None = None
        self.start()

    def run(self) -> None:
        title = f"{self.extra.title.id} / {self.extra.title.en}"
        text = f"{self.extra.text.id}\n\n{self.extra.text.en}"
        self.delivery = self.world.messenger.send(title, text, is_bad=False)


def was_cut_off(world: World, folder: Path) -> bool:
    """Whether a step's action came to no end of its own: it was lost, or lost its host."""
    state = world.actions.state(folder)
    if state is not ActionState.ENDED:
        return state is ActionState.LOST
    return world.actions.exit_code(folder) != 0 and bool(hosts_away(world.actions.messages(folder, 0)))


def _of(step: Step) -> AnyStep:
    assert step.extra is not None, "only steps of the runbook come here"
    return step.extra


def _errors(world: World, folder: Path) -> str:
    """Why an action has failed: the first error of each host."""
    errors: dict[str, str] = {}
    for message in world.actions.messages(folder, 0):
        if message["event"] == "trouble":
            return str(message["text"])
        is_summary = message.get("error") == "One or more items failed"  # the items before it say why
        if message.get("error") and message.get("outcome") != "ignored" and not is_summary:
            text = f"host {message.get('host', '')}, task {message.get('task', '')!r}: {message['error']}"
            errors.setdefault(str(message.get("host", "")), text)
    return "; ".join(errors.values()) or f"it failed without a reason; see {folder.relative_to(world.workspace)}/stdout"
