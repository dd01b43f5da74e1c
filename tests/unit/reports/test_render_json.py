"""The JSON report: stable bytes, whole milliseconds, UTC."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator
from typing import Any

from drp.domain.events import first_break, hash_of
from drp.domain.recovery.run import replay
from drp.reports import render_json
from drp.reports.document import Document, build

Documents = Callable[[str], Document]


def leaves(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from leaves(item, (*path, key))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from leaves(item, (*path, number))
    else:
        yield path, value


def test_the_same_input_gives_the_same_bytes(document: Documents, scenario: str) -> None:
    assert render_json.render(document(scenario)) == render_json.render(copy.deepcopy(document(scenario)))


def test_no_floats_and_every_instant_in_utc(document: Documents, scenario: str) -> None:
    for path, value in leaves(json.loads(render_json.render(document(scenario)))):
        assert not isinstance(value, float), path
        if str(path[-1]).endswith("_at") and value is not None:
            assert value.endswith("Z"), path


def test_figures_stand_under_their_names(document: Documents) -> None:
    report = json.loads(render_json.render(document("missed")))
    assert (report["schema"], report["verdict"]) == (2, "NOT_MET")
    service = report["services"][0]
    assert service["rta"]["value_ms"] == 370_400
    assert service["rta"]["margin_ms"] == -70_400
    assert service["rpa"]["verdict"] == "NOT_MET"
    assert service["marks"][0]["at"] == "2026-11-20T06:40:00.123000Z"
    assert report["services"][0]["rta"]["evidence"]["events"] == [1, 4, 14]


def test_plan_and_events_are_whole_so_that_all_can_be_computed_again(document: Documents) -> None:
    made = document("met")
    report = json.loads(render_json.render(made))
    assert hash_of(report["plan"]) == report["control"]["plan_hash"]
    events = [type(made.events[0])(**event) for event in report["events"]]
    assert first_break(report["control"]["plan_hash"], events) is None
    again = build(
        replay(report["control"]["report"], report["control"]["plan_hash"], events),
        made.context,
        generated_at=made.control.generated_at,
        tool_version=made.control.tool_version,
    )
    assert render_json.render(again) == render_json.render(made)
