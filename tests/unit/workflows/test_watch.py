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

    def probe(service: str, stop: threading.Event) -> Iterator[Sample]:
        for number, sign in enumerate(pattern):
            at = NOW + timedelta(seconds=number)
            yield Sample(at, at + timedelta(milliseconds=20), sign == "+", "refused")
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
