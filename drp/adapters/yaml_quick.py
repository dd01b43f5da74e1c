"""The quick reader of YAML: ryaml (Rust), three times as fast as building values from libyaml's events.

It knows no lines, reads some numbers otherwise than YAML 1.2's core rules do, and follows aliases without a limit. So
it gets only texts in which none of that can matter; a property test holds that it reads these as
`drp.adapters.yaml_file` does. All else, and every mistake, is left to that reader.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

loads: Callable[[str], Any] | None
try:
    from ryaml import loads
except ImportError:  # there is no build of it for this machine: the other reader reads everything
    loads = None

MOST_CHARACTERS = 65_536
MOST_BRACKETS = 1_000
"""Ryaml looks through all open brackets again and again: 65 000 of them take it eight seconds."""

# Where a value or a key may begin, what is no plain one: an alias, a tag, a block, a directive, 0777 …
_MAY_MEAN_ANOTHER = re.compile(r"[\n:\[{,-](?:(?<![:-])| ) *+(?:[&*!|>?%]|---|\.\.\.|[+-]?0[0-9A-Za-z])")
# What must stand somewhere in a text for the above to be found. Looking for these first takes a tenth of the time.
_ITS_SIGNS = ("&", "*", "!", "|", ">", "?", "%", "---", "...")
_ITS_NUMBER = re.compile(r"0[0-9A-Za-z](?<![0-9A-Za-z]..)")


def read_quickly(text: str, deepest: int) -> dict[str, Any] | None:
    """The mapping that a text holds; None where the other reader must be asked."""
    if loads is None or len(text) > MOST_CHARACTERS or text.count("[") + text.count("{") > MOST_BRACKETS:
        return None
    if "<<" in text or not text.replace("\n", "").isprintable() or _may_mean_another(text):
        return None
    try:
        value = loads(text)
    except ValueError:
        return None
    return value if isinstance(value, dict) and _is_plain(value, deepest) else None


def _may_mean_another(text: str) -> bool:
    if _ITS_NUMBER.search(text) or any(sign in text for sign in _ITS_SIGNS):
        return _MAY_MEAN_ANOTHER.search("\n" + text) is not None
    return False


def _is_plain(value: Any, depth: int) -> bool:
    """Whether all keys are texts, nothing lies deeper than so many collections, and there is no number with a
    fraction: ryaml makes one of what YAML's rules or ours call infinite, a long whole number, or a text."""
    items = value
    if type(value) is dict:
        for key in value:
            if type(key) is not str:
                return False
        items = value.values()
    for item in items:  # over all values of a city: a generator would take twice as long
        kind = type(item)
        if kind is float or ((kind is dict or kind is list) and (depth == 1 or not _is_plain(item, depth - 1))):
            return False
    return True
