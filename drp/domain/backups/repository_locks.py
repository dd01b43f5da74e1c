"""Which of a repository's locks belong to nobody any more. What cannot be proved dead counts as living."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from drp.domain.values import from_stamp

REFRESHED_WITHIN = timedelta(minutes=30)
"""restic writes a lock anew every 5 minutes, and itself takes one of this age for dead."""


@dataclass(frozen=True, slots=True)
class RepositoryLock:
    """A lock that restic left in a repository. `node` and `pid` are the machine's own name and process number."""

    id: str
    node: str
    pid: int
    user: str
    created_at: datetime
    is_exclusive: bool

    @classmethod
    def from_result(cls, found: Mapping[str, Any]) -> RepositoryLock:
        """Of what the program on a host found (verb `locks`)."""
        return cls(
            str(found["id"]),
            str(found["node"]),
            int(found["pid"]),
            str(found["user"]),
            from_stamp(found["time"]),
            bool(found["exclusive"]),
        )

    def record(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "node": self.node,
            "pid": self.pid,
            "user": self.user,
            "created_at": self.created_at.isoformat(),
            "exclusive": self.is_exclusive,
        }


@dataclass(frozen=True, slots=True)
class LockVerdict:
    """Whether a lock's owner is dead, and how that is known."""

    lock: RepositoryLock
    is_dead: bool
    why: str


def judge_locks(
    locks: Sequence[RepositoryLock],
    processes: Mapping[str, Mapping[str, bool]],
    living_runs: Sequence[str],
    now: datetime,
) -> list[LockVerdict]:
    """Judge each lock.

    Args:
        locks: all that the repository holds.
        processes: by the machine's own name, for each of its locks whether that process is a restic that still runs;
            only of machines that were asked.
        living_runs: runs of the ledger with an action that is still at work on this service.
    """
    return [_judge(lock, processes, living_runs, now) for lock in locks]


def _judge(
    lock: RepositoryLock, processes: Mapping[str, Mapping[str, bool]], living_runs: Sequence[str], now: datetime
) -> LockVerdict:
    runs = processes.get(lock.node, {}).get(lock.id)
    if runs:
        return LockVerdict(lock, False, f"process {lock.pid} on {lock.node} is at work")
    if living_runs:
        # Another machine may have the same name; as long as drp itself is at work, nothing is certain.
        return LockVerdict(lock, False, f"{', '.join(living_runs)} is at work")
    if runs is False:
        return LockVerdict(lock, True, f"{lock.node} has no restic with process number {lock.pid} any more")
    if now - lock.created_at > REFRESHED_WITHIN:
        return LockVerdict(lock, True, "it was not renewed for 30 minutes, and no run of drp is at work")
    return LockVerdict(lock, False, f"{lock.node} could not be asked, and it is younger than 30 minutes")
