"""Named locks of a workspace, held by the kernel: they vanish with the process that holds them."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from drp.errors import BusyError


class FileLocks:
    """Implements `drp.ports.Lock`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.held: dict[str, int] = {}

    def acquire(self, name: str, holder: str) -> None:
        """Hold the lock `name`, noting who holds it; BusyError names the other holder."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self.folder / f"{name}.lock"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            other = os.read(descriptor, 200).decode("utf-8", "replace").strip() or "another drp"
            os.close(descriptor)
            hint = "wait until it has ended, or see what it does: drp run list"
            raise BusyError(f"{other} is at work here", where=name, hint=hint) from None
        self.held[name] = descriptor
        try:
            os.ftruncate(descriptor, 0)
            os.write(descriptor, holder.encode())
        except OSError:
            pass  # a full disk: the lock is held all the same, only nameless

    def release(self, name: str) -> None:
        descriptor = self.held.pop(name, None)
        if descriptor is not None:
            os.close(descriptor)
