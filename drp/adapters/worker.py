"""What all workers of the supervisor share: their folder, their secrets, and the lines they leave."""

from __future__ import annotations

import fcntl
import json
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn, TextIO

MESSAGES_FILE = "messages.jsonl"
DATA_PIPE = "data"
"""A named pipe in the folder of an action that sends bytes, such as those of a file: nothing of them is kept."""


class NobodyReadsError(Exception):
    """drp has gone, so nobody takes the bytes that the host sends."""


def in_child(act: Callable[[], object]) -> NoReturn:
    """Do something in a process that was just forked, and end with it: it must not go on where its parent was."""
    code = 1
    try:
        act()
        code = 0
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:  # noqa: BLE001 - there is nobody above to tell
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


class Worker:
    """The surroundings of a worker process."""

    def __init__(self) -> None:
        self.folder = Path(sys.argv[1])
        os.umask(0o077)
        self.spec: dict[str, Any] = json.loads((self.folder / "spec.json").read_text())
        self.secrets: dict[str, Any] = json.loads(sys.stdin.read() or "{}")
        descriptor = os.environ.pop("DRP_LOCK_DESCRIPTOR", "")
        if descriptor:
            # This process keeps the lock; what it starts (an ssh that stays for a minute, say) must not.
            fcntl.fcntl(int(descriptor), fcntl.F_SETFD, fcntl.FD_CLOEXEC)
        self._file: TextIO = open(self.folder / MESSAGES_FILE, "a", encoding="utf-8")  # noqa: SIM115 - kept open
        self._data: int | None = None

    def emit(self, message: dict[str, Any]) -> None:
        """Leave a line for drp."""
        self._file.write(json.dumps(message, ensure_ascii=False) + "\n")
        self._file.flush()

    def pass_on(self, piece: bytes) -> None:
        """Give bytes to drp, which reads them from the folder's pipe; NobodyReadsError where it does not."""
        try:
            if self._data is None:
                self._data = os.open(self.folder / DATA_PIPE, os.O_WRONLY | os.O_NONBLOCK)
                os.set_blocking(self._data, True)
            while piece:
                piece = piece[os.write(self._data, piece) :]
        except OSError as error:
            raise NobodyReadsError from error
