"""A small detached process that carries out one outside action and keeps its result; and the process that starts such.

    python -I -S -c … WORKSPACE      (an order per line of standard input; an answer per line of standard output)

A supervisor holds `FOLDER/lock` while it or its worker lives, puts the worker's streams into `stdout` and `stderr`, and
writes the worker's exit code into `exit_code`. drp may be killed meanwhile and come back: it finds the lock held, or
the result. A lock that is free without a result means that the action was lost.

To start a Python for each action costs more than the action may: so one process per drp, the starter, imports what is
needed once and forks the supervisors. It ends with drp; they do not.
"""

from __future__ import annotations

import fcntl
import gc
import importlib
import io
import json
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import FrameType, ModuleType
from typing import NoReturn

STOP_LIMIT_SECONDS = 30
LET_GO_LIMIT_SECONDS = 2
KEPT_ENVIRONMENT = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "USER", "LOGNAME", "VIRTUAL_ENV", "SSH_AUTH_SOCK")
"""All that a worker inherits: the rest of an operator's environment may hold secrets that are none of its business."""
STARTED, ALREADY_RUNNING = "started", "already running"


def kept_environment() -> dict[str, str]:
    """What of this process's environment others may see."""
    return {name: os.environ[name] for name in KEPT_ENVIRONMENT if name in os.environ}


def serve(forked: Sequence[str]) -> None:
    """Start supervisors as ordered, until the orders end: {folder, module, secrets, by} each. Workers of the modules
    `forked` are imported now, with what their `warm_up` imports; others get a Python of their own. An order of a drp
    (process `by`) that has died meanwhile is not carried out: whoever goes on in its place gives it again."""
    modules = {name: importlib.import_module(name) for name in forked}
    for module in modules.values():
        if hasattr(module, "warm_up"):
            module.warm_up()
    os.umask(0o077)
    os.chdir("/")
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for a supervisor; the kernel removes it
    gc.freeze()
    for line in sys.stdin.buffer:
        order = json.loads(line)
        if order["by"] != os.getppid():
            return
        try:
            answer = _start(Path(order["folder"]), order["module"], json.dumps(order["secrets"]), modules)
        except OSError as error:
            answer = f"{error.filename or 'the supervisor'}: {error.strerror}"
        del order, line
        try:
            sys.stdout.write(json.dumps(answer) + "\n")
            sys.stdout.flush()
        except BrokenPipeError:
            _silence()  # drp was ended meanwhile; what was started is found again by its folder
            return


def _start(folder: Path, module: str, secrets: str, modules: Mapping[str, ModuleType]) -> str:
    lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if not _held(lock):
            return ALREADY_RUNNING
        if os.fork() == 0:
            _in_child(lambda: _supervise(folder, module, secrets, lock, modules), folder)
        return STARTED
    finally:
        os.close(lock)  # the child's copy holds it


def _in_child(act: Callable[[], int], folder: Path) -> NoReturn:
    """Do something in a process that was just forked, and end with it: it must never go on where its parent was."""
    code = 1
    try:
        os.setsid()
        code = act()
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException:  # noqa: BLE001 - there is nobody above to tell; it is written down
        with open(folder / "stderr", "a", encoding="utf-8") as file:
            traceback.print_exc(file=file)
    finally:
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os._exit(code)


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


def _supervise(folder: Path, module: str, secrets: str, lock: int, modules: Mapping[str, ModuleType]) -> int:
    _silence()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    # A shell starts what runs in the background with interrupts ignored; a worker is ended by an interrupt.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if module in modules:
        worker = _fork(folder, modules[module], secrets, lock)
    else:
        worker = _spawn(folder, module, secrets, lock)
    is_stopping = False

    def stop(_number: int, _frame: FrameType | None) -> None:
        nonlocal is_stopping
        if is_stopping:
            return  # asked again: the limit goes on from the first time
        is_stopping = True
        _signal(worker, signal.SIGINT)
        signal.signal(signal.SIGALRM, lambda *_: _signal(worker, signal.SIGKILL))
        signal.alarm(STOP_LIMIT_SECONDS)

    signal.signal(signal.SIGTERM, stop)
    (folder / "pid.new").write_text(f"{os.getpid()} {worker}")
    os.replace(folder / "pid.new", folder / "pid")
    code = os.waitstatus_to_exitcode(os.waitpid(worker, 0)[1])
    temporary = folder / "exit_code.new"
    with open(temporary, "w") as file:
        file.write(str(code if code >= 0 else 128 - code))
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, folder / "exit_code")
    return 0


def _fork(folder: Path, module: ModuleType, secrets: str, lock: int) -> int:
    """A worker that goes on with what is imported already."""
    worker = os.fork()
    if worker:
        return worker

    def work() -> int:
        for name, number in (("stdout", 1), ("stderr", 2)):
            file = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            os.dup2(file, number)
            os.close(file)
        sys.argv = [module.__name__, str(folder)]
        sys.stdin = io.StringIO(secrets)
        os.environ["DRP_LOCK_DESCRIPTOR"] = str(lock)
        module.main()
        return 0

    _in_child(work, folder)


def _spawn(folder: Path, module: str, secrets: str, lock: int) -> int:
    """A worker with a Python of its own."""
    environment = kept_environment()
    environment["DRP_LOCK_DESCRIPTOR"] = str(lock)
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
    assert worker.stdin is not None
    try:
        worker.stdin.write(secrets.encode())
        worker.stdin.close()
    except BrokenPipeError:
        pass  # it has ended, and its exit code says how
    worker.returncode = 0  # it is waited for elsewhere
    return worker.pid


def _signal(group: int, number: int) -> None:
    try:
        os.killpg(group, number)
    except ProcessLookupError:
        pass
