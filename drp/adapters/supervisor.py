"""A small detached process that carries out one outside action and keeps its result.

    python -m drp.adapters.supervisor FOLDER WORKER-MODULE      (secrets as JSON on standard input)

It holds `FOLDER/lock` while it or its worker lives, puts the worker's streams into `stdout` and `stderr`, and writes
the worker's exit code into `exit_code`. drp may be killed meanwhile and come back: it finds the lock held, or the
result. A lock that is free without a result means that the action was lost.
"""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType

STOP_LIMIT_SECONDS = 30
LET_GO_LIMIT_SECONDS = 2
ALREADY_RUNNING = 75
KEPT_ENVIRONMENT = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "USER", "LOGNAME", "VIRTUAL_ENV", "SSH_AUTH_SOCK")
"""All that a worker inherits: the rest of an operator's environment may hold secrets that are none of its business."""


def kept_environment() -> dict[str, str]:
    """What of this process's environment others may see."""
    return {name: os.environ[name] for name in KEPT_ENVIRONMENT if name in os.environ}


def main() -> None:
    folder, module = Path(sys.argv[1]), sys.argv[2]
    lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    if not _held(lock):
        sys.exit(ALREADY_RUNNING)
    secrets = sys.stdin.buffer.read()
    # The caller reaps this process at once; its child, which shares the lock, is nobody's child.
    if os.fork():
        os._exit(0)
    os.setsid()
    os.chdir("/")
    _silence()
    _supervise(folder, module, secrets, lock)


def _held(lock: int) -> bool:
    """Take the lock. One that has just ended lets go of it a moment after its result can be read."""
    limit = time.monotonic() + LET_GO_LIMIT_SECONDS
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() > limit:
                return False
            time.sleep(0.02)


def _silence() -> None:
    null = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(null, number)


def _supervise(folder: Path, module: str, secrets: bytes, lock: int) -> None:
    environment = kept_environment()
    environment["DRP_LOCK_DESCRIPTOR"] = str(lock)
    # A shell starts what runs in the background with interrupts ignored; a worker is ended by an interrupt.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    with open(folder / "stdout", "wb") as stdout, open(folder / "stderr", "wb") as stderr:
        worker = subprocess.Popen(
            [sys.executable, "-m", module, str(folder)],
            stdin=subprocess.PIPE,
            stdout=stdout,
            stderr=stderr,
            env=environment,
            pass_fds=(lock,),
            start_new_session=True,
        )

    is_stopping = False

    def stop(_number: int, _frame: FrameType | None) -> None:
        nonlocal is_stopping
        if is_stopping:
            return  # asked again: the limit goes on from the first time
        is_stopping = True
        _signal(worker.pid, signal.SIGINT)
        signal.signal(signal.SIGALRM, lambda *_: _signal(worker.pid, signal.SIGKILL))
        signal.alarm(STOP_LIMIT_SECONDS)

    signal.signal(signal.SIGTERM, stop)
    (folder / "pid.new").write_text(str(os.getpid()))
    os.replace(folder / "pid.new", folder / "pid")
    try:
        worker.communicate(secrets)
    except BrokenPipeError:
        worker.wait()
    code = worker.returncode
    temporary = folder / "exit_code.new"
    with open(temporary, "w") as file:
        file.write(str(code if code >= 0 else 128 - code))
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, folder / "exit_code")


def _signal(group: int, number: int) -> None:
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        pass


if __name__ == "__main__":
    main()
