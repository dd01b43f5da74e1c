"""The steps of a runbook that no stage of a service is: people's work and decisions, waiting, own playbooks, commands,
messages. `drp.domain.runbooks.steps` says what each kind means."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from drp.domain.events import Body
from drp.domain.recovery.plan import Step
from drp.domain.recovery.run import Recovery
from drp.domain.runbooks.answers import waits_for
from drp.domain.runbooks.steps import (
    AnyStep,
    ApprovalStep,
    CommandStep,
    ManualStep,
    NotificationStep,
    PlaybookStep,
    WaitStep,
)
from drp.domain.values import show_duration
from drp.errors import DrpError, UsageError
from drp.ports import ActionState, Delivery, World
from drp.workflows import stages

Record = Callable[[str, Body], None]


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
            case _:
                raise DrpError("drp cannot switch traffic at this place yet", where=step.id, hint="switch it by hand")

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
            case _:
                return Ending("failed", "drp cannot switch traffic at this place yet")

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
        for host in hosts:
            if self.recovery.plan.kind == "drill" and self.world.city.hosts[host].site == "primary":
                hint = "limit the step by only:, or name a host of the recovery site"
                raise UsageError(f"it would touch primary host {host} in a drill", where=step.id, hint=hint)
        variables = stages.base_variables(self.world, self.recovery, hosts)
        variables |= {"drp_services": list(step.also)}
        playbook = "command" if isinstance(extra, CommandStep) else extra.playbook
        if isinstance(extra, CommandStep):
            variables["drp_argv"] = list(extra.argv)
        self.world.actions.start_playbook(folder, playbook, hosts, variables, {}, "")

    def _hosts_of(self, step: Step) -> tuple[str, ...]:
        planned = self.recovery.plan.services
        return tuple(dict.fromkeys(host for name in step.also for host in planned[name].hosts))

    def _follow_playbook(self, step: Step, extra: PlaybookStep | CommandStep, folder: Path) -> Ending | None:
        started = self.recovery.steps[step.id].started_at
        state = self.world.actions.state(folder)
        is_late = started is not None and self.world.clock.now() > started + extra.timeout
        if state is ActionState.RUNNING:
            if is_late:
                self.world.actions.stop(folder)
            return None
        if state is ActionState.ENDED:
            if self.world.actions.exit_code(folder) == 0:
                return Ending("ok")
            limit = f"it took longer than {show_duration(extra.timeout)} and was ended"
            text = limit if is_late else _last_error(self.world, folder)
            return Ending("failed", text, f"step {step.id} failed: {text}")
        return self._lost(step, extra, folder)

    def _lost(self, step: Step, extra: PlaybookStep | CommandStep, folder: Path) -> Ending | None:
        """It is gone without a result, as after a power cut: begun again, or a person decides."""
        answer = self.recovery.steps[step.id].answer
        if extra.rerun or (answer is not None and answer["answer"] == "again"):
            self.world.say(f"{step.id}: was lost; starting it again")
            self.record("step.started", {"step": step.id, "action": step.id.replace("/", "-"), "again": True})
            self._start_playbook(step, extra, folder)
            return None
        if answer is None:
            if step.id not in self.asked:
                self.asked.add(step.id)
                self.world.say(f"{step.id}: was cut off, and must not be begun again by itself; look how far it came")
                self.world.say(f'    drp run approve {self.recovery.run} {step.id} --by "NAME"   (or --again, --skip)')
            return None
        return self._answered(step)

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


def _of(step: Step) -> AnyStep:
    assert step.extra is not None, "only steps of the runbook come here"
    return step.extra


def _last_error(world: World, folder: Path) -> str:
    for message in reversed(world.actions.messages(folder, 0)):
        if message.get("error"):
            return f"host {message.get('host', '')}, task {message.get('task', '')!r}: {message['error']}"
        if message["event"] == "trouble":
            return str(message["text"])
    return f"it failed without a reason; see {folder.relative_to(world.workspace)}/stdout"
