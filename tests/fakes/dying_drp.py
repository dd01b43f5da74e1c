"""drp that kills itself with SIGKILL at the next boundary of a run that it has not died at yet.

    python -m tests.fakes.dying_drp FILE drp-arguments…

FILE holds where it has died before, a line each. With KILL_ALL=1, what drp has started dies with it in the middle of a
step: supervisors, workers, and the probe too until users are sent over. The boundaries of a step: right after its start
is on record, in the middle of its action, between the action's end and its record, and right after that is on record.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from drp.adapters.actions import SupervisedActions
from drp.adapters.ledger import SqliteLedger
from drp.cli import main
from drp.domain.events import Event
from drp.ports import ActionState
from tests.e2e.workbench import processes_of

DIED_AT = Path(sys.argv[1])
AFTER = ("run.opened", "probe.started", "step.started", "absence.proved", "step.ended")
BEFORE = ("step.ended", "mark", "probe.ended", "run.closed")
LOOKS_INTO_THE_MIDDLE = 6


def die_once(place: str, first: Callable[[], None] = lambda: None) -> None:
    known = DIED_AT.read_text().splitlines() if DIED_AT.exists() else []
    if place not in known:
        with DIED_AT.open("a") as file:
            file.write(place + "\n")
        first()
        os.kill(os.getpid(), signal.SIGKILL)


def kill_all_of(run: str, *, but: str) -> None:
    """The other processes of a run, but for those that have to do with `but`."""
    spared = processes_of(f"{run}/{but}") if but else []
    for process in processes_of(run):
        if process != os.getpid() and process not in spared:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)


def watch_the_ledger() -> None:
    append = SqliteLedger._append

    def appending(self: SqliteLedger, run: str, type_: str, body: dict[str, Any], *rest: Any) -> Event:
        name = f"{type_} {body.get('step', '')}{body.get('mark', '')}"
        is_of_recovery = not run.startswith(("backup", "keep"))
        if type_ in BEFORE and is_of_recovery and body.get("mark") not in ("T0", "T1", "T2"):
            die_once(f"before {name}")
        event = append(self, run, type_, body, *rest)
        if type_ in AFTER and is_of_recovery:
            die_once(f"after {name}")
        return event

    setattr(SqliteLedger, "_append", appending)  # noqa: B010 - mypy knows no other way to replace a method


def watch_the_actions() -> None:
    state = SupervisedActions.state
    looks: dict[str, int] = {}

    def looking(self: SupervisedActions, folder: Path) -> ActionState:
        found = state(self, folder)
        if found is ActionState.RUNNING and folder.name != "_probe":
            looks[folder.name] = looks.get(folder.name, 0) + 1
            if looks[folder.name] >= LOOKS_INTO_THE_MIDDLE:
                but = "_probe" if folder.name.endswith("-cutover") else ""
                others = lambda: kill_all_of(folder.parent.name, but=but)  # noqa: E731
                die_once(f"in the middle of {folder.name}", others if "KILL_ALL" in os.environ else lambda: None)
        return found

    setattr(SupervisedActions, "state", looking)  # noqa: B010


if __name__ == "__main__":
    watch_the_ledger()
    watch_the_actions()
    sys.argv = ["drp", *sys.argv[2:]]
    main()
