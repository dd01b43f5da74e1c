"""What becomes of a stage's action that did not simply end: one that hangs is ended, one that was lost is begun again,
and so is one that lost its host, once that answers. All stages may be repeated."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path

from drp.domain.events import Body
from drp.domain.inventory import AnsibleHost
from drp.domain.recovery.plan import Step
from drp.domain.recovery.run import Recovery
from drp.domain.recovery.timeouts import away_limit, name_of_timeout, timeout_of
from drp.domain.values import show_duration
from drp.errors import DrpError
from drp.ports import ActionState, Reachability, World

KILLED = 128 + 9
MOST_KILLS = 3
"""A worker that is killed time and again will be the next time, as where memory is short."""
MOST_REPEATS = 20
LOOK_SECONDS = 2.0


def told_code(messages: Sequence[Body]) -> int | None:
    """The exit code that Ansible has told of itself; None where it has not."""
    ended = next((message for message in reversed(messages) if message["event"] == "runner.ended"), None)
    if ended is None:
        return None
    return int(ended["rc"] or 0) or (0 if ended["status"] == "successful" else 1)


class Tries:
    """The tries of a run's stages. `repeat` begins an action again."""

    def __init__(self, world: World, recovery: Recovery, repeat: Callable[[Step, str], None]) -> None:
        self.world, self.recovery, self.repeat = world, recovery, repeat
        self.kills: dict[str, int] = {}
        self.looks: dict[str, _Look] = {}
        self.told: set[tuple[str, datetime]] = set()

    def is_late(self, step: Step) -> bool:
        """Whether the action has had all the time that it may take."""
        begun = self.recovery.steps[step.id].begun_at
        return begun is not None and self.world.clock.now() >= begun + self._timeout(step)

    def exit_code(self, step: Step, folder: Path, messages: Sequence[Body]) -> int | None:
        """The exit code of an action that does not run; None where it was lost, and is to be begun again."""
        told = told_code(messages)
        if self.world.actions.state(folder) is ActionState.ENDED:
            code = self.world.actions.exit_code(folder)
            if code != KILLED or told is not None or self._was_ended(step, folder):
                return code
            self.kills[step.id] = self.kills.get(step.id, 0) + 1
            return None if self.kills[step.id] < MOST_KILLS else code
        return told  # where its supervisor was killed, but not before Ansible had told its end

    def hang(self, step: Step, folder: Path, messages: Sequence[Body]) -> DrpError | None:
        """The error of an action that was ended because it had had its time."""
        if not self._was_ended(step, folder):
            return None
        tasks = [message for message in messages if message["event"] in ("task", "task.begun")]
        ended = {(task["host"], task["task"]) for task in tasks if task["event"] == "task"}
        hanging = [task for task in tasks if (task["host"], task["task"]) not in ended]
        at = "".join(f"; host {task['host']}, task {task['task']!r} had not ended" for task in hanging[-1:])
        limit = show_duration(self._timeout(step))
        hint = f"see what it waited for: {folder.relative_to(self.world.workspace)}/stdout"
        if (name := name_of_timeout(step.stage)) is not None:
            hint += f"; where it only is slow, raise recovery.timeouts.{name} of {step.service}"
        return DrpError(f"it took longer than {limit} and was ended{at}", where=step.id, hint=hint)

    def waits_for_host(self, step: Step, folder: Path, messages: Sequence[Body], error: DrpError) -> bool:
        """Whether a failed action lost its host and waits for it, or has just been begun again."""
        away = [name for name in hosts_away(messages) if name in self.world.city.hosts]
        if not all(self._was_reached(name, messages) for name in away):
            return False  # it never was there: nothing says that it will be
        repeats = sum(event.type == "step.repeated" and event.body["step"] == step.id for event in self.recovery.events)
        if not away or repeats >= MOST_REPEATS or self.is_late(step):
            return False
        ended_at = self.world.actions.ended_at(folder)
        limit = away_limit(self.world.city.services[step.service])
        looks = [self._look(name) for name in away]
        if all(look.found for look in looks):
            self._forget(away)
            self.world.say(f"{step.service}: {', '.join(away)} answers again; beginning {step.id} again")
            self.repeat(step, str(error))
            return True
        if self.world.clock.now() >= ended_at + limit:
            self._forget(away)
            return False
        if (step.id, ended_at) not in self.told:
            self.told.add((step.id, ended_at))
            self.world.say(
                f"{step.service}: {', '.join(away)} was lost in {step.id}; waiting up to {show_duration(limit)}"
            )
        return True

    def _was_reached(self, name: str, messages: Sequence[Body]) -> bool:
        before = (task for state in self.recovery.steps.values() for task in state.tasks)
        now = (message for message in messages if message["event"] == "task")
        return any(task["host"] == name and task["outcome"] == "ok" for task in (*before, *now))

    def _timeout(self, step: Step) -> timedelta:
        return timeout_of(self.world.city.services[step.service], step.stage)

    def _was_ended(self, step: Step, folder: Path) -> bool:
        begun = self.recovery.steps[step.id].begun_at
        return begun is not None and self.world.actions.ended_at(folder) >= begun + self._timeout(step)

    def _look(self, name: str) -> _Look:
        """The newest look whether a host answers; a new one where the last one is over and found nothing."""
        look = self.looks.get(name)
        if look is None or (look.is_over and not look.found and self.world.clock.monotonic() >= look.next_at):
            look = self.looks[name] = _Look(self.world.reachability, self.world.city.hosts[name])
            look.next_at = self.world.clock.monotonic() + LOOK_SECONDS
        return look

    def _forget(self, names: Sequence[str]) -> None:
        for name in names:
            self.looks.pop(name, None)


class _Look(threading.Thread):
    """One try to reach a host, which may take seconds; the recovery of others goes on meanwhile."""

    def __init__(self, reachability: Reachability, host: AnsibleHost) -> None:
        super().__init__(daemon=True)
        self.reachability, self.host = reachability, host
        self.found = False
        self.next_at = 0.0
        self.start()

    @property
    def is_over(self) -> bool:
        return not self.is_alive()

    def run(self) -> None:
        self.found = self.reachability.answers(self.host)


def hosts_away(messages: Sequence[Body]) -> list[str]:
    """The hosts that were lost; none where anything else has failed too. Of a loop, Ansible tells that the items have
    failed in which it lost the host."""
    tasks = [message for message in messages if message["event"] == "task"]
    lost = {(str(task["host"]), task["task"]) for task in tasks if task["outcome"] == "unreachable"}
    failed = {(str(task["host"]), task["task"]) for task in tasks if task["outcome"] in ("failed", "item failed")}
    return list(dict.fromkeys(host for host, _ in sorted(lost))) if failed <= lost else []
