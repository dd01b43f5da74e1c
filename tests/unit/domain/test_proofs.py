"""A proof counts for what was proved: not for another database that has the same name in the inventory."""

from __future__ import annotations

from typing import Any

import pytest

from drp.domain.backups.record import Proof
from drp.domain.objectives import Verdict
from drp.domain.protection.problems import problems_of
from drp.domain.protection.proofs import counting
from drp.domain.service import Service
from tests.fakes.city import NOW, make_restore_point, service_record
from tests.fakes.protection import DAY, good, judged

SERVICE = Service.model_validate(service_record())
DATABASE = SERVICE.datasets[0]


def changed(**changes: Any) -> Service:
    first, *others = service_record()["datasets"]
    return Service.model_validate(service_record(datasets=[first | changes, *others]))


def proof(declaration: str | None, days_ago: int = 10, how: str = "drill") -> Proof:
    return Proof("pengaduan", "database", how, "b", NOW - days_ago * DAY, "run-1", declaration)


@pytest.mark.parametrize(
    ("changes", "is_same"),
    [
        ({}, True),
        ({"size": "4GB", "daily_change": "1GB", "personal_data": True, "assumed": True, "source": "a letter"}, True),
        ({"port": 5432}, True),
        ({"port": 5433}, False),
        ({"database": "another"}, False),
        ({"host": "pengaduan-2"}, False),
        ({"type": "mariadb"}, False),
    ],
)
def test_only_what_is_read_and_where_makes_another_declaration(changes: dict[str, Any], is_same: bool) -> None:
    assert (changed(**changes).datasets[0].declaration() == DATABASE.declaration()) == is_same


def test_a_restore_point_keeps_what_was_declared() -> None:
    from drp.domain.datasets import read_dataset

    for dataset in SERVICE.datasets:
        assert read_dataset(dataset.mechanics()).declaration() == dataset.declaration()
        assert read_dataset(make_restore_point().datasets[dataset.id]).declaration() == dataset.declaration()


def test_a_proof_of_what_was_declared_before_counts_no_more() -> None:
    mine, other = DATABASE.declaration(), "0" * 64
    assert counting(SERVICE, [proof(mine)]).newest["database"].declaration == mine
    found = counting(SERVICE, [proof(mine, 20, "drill"), proof(other, 5, "restore")])
    assert found.newest["database"].declaration == mine, "what is older but of the same still counts"
    assert found.outdated == {}
    found = counting(SERVICE, [proof(other)])
    assert (found.newest, list(found.outdated)) == ({}, ["database"])


def test_a_proof_of_nobody_knows_what_counts_only_where_nothing_else_is_known() -> None:
    assert counting(SERVICE, [proof(None)]).newest["database"].declaration is None
    known = counting(SERVICE, [proof(None, 1), proof(DATABASE.declaration(), 30, "restore")])
    assert known.newest["database"].declaration == DATABASE.declaration()
    outdated = counting(SERVICE, [proof(None, 1), proof("0" * 64, 30, "restore")])
    assert (outdated.newest, list(outdated.outdated)) == ({}, ["database"])


def test_the_status_says_that_nothing_was_proved_since_the_change() -> None:
    files = good().proofs[1]
    status = judged(good(proofs=(proof("0" * 64), files)))
    assert [found.verdict for found in status.proofs] == [Verdict.NOT_MET, Verdict.MET]
    assert status.is_breached
    (problem,) = problems_of(status)
    assert "dataset database was never proved to be restorable since its declaration was changed" in problem.text
    assert problem.key == "pengaduan/unproved/database"
