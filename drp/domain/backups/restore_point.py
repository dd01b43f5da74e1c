"""A restore point: a consistent moment over all datasets of a service, arrived at the DR centre."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from drp.domain.values import from_stamp, to_stamp


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One restic snapshot of a restore point: a part of a dataset (a stream, or the file tree)."""

    dataset: str
    part: str
    snapshot: str
    files: int
    bytes: int
    duration_ms: int


@dataclass(frozen=True, slots=True)
class RestorePoint:
    """What one complete backup run left at the DR centre. There is none for a run that failed in any part.

    `sentinel_at` is when the sentinel was written into the datasets, before the first dump; `arrived_at` is the DR
    centre's own time stamp on the last snapshot. `content` holds per dataset what was counted in the very moment of
    the dump, such as the rows of each table. `datasets` are the declarations that it was made by: a restore goes by
    these, whatever the inventory says later. `clocks` are the hosts' clocks against the control node's. `tags` are
    those that the service gave its backups then (a legal hold, say); `due_at` is the moment of the schedule that it was
    made for, if it was for one.
    """

    id: str
    service: str
    site: str
    sentinel: str
    sentinel_at: datetime
    arrived_at: datetime
    dr_centre: str
    repositories: dict[str, str]
    snapshots: tuple[Snapshot, ...]
    tools: dict[str, str]
    content: dict[str, dict[str, Any]]
    datasets: dict[str, dict[str, Any]]
    clocks: dict[str, dict[str, int]]
    tags: tuple[str, ...] = ()
    due_at: datetime | None = None

    def snapshots_of(self, dataset: str) -> dict[str, str]:
        """The snapshot of each part of a dataset."""
        return {item.part: item.snapshot for item in self.snapshots if item.dataset == dataset}

    def clock_offset(self, dataset: str) -> timedelta:
        """How far ahead the clock was that dated a dataset's sentinel."""
        return timedelta(milliseconds=self.clocks[self.datasets[dataset]["host"]]["offset_ms"])

    @property
    def clock_uncertainty(self) -> timedelta:
        """How sure the clock offsets are, at worst."""
        return timedelta(milliseconds=max(clock["uncertainty_ms"] for clock in self.clocks.values()))

    def record(self) -> dict[str, Any]:
        """The restore point as the ledger holds it."""
        return {
            "id": self.id,
            "service": self.service,
            "site": self.site,
            "sentinel": self.sentinel,
            "sentinel_at": to_stamp(self.sentinel_at),
            "arrived_at": to_stamp(self.arrived_at),
            "dr_centre": self.dr_centre,
            "repositories": self.repositories,
            "snapshots": [
                {
                    "dataset": item.dataset,
                    "part": item.part,
                    "snapshot": item.snapshot,
                    "files": item.files,
                    "bytes": item.bytes,
                    "duration_ms": item.duration_ms,
                }
                for item in self.snapshots
            ],
            "tools": self.tools,
            "content": self.content,
            "datasets": self.datasets,
            "clocks": self.clocks,
            "tags": list(self.tags),
            "due_at": None if self.due_at is None else to_stamp(self.due_at),
        }

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> RestorePoint:
        return cls(
            id=record["id"],
            service=record["service"],
            site=record["site"],
            sentinel=record["sentinel"],
            sentinel_at=from_stamp(record["sentinel_at"]),
            arrived_at=from_stamp(record["arrived_at"]),
            dr_centre=record["dr_centre"],
            repositories=dict(record["repositories"]),
            snapshots=tuple(
                Snapshot(
                    dataset=item["dataset"],
                    part=item["part"],
                    snapshot=item["snapshot"],
                    files=item["files"],
                    bytes=item["bytes"],
                    duration_ms=item["duration_ms"],
                )
                for item in record["snapshots"]
            ),
            tools=dict(record["tools"]),
            content=dict(record["content"]),
            datasets=dict(record["datasets"]),
            clocks=dict(record["clocks"]),
            # Restore points of an older drp know neither.
            tags=tuple(record.get("tags", ())),
            due_at=from_stamp(record["due_at"]) if record.get("due_at") else None,
        )


def newest_before(points: Sequence[RestorePoint], moment: datetime) -> RestorePoint | None:
    """The newest restore point that had arrived at the DR centre by `moment`."""
    usable = [point for point in points if point.arrived_at <= moment]
    return max(usable, key=lambda point: point.sentinel_at, default=None)
