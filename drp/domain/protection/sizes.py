"""Whether a dataset suddenly brings much less than it used to: a dump that went well, of a database that is almost
empty by now, is a good copy of a disaster."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from drp.domain.backups.record import DatasetSize

SMALL_BYTES, SMALL_COUNT = 1_000_000, 100
"""What used to bring less than this is not judged: small data comes and goes."""


@dataclass(frozen=True, slots=True)
class Shrunk:
    """A dataset whose newest size fell below its share of what was usual. `unit` is what was counted: bytes, or rows or
    files."""

    size: DatasetSize
    unit: str
    now: int
    usual: int


def shrunk_datasets(sizes: Iterable[DatasetSize], least_percent: int) -> list[Shrunk]:
    """The datasets that brought less than `least_percent` of their usual size, and have for too short a time to call
    that usual; 0 judges none."""
    return [found for size in sizes if (found := _shrunk(size, least_percent)) is not None]


def _shrunk(size: DatasetSize, least_percent: int) -> Shrunk | None:
    if size.usual_bytes >= SMALL_BYTES and size.bytes * 100 < size.usual_bytes * least_percent:
        return Shrunk(size, "bytes", size.bytes, size.usual_bytes)
    if size.usual_count >= SMALL_COUNT and size.count * 100 < size.usual_count * least_percent:
        return Shrunk(size, size.unit, size.count, size.usual_count)
    return None
