"""Check a JSON report against itself: its chain, and every fact computed again from its events.

What this proves: nothing in the report was changed, removed or put in since it was made, unless the whole of it was
made anew. Against that helps only a copy of the last hash that was kept elsewhere: pass it as `expected_head`.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from drp.domain.events import Event, hash_of
from drp.domain.objectives import Verdict
from drp.domain.recovery.run import Recovery, replay
from drp.domain.values import from_stamp
from drp.errors import DrpError
from drp.reports.document import break_of, build
from drp.reports.model import SCHEMA, ReportContext, ServiceContext
from drp.reports.render_json import DOCUMENT_TYPE, content

LARGEST_REPORT = 200_000_000
"""Characters. A whole city's exercise is a hundredth of this; more is an attempt to use up the memory."""

MOST_DIFFERENCES = 100
"""How many differences are listed; one changed event can change hundreds of facts."""

_DAMAGE = (ArithmeticError, AttributeError, DrpError, LookupError, OSError, RecursionError, TypeError, ValueError)
"""What reading a report can raise when its values are not what they should be (OSError: time zones are files)."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Something in a report that does not hold. `where` is a path in the JSON, such as services[0].rta.value_ms."""

    code: str
    where: str
    message: str

    def __str__(self) -> str:
        return f"{self.where}: {self.message}" if self.where else self.message


class _NotAReportError(Exception):
    """The report cannot be read at all; the problem says why."""

    def __init__(self, code: str, where: str, message: str) -> None:
        super().__init__(message)
        self.problem = Problem(code, where, message)


def verify(report_text: str, *, expected_head: str | None = None) -> list[Problem]:
    """Everything that is wrong with a JSON report; an empty list if it holds.

    Args:
        report_text: the JSON report, from wherever it came: it may be hostile.
        expected_head: the last hash as it was printed or sent elsewhere when the run was closed.
    """
    try:
        return _verify(report_text, expected_head)
    except _NotAReportError as error:
        return [error.problem]
    except _DAMAGE as error:
        return [Problem("damaged", "", f"the report cannot be read: {_say(error)}")]


def _verify(report_text: str, expected_head: str | None) -> list[Problem]:
    report = _parse(report_text)
    problems = list(_check_seal(report))
    control = _object(report, "control")
    run, genesis = _text(control, "report", "control"), _text(control, "plan_hash", "control")
    events = [_event(item, position) for position, item in enumerate(_list(report, "events"))]
    if not events:
        raise _NotAReportError("events_missing", "events", "the report holds no events")
    problems += _check_chain(run, genesis, events, report, expected_head)
    try:
        recovery = replay(run, genesis, events)
        expected = content(
            build(
                recovery,
                _context(_object(report, "context")),
                generated_at=from_stamp(_text(control, "generated_at", "control")),
                tool_version=_text(control, "tool_version", "control"),
            )
        )
        problems += _check_conclusions(recovery)
    except _DAMAGE as error:
        message = f"the events do not make a run, so no figure can be computed again: {_say(error)}"
        return [*problems, Problem("events_unusable", "events", message)]
    differences = list(_differences(expected, report, ""))
    problems += differences[:MOST_DIFFERENCES]
    if len(differences) > MOST_DIFFERENCES:
        rest = len(differences) - MOST_DIFFERENCES
        problems.append(Problem("differs", "", f"{rest} more differences are not listed"))
    return problems


def _parse(report_text: str) -> dict[str, Any]:
    if len(report_text) > LARGEST_REPORT:
        raise _NotAReportError("too_large", "", f"longer than {LARGEST_REPORT} characters: not a report of drp")
    try:
        report = json.loads(report_text, object_pairs_hook=_unique, parse_constant=_refuse_constant)
    except RecursionError:
        raise _NotAReportError("malformed", "", "nested too deeply: not a report of drp") from None
    except ValueError as error:
        raise _NotAReportError("malformed", "", f"not JSON, or cut off: {_say(error)}") from error
    if not isinstance(report, dict) or report.get("document") != DOCUMENT_TYPE:
        raise _NotAReportError("not_a_report", "document", f"this is not a {DOCUMENT_TYPE}")
    if type(report.get("schema")) is not int or report["schema"] != SCHEMA:
        message = f"schema {report.get('schema')!r:.40} is unknown; this drp reads schema {SCHEMA}"
        raise _NotAReportError("unknown_schema", "schema", message)
    return report


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse a key that stands twice: a person would read the first value, a program the last."""
    result = dict(pairs)
    if len(result) != len(pairs):
        twice = next(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
        raise ValueError(f"the key {twice!r:.60} stands twice in one object")
    return result


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON value")


def _check_seal(report: dict[str, Any]) -> Iterator[Problem]:
    rest = {key: value for key, value in report.items() if key != "content_sha256"}
    try:
        computed = hash_of(rest)
    except (TypeError, ValueError) as error:
        yield Problem("damaged", "content_sha256", f"the content cannot be hashed: {_say(error)}")
        return
    if report.get("content_sha256") != computed:
        yield Problem(
            "content_changed", "content_sha256", "the content is not what was hashed when the report was made"
        )


def _check_chain(
    run: str, genesis: str, events: list[Event], report: dict[str, Any], expected_head: str | None
) -> Iterator[Problem]:
    if hash_of(report.get("plan")) != genesis:
        yield Problem("plan_changed", "plan", "the plan is not the one that the chain starts from")
    broken_at = break_of(run, genesis, events)
    if broken_at is not None:
        where = f"events[{broken_at - 1}]"
        yield Problem("chain_broken", where, f"event {broken_at} was changed, removed, put in or moved")
    if expected_head is not None and events[-1].hash != expected_head.strip().lower():
        message = "the last hash is not the one that was kept elsewhere: events are missing, or all were made anew"
        yield Problem("head_differs", "control.head", message)


def _check_conclusions(recovery: Recovery) -> Iterator[Problem]:
    """What the run concluded about itself must follow from its own events."""
    for event in recovery.events:
        body = event.body
        if event.type == "data.verified" and body["ok"] and body["expected"] != body["actual"]:
            message = "this check is recorded as good, but expected and actual differ"
            yield Problem("check_differs", f"events[{event.sequence - 1}].body.ok", message)
    recorded = None if recovery.closed is None else recovery.closed.body.get("verdict")
    if recovery.closed is not None and recorded in set(Verdict) and recorded != recovery.verdict():
        message = f"the run was closed as {recorded}, but its events say {recovery.verdict()}"
        yield Problem("verdict_differs", f"events[{recovery.closed.sequence - 1}].body.verdict", message)


def _differences(expected: Any, found: Any, where: str) -> Iterator[Problem]:
    """Every place where the report is not what its own events give. Types count: true is not 1."""
    if isinstance(expected, dict) and isinstance(found, dict):
        for key in sorted(expected.keys() | found.keys()):
            path = f"{where}.{key:.60}" if where else str(key)[:60]
            if key not in found:
                yield Problem("missing", path, "the report leaves this out")
            elif key in expected:
                yield from _differences(expected[key], found[key], path)
            elif path != "content_sha256":
                yield Problem("unexpected", path, "this does not belong into a report")
    elif isinstance(expected, list) and isinstance(found, list):
        if len(expected) != len(found):
            yield Problem("differs", where, f"the report lists {len(found)}, the events give {len(expected)}")
        for position, (one, other) in enumerate(zip(expected, found, strict=False)):
            yield from _differences(one, other, f"{where}[{position}]")
    elif type(expected) is not type(found) or expected != found:
        yield Problem("differs", where, f"the report says {found!r:.80}, the events give {expected!r:.80}")


def _event(item: Any, position: int) -> Event:
    where = f"events[{position}]"
    if not isinstance(item, dict):
        raise _NotAReportError("damaged", where, "an event must be an object")
    sequence, body = item.get("sequence"), item.get("body")
    if type(sequence) is not int or not isinstance(body, dict):
        raise _NotAReportError("damaged", where, "an event needs a whole number as sequence and an object as body")
    return Event(
        run=_text(item, "run", where),
        sequence=sequence,
        at=_text(item, "at", where),
        type=_text(item, "type", where),
        body=body,
        previous=_text(item, "previous", where),
        hash=_text(item, "hash", where),
    )


def _context(value: dict[str, Any]) -> ReportContext:
    services = {}
    for name, item in _object(value, "services").items():
        owner = item["owner"]
        services[name] = ServiceContext(
            title=_text(item, "title", "context.services"),
            agency=_text(item, "agency", "context.services"),
            owner=None if owner is None else _text(item, "owner", "context.services"),
        )
    return ReportContext(
        organisation=_text(value, "organisation", "context"),
        time_zone=_text(value, "time_zone", "context"),
        services=services,
        runbook_title=_text(value, "runbook_title", "context"),
        runbook_purpose=_text(value, "runbook_purpose", "context"),
        primary_site=_text(value, "primary_site", "context"),
        recovery_site=_text(value, "recovery_site", "context"),
        dr_centres=_object(value, "dr_centres"),
    )


def _object(value: dict[str, Any], key: str) -> dict[str, Any]:
    if not isinstance(value.get(key), dict):
        raise _NotAReportError("damaged", key, "missing, or not an object")
    item: dict[str, Any] = value[key]
    return item


def _list(value: dict[str, Any], key: str) -> list[Any]:
    if not isinstance(value.get(key), list):
        raise _NotAReportError("damaged", key, "missing, or not a list")
    item: list[Any] = value[key]
    return item


def _text(value: dict[str, Any], key: str, where: str) -> str:
    item = value.get(key)
    if not isinstance(item, str):
        raise _NotAReportError("damaged", f"{where}.{key}", "missing, or not a text")
    return item


def _say(error: BaseException) -> str:
    """An error in one short line; a key error's own text is only the key."""
    if isinstance(error, KeyError):
        return f"{str(error)[:100]} is missing"
    return (str(error) or type(error).__name__).splitlines()[0][:200]
