"""The form that nearly all files of a workspace have, read line by line: three times as fast as libyaml's events.

`key: value` lines, `- ` lists, `[a, b]` and `{a: b}`, comments, and text that needs no escapes. Whatever could mean
anything else (anchors, tags, blocks, text over several lines, a mistake) is left to libyaml. A property test holds
that what is read here is what libyaml reads.
"""

from __future__ import annotations

import math
import re
import string
from typing import Any

MOST_CHARACTERS = 32_768
DEEPEST_COLUMN = 30
"""So there are fewer and flatter values than `drp.adapters.yaml_file` allows, and nobody has to count them."""

_INTEGER = re.compile(r"[-+]?[0-9]+")
_OCTAL_OR_HEX = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NAMED: dict[str, Any] = {"": None, "~": None, "null": None, "Null": None, "NULL": None}
_NAMED |= {word: value for value in (True, False) for word in (str(value), str(value).lower(), str(value).upper())}
_TEXT_STARTS = frozenset(string.ascii_letters + "_/") - {name[:1] for name in _NAMED}
_NUMBER_STARTS = frozenset("0123456789+-.")

# Repeats are possessive (`++`, `*+`): no text makes these expressions try twice.
_BEYOND_ASCII = "\u00a1-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff"  # none breaks a line
_KEY = r"[A-Za-z_][A-Za-z0-9_-]{0,99}+"
_QUOTED = rf'"[ !#-\[\]-~{_BEYOND_ASCII}]*+"|' + rf"'[ -&(-~{_BEYOND_ASCII}]*+'"
_START = rf"[A-Za-z0-9_/.~+$({_BEYOND_ASCII}]"
_IN_LINE = rf"[!\"$-9;-~{_BEYOND_ASCII}]"
_IN_BRACKETS = rf"[A-Za-z0-9_/.~+$()=@%;<>*&^{_BEYOND_ASCII}-]"
_WORDS = rf"{_START}{_IN_LINE}*+(?:(?: ++|:){_IN_LINE}++)*+"
_ITEM = rf"{_QUOTED}|{_START}{_IN_BRACKETS}*+(?: ++{_IN_BRACKETS}++)*+"
_GAP = r"(?: *+\n )?+ *+"
_PAIR = rf"{_KEY}: ++(?:{_ITEM}){_GAP}"
_MAPPING = rf"{{{_GAP}(?:{_PAIR}(?:,{_GAP}{_PAIR})*+)?+}}"
_ELEMENT = rf"(?:{_MAPPING}|{_ITEM}){_GAP}"
_SEQUENCE = rf"\[{_GAP}(?:{_ELEMENT}(?:,{_GAP}{_ELEMENT})*+)?+\]"

_LINES = re.compile(
    rf"^( {{0,{DEEPEST_COLUMN}}}+)(- ++)?+(?:({_KEY}):(?=[ \n]|\Z) *+)?+"
    rf"(?:({_QUOTED}|{_WORDS})|({_MAPPING}|{_SEQUENCE}))?+"
    rf" *+(?:(?<![^ \n])#[ -~{_BEYOND_ASCII}]*+)?+$",
    re.MULTILINE,
)
_PAIRS = re.compile(rf"({_KEY}): ++({_ITEM})")
_ELEMENTS = re.compile(rf"({_MAPPING})|({_ITEM})")


def plain_scalar(text: str) -> Any:
    """A scalar without quotes by YAML 1.2's core rules; numbers beyond all reason stay text."""
    if text in _NAMED:
        return _NAMED[text]
    if text[0] in _NUMBER_STARTS and len(text) <= 40:
        if _INTEGER.fullmatch(text):
            return int(text)
        if _OCTAL_OR_HEX.fullmatch(text):
            return int(text, 0)
        if _FLOAT.fullmatch(text) and math.isfinite(number := float(text)):
            return number
    return text


class _OtherForm(Exception):
    """The text may be good YAML, but is not of the form that is read here."""


def read_plain(text: str) -> dict[str, Any] | None:
    """The mapping that a text holds; None where libyaml must be asked."""
    if len(text) > MOST_CHARACTERS:
        return None
    rows = _LINES.findall(text)
    lines = text.count("\n") + 1
    if len(rows) != lines and len(rows) + sum(row[-1].count("\n") for row in rows) != lines:
        return None
    try:
        return _mapping_of(rows) or None
    except _OtherForm:
        return None


def _mapping_of(rows: list[tuple[str, str, str, str, str]]) -> dict[str, Any]:
    """`top` is the innermost open collection, `column` where its keys or dashes stand; `waiting` is its last key if
    that has no value yet: one may follow in the next lines."""
    root: dict[str, Any] = {}
    top: Any = root
    column = 0
    around: list[tuple[Any, int]] = []
    waiting = ""
    for indent, dash, key, scalar, flow in rows:
        here = len(indent)
        if not key and not dash:
            if scalar or flow:
                if not waiting or here <= column:
                    raise _OtherForm
                top[waiting] = _value(scalar, flow)
                waiting = ""
            continue
        if waiting and (here > column or (dash and here == column)):
            around.append((top, column))
            inner: Any = [] if dash else {}
            top[waiting] = inner
            top, column = inner, here
        elif here != column or (dash == "") == (type(top) is list):
            top, column = _close(top, column, around, here, list if dash else dict)
        waiting = "" if scalar or flow else key
        value = None if waiting else _value(scalar, flow)
        if not key:
            top.append(value)
        elif dash:
            item = {key: value}
            top.append(item)
            around.append((top, column))
            top, column = item, here + len(dash)
        elif key in top:
            raise _OtherForm
        else:
            top[key] = value
    return root


def _close(top: Any, column: int, around: list[tuple[Any, int]], here: int, kind: type) -> tuple[Any, int]:
    """The collection of a kind, at a column, that is still open around the innermost one."""
    while here < column or (here == column and type(top) is not kind):
        if not around:
            raise _OtherForm
        top, column = around.pop()
    if here != column:
        raise _OtherForm
    return top, column


def _value(scalar: str, flow: str) -> Any:
    if scalar:
        return scalar if scalar[0] in _TEXT_STARTS else _scalar(scalar)
    return _flow(flow)


def _scalar(text: str) -> Any:
    return text[1:-1] if text[0] in "\"'" else plain_scalar(text)


def _flow(text: str) -> Any:
    if not text:
        raise _OtherForm  # a dash with nothing behind it
    inner = text[1:-1]
    is_simple = "{" not in inner and '"' not in inner and "'" not in inner
    if text[0] == "{":
        pairs = _pairs(inner) if is_simple else _PAIRS.findall(inner)
        found = {key: _scalar(value) for key, value in pairs}
        if len(found) != len(pairs):
            raise _OtherForm
        return found
    if is_simple:
        return [plain_scalar(item) for item in _split(inner)]
    return [_flow(mapping) if mapping else _scalar(scalar) for mapping, scalar in _ELEMENTS.findall(inner)]


def _split(inner: str) -> list[str]:
    """What stands between the commas; only of text without quotes and braces."""
    return [item.strip() for item in inner.split(",")] if inner.strip() else []


def _pairs(inner: str) -> list[tuple[str, str]]:
    found = [item.partition(": ") for item in _split(inner)]
    return [(key, value.lstrip()) for key, _, value in found]
