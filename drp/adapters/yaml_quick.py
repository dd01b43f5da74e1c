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

# Where a value or a key may begin, what is no plain one: an alias, a tag, a block, a directive, 0777, .inf …
_MAY_MEAN_ANOTHER = re.compile(
    r"(?:\A|\n|[:-] |[\[{,]) *+(?:[&*!|>?%]|---|\.\.\.|[+-]?(?:0[0-9A-Za-z]|[0-9.]{15}|\.[IiNn]))"
    r"|<<|[\x00-\x09\x0b-\x1f\x7f]"  # a merge, a control character
)


def read_quickly(text: str, deepest: int) -> dict[str, Any] | None:
    """The mapping that a text holds; None where the other reader must be asked."""
    if loads is None or len(text) > MOST_CHARACTERS or not text.isascii() or _MAY_MEAN_ANOTHER.search(text):
        return None
    if text.count("[") + text.count("{") > MOST_BRACKETS:
        return None
    try:
        value = loads(text)
    except ValueError:
        return None
    return value if isinstance(value, dict) and _is_plain(value, deepest) else None


def _is_plain(value: Any, depth: int) -> bool:
    """Whether all keys are texts, and nothing lies deeper than so many collections."""
    if type(value) is dict:
        return depth > 0 and all(type(key) is str and _is_plain(item, depth - 1) for key, item in value.items())
    if type(value) is list:
        return depth > 0 and all(_is_plain(item, depth - 1) for item in value)
    return True
