"""What was restored is compared with what was backed up."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from drp.domain.recovery.verification import check_restored, checks_wanted, newest_transaction
from drp.domain.values import from_stamp, to_stamp
from tests.fakes.city import make_restore_point

POINT = make_restore_point()
DATASETS = ["database", "files"]
COUNTED = {"files": 7, "bytes": 7000}


def result(**changes: Any) -> dict[str, Any]:
    sentinel = {"token": POINT.sentinel, "written_at": to_stamp(POINT.sentinel_at)}
    found: dict[str, Any] = {
        "parts": [
            {"dataset": "database", "part": "database", "expected": {}, "actual": {}},
            {"dataset": "files", "part": "files", "expected": COUNTED, "actual": COUNTED},
        ],
        "datasets": {
            "database": {"sentinel": sentinel, "rows": {"public.complaints": 12}},
            "files": {"sentinel": sentinel},
        },
    }
    return found | changes


def failed(found: dict[str, Any]) -> list[tuple[str, str, str]]:
    return [
        (check.dataset, check.check, check.actual) for check in check_restored(POINT, DATASETS, found) if not check.ok
    ]


def test_the_same_data_agrees_in_content_and_sentinel_of_each_dataset() -> None:
    checks = check_restored(POINT, DATASETS, result())
    assert [(check.dataset, check.check, check.ok) for check in checks] == [
        ("database", "content", True),
        ("database", "sentinel", True),
        ("files", "content", True),
        ("files", "sentinel", True),
    ]
    assert checks[0].record("pengaduan")["expected"] == "public.complaints 12 (12 rows)"


def with_dataset(name: str, **changes: Any) -> dict[str, Any]:
    found = result()
    found["datasets"][name] = found["datasets"][name] | changes
    return found


@pytest.mark.parametrize(
    ("found", "wrong"),
    [
        (
            with_dataset("database", rows={"public.complaints": 11}),
            ("database", "content", "public.complaints 11 (11 rows)"),
        ),
        (with_dataset("database", rows={}), ("database", "content", " (0 rows)")),
        (with_dataset("database", rows=None), ("database", "content", "not counted")),
        (with_dataset("database", sentinel=None), ("database", "sentinel", "none")),
        (with_dataset("files", sentinel={"token": "older"}), ("files", "sentinel", "older")),
        (with_dataset("files", sentinel={}), ("files", "sentinel", "none")),
    ],
)
def test_one_difference_is_one_failed_check(found: dict[str, Any], wrong: tuple[str, str, str]) -> None:
    assert failed(found) == [wrong]


def test_a_missing_file_or_byte_is_seen() -> None:
    for actual in ({"files": 6, "bytes": 7000}, {"files": 7, "bytes": 6999}):
        parts = [{"dataset": "files", "part": "files", "expected": COUNTED, "actual": actual}]
        assert [check for _, check, _ in failed(result(parts=parts))] == ["content"]


def test_what_was_not_counted_is_a_failed_check_and_not_a_missing_one() -> None:
    assert failed(result(parts=[])) == [("files", "content", "not counted")]
    assert len(failed(result(parts=[], datasets={}))) == 4


def test_the_datas_time_is_that_of_the_oldest_sentinel() -> None:
    older = POINT.sentinel_at - timedelta(seconds=3)
    found = with_dataset("files", sentinel={"token": POINT.sentinel, "written_at": to_stamp(older)})
    assert newest_transaction(POINT, found) == older
    assert newest_transaction(POINT, result()) == POINT.sentinel_at


@pytest.mark.parametrize(
    "found",
    [
        result(datasets={}),
        with_dataset("files", sentinel=None),
        with_dataset("files", sentinel={"token": "older", "written_at": to_stamp(POINT.sentinel_at)}),
    ],
)
def test_without_every_sentinel_the_datas_time_is_unknown(found: dict[str, Any]) -> None:
    assert newest_transaction(POINT, found) is None


BOX = {"id": "box", "type": "command", "host": "host-1", "dump": ["a"], "restore": ["b"]}
BEFORE, AFTER = "2026-11-20T07:00:00.000000Z", "2026-11-20T07:00:01.000000Z"


def boxed(counted: dict[str, Any], sentinel: dict[str, Any] | None, **box: Any) -> list[tuple[str, str, bool]]:
    """The checks of a command's output."""
    point = replace(
        POINT,
        datasets={"box": BOX | box},
        content={"box": {"newest_at": BEFORE}},
        clocks={"host-1": {"offset_ms": 0, "uncertainty_ms": 0}},
    )
    parts = [{"dataset": "box", "part": "output"} | counted]
    found = {"parts": parts, "datasets": {"box": {"sentinel": sentinel, "is_dated": sentinel is not None}}}
    return [(check.check, check.actual, check.ok) for check in check_restored(point, ["box"], found)]


ALL, LESS = {"expected": {"bytes": 9}, "actual": {"bytes": 9}}, {"expected": {"bytes": 9}, "actual": {"bytes": 8}}


def test_what_is_not_counted_by_rows_or_files_is_counted_by_the_bytes_that_its_loader_took() -> None:
    assert boxed(ALL, None) == [("content", "output: 9 bytes", True)]
    assert boxed(LESS, None) == [("content", "output: 8 bytes", False)]
    assert boxed({"expected": {}, "actual": {}}, None) == [("content", "not counted", False)]


def test_the_newest_record_is_no_older_than_it_was_before_the_dump() -> None:
    freshness = {"freshness": ["c"]}
    assert [ok for _, _, ok in boxed(ALL, {"newest_at": BEFORE}, **freshness)] == [True, True]
    assert [ok for _, _, ok in boxed(ALL, {"newest_at": AFTER}, **freshness)] == [True, True]
    older = boxed(ALL, {"newest_at": "2026-11-20T06:59:59.000000Z"}, **freshness)
    assert older[1] == ("freshness", "newest record 2026-11-20T06:59:59.000000Z", False)
    assert boxed(ALL, {}, **freshness)[1] == ("freshness", "newest record None", False)


def test_without_a_freshness_nobody_knows_how_old_a_commands_data_is() -> None:
    clock = {"host-1": {"offset_ms": 500, "uncertainty_ms": 0}}
    found: dict[str, Any] = {"datasets": {"box": {"sentinel": {"newest_at": AFTER}}}}
    assert newest_transaction(replace(POINT, datasets={"box": BOX}, clocks=clock), found) is None
    dated = replace(POINT, datasets={"box": BOX | {"freshness": ["c"]}}, clocks=clock)
    assert newest_transaction(dated, found) == from_stamp(AFTER) - timedelta(milliseconds=500)
    assert newest_transaction(dated, {"datasets": {"box": {"sentinel": None}}}) is None


def test_the_checks_that_must_be_made_are_those_of_content_and_of_what_dates_a_dataset() -> None:
    assert checks_wanted(POINT) == [
        (name, check) for name in ("database", "files") for check in ("content", "sentinel")
    ]
    fresh = POINT.datasets["database"] | {"freshness": "SELECT max(at) FROM complaints"}
    by_query = replace(POINT, datasets=POINT.datasets | {"database": fresh})
    assert checks_wanted(by_query)[:2] == [("database", "content"), ("database", "freshness")]


def test_the_older_of_a_sentinel_and_a_newest_record_dates_all_of_it() -> None:
    fresh = POINT.datasets["database"] | {"freshness": "SELECT max(at) FROM complaints"}
    point = replace(POINT, datasets=POINT.datasets | {"database": fresh})
    for minutes in (-30, 30):
        newest = point.sentinel_at + timedelta(minutes=minutes)
        found = with_dataset("database", sentinel={"newest_at": to_stamp(newest)})
        assert newest_transaction(point, found) == min(newest, point.sentinel_at)
    assert newest_transaction(point, with_dataset("database", sentinel={"token": point.sentinel})) is None
