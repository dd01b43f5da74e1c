"""What becomes of a stage's action that did not simply end: one that hangs is ended, one that was lost is begun again,
and so is one that lost its host, once that answers. All stages may be repeated."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path

from drp.domain.events import Body
from drp.domain.recovery.plan import Step
from drp.domain.recovery.run import Recovery
from drp.domain.recovery.timeouts import away_limit, name_of_timeout, timeout_of
from drp.domain.values import show_duration
from drp.errors import DrpError
from drp.ports import ActionState, World
from drp.workflows.lost_hosts import Loss, LostHosts

KILLED = 128 + 9
MOST_KILLS = 3
"""A worker that is killed time and again will be the next time, as where memory is short."""


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
        self.lost_hosts = LostHosts(world, recovery)

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
        if self.is_late(step):
            return False
        limit = away_limit(self.world.city.services[step.service])
        loss = self.lost_hosts.look(step, folder, messages, limit)
        if loss is Loss.OVER:
            self.repeat(step, str(error))
        return loss is not Loss.NONE

    def _timeout(self, step: Step) -> timedelta:
        return timeout_of(self.world.city.services[step.service], step.stage)

    def _was_ended(self, step: Step, folder: Path) -> bool:
        begun = self.recovery.steps[step.id].begun_at
        return begun is not None and self.world.actions.ended_at(folder) >= begun + self._timeout(step)
