"""The lab's processes: started detached, told apart from a reused pid, found by a marker, ended for certain."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from drp.errors import UnreachableError

MARKER = "DRP_LAB"
ROLE = "DRP_LAB_ROLE"
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
POLL_SECONDS = 0.02
LIMIT_SECONDS = 90.0
"""After this, what was started is said not to start, and what was killed not to end. A machine with too much to do
takes its time for either: a limit is there to end what hangs."""


Result = TypeVar("Result")


@dataclass(frozen=True)
class ProcessIdentity:
    """A process that cannot be mistaken for a later one with the same pid.

    `started` is in clock ticks since the boot that `boot` names.
    """

    pid: int
    started: int
    boot: str


def boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


def identify(pid: int) -> ProcessIdentity | None:
    """Who has `pid` now; None when nobody has, or only a zombie waits there to be reaped."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # The program's name in parentheses may hold spaces and parentheses itself: fields count from the last one.
    fields = text.rpartition(")")[2].split()
    if fields[0] in "ZX":
        return None
    return ProcessIdentity(pid, int(fields[19]), boot_id())


def is_running(process: ProcessIdentity | None) -> bool:
    return process is not None and identify(process.pid) == process


def environment(marker: str, role: str, **more: str) -> dict[str, str]:
    """A small environment of its own for a lab process: nothing of the caller's leaks into it."""
    return {"PATH": SYSTEM_PATH, "LANG": "C.UTF-8", "HOME": "/root", MARKER: marker, ROLE: role, **more}


def python_module(module: str, *arguments: str) -> list[str]:
    """argv that runs a module of this drp with this Python, wherever the command is started.

    -P: the working directory must not be able to replace a module.
    """
    package = str(Path(__file__).resolve().parents[2])
    return ["env", f"PYTHONPATH={package}", sys.executable, "-P", "-m", module, *arguments]


def run(
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    where: str = "",
    stdin: bytes | None = None,
    limit_seconds: float = LIMIT_SECONDS,
    hint: str = "",
) -> bytes:
    """Run a command to its end and return its standard output.

    Raises UnreachableError with the end of its error output when it fails or takes longer than `limit_seconds`.
    """
    program = argv[0]
    try:
        done = subprocess.run(argv, input=stdin, env=dict(env), capture_output=True, timeout=limit_seconds, check=False)
    except FileNotFoundError:
        raise UnreachableError(f"{program} is not installed", where=where) from None
    except subprocess.TimeoutExpired:
        message = f"{' '.join(argv[:3])} did not end within {limit_seconds:g} s"
        raise UnreachableError(message, where=where, hint=hint) from None
    if done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip()).decode("utf-8", "replace")
        message = f"{' '.join(argv[:3])} failed ({done.returncode}): {said[-600:]}"
        raise UnreachableError(message, where=where, hint=hint)
    return done.stdout


def start_detached(argv: Sequence[str], *, env: Mapping[str, str], log: Path) -> None:
    """Start a process that outlives this one, in a session of its own, its output in `log`.

    `setsid --fork` gives it to process 1 at once, so that the caller is left with no child to wait for. Its marker is
    in its environment from its first instruction; before that it still holds the lab's lock (see `state.hold`).
    """
    log.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with os.fdopen(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab") as output:
        subprocess.run(
            ["setsid", "--fork", *argv],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=dict(env),
            cwd="/",
            check=True,
        )


def recording_its_pid(pid_file: Path, argv: Sequence[str]) -> list[str]:
    """argv that writes its own pid to `pid_file`, whole or not at all, before it becomes `argv`."""
    script = 'echo $$ >"$1.new" && mv "$1.new" "$1" && shift && exec "$@"'
    return ["sh", "-c", script, "sh", str(pid_file), *argv]


def await_pid(
    pid_file: Path, *, marker: str, log: Path, where: str, limit_seconds: float = LIMIT_SECONDS
) -> ProcessIdentity:
    """Wait until the process just started has written its pid, and return it."""

    def written() -> ProcessIdentity | None:
        with contextlib.suppress(OSError, ValueError):
            pid = int(pid_file.read_text(encoding="ascii"))
            return identify(pid) if marker_of(pid) == marker else None
        return None

    found = wait_until(written, limit_seconds=limit_seconds)
    if found is None:
        raise UnreachableError("did not start: " + tail(log), where=where, hint=f"its output is in {log}")
    return found


def wait_until(condition: Callable[[], Result | None], *, limit_seconds: float) -> Result | None:
    """Ask `condition` until it answers something true, and return that; None when the limit is reached."""
    end = time.monotonic() + limit_seconds
    while True:
        if result := condition():
            return result
        if time.monotonic() >= end:
            return None
        time.sleep(POLL_SECONDS)


def tail(log: Path, characters: int = 600) -> str:
    try:
        return log.read_text(encoding="utf-8", errors="replace").strip()[-characters:] or "it wrote nothing"
    except OSError:
        return "it wrote nothing"


def _environment_of(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return []


def marker_of(pid: int) -> str | None:
    prefix = f"{MARKER}=".encode()
    return next((entry[len(prefix) :].decode() for entry in _environment_of(pid) if entry.startswith(prefix)), None)


def _ancestors() -> set[int]:
    """This process and everything it was started by: never ended, whatever their environment says."""
    found = {os.getpid()}
    pid = os.getppid()
    while pid > 0:
        found.add(pid)
        try:
            stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        except OSError:
            break
        pid = int(stat.rpartition(")")[2].split()[1])
    return found


def find_marked(marker: str, *, role: str | None = None) -> list[ProcessIdentity]:
    """Every process of the lab, also inside its hosts, except this one and its ancestors; or those of one role."""
    spared = _ancestors()
    pids = [int(name) for name in os.listdir("/proc") if name.isdecimal()]
    wanted = {f"{MARKER}={marker}".encode()} | ({f"{ROLE}={role}".encode()} if role else set())
    marked = [identify(pid) for pid in pids if pid not in spared and wanted <= set(_environment_of(pid))]
    return [process for process in marked if process is not None]


def kill(processes: Sequence[ProcessIdentity], *, limit_seconds: float = LIMIT_SECONDS) -> None:
    """Send SIGKILL to all of them back to back, then wait until every one is gone.

    A pidfd is opened first and the identity checked behind it, so that no stranger with a reused pid is hit.
    Raises UnreachableError when one is still there after the limit.
    """
    opened: list[tuple[int, ProcessIdentity]] = []
    try:
        for process in processes:
            with contextlib.suppress(ProcessLookupError):
                handle = os.pidfd_open(process.pid)
                if is_running(process):
                    opened.append((handle, process))
                else:
                    os.close(handle)
        for handle, _ in opened:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(handle, signal.SIGKILL)
        end = time.monotonic() + limit_seconds
        for handle, process in opened:
            ready, _, _ = select.select([handle], [], [], max(0.0, end - time.monotonic()))
            if not ready:
                raise UnreachableError(f"process {process.pid} does not end", hint="see: ps -o stat,wchan,cmd -p PID")
    finally:
        for handle, _ in opened:
            os.close(handle)


def kill_marked(marker: str, *, role: str | None = None, limit_seconds: float = LIMIT_SECONDS) -> int:
    """End every process of the lab, or of one role in it, and return how many there were.

    Repeats until two looks find none: a process that was just being started shows up in the second.
    """
    end = time.monotonic() + limit_seconds
    count = 0
    clean_looks = 0
    while clean_looks < 2:
        found = find_marked(marker, role=role)
        clean_looks = 0 if found else clean_looks + 1
        count += len(found)
        kill(found)
        # A look alone takes seconds where the machine has too much to do: only what is found again is a fault.
        if found and time.monotonic() > end:
            raise UnreachableError("the lab's processes keep coming back", hint=f"they have {MARKER}={marker}")
    return count
