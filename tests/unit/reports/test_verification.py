"""The verifier finds every edit, and never falls over a hostile file."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drp.domain.events import event_hash, hash_of
from drp.reports import render_json
from drp.reports.document import Document
from drp.reports.verification import verify

Documents = Callable[[str], Document]
Path = tuple[str | int, ...]

UNPROTECTED = {("control", "tool_version"), ("control", "generated_at")}
"""Leaves that nothing in the events says; only the content's own hash covers them. So are all of `context`."""


def report_of(document: Documents, name: str) -> dict[str, Any]:
    report: dict[str, Any] = json.loads(render_json.render(document(name)))
    return report


def places(value: Any, path: Path = ()) -> list[Path]:
    """The path of every leaf."""
    if isinstance(value, dict):
        return [found for key, item in value.items() for found in places(item, (*path, key))]
    if isinstance(value, list):
        return [found for number, item in enumerate(value) for found in places(item, (*path, number))]
    return [path]


def of_each_kind(report: dict[str, Any], paths: list[Path], *, which: int = 0) -> list[Path]:
    """One path of each kind, the first (0) or the last (-1). Items of a list are of one kind, events of one type are:
    the tenth task of a step proves nothing that another one did not."""
    kinds: dict[tuple[str | int, ...], list[Path]] = {}
    for path in paths:
        kind = tuple("*" if isinstance(key, int) else key for key in path)
        if path[0] == "events" and len(path) > 1 and isinstance(path[1], int):
            kind = (report["events"][path[1]]["type"], *kind)
        kinds.setdefault(kind, []).append(path)
    return [found[which] for found in kinds.values()]


def changed(report: dict[str, Any], path: Path, *, seal: bool) -> str:
    """The report with one leaf edited; `seal` hashes the content again, as a careful forger would."""
    value: Any = report
    for key in path:
        value = value[key]
    return with_value(report, path, mutated(value), seal=seal)


def with_value(report: dict[str, Any], path: Path, value: Any, *, seal: bool) -> str:
    """The text of the report with another value in one place; the report itself stays as it is."""
    holder: Any = report
    for key in path[:-1]:
        holder = holder[key]
    original, seal_before = holder[path[-1]], report["content_sha256"]
    holder[path[-1]] = value
    if seal and path != ("content_sha256",):
        report["content_sha256"] = hash_of({key: item for key, item in report.items() if key != "content_sha256"})
    text = json.dumps(report)
    report["content_sha256"] = seal_before
    holder[path[-1]] = original
    return text


def mutated(value: Any) -> Any:
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    if value is None:
        return 0
    return value[:-1] + ("a" if value[-1:] != "a" else "b")


def test_what_drp_made_holds(document: Documents, scenario: str) -> None:
    assert verify(render_json.render(document(scenario))) == []


@pytest.mark.parametrize(("name", "which"), [("not_recovered", 0), ("overridden", 0), ("drill", -1)])
def test_any_edited_leaf_is_found_and_any_fact_not_by_the_contents_hash_alone(
    document: Documents, name: str, which: int
) -> None:
    report = report_of(document, name)
    for path in of_each_kind(report, places(report), which=which):
        codes = {problem.code for problem in verify(changed(report, path, seal=False))}
        assert codes, path
        # A careful forger hashes the content again: then the rest must tell.
        if path[0] not in ("context", "content_sha256") and path not in UNPROTECTED:
            assert codes != {"content_changed"}, path


def test_any_edited_figure_is_found_when_the_content_is_hashed_again(document: Documents) -> None:
    report = report_of(document, "missed")
    for path in of_each_kind(report, [path for path in places(report) if path[0] in ("services", "control")]):
        if path not in UNPROTECTED:
            codes = {problem.code for problem in verify(changed(report, path, seal=True))}
            assert codes, path
            assert "content_changed" not in codes, path


def test_every_removed_event_is_found(document: Documents) -> None:
    report = report_of(document, "met")
    for number in range(len(report["events"])):
        edited = copy.deepcopy(report)
        del edited["events"][number]
        assert verify(json.dumps(edited)), number


def test_a_cut_file_is_found_wherever_it_is_cut(document: Documents) -> None:
    text = render_json.render(document("missed"))
    for length in range(0, len(text) - 2, 211):
        assert verify(text[:length]), length


def test_a_cleverly_cut_chain_is_found_by_the_hash_that_was_kept_elsewhere(document: Documents) -> None:
    """Whoever drops the last events and makes a new report has a consistent one: only the printed hash tells."""
    made = document("missed")
    shortened = rewritten(report_of(document, "missed"), drop=1)
    assert [problem.code for problem in verify(shortened, expected_head=made.control.head)] == ["head_differs"]
    assert verify(render_json.render(made), expected_head=made.control.head) == []


def rewritten(report: dict[str, Any], *, drop: int) -> str:
    from drp.domain.events import Event
    from drp.domain.recovery.run import replay
    from drp.domain.values import from_stamp
    from drp.reports.document import build
    from drp.reports.verification import _context

    control = report["control"]
    events = [Event(**event) for event in report["events"]][:-drop]
    recovery = replay(control["report"], control["plan_hash"], events)
    made = build(
        recovery,
        _context(report["context"]),
        generated_at=from_stamp(control["generated_at"]),
        tool_version=control["tool_version"],
    )
    return render_json.render(made)


def test_a_close_that_says_more_than_its_events_is_found(document: Documents) -> None:
    """The chain is whole here: the run itself was closed with a verdict that its marks do not support."""
    report = report_of(document, "missed")
    last = report["events"][-1]
    last["body"]["verdict"] = "MET"
    last["hash"] = event_hash(last["previous"], last["run"], last["sequence"], last["at"], last["type"], last["body"])
    codes = {problem.code for problem in verify(json.dumps(report))}
    assert "verdict_differs" in codes
    assert "chain_broken" not in codes


def test_problems_say_where_and_what(document: Documents) -> None:
    report = report_of(document, "missed")
    report["services"][0]["rta"]["value_ms"] = 200_000
    problems = verify(json.dumps(report))
    assert [problem.code for problem in problems] == ["content_changed", "differs"]
    assert problems[1].where == "services[0].rta.value_ms"
    assert problems[1].message == "the report says 200000, the events give 370400"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "malformed"),
        ("null", "not_a_report"),
        ("[" * 100_000, "malformed"),
        ('{"a":' * 50_000, "malformed"),
        ('{"document": "drp recovery report", "schema": 3}', "unknown_schema"),
        ('{"document": "drp recovery report", "schema": true}', "unknown_schema"),
        ('{"document": "drp recovery report", "schema": 2}', "damaged"),
        ('{"schema": 1, "schema": 1}', "malformed"),
        ("[" + "9" * 5000 + "]", "malformed"),
        ('{"document": NaN}', "malformed"),
        ("\ufeff{}", "malformed"),
    ],
)
def test_hostile_texts_give_a_problem(text: str, code: str) -> None:
    assert [problem.code for problem in verify(text)][-1] == code


HOSTILE_VALUES: tuple[Any, ...] = (
    None,
    True,
    0,
    -1,
    10**40,
    1.5,
    "",
    "\ud800",
    "../../etc/passwd",
    [],
    {},
    [[]],
    {"": None},
)


def test_any_value_of_a_wrong_type_gives_a_problem_and_no_traceback(document: Documents) -> None:
    report = report_of(document, "not_recovered")
    original = json.dumps(report)
    for number, path in enumerate(of_each_kind(report, [*branches(report), *places(report)])):
        # One value in each place, another in the next, so that every kind meets every kind of place.
        value = HOSTILE_VALUES[number % len(HOSTILE_VALUES)]
        text = with_value(report, path, value, seal=False)
        assert text == original or verify(text), (path, value)


def branches(value: Any, path: Path = ()) -> list[Path]:
    """The path of every object and list inside."""
    items: Any = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    inner = [found for key, item in items for found in branches(item, (*path, key))]
    return [path, *inner] if path and isinstance(value, dict | list) else inner


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(events=JSON, control=JSON, context=JSON, plan=JSON)
def test_arbitrary_json_gives_problems(events: Any, control: Any, context: Any, plan: Any) -> None:
    report = {
        "document": "drp recovery report",
        "schema": 2,
        "events": events,
        "control": control,
        "context": context,
        "plan": plan,
    }
    assert verify(json.dumps(report))
