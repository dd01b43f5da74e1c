"""Outside actions that end as their script says. What they did outlives a crash of drp, as the real ones do."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path

from drp.domain.events import Body
from drp.domain.inventory import AnsibleHost
from drp.errors import BusyError
from drp.ports import ActionState, Evidence, ProbeTarget
from tests.fakes.clock import FakeClock


@dataclass
class Ending:
    """How an action ends: its exit code and what its worker told. `running` ones only end when they are stopped, `lost`
    ones are gone without an exit code. It is at work for as long as it `takes`, and tells all at its end."""

    exit_code: int = 0
    messages: list[Body] = field(default_factory=list)
    running: bool = False
    data: bytes = b""
    lost: bool = False
    takes: timedelta = timedelta()


@dataclass
class FakeData:
    """Implements `drp.ports.IncomingData`: the `data` of an action's ending, a few bytes at a time."""

    actions: FakeActions
    folder: Path
    read_so_far: int = 0
    is_closed: bool = False

    def read(self, wait_seconds: float) -> bytes:
        self.actions.clock.sleep(wait_seconds)
        known = self.actions.known.get(self.folder)
        data = b"" if known is None else known.ending.data
        piece = data[self.read_so_far : self.read_so_far + 5]
        self.read_so_far += len(piece)
        return piece

    def close(self) -> None:
        self.is_closed = True


Script = Callable[[str, Body], Ending]
"""Says how the action in a folder of this name ends, given what it was started with."""


@dataclass
class Started:
    """One action: how it stands."""

    state: ActionState
    ending: Ending
    ended_at: datetime


def switched(step: Body) -> Body:
    """What Ansible tells of a way of switching traffic that did as it was told."""
    after = {"take": "held", "release": "absent"}.get(step["verb"], step["site"])
    kept = {name: step[name] for name in ("way", "type", "label", "host", "verb", "site")}
    told = {**kept, "before": "nowhere", "after": after, "changed": True, "details": {}}
    task = {"event": "task", "host": step["host"], "task": "Switch", "outcome": "ok", "started_at": "2026-11-20T07:00"}
    return {**task, "duration_ms": 100, "changed": True, "result": {"traffic": told}}


class FakeActions:
    """Implements `drp.ports.Actions`. `started` holds the folder names of all starts, in order."""

    def __init__(self, workspace: Path, clock: FakeClock, script: Script) -> None:
        self.workspace, self.clock, self.script = workspace, clock, script
        self.known: dict[Path, Started] = {}
        self.started: list[str] = []
        self.specs: dict[str, Body] = {}
        self.stopped: list[str] = []
        self.playbooks_at_once = 100
        self.isolated: dict[str, str] = {}
        self.told_isolations = 0
        self.knows_isolation = True
        self.cannot_isolate = ""

    def start_remote(self, folder: Path, host: AnsibleHost, job: Body, secrets: Body, ca_certificate: str) -> None:
        self._start(folder, {"host": host.name, "job": job, "secrets": secrets, "ca": ca_certificate})

    def start_playbook(
        self,
        folder: Path,
        playbook: str,
        hosts: Sequence[str],
        variables: Body,
        secrets: Body,
        ca_certificate: str,
        *,
        kept_from: Sequence[str] = (),
        must_be_kept: bool = False,
    ) -> None:
        spec: Body = {"playbook": playbook, "hosts": list(hosts), "variables": variables, "secrets": secrets}
        spec |= {"kept_from": list(kept_from), "must_be_kept": must_be_kept}
        self._start(folder, spec | {"ca": ca_certificate})

    def start_probe(self, folder: Path, targets: Mapping[str, ProbeTarget]) -> None:
        found = {service: {**asdict(target), "started_at": self.clock.now()} for service, target in targets.items()}
        self._start(folder, {"targets": found})

    def expect_data(self, folder: Path) -> FakeData:
        return FakeData(self, folder)

    def _start(self, folder: Path, spec: Body) -> None:
        if self.state(folder) is ActionState.RUNNING:
            raise BusyError("this action is running already", where=str(folder))
        self.started.append(folder.name)
        self.specs[folder.name] = spec
        is_of_hosts = spec.get("playbook") == "unisolate"  # of no service
        ending = Ending() if is_of_hosts else self.script(folder.name, spec)
        if spec.get("playbook") == "cutover" and ending.exit_code == 0:
            answers = [switched(step) for step in spec["variables"]["drp_traffic"]]
            ending = replace(ending, messages=[*ending.messages, *answers])
        jobs = spec.get("variables", {}).get("drp_isolation") if self.knows_isolation else None
        refused = self.cannot_isolate and any(not job.get("accepted", True) for job in (jobs or {}).values())
        if refused:
            failed: Body = {"event": "task", "host": "drc", "task": "Isolate", "outcome": "failed", "started_at": ""}
            failed |= {"duration_ms": 1, "changed": False, "error": self.cannot_isolate, "kind": "isolation"}
            ending = Ending(2, [failed])
        elif jobs and ending.exit_code == 0 and not ending.lost:
            told = [self._isolated(job) for job in jobs.values()]
            ending = replace(ending, messages=[*told, *ending.messages])
        state = ActionState.LOST if ending.lost else ActionState.RUNNING if ending.running else ActionState.ENDED
        self.known[folder] = Started(state, ending, self.clock.now() + ending.takes)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "lock").touch()

    def _isolated(self, job: Body) -> Body:
        """What Ansible tells of a host whose isolation began or ended as it was told."""
        host = job["host"]
        if job["verb"] == "begin":
            told: Body = {"in_force": True, "is_new": host not in self.isolated, "was_gone": False, "ended": None}
            told |= {"run": job["run"], "tool": "nft", "proof": "tried", "reason": "", "names": {}}
            if self.cannot_isolate:
                told |= {"in_force": False, "tool": "", "proof": "", "reason": self.cannot_isolate}
            self.isolated[host] = job["run"]
        else:
            run = self.isolated.pop(host, None)
            told = {"was_there": run is not None, "run": run, "was_gone": False, "refused": [], "led": {}}
            told |= {"stopped": [], "running": []}
        self.told_isolations += 1
        task = {"event": "task", "host": host, "task": "Isolate", "outcome": "ok", "changed": True, "duration_ms": 1}
        started_at = f"2026-11-20T07:00:00.{self.told_isolations:06}Z"
        return {**task, "started_at": started_at, "result": {"isolation": {"host": host, **told}}}

    def state(self, folder: Path) -> ActionState:
        if folder not in self.known:
            return ActionState.ABSENT
        return ActionState.RUNNING if self._is_at_work(folder) else self.known[folder].state

    def _is_at_work(self, folder: Path) -> bool:
        started = self.known[folder]
        return started.state is ActionState.ENDED and self.clock.at < started.ended_at

    def exit_code(self, folder: Path) -> int:
        return self.known[folder].ending.exit_code

    def ended_at(self, folder: Path) -> datetime:
        return self.known[folder].ended_at

    def messages(self, folder: Path, skip: int) -> list[Body]:
        if folder not in self.known or self._is_at_work(folder):
            return []
        return self.known[folder].ending.messages[skip:]

    def stop(self, folder: Path) -> None:
        if self.state(folder) is ActionState.RUNNING:
            self.stopped.append(folder.name)
            self.known[folder].state = ActionState.ENDED
            self.known[folder].ended_at = self.clock.now()

    def lose(self, folder: Path) -> None:
        """Cut the action's power."""
        self.known[folder].state = ActionState.LOST

    def evidence(self, folder: Path) -> list[Evidence]:
        if self.state(folder) is not ActionState.ENDED:
            return []
        path = folder.relative_to(self.workspace) / "messages.jsonl"
        return [Evidence(str(path), hashlib.sha256(str(path).encode()).hexdigest())]

    def close_connections(self) -> None:
        pass
