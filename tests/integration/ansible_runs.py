"""Starts a playbook as drp's workflows do, waits for its end, and gives what it told."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from drp.domain.events import Body
from drp.ports import ActionState, World
from drp.wiring import build_world
from tests.e2e.workbench import Workbench, content_of, eventually, files_below


@dataclass
class Ended:
    """A playbook's run that has ended."""

    folder: Path
    code: int
    messages: list[Body]

    @property
    def failures(self) -> list[Body]:
        return [message for message in self.messages if message.get("error")]

    def files_with(self, text: str) -> list[str]:
        """The files of the run that hold a text."""
        found = []
        for path in files_below(self.folder):
            if text.encode() in content_of(path):
                found.append(str(path.relative_to(self.folder)))
        return found


class Control:
    """drp's own world of a workspace, within the test's process."""

    def __init__(self, bench: Workbench) -> None:
        self.bench = bench
        self.number = 0

    def world(self) -> World:
        return build_world(self.bench.folder, lambda _line: None)

    def carry_out(self, start: Callable[[World, Path], None], limit_seconds: float = 400) -> Ended:
        world = self.world()
        self.number += 1
        folder = self.bench.folder / "var/runs/test" / f"action-{self.number}"
        start(world, folder)
        try:
            eventually(
                lambda: world.actions.state(folder) is not ActionState.RUNNING, "the playbook ends", limit_seconds
            )
        finally:
            world.actions.stop(folder)
        messages = world.actions.messages(folder, 0)
        world.actions.close_connections()
        return Ended(folder, world.actions.exit_code(folder), messages)


def recorded(target: list[tuple[str, Body]]) -> Callable[[str, Body], None]:
    """Takes events as the ledger does: plain JSON only."""

    def record(type_: str, body: Body) -> None:
        target.append((type_, json.loads(json.dumps(body))))

    return record


Events = list[tuple[str, dict[str, Any]]]
