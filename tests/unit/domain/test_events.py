"""The event chain shows every edit."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drp.domain.events import Event, canonical_json, event_hash, first_break, hash_of

GENESIS = hash_of({"plan": 1})


def chain(count: int = 5, genesis: str = GENESIS) -> list[Event]:
    events: list[Event] = []
    for sequence in range(1, count + 1):
        previous = events[-1].hash if events else genesis
        stamp, body = f"2026-11-20T07:00:0{sequence}.000000Z", {"number": sequence, "text": "ya — 何"}
        digest = event_hash(previous, "run", sequence, stamp, "step.ended", body)
        events.append(Event("run", sequence, stamp, "step.ended", body, previous, digest))
    return events


def test_an_untouched_chain_is_whole() -> None:
    assert first_break(GENESIS, chain()) is None
    assert first_break(GENESIS, []) is None


def test_the_hash_is_what_the_documentation_says() -> None:
    """Computed here a second time, from the description alone: auditors do the same."""
    import hashlib

    event = chain(1)[0]
    text = '{"at":"%s","body":{"number":1,"text":"ya — 何"},"run":"run","type":"step.ended"}' % event.at  # noqa: UP031 - braces of JSON
    content = b"drp-event-v1\0" + bytes.fromhex(GENESIS) + b"\0\0\0\0\0\0\0\1" + text.encode()
    assert event.hash == hashlib.sha256(content).hexdigest()


Edit = Callable[[list[Event]], list[Event]]


def edited(position: int, **changes: Any) -> Edit:
    return lambda events: [*events[:position], replace(events[position], **changes), *events[position + 1 :]]


@pytest.mark.parametrize(
    ("edit", "broken"),
    [
        (edited(2, body={"number": 4}), 3),
        (edited(2, at="2026-11-20T06:00:00.000000Z"), 3),
        (edited(2, type="step.started"), 3),
        (edited(2, run="other"), 3),
        (edited(2, hash="0" * 64), 3),
        (edited(2, previous="0" * 64), 3),
        (edited(0, body={"number": 0}), 1),
        (edited(4, body={"number": 0}), 5),
        (edited(2, body={"number": 1.5}), 3),
        (edited(2, body={"text": "\ud800"}), 3),
        (edited(2, hash="not hexadecimal"), 3),
        (lambda events: events[1:], 1),
        (lambda events: events[:2] + events[3:], 3),
        (lambda events: [*events[:2], events[1], *events[2:]], 3),
        (lambda events: [*events[:2], events[3], events[2], events[4]], 3),
        (lambda events: [chain(1, "1" * 64)[0], *events[1:]], 1),
    ],
)
def test_every_edit_is_found_at_its_event(edit: Edit, broken: int) -> None:
    assert first_break(GENESIS, edit(chain())) == broken


def test_an_event_rewritten_with_a_fitting_hash_breaks_the_next_one() -> None:
    events = chain()
    body = {"number": 99}
    digest = event_hash(events[1].previous, "run", 2, events[1].at, "step.ended", body)
    events[1] = replace(events[1], body=body, hash=digest)
    assert first_break(GENESIS, events) == 3


def test_the_chain_of_another_plan_does_not_fit() -> None:
    assert first_break(hash_of({"plan": 2}), chain()) == 1


@pytest.mark.parametrize("value", [1.0, {"a": [1, {"b": 0.5}]}, (1, float("nan"))])
def test_floats_are_refused_wherever_they_are(value: Any) -> None:
    with pytest.raises(TypeError, match="no floats"):
        canonical_json(value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(JSON)
def test_canonical_json_reads_back_the_same_and_is_the_same_again(value: Any) -> None:
    text = canonical_json(value)
    assert json.loads(text) == value
    assert canonical_json(json.loads(text)) == text


@given(st.dictionaries(st.text(), st.integers(), max_size=6), st.randoms())
def test_the_order_of_keys_does_not_matter(value: dict[str, int], random: Any) -> None:
    items = list(value.items())
    random.shuffle(items)
    assert canonical_json(dict(items)) == canonical_json(value)


def test_canonical_json_is_short_sorted_and_keeps_letters() -> None:
    assert canonical_json({"b": [1, None, True], "a": "é"}) == '{"a":"é","b":[1,null,true]}'
