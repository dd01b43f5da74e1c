"""The process that starts supervisors (`drp.adapters.supervisor`), as drp sees it: one for each drp, once needed."""

from __future__ import annotations

import json
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
"""Workers that need no more than the starter can import. Others get a Python of their own."""
_PROGRAM = "import sys; sys.path.append(sys.argv[2]); from drp.adapters.supervisor import serve; serve(sys.argv[3:])"


class Starter:
    """Starts supervisors. Secrets reach it over a pipe, and are written nowhere."""

    def __init__(self, workspace: Path, forked: Sequence[str] = FORKED_WORKERS) -> None:
        self.workspace, self.forked = workspace, forked
        self.process: subprocess.Popen[bytes] | None = None
        self.end: Callable[[], object] = lambda: None
        self.one_at_a_time = threading.Lock()

    def start(self, folder: Path, module: str, secrets: Body) -> None:
        """Start an action; BusyError where it runs already."""
        order = json.dumps({"folder": str(folder), "module": module, "secrets": secrets}).encode() + b"\n"
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
            # Neither the site's packages nor a user's settings: they would double the time that it takes to begin.
            root = Path(__file__).parents[2]
            process = self.process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", _PROGRAM, str(self.workspace), str(root), *self.forked],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env=kept_environment(),
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


def _end(process: subprocess.Popen[bytes]) -> None:
    """Let the process end. What it has started goes on."""
    for stream in (process.stdin, process.stdout):
        try:
            if stream is not None:
                stream.close()
        except BrokenPipeError:
            pass
    process.wait()
