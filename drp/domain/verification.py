"""Is what was restored what was backed up? Compares a restore's findings with the restore point."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from drp.domain.events import Body
from drp.domain.restore_point import RestorePoint
from drp.domain.values import from_stamp


@dataclass(frozen=True, slots=True)
class DataCheck:
    """One comparison of expected and actual content."""

    dataset: str
    check: str
    expected: str
    actual: str

    @property
    def ok(self) -> bool:
        return self.expected == self.actual

    def record(self, service: str) -> Body:
        return {
            "service": service,
            "dataset": self.dataset,
            "check": self.check,
            "expected": self.expected,
            "actual": self.actual,
            "ok": self.ok,
        }


def check_restored(point: RestorePoint, datasets: list[str], result: dict[str, Any]) -> list[DataCheck]:
    """Compare what `drp_host.py restore` found with the restore point: rows, files, bytes, and every sentinel.

    A dataset whose content could not be counted has a failed check, not a missing one.
    """
    checks: list[DataCheck] = []
    for dataset in datasets:
        found = result["datasets"].get(dataset, {})
        counted = [part for part in result["parts"] if part["dataset"] == dataset and part["expected"]]
        rows = point.content.get(dataset, {}).get("rows")
        if rows is not None:
            checks.append(DataCheck(dataset, "content", _rows(rows), _rows(found.get("rows"))))
        for part in counted:
            checks.append(DataCheck(dataset, "content", _files(part["expected"]), _files(part["actual"])))
        if rows is None and not counted:
            checks.append(DataCheck(dataset, "content", "counted", "not counted"))
        sentinel = found.get("sentinel") or {}
        checks.append(DataCheck(dataset, "sentinel", point.sentinel, str(sentinel.get("token", "none"))))
    return checks


def newest_transaction(point: RestorePoint, result: dict[str, Any]) -> datetime | None:
    """Tb of the datasets in a restore's result: the oldest of their sentinels, since only up to there all of them are
    complete together, by the control node's clock. None if a sentinel is missing or is not this restore point's."""
    stamps = []
    for dataset in point.datasets:
        sentinel = result["datasets"].get(dataset, {}).get("sentinel")
        if not sentinel or sentinel.get("token") != point.sentinel:
            return None
        stamps.append(from_stamp(sentinel["written_at"]) - point.clock_offset(dataset))
    return min(stamps, default=None)


def _rows(rows: dict[str, int] | None) -> str:
    if rows is None:
        return "not counted"
    return ", ".join(f"{table} {count}" for table, count in sorted(rows.items())) + f" ({sum(rows.values())} rows)"


def _files(counted: dict[str, int]) -> str:
    return f"{counted['files']} files, {counted['bytes']} bytes"
