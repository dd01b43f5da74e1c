"""Keeps what each dataset used to bring, beside what it brought last: a table of the ledger's projections."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Callable
from datetime import timedelta
from statistics import median
from typing import Any

from drp.domain.events import canonical_json
from drp.domain.values import from_stamp

MOST_EARLIER = 10
SPACING = timedelta(hours=4)
"""Of the earlier sizes one is kept for so long a time: what was usual is told by more than a day, also of a dataset
that is backed up every quarter of an hour, or a night would be enough to make an empty database usual."""

SIZES_SCHEMA = """
CREATE TABLE IF NOT EXISTS dataset_sizes (
    service TEXT NOT NULL, dataset TEXT NOT NULL, declaration TEXT NOT NULL, restore_point TEXT NOT NULL,
    sentinel_at TEXT NOT NULL, bytes INTEGER NOT NULL, count INTEGER NOT NULL, unit TEXT NOT NULL,
    usual_bytes INTEGER NOT NULL, usual_count INTEGER NOT NULL, earlier TEXT NOT NULL, PRIMARY KEY (service, dataset)
) WITHOUT ROWID;
"""

Execute = Callable[[str, tuple[Any, ...]], Any]


def keep_sizes(execute: Execute, point: dict[str, Any]) -> None:
    """Carry a restore point's sizes into the table."""
    amounts: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for snapshot in point["snapshots"]:
        amounts[snapshot["dataset"]][0] += snapshot["bytes"]
        amounts[snapshot["dataset"]][1] += snapshot["files"]
    for dataset, (size, files) in amounts.items():
        rows = point["content"].get(dataset, {}).get("rows")
        unit, count = ("files", files) if rows is None else ("rows", sum(rows.values()))
        _keep(execute, point, dataset, (size, count, unit))


def _keep(execute: Execute, point: dict[str, Any], dataset: str, amount: tuple[int, int, str]) -> None:
    size, count, unit = amount
    service, sentinel_at = point["service"], point["sentinel_at"]
    declared = canonical_json(point["datasets"].get(dataset, {}))
    declaration = hashlib.sha256(f"{unit} {declared}".encode()).hexdigest()
    last = execute(
        "SELECT declaration, sentinel_at, bytes, count, earlier FROM dataset_sizes WHERE service = ? AND dataset = ?",
        (service, dataset),
    ).fetchone()
    earlier: list[list[Any]] = []
    if last is not None and last[1] >= sentinel_at:
        return  # an older restore point that was recorded late
    if last is not None and last[0] == declaration:  # another database, or other folders, may well be smaller
        earlier = _with(json.loads(last[4]), last[1], last[2], last[3])
    usual = [int(median(item[number] for item in earlier)) if earlier else 0 for number in (1, 2)]
    execute(
        "INSERT OR REPLACE INTO dataset_sizes (service, dataset, declaration, restore_point, sentinel_at, bytes, count,"
        " unit, usual_bytes, usual_count, earlier) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            *(service, dataset, declaration, point["id"], sentinel_at, size, count, unit, *usual),
            json.dumps(earlier, separators=(",", ":")),
        ),
    )


def _with(earlier: list[list[Any]], at: str, size: int, count: int) -> list[list[Any]]:
    """The earlier sizes with one more: of those that lie close together the largest stands for all."""
    if earlier and from_stamp(at) - from_stamp(earlier[-1][0]) < SPACING:
        begun_at, most, count_most = earlier[-1]
        return [*earlier[:-1], [begun_at, max(most, size), max(count_most, count)]]
    return [*earlier, [at, size, count]][-MOST_EARLIER:]


def accept_size(execute: Execute, body: dict[str, Any]) -> None:
    """A person says that a dataset's newest size is right: what came before does not count any more."""
    execute(
        "UPDATE dataset_sizes SET earlier = '[]', usual_bytes = 0, usual_count = 0"
        " WHERE service = ? AND dataset = ? AND restore_point = ?",
        (body["service"], body["dataset"], body["restore_point"]),
    )
