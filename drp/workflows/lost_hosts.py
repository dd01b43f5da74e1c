"""Actions that lost a host in the middle: whether it is waited for, and when it answers again."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import Enum
from pathlib import Path

from drp.domain.events import Body
from drp.domain.inventory import AnsibleHost
from drp.domain.recovery.plan import Step
from drp.domain.recovery.run import Recovery
from drp.domain.values import show_duration
from drp.ports import Reachability, World

MOST_REPEATS = 20
LOOK_SECONDS = 2.0
_BEGINNINGS = ("step.started", "step.repeated")


class Loss(Enum):
    """How it stands with the hosts that a failed action lost."""

    NONE = "it lost none, or none that is waited for"
    AWAY = "it lost some, which do not answer yet"
    OVER = "it lost some, which answer again"


class LostHosts:
    """The hosts that the actions of one run have lost."""

    def __init__(self, world: World, recovery: Recovery) -> None:
        self.world, self.recovery = world, recovery
        self.looks: dict[str, _Look] = {}
        self.told: set[tuple[str, datetime]] = set()

    def of(self, step: Step, messages: Sequence[Body]) -> list[str]:
        """The hosts that an action lost, if all of them had been there: nothing says of others that they will be."""
        away = [name for name in hosts_away(messages) if name in self.world.city.hosts]
        begun = [event for event in self.recovery.events if event.type in _BEGINNINGS and event.body["step"] == step.id]
        can_repeat = len(begun) <= MOST_REPEATS and all(self._was_reached(name, messages) for name in away)
        return away if can_repeat else []

    def look(self, step: Step, folder: Path, messages: Sequence[Body], limit: timedelta) -> Loss:
        """Look once. They are waited for until the `limit` after the action's end; then they count as none."""
        away = self.of(step, messages)
        if not away:
            return Loss.NONE
        who = step.service or step.id
        ended_at = self.world.actions.ended_at(folder)
        # Also where it answers again by now: whoever reads along must know why a stage is begun again.
        if (step.id, ended_at) not in self.told:
            self.told.add((step.id, ended_at))
            self.world.say(f"{who}: {', '.join(away)} was lost in {step.id}; waiting up to {show_duration(limit)}")
        looks = [self._look(name) for name in away]
        if all(look.found for look in looks):
            self._forget(away)
            self.world.say(f"{who}: {', '.join(away)} answers again; beginning {step.id} again")
            return Loss.OVER
        if self.world.clock.now() >= ended_at + limit:
            self._forget(away)
            return Loss.NONE
        return Loss.AWAY

    def _was_reached(self, name: str, messages: Sequence[Body]) -> bool:
        before = (task for state in self.recovery.steps.values() for task in state.tasks)
        now = (message for message in messages if message["event"] == "task")
        return any(task["host"] == name and task["outcome"] == "ok" for task in (*before, *now))

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
