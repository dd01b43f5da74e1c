"""What can go wrong, told to the person who has to act.

Every error a user can meet is a `DrpError`: what failed, where it failed, and what to do next. Its exit code is the
only thing scripts need. `drp.cli` turns these into a message and an exit code; nothing else does.

    DrpError                     1   failed
    ├── UsageError               2   the command does not fit what is there
    ├── InvalidInventoryError   10   every fault in the files, at once
    ├── BusyError               11   somebody else holds the lock
    ├── UnreachableError        12   a tool, a host or the DR centre cannot be used
    ├── IntegrityError          13   tampered with, or damaged
    └── CancelledError         130   cancelled or aborted

Codes 3 (some of it failed) and 4 (a verdict) are no errors: the commands that can end so return them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes of every drp command, as the README lists them."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    INCOMPLETE = 3
    NOT_MET = 4
    INVALID_INVENTORY = 10
    BUSY = 11
    UNREACHABLE = 12
    INTEGRITY = 13
    CANCELLED = 130


class DrpError(Exception):
    """Something failed. `message` says what, `where` which file, host or service, `hint` what to do next.

    `kind` is a stable word for programs where drp knows what kind of trouble it is (`drp.domain.trouble`); `host` is
    where it happened, if it was one host.
    """

    exit_code = ExitCode.FAILED
    kind = ""
    host = ""

    def __init__(self, message: str, *, where: str = "", hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.where = where
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.where}: {self.message}" if self.where else self.message


class UsageError(DrpError):
    """The command asks for something that does not exist or does not fit the present state."""

    exit_code = ExitCode.USAGE


class BusyError(DrpError):
    """Another process holds the lock that this work needs."""

    exit_code = ExitCode.BUSY


class UnreachableError(DrpError):
    """A tool, a host or the DR centre is missing, refuses, or does not answer."""

    exit_code = ExitCode.UNREACHABLE


class IntegrityError(DrpError):
    """Something was changed or damaged after it was written."""

    exit_code = ExitCode.INTEGRITY


class CancelledError(DrpError):
    """A person stopped the work. What was done is recorded."""

    exit_code = ExitCode.CANCELLED


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault, or warning, in an inventory file: where it is, what is wrong there, what to do about it; `code` is for
    programs, `services` are those that it concerns."""

    file: str
    line: int | None
    message: str
    hint: str = ""
    code: str = ""
    services: tuple[str, ...] = ()

    @property
    def where(self) -> str:
        return self.file if self.line is None else f"{self.file}:{self.line}"


class InvalidInventoryError(DrpError):
    """The workspace's files contain faults. All of them are in `faults`; nothing was started."""

    exit_code = ExitCode.INVALID_INVENTORY

    def __init__(self, faults: Sequence[Fault]) -> None:
        count = len(faults)
        super().__init__(
            f"{count} fault{'' if count == 1 else 's'} in the inventory; nothing was started",
            hint="mend the lines above, then run: drp validate",
        )
        self.faults = tuple(faults)
