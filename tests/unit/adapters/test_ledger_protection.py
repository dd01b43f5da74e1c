"""What the ledger tells of the protection of services, from its projections alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from drp.adapters.ledger import SqliteLedger
from drp.domain.backups.record import DatasetSize
from drp.domain.backups.restore_point import RestorePoint
from drp.domain.datasets import read_dataset
from drp.domain.protection.facts import Facts
from drp.domain.values import to_stamp
from tests.fakes.city import NOW, make_restore_point
from tests.fakes.clock import FakeClock

HOUR, DAY, MINUTE = timedelta(hours=1), timedelta(days=1), timedelta(minutes=1)
SERVICE = "pengaduan"


class Book:
    """A ledger in which things happen at times."""

    def __init__(self, path: Path) -> None:
        self.clock = FakeClock(NOW)
        self.ledger = SqliteLedger(path, self.clock.now)
        self.ledger.database.execute("PRAGMA synchronous = OFF")
        self.ledger.open_run("run-1", "test", "0" * 64, [SERVICE], {})

    def point(self, at: datetime, *, site: str = "primary", took: timedelta = MINUTE, size: int = 0) -> RestorePoint:
        name = f"backup-{to_stamp(at)}-{site}"
        point = replace(make_restore_point(SERVICE, at=at), id=name, site=site, arrived_at=at + took)
        if size:
            point = replace(point, snapshots=(replace(point.snapshots[0], bytes=size),))
        self.clock.at = at + took
        self.ledger.append("run-1", "restore_point.recorded", point.record())
        return point

    def check(self, at: datetime, part: int, parts: int, *, is_good: bool) -> None:
        self.clock.at = at
        body = {"service": SERVICE, "host": "h", "dr_centre": "drc", "part": part, "parts": parts, "is_good": is_good}
        self.ledger.append("run-1", "check.recorded", body)

    def facts(self, now: datetime, *copies: str) -> Facts:
        found = self.ledger.protection({SERVICE: copies}, now, now - 30 * DAY)[SERVICE]
        several = self.ledger.protection({SERVICE: copies, "other": ()}, now, now - 30 * DAY)
        assert several[SERVICE] == found, "one service alone reads the same as among several"
        assert several["other"].history is None
        self.ledger.rebuild_projections()
        assert self.ledger.protection({SERVICE: copies}, now, now - 30 * DAY)[SERVICE] == found
        return found


@pytest.fixture
def book(tmp_path: Path) -> Iterator[Book]:
    found = Book(tmp_path / "ledger.sqlite3")
    with closing(found.ledger):
        yield found


def test_of_nothing_nothing_is_known(book: Book) -> None:
    facts = book.facts(NOW)
    assert (facts.newest, facts.history, facts.earlier, facts.state) == (None, None, None, None)
    assert facts.site == "primary"


def test_the_worst_gap_and_loss_are_those_between_data_times(book: Book) -> None:
    for hours in (40, 39, 34, 33):
        book.point(NOW - hours * HOUR, took=10 * MINUTE)
    history = book.facts(NOW).history
    assert history is not None
    assert (history.first, history.last) == (NOW - 40 * HOUR, NOW - 33 * HOUR)
    assert (history.worst_gap, history.worst_loss) == (5 * HOUR, 5 * HOUR + 10 * MINUTE)


def test_what_retention_forgot_leaves_no_gap(book: Book) -> None:
    points = [book.point(NOW - hours * HOUR) for hours in (5, 4, 3, 2, 1)]
    for point in points[1:4]:
        book.ledger.append("run-1", "restore_point.forgotten", {"id": point.id})
    facts = book.facts(NOW)
    assert facts.history is not None
    assert facts.history.worst_gap == HOUR
    assert facts.newest is not None
    assert facts.newest.restore_point == points[4].id
    assert len(book.ledger.restore_points(SERVICE)) == 2


def test_a_forgotten_restore_point_is_not_the_newest(book: Book) -> None:
    old, new = book.point(NOW - 2 * HOUR), book.point(NOW - HOUR)
    book.ledger.append("run-1", "restore_point.forgotten", {"id": new.id})
    newest = book.facts(NOW).newest
    assert newest is not None
    assert newest.restore_point == old.id


def test_gaps_before_the_window_do_not_count_but_one_into_it_does(book: Book) -> None:
    for days in (50, 45, 31, 29):
        book.point(NOW - days * DAY)
    history = book.facts(NOW).history
    assert history is not None
    assert history.worst_gap == 2 * DAY


def test_what_has_not_arrived_yet_is_not_there(book: Book) -> None:
    book.point(NOW - HOUR, took=2 * HOUR)
    assert book.facts(NOW).newest is None


def test_after_a_failover_only_data_of_the_active_site_counts(book: Book) -> None:
    before = NOW - 20 * DAY
    book.point(before - HOUR, site="recovery")  # of an earlier failover
    book.point(NOW - 3 * HOUR)
    book.clock.at = NOW - 2 * HOUR
    book.ledger.append("run-1", "site.activated", {"service": SERVICE, "site": "recovery"})
    book.point(NOW - HOUR - MINUTE)  # the old primary goes on, for nobody
    facts = book.facts(NOW)
    assert facts.site == "recovery"
    assert facts.active_since is not None
    assert facts.active_since - (NOW - 2 * HOUR) < timedelta(seconds=1)
    assert facts.newest is None
    assert facts.history is not None
    assert facts.history.last == NOW - 3 * HOUR
    book.point(NOW - HOUR, site="recovery")
    facts = book.facts(NOW)
    assert facts.newest is not None
    assert facts.history is not None
    assert facts.history.worst_gap == 2 * HOUR


def test_growth_compares_with_a_week_before(book: Book) -> None:
    book.point(NOW - 9 * DAY, size=100)
    book.point(NOW - 8 * DAY, size=300)
    book.point(NOW - 2 * DAY, size=700)
    book.point(NOW - DAY, size=900)
    assert book.facts(NOW).earlier == (NOW - 8 * DAY, 300)


def test_copies_know_the_age_of_their_data(book: Book) -> None:
    first, second = book.point(NOW - 2 * HOUR), book.point(NOW - HOUR)
    for point, arrived in ((second, 30), (first, 20)):
        body = {"restore_point": point.id, "service": SERVICE, "dr_centre": "drc-2"}
        book.ledger.append("run-1", "copy.recorded", body | {"arrived_at": to_stamp(NOW - arrived * MINUTE)})
    copies = book.facts(NOW, "drc-2", "drc-3").copies
    assert set(copies) == {"drc-2"}
    assert (copies["drc-2"].restore_point, copies["drc-2"].sentinel_at) == (second.id, NOW - HOUR)


def test_a_bad_part_stays_until_that_part_or_all_was_read_well(book: Book) -> None:
    book.check(NOW - 9 * DAY, 1, 3, is_good=True)
    book.check(NOW - 8 * DAY, 2, 3, is_good=False)
    book.check(NOW - 7 * DAY, 3, 3, is_good=True)
    facts = book.facts(NOW)
    assert [(bad.part, bad.parts) for bad in facts.bad_checks] == [(2, 3)]
    assert (facts.last_checks[0].part, facts.last_checks[0].is_good) == (3, True)
    assert [(read.parts, read.good_parts) for read in facts.reads] == [(3, 2)]
    book.check(NOW - 6 * DAY, 0, 0, is_good=True)
    assert book.facts(NOW).bad_checks, "the structure says nothing about the data"
    book.check(NOW - 5 * DAY, 2, 3, is_good=True)
    assert book.facts(NOW).bad_checks == ()


def test_a_new_city_begins_anew(book: Book) -> None:
    book.point(NOW - HOUR)
    book.check(NOW, 1, 1, is_good=False)
    book.ledger.append("run-1", "lab.built", {"services": [SERVICE]})
    facts = book.facts(NOW)
    assert (facts.newest, facts.history, facts.bad_checks, facts.reads) == (None, None, (), ())


# -- sizes -----------------------------------------------------------------------------------------------------------


def sized(book: Book, at: datetime, rows: int, **changes: Any) -> DatasetSize:
    """A restore point whose database brings so many rows; what the ledger says of the database then."""
    point = make_restore_point(SERVICE, at=at)
    content = {**point.content, "database": {"rows": {"complaints": rows}}}
    point = replace(point, id=f"backup-{to_stamp(at)}", content=content, **changes)
    book.clock.at = at
    book.ledger.append("run-1", "restore_point.recorded", point.record())
    return next(size for size in book.facts(at + MINUTE).sizes if size.dataset == "database")


def test_what_was_usual_is_the_median_of_what_came_before(book: Book) -> None:
    assert sized(book, NOW, 1000) == DatasetSize(
        "database", f"backup-{to_stamp(NOW)}", NOW, bytes=5100, count=1000, unit="rows", usual_bytes=0, usual_count=0
    )
    for day in range(1, 12):
        sized(book, NOW + day * DAY, 1000 + day)
    size = sized(book, NOW + 12 * DAY, 3)
    assert (size.count, size.usual_count) == (3, 1006), "of the last ten"
    files = next(found for found in book.facts(NOW + 13 * DAY).sizes if found.dataset == "files")
    assert (files.unit, files.count, files.bytes, files.usual_count) == ("files", 7, 7000, 7)


def test_a_small_size_becomes_usual_after_about_a_day_however_often_it_is_backed_up(book: Book) -> None:
    at = NOW
    for _ in range(30):
        at += 4 * HOUR
        sized(book, at, 1000)
    began = at
    while sized(book, at := at + 15 * MINUTE, 3).usual_count > 100:
        assert at - began < 40 * HOUR
    assert at - began > 20 * HOUR


def test_another_declaration_and_another_count_start_anew(book: Book) -> None:
    sized(book, NOW, 1000)
    assert sized(book, NOW + DAY, 3).usual_count == 1000
    point = make_restore_point(SERVICE)
    other = {**point.datasets, "database": {**point.datasets["database"], "database": "another"}}
    assert sized(book, NOW + 2 * DAY, 3, datasets=other).usual_count == 0
    assert sized(book, NOW + 3 * DAY, 3, datasets=other).usual_count == 3


def test_an_accepted_size_is_what_is_usual_from_then_on(book: Book) -> None:
    sized(book, NOW, 1000)
    point = sized(book, NOW + DAY, 3).restore_point
    for dataset, restore_point in (("database", "another"), ("files", point), ("database", point)):
        body = {"service": SERVICE, "dataset": dataset, "restore_point": restore_point, "reason": "archived"}
        assert next(size for size in book.facts(NOW + DAY).sizes if size.dataset == "database").usual_count == 1000
        book.ledger.append("run-1", "size.accepted", body)
    assert next(size for size in book.facts(NOW + DAY).sizes if size.dataset == "database").usual_count == 0
    assert sized(book, NOW + 2 * DAY, 3).usual_count == 3


def test_a_proof_of_an_older_drp_is_bound_by_the_restore_point_that_it_names(book: Book) -> None:
    point = book.point(NOW)
    declared = read_dataset(point.datasets["database"]).declaration()

    def proved(**changes: str) -> str | None:
        body = {"service": SERVICE, "dataset": "database", "how": "drill", "restore_point": point.id, **changes}
        book.ledger.append("run-1", "proof.recorded", body)
        (proof,) = [found for found in book.facts(NOW).proofs if found.dataset == body["dataset"]]
        return proof.declaration

    assert proved() == declared
    assert proved(restore_point="of-long-ago") is None
    assert proved(dataset="unheard-of") is None
    assert proved(declaration="1" * 64) == "1" * 64
