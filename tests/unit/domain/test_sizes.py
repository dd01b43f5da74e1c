"""A dataset that suddenly brings almost nothing is told; small data that comes and goes is not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from drp.domain.backups.record import DatasetSize
from drp.domain.objectives import Verdict
from drp.domain.protection.problems import ended, problems_of
from drp.domain.protection.sizes import shrunk_datasets
from tests.fakes.city import NOW, service_record
from tests.fakes.protection import good, judged

USUAL = DatasetSize("database", "backup-1", NOW, 50_000_000, 12_000, "rows", 50_000_000, 12_000)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({}, ""),
        ({"bytes": 25_000_000}, ""),
        ({"bytes": 24_999_999}, "bytes"),
        ({"bytes": 0}, "bytes"),
        ({"bytes": 900_000_000, "count": 90_000}, ""),
        ({"count": 5_999}, "rows"),
        ({"count": 6_000}, ""),
        ({"usual_bytes": 0, "usual_count": 0, "bytes": 0, "count": 0}, ""),
        ({"usual_bytes": 999_999, "usual_count": 99, "bytes": 0, "count": 0}, ""),
        ({"usual_bytes": 40_000, "usual_count": 500, "bytes": 39_000, "count": 0}, "rows"),
    ],
)
def test_less_than_its_share_of_what_was_usual_is_told(changes: dict[str, Any], told: str) -> None:
    found = shrunk_datasets([replace(USUAL, **changes)], 50)
    assert [one.unit for one in found] == ([told] if told else [])


def test_the_share_is_declared() -> None:
    half_gone = replace(USUAL, bytes=20_000_000)
    assert shrunk_datasets([half_gone], 10) == []
    assert shrunk_datasets([replace(USUAL, bytes=0, count=0)], 0) == []
    assert judged(good(sizes=(half_gone,))).verdict is Verdict.NOT_MET
    backup = {**service_record()["backup"], "least_size_percent": 10}
    assert judged(good(sizes=(half_gone,)), backup=backup).verdict is Verdict.MET


def test_it_is_a_breach_with_words_of_its_own() -> None:
    status = judged(good(sizes=(replace(USUAL, count=3), replace(USUAL, dataset="of-yesterday", bytes=0))))
    assert (status.verdict, status.is_breached) == (Verdict.NOT_MET, True)
    (problem,) = problems_of(status)
    assert (problem.key, problem.since) == ("pengaduan/size/database", NOW)
    assert "dataset database is suddenly much smaller in backup-1: 3 rows, usually 12000" in problem.text
    assert "drp backup accept pengaduan --dataset database" in problem.hint
    assert ended(problem.key)[1].startswith("dataset database is of its usual size again")
