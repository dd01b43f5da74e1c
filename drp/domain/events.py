"""The event chain: how the ledger makes an edit visible.

Each run has a chain of its own. An event's hash covers the hash before it, so nothing can be changed, removed or put
in between without every later hash changing:

    hash(n) = SHA-256( "drp-event-v1\\0" ‖ hash(n-1) as 32 bytes ‖ n as 8 bytes, big-endian ‖ canonical JSON )

The canonical JSON is that of {at, body, run, type}. `hash(0)` is the run's genesis: the hash of its plan. Whoever
rewrites the whole chain can still make a consistent one; that is why a report prints the last hash, to be kept outside
drp's reach.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

Body = dict[str, Any]
"""JSON values without floats: text, whole numbers, booleans, null, lists and objects of these."""

_PREFIX = b"drp-event-v1\0"


@dataclass(frozen=True, slots=True)
class Event:
    """One transition of a run. `at` is the wall-clock time of recording, `sequence` counts from 1 within the run."""

    run: str
    sequence: int
    at: str
    type: str
    body: Body
    previous: str
    hash: str


def canonical_json(value: Any) -> str:
    """The one way to write a value: keys sorted, no white space, no floats (they differ between implementations)."""
    _refuse_floats(value)
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def hash_of(value: Any) -> str:
    """SHA-256 of a value's canonical JSON, in hexadecimal."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def event_hash(previous: str, run: str, sequence: int, at: str, type_: str, body: Body) -> str:
    """The hash of an event, as the module's docstring defines it."""
    content = canonical_json({"at": at, "body": body, "run": run, "type": type_})
    return hashlib.sha256(
        _PREFIX + bytes.fromhex(previous) + sequence.to_bytes(8, "big") + content.encode()
    ).hexdigest()


def first_break(genesis: str, events: Iterable[Event]) -> int | None:
    """The sequence number at which a chain stops being what was recorded, or None if it is whole."""
    previous, expected = genesis, 1
    for event in events:
        if event.sequence != expected or event.previous != previous:
            return expected
        try:
            recomputed = event_hash(previous, event.run, event.sequence, event.at, event.type, event.body)
        except (TypeError, ValueError):
            return expected  # a float or half a character: nothing that was ever recorded
        if event.hash != recomputed:
            return expected
        previous, expected = event.hash, expected + 1
    return None


def _refuse_floats(value: Any) -> None:
    if isinstance(value, float):
        raise TypeError("the ledger holds no floats; write whole milliseconds or microseconds")
    if isinstance(value, dict):
        for item in value.values():
            _refuse_floats(item)
    elif isinstance(value, list | tuple):
        for item in value:
            _refuse_floats(item)
