"""Bytes on their way from a host to a person's file: the pipe that they come through, and the file that they become."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import select
import sys
from pathlib import Path

from drp.errors import DrpError, UsageError

PIPE_BYTES = 1 << 20


class IncomingPipe:
    """Implements `drp.ports.IncomingData`: a named pipe, gone when it is closed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.unlink(missing_ok=True)
        os.mkfifo(path, 0o600)
        self._number = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        with contextlib.suppress(OSError):  # more than an account may have; it works with less
            fcntl.fcntl(self._number, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        # While this process could write too there is no end of file: a writer that is yet to come is not one that went.
        self._keep = os.open(path, os.O_WRONLY | os.O_NONBLOCK)

    def read(self, wait_seconds: float) -> bytes:
        if not select.select([self._number], [], [], wait_seconds)[0]:
            return b""
        return os.read(self._number, PIPE_BYTES)

    def close(self) -> None:
        os.close(self._number)
        os.close(self._keep)
        self.path.unlink(missing_ok=True)


class WholeFile:
    """Implements `drp.ports.NewFile`: it has no name before it is whole. What has the name already stays as it is."""

    def __init__(self, path: Path) -> None:
        self.path, self._temporary = path, None
        self._refuse_existing()
        try:
            self._number = os.open(path.parent, os.O_TMPFILE | os.O_WRONLY, 0o600)
        except OSError:  # not every file system can do this
            self._temporary = path.parent / f".drp-{secrets.token_hex(8)}.part"
            self._open_named(self._temporary)
        self._is_open = True

    def _open_named(self, path: Path) -> None:
        try:
            self._number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except OSError as error:
            raise DrpError(f"no file can be made there: {error.strerror}", where=str(path.parent)) from error

    def _refuse_existing(self) -> None:
        if os.path.lexists(self.path):
            raise UsageError("this file is there already", where=str(self.path), hint="name another one with -o")

    def write(self, piece: bytes) -> None:
        try:
            while piece:
                piece = piece[os.write(self._number, piece) :]
        except OSError as error:
            text = f"it cannot be written: {error.strerror}"
            raise DrpError(text, where=str(self.path), hint="make room, or name another place with -o") from error

    def commit(self) -> None:
        os.fsync(self._number)
        try:
            if self._temporary is None:
                # Only with a src_dir_fd, which an absolute path does not need, Python follows the link in /proc.
                os.link(f"/proc/self/fd/{self._number}", self.path, src_dir_fd=self._number, follow_symlinks=True)
            else:
                os.link(self._temporary, self.path)
        except FileExistsError:
            self._refuse_existing()
        except OSError as error:  # a file system without hard links
            if self._temporary is None:
                raise DrpError(f"it cannot be made: {error.strerror}", where=str(self.path)) from error
            self._refuse_existing()
            os.rename(self._temporary, self.path)
        self.discard()

    def discard(self) -> None:
        if self._is_open:
            os.close(self._number)
            self._is_open = False
        if self._temporary is not None:
            self._temporary.unlink(missing_ok=True)


class StandardOutput:
    """Implements `drp.ports.NewFile` for `-o -`: what was written cannot be taken back."""

    def write(self, piece: bytes) -> None:
        sys.stdout.buffer.write(piece)

    def commit(self) -> None:
        sys.stdout.buffer.flush()

    def discard(self) -> None:
        pass
