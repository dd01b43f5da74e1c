"""The watch writes transitions, and nothing else, into the ledger."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from drp.domain.recovery.probing import Sample
from drp.errors import BusyError
from drp.workflows.watch import watch
from tests.fakes.city import NOW, make_city, service_record
from tests.fakes.world import Stage, make_stage


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return make_stage(tmp_path, make_city(service_record("pengaduan")))


def watched(stage: Stage, pattern: str) -> list[tuple[str, object]]:
    """The events of a watch that saw `pattern` (`+` good, `-` bad), as type and second."""

    def probe(stop: threading.Event) -> Iterator[tuple[str, Sample]]:
        for number, sign in enumerate(pattern):
            at = NOW + timedelta(seconds=number)
            yield "pengaduan", Sample(at, at + timedelta(milliseconds=20), sign == "+", "refused")
        stop.set()

    watch(stage.world, ["pengaduan"], probe, threading.Event())
    row = stage.ledger.runs(kinds=("watch",))[0]
    assert row.outcome == "done"
    events = stage.ledger.events(row.run)[1:-1]
    return [(event.type, event.body["at"][17:19]) for event in events]


@pytest.mark.parametrize(
    ("pattern", "changes"),
    [
        ("", []),
        ("++++++", [("service.up", "00")]),
        ("+-+-+", [("service.up", "00")]),
        ("---", [("service.down", "00")]),
        ("++--+", [("service.up", "00"), ("service.down", "02"), ("service.up", "04")]),
        ("+-------------", [("service.up", "00"), ("service.down", "01")]),
        ("+--+--", [("service.up", "00"), ("service.down", "01"), ("service.up", "03"), ("service.down", "04")]),
    ],
)
def test_only_transitions_are_written_each_with_its_own_time(
    stage: Stage, pattern: str, changes: list[tuple[str, str]]
) -> None:
    assert watched(stage, pattern) == changes


def test_people_are_told(stage: Stage) -> None:
    watched(stage, "+--")
    assert stage.said[0] == "pengaduan: usable from outside"
    assert "NOT usable since" in stage.said[1]


def test_a_service_is_watched_once(stage: Stage) -> None:
    stage.locks.acquire("watch-pengaduan", "drp watch")
    with pytest.raises(BusyError):
        watched(stage, "+")
    assert stage.ledger.runs(kinds=("watch",)) == []


def test_a_service_is_usable_while_all_of_its_checks_succeed(tmp_path: Path) -> None:
    checks = [
        {"id": "web", "type": "http", "steps": [{"request": "GET /"}]},
        {"id": "database", "type": "tcp", "port": 5432},
    ]
    stage = make_stage(tmp_path, make_city(service_record("pengaduan", checks=checks)))
    seen = ["+web", "+database", "-database", "-database", "-web", "-web", "+database", "+web", "-web", "+web"]

    def probe(stop: threading.Event) -> Iterator[tuple[str, Sample]]:
        for number, word in enumerate(seen):
            at = NOW + timedelta(seconds=number)
            yield "pengaduan", Sample(at, at, word[0] == "+", "refused", word[1:])
        stop.set()

    watch(stage.world, ["pengaduan"], probe, threading.Event())
    events = stage.ledger.events(stage.ledger.runs(kinds=("watch",))[0].run)[1:-1]
    assert [(event.type, event.body.get("check")) for event in events] == [
        ("service.up", None),
        ("service.down", "database"),
        ("check.down", "web"),
        ("check.up", "database"),
        ("service.up", None),
    ]
    assert stage.said[1].startswith("pengaduan: NOT usable since")
    assert "check database: refused" in stage.said[1]
    assert stage.said[3] == "pengaduan: check database succeeds again; still failing: web"
