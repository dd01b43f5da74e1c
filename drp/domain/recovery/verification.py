"""Is what was restored what was backed up? Compares a restore's findings with the restore point."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from drp.domain.backups.restore_point import RestorePoint
from drp.domain.datasets import read_dataset
from drp.domain.events import Body
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
            checks.append(DataCheck(dataset, "content", _amount(part, "expected"), _amount(part, "actual")))
        if rows is None and not counted:
            checks.append(DataCheck(dataset, "content", "counted", "not counted"))
        checks += [DataCheck(dataset, "check", what, what) for what in found.get("checks", ())]
        checks += _dated(point, dataset, found)
    return checks


def check_parts(result: dict[str, Any]) -> list[DataCheck]:
    """Compare what a restore of single paths found with what the snapshots hold of them."""
    return [
        DataCheck(part["dataset"], "content", _amount(part, "expected"), _amount(part, "actual"))
        for part in result["parts"]
    ]


def _dated(point: RestorePoint, dataset: str, found: Body) -> list[DataCheck]:
    """The check of what dates a dataset: its sentinel, or a record at least as new as the newest before the dump."""
    dated_by, read = read_dataset(point.datasets[dataset]).dated_by, found.get("sentinel") or {}
    if dated_by == "sentinel":
        return [DataCheck(dataset, "sentinel", point.sentinel, str(read.get("token", "none")))]
    # In a scratch place a command's data may have nobody who could tell its age; a sentinel is always there.
    if dated_by == "nothing" or found.get("is_dated") is False:
        return []
    newest, before = read.get("newest_at"), point.content.get(dataset, {}).get("newest_at")
    expected = f"newest record not before {before}"
    is_good = before and newest and from_stamp(newest) >= from_stamp(before)
    return [DataCheck(dataset, "freshness", expected, expected if is_good else f"newest record {newest}")]


def checks_wanted(point: RestorePoint) -> list[tuple[str, str]]:
    """The comparisons, as (dataset, check), without which nobody knows whether the recovered data is the restore
    point's: the content of each dataset, and what dates it."""
    wanted = []
    for dataset in dict.fromkeys(item.dataset for item in point.snapshots):
        wanted += [(dataset, check) for check in ("content", _dated_by(point, dataset)) if check != "nothing"]
    return wanted


def _dated_by(point: RestorePoint, dataset: str) -> str:
    """What dates a dataset; the sentinel where its declaration is one that this drp cannot read."""
    try:
        return read_dataset(point.datasets[dataset]).dated_by
    except (KeyError, ValueError):
        return "sentinel"


def newest_transaction(point: RestorePoint, result: dict[str, Any]) -> datetime | None:
    """Tb of the datasets in a restore's result: the oldest of their sentinels (or newest records, where they are dated
    by these), since only up to there all of them are complete together, by the control node's clock.

    None if a sentinel is missing or is not this restore point's, or if nothing dates a dataset: nobody knows then.
    """
    stamps = []
    for dataset in point.datasets:
        found = result["datasets"].get(dataset, {}).get("sentinel") or {}
        is_fresh = read_dataset(point.datasets[dataset]).dated_by == "freshness"
        if is_fresh and found.get("newest_at"):
            stamps.append(from_stamp(found["newest_at"]) - point.clock_offset(dataset))
        elif not is_fresh and found.get("token") and found["token"] == point.sentinel:
            stamps.append(from_stamp(found["written_at"]) - point.clock_offset(dataset))
        else:
            return None
    return min(stamps, default=None)


def _rows(rows: dict[str, int] | None) -> str:
    if rows is None:
        return "not counted"
    return ", ".join(f"{table} {count}" for table, count in sorted(rows.items())) + f" ({sum(rows.values())} rows)"


def _amount(part: dict[str, Any], which: str) -> str:
    counted = part[which]
    if "files" in counted:
        return f"{counted['files']} files, {counted['bytes']} bytes"
    return f"{part['part']}: {counted['bytes']} bytes"


def proof_of(point: RestorePoint, dataset: str, how: str) -> Body:
    """A proof as the ledger holds it: bound to what the dataset was when it was backed up."""
    declaration = read_dataset(point.datasets[dataset]).declaration()
    named = {"service": point.service, "dataset": dataset, "how": how}
    return {**named, "restore_point": point.id, "declaration": declaration}


def proved_datasets(point: RestorePoint, checks: Sequence[DataCheck]) -> list[str]:
    """The datasets that were found to be what was backed up: their content was counted and agrees, and so does what
    dates them. Only a dataset that nothing dates is proved by its content alone."""
    made: dict[str, set[str]] = {}
    for check in checks:
        made.setdefault(check.dataset, set()).add(check.check if check.ok else "wrong")
    return [
        dataset
        for dataset, found in made.items()
        if "wrong" not in found and {"content", read_dataset(point.datasets[dataset]).dated_by} - {"nothing"} <= found
    ]
