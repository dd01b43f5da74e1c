"""The processes that start supervisors (`drp.adapters.supervisor`), as drp sees them: up to two for each drp, each
begun when it is first needed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path

from drp.adapters.supervisor import ALREADY_RUNNING, STARTED, kept_environment
from drp.domain.events import Body
from drp.errors import BusyError, DrpError

FORKED_WORKERS = ("drp.adapters.ssh_worker",)
"""Workers that need no more than a Python without its packages. Others get a Python of their own."""
PLAYBOOK_WORKERS = ("drp.adapters.ansible_worker",)
"""Workers whose packages take so long to import that a starter of their own does it once, when the first is wanted."""
TITLE_ROOM = 4096
"""Bytes that a process's title may have: they must be there from its start, in its environment."""
_PROGRAM = "import sys; sys.path.append(sys.argv[2]); from drp.adapters.supervisor import serve; serve(sys.argv[3:])"


class Starter:
    """Starts supervisors. Secrets reach it over a pipe, and are written nowhere."""

    def __init__(self, workspace: Path, forked: Sequence[str] = FORKED_WORKERS, *, with_packages: bool = False) -> None:
        self.workspace, self.forked, self.with_packages = workspace, forked, with_packages
        self.process: subprocess.Popen[bytes] | None = None
        self.end: Callable[[], object] = lambda: None
        self.one_at_a_time = threading.Lock()

    def start(self, folder: Path, module: str, secrets: Body) -> None:
        """Start an action; BusyError where it runs already."""
        words = {"folder": str(folder), "module": module, "secrets": secrets, "by": os.getpid()}
        order = json.dumps(words).encode() + b"\n"
        with self.one_at_a_time:
            # One that was killed since the last order is begun anew: what it had started lives on without it.
            answer = self._ask(order) or self._ask(order)
        if answer == ALREADY_RUNNING:
            raise BusyError("this action is running already", where=str(folder))
        if answer != STARTED:
            reason = answer or "it ended at once"
            raise DrpError(f"the supervisor did not start: {reason}", where=str(folder), hint="check disk and memory")

    def _ask(self, order: bytes) -> str:
        """The answer to an order; empty where the process is gone."""
        process = self.process
        if process is None or process.poll() is not None:
            # A user's settings never; the packages only where they are needed: they double the time to begin.
            flags = ["-I"] if self.with_packages else ["-I", "-S"]
            root = Path(__file__).parents[2]
            process = self.process = subprocess.Popen(
                [sys.executable, *flags, "-c", _PROGRAM, str(self.workspace), str(root), *self.forked],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=kept_environment() | (_room_for_titles() if self.with_packages else {}),
                start_new_session=True,
            )
            self.end = weakref.finalize(self, _end, process)
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(order)
            process.stdin.flush()
            answer = process.stdout.readline()
        except BrokenPipeError:
            answer = b""
        except BaseException:  # interrupted before the answer: nobody may take it for the answer to the next order
            self.end()
            self.process = None
            raise
        if not answer:
            self.end()
            self.process = None
            return ""
        return str(json.loads(answer))


def _room_for_titles() -> dict[str, str]:
    """What the environment of a process needs that gives its forks titles of their own. Python changes a plain C locale
    into that of UTF-8 at its start; it would move the environment away from where titles are written."""
    room = {"DRP_TITLE_ROOM": "-" * TITLE_ROOM}
    locale = os.environ.get("LC_ALL") or os.environ.get("LC_CTYPE") or os.environ.get("LANG") or "C"
    return room | ({"LC_ALL": "C.UTF-8"} if locale in ("C", "POSIX") else {})


def _end(process: subprocess.Popen[bytes]) -> None:
    """Let the process end. What it has started goes on."""
    for stream in (process.stdin, process.stdout):
        try:
            if stream is not None:
                stream.close()
        except BrokenPipeError:
            pass
    process.wait()
