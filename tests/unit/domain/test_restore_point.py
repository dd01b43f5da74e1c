"""Restore points: what the ledger holds reads back, and only what had arrived may be used."""

from __future__ import annotations

from datetime import timedelta

from drp.domain.backups.restore_point import RestorePoint, newest_before
from tests.fakes.city import NOW, make_restore_point


def test_a_restore_point_reads_back_from_its_record() -> None:
    point = make_restore_point()
    assert RestorePoint.from_record(point.record()) == point


def test_the_newest_that_had_arrived_is_chosen() -> None:
    old, new = make_restore_point(at=NOW - timedelta(hours=2)), make_restore_point(at=NOW - timedelta(hours=1))
    assert newest_before([new, old], NOW) is new
    assert newest_before([old, new], new.arrived_at) is new
    assert newest_before([old, new], new.arrived_at - timedelta(microseconds=1)) is old
    assert newest_before([old, new], old.sentinel_at) is None
    assert newest_before([], NOW) is None
