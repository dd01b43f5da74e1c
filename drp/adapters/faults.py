"""What pydantic has against a file's values, told as faults: where, what, and what to do about it."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from drp.adapters.yaml_file import YamlFile, printable
from drp.domain.values import PATTERN_HINTS, TEXT_PATTERN
from drp.errors import Fault

LONGEST_MESSAGE = 400
MOST_FAULTS_LEFT_OUT = 1_000
"""A file with more faults is not looked at again without them."""

AnyModel = TypeVar("AnyModel", bound=BaseModel)

_GONE = object()


def faults_in(file: YamlFile, error: ValidationError) -> list[Fault]:
    """All faults of a file that its model finds."""
    details = error.errors(include_url=False)
    return [_fault(file, detail) for detail, follows in zip(details, _following(details), strict=True) if not follows]


def without_faults(value: Any, model: type[AnyModel], error: ValidationError) -> AnyModel | None:
    """What is left of a file without its faulty values, so that references to and from it can be checked in the same
    run. None where what is missing was required. Never used for anything but more messages: the faults stay."""
    rest = copy.deepcopy(value)
    for _ in range(3):
        if error.error_count() > MOST_FAULTS_LEFT_OUT:
            return None
        details = error.errors(include_url=False, include_context=False, include_input=False)
        take_away(rest, [detail["loc"] for detail in details])
        try:
            return model.model_validate(rest)
        except ValidationError as again:
            error = again
    return None


def take_away(whole: Any, locations: Iterable[tuple[str | int, ...]]) -> None:
    """Take the values at some locations out of their mappings; in a list, the whole element goes."""
    shortened: dict[int, list[Any]] = {}
    for location in locations:
        holder: Any = None
        key: Any = None
        value: Any = whole
        for word in location:
            is_key = isinstance(value, dict) and word in value
            is_position = isinstance(value, list) and isinstance(word, int) and word < len(value)
            if is_key or is_position:
                holder, key, value = value, word, value[word]
        if isinstance(holder, list):
            holder[key] = _GONE
            shortened[id(holder)] = holder
        elif isinstance(holder, dict):
            holder.pop(key, None)
    for items in shortened.values():
        items[:] = [item for item in items if item is not _GONE]


def _following(details: Sequence[Any]) -> list[bool]:
    """For each detail, whether a list is only called too short because its faulty items were not counted."""
    around = {detail["loc"][:length] for detail in details for length in range(len(detail["loc"]))}
    return [detail["type"] == "too_short" and detail["loc"] in around for detail in details]


def _fault(file: YamlFile, detail: Any) -> Fault:
    location = tuple(detail["loc"])
    if detail["type"] == "union_tag_invalid":
        location += (str(detail["ctx"]["discriminator"]).strip("'"),)
    keys = printable(".".join(str(word)[:60] for word in location))
    message = f"{keys}: {message_of(detail)}" if keys else message_of(detail)
    return Fault(file.name, file.line_of(location), message, hint_of(detail), code_of(detail))


def code_of(detail: Any) -> str:
    """The kind of a fault, for programs."""
    return {"extra_forbidden": "unknown-key", "missing": "missing-key"}.get(detail["type"], "bad-value")


def message_of(detail: Any) -> str:
    """What is wrong with a value."""
    kind, given = detail["type"], detail.get("input")
    if kind == "extra_forbidden":
        return "unknown key"
    if kind == "missing":
        return "required, but missing"
    text = str(detail["msg"]).removeprefix("Value error, ")
    if kind == "string_pattern_mismatch":
        what = "text" if detail["ctx"]["pattern"] == TEXT_PATTERN else "name"
        text = f"{_short(given)} is not an allowed {what}"
    elif kind != "value_error" and isinstance(given, str | int | float | bool | None):
        text = f"{text} (found {_short(given)})"
    return printable(text if len(text) <= LONGEST_MESSAGE else text[:LONGEST_MESSAGE] + "…")


def hint_of(detail: Any) -> str:
    """What to write instead."""
    kind = detail["type"]
    if kind == "extra_forbidden":
        return "check the spelling and the indentation, or remove it"
    if kind == "missing":
        return f"add the key {detail['loc'][-1]!r} here"
    if kind == "string_pattern_mismatch":
        pattern = detail["ctx"]["pattern"]
        return PATTERN_HINTS.get(pattern, f"the allowed form is {pattern}")
    return "correct the value"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "…'"
