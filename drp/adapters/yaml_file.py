"""YAML files with line numbers, read as data only.

libyaml gives one event after the other; values are built from them by YAML 1.2's rules (plain PyYAML reads 14:30 as
870 and no as False). Nobody needs the lines of a file without faults: most files are read the quick way, without them
(`drp.adapters.yaml_quick`), and again by this one when somebody asks for a line. No tag runs anything; aliases are
followed, but their total is limited, so that a small file cannot become a huge one.
"""

from __future__ import annotations

import math
import os
import re
import stat
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn

import yaml
from yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    StreamEndEvent,
)

from drp.adapters.yaml_quick import read_quickly
from drp.errors import Fault

LARGEST_FILE_BYTES = 1_048_576
MOST_VALUES = 100_000
DEEPEST = 40
MOST_TAG_DIRECTIVES = 20
"""libyaml compares each with all before it."""

_TAG_DIRECTIVE = re.compile("(?:^|[\r\x85\u2028\u2029])%TAG", re.MULTILINE)
_TEXT_TAGS, _MAPPING_TAGS, _SEQUENCE_TAGS = (frozenset({"!", f"tag:yaml.org,2002:{x}"}) for x in ("str", "map", "seq"))

_INTEGER = re.compile(r"[-+]?[0-9]+")
_OCTAL_OR_HEX = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NAMED: dict[str, Any] = {"": None, "~": None, "null": None, "Null": None, "NULL": None}
_NAMED |= {word: value for value in (True, False) for word in (str(value), str(value).lower(), str(value).upper())}
_NUMBER_STARTS = frozenset("0123456789+-.")

Location = tuple[str | int, ...]


class _Problem(Exception):
    def __init__(self, line: int | None, message: str, hint: str) -> None:
        super().__init__(message)
        self.line, self.message, self.hint = line, message, hint


@dataclass(slots=True)
class _Place:
    """Where a value stands, and the places of what is in it."""

    line: int
    items: dict[str | int, _Place]


@dataclass(frozen=True)
class YamlFile:
    """A file that could be read."""

    name: str
    value: Any
    text: str
    opaque_tags: frozenset[str]

    @cached_property
    def _root(self) -> _Place:
        return _Builder(self.text, self.opaque_tags, keep_places=True).build()[1]

    def line_of(self, location: Location) -> int:
        """The line (from 1) of the value at a path of keys; of its nearest ancestor where there is no such value.
        Words of the path that are no key there (names of a union's members, say) are passed over."""
        place = self._root
        for word in location:
            place = place.items.get(word, place)
        return place.line


def read_yaml(
    path: Path, name: str, *, opaque_tags: frozenset[str] = frozenset(), largest: int = LARGEST_FILE_BYTES
) -> YamlFile | Fault:
    """Read one file.

    Args:
        name: how messages call the file.
        opaque_tags: tags whose scalars are kept as text, such as Ansible's `!vault`.
        largest: in bytes; more are not read.
    """
    try:
        content = _content(path, largest + 1)
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        return Fault(name, None, f"not UTF-8 text: {error.reason} at byte {error.start}", "save the file as UTF-8")
    except OSError as error:
        return Fault(name, None, f"cannot be read: {error.strerror}", "check that it exists and may be read")
    if len(content) > largest:
        return Fault(
            name, None, f"the file is larger than {largest} bytes", "split it, or leave out what is not needed"
        )
    try:
        value: Any = read_quickly(text, DEEPEST)
        if value is None:
            value, _ = _Builder(text, opaque_tags, keep_places=False).build()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = None if mark is None else mark.line + 1
        return Fault(
            name, line, f"not valid YAML: {error.problem or error}", "check indentation, quotes and colons here"
        )
    except (yaml.YAMLError, ValueError) as error:
        message = str(error).splitlines()[0] if str(error) else type(error).__name__
        return Fault(name, None, f"not valid YAML: {message}", "remove the characters that YAML does not allow")
    except _Problem as problem:
        return Fault(name, problem.line, problem.message, problem.hint)
    return YamlFile(name, value, text, opaque_tags)


def _content(path: Path, most: int) -> bytes:
    """The first bytes of an ordinary file. Anything else (a pipe, say) is not waited for."""
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(0, "it is a folder" if stat.S_ISDIR(status.st_mode) else "it is no ordinary file")
        content = os.read(handle, most)
        while len(content) < min(most, status.st_size) and (more := os.read(handle, most - len(content))):
            content += more
        return content
    finally:
        os.close(handle)


@dataclass(slots=True)
class _Anchored:
    """What an alias stands for. `text` only for scalars, which may be keys; `count` and `height` are its size."""

    value: Any
    text: str | None
    count: int
    height: int
    place: _Place | None


Merges = list[tuple[dict[str, Any], _Place | None]]


class _Builder:
    """Builds plain values from libyaml's events, counting as it goes."""

    def __init__(self, text: str, opaque_tags: frozenset[str], *, keep_places: bool) -> None:
        if "%TAG" in text and len(_TAG_DIRECTIVE.findall(text)) > MOST_TAG_DIRECTIVES:
            raise _Problem(None, "too many %TAG directives", "write values without tags")
        self.next_event: Any = yaml.CSafeLoader(text).get_event
        self.opaque_tags = opaque_tags
        self.keep_places = keep_places
        self.anchors: dict[str, _Anchored] = {}
        self.count = 0
        self.reached = 0  # the depth of the deepest collection in the innermost open one

    def build(self) -> tuple[Any, _Place]:
        value: Any = None
        place: _Place | None = None
        documents = 0
        while True:
            event = self.next_event()
            if type(event) is StreamEndEvent:
                return value, place or _Place(1, {})
            if type(event) is DocumentStartEvent:
                documents += 1
                if documents > 1:
                    raise _problem(event, "a second document starts here", "keep one document in each file")
                value, place = self._value(self.next_event(), 0)

    def _value(self, event: Any, depth: int) -> tuple[Any, _Place | None]:
        """Any value, and its place where places are kept. `depth` counts the collections around it."""
        if type(event) is AliasEvent:
            return self._alias(event, depth)
        if type(event) is ScalarEvent:
            return self._scalar(event)
        if depth == DEEPEST:
            _refuse_size(event)
        self.anchors.pop(event.anchor, None)  # it stands for what starts here, and for nothing until that has ended
        before, outside = self.count, self.reached
        self.count += 1
        self.reached = depth + 1
        value, place = (self._mapping if type(event) is MappingStartEvent else self._sequence)(event, depth + 1)
        if self.count > MOST_VALUES:
            _refuse_size(event)
        if event.anchor is not None:
            count, height = self.count - before, self.reached - depth
            self.anchors[event.anchor] = _Anchored(value, None, count, height, place)
        self.reached = max(outside, self.reached)
        return value, place

    def _scalar(self, event: Any) -> tuple[Any, _Place | None]:
        text = event.value
        value, place = text if self._is_text(event) else _plain(text), self._place(event)
        if event.anchor is not None:
            self.anchors[event.anchor] = _Anchored(value, text, 1, 0, place)
        return value, place

    def _mapping(self, start: Any, depth: int) -> tuple[dict[str, Any], _Place | None]:
        if start.tag is not None:
            self._check_tag(start, _MAPPING_TAGS)
        next_event = self.next_event
        found: dict[str, Any] = {}
        place = self._place(start)
        merges: Merges = []
        while True:
            event = next_event()
            kind = type(event)
            if kind is MappingEndEvent:
                break
            if kind is ScalarEvent and event.tag is None and event.anchor is None:
                key = event.value
                if key == "<<" and not event.style:
                    self._add_merge(merges, event, depth)
                    continue
            else:
                key = self._unusual_key(event)
            if key in found:
                raise _problem(event, f"the key {quoted(key)} stands twice", "keep one of the two")
            following = next_event()
            if type(following) is ScalarEvent and following.tag is None and following.anchor is None:
                found[key] = following.value if following.style else _plain(following.value)
                inner = None
            else:
                found[key], inner = self._value(following, depth)
            if place is not None:
                place.items[key] = _Place(event.start_mark.line + 1, inner.items if inner else {})
        self.count += 2 * len(found)
        _merge(found, place, merges)
        return found, place

    def _sequence(self, start: Any, depth: int) -> tuple[list[Any], _Place | None]:
        if start.tag is not None:
            self._check_tag(start, _SEQUENCE_TAGS)
        next_event = self.next_event
        found: list[Any] = []
        place = self._place(start)
        while True:
            event = next_event()
            kind = type(event)
            if kind is SequenceEndEvent:
                break
            if kind is ScalarEvent and event.tag is None and event.anchor is None:
                found.append(event.value if event.style else _plain(event.value))
                inner = None
            else:
                value, inner = self._value(event, depth)
                found.append(value)
            if place is not None:
                place.items[len(found) - 1] = _Place(event.start_mark.line + 1, inner.items if inner else {})
        self.count += len(found)
        return found, place

    def _unusual_key(self, event: Any) -> str:
        """A key with an anchor or a tag, or an alias of a scalar."""
        if type(event) is AliasEvent:
            text = self._anchored(event).text
            if text is not None:
                return text
        elif type(event) is ScalarEvent:
            self._scalar(event)
            key: str = event.value
            return key
        raise _problem(event, "a key that is not a plain word", "use a word as the key")

    def _add_merge(self, merges: Merges, event: Any, depth: int) -> None:
        """Note what a `<<` brings in: a mapping, or a list of them."""
        value, place = self._value(self.next_event(), depth)
        sources = value if isinstance(value, list) else [value]
        for position, source in enumerate(sources):
            if not isinstance(source, dict):
                raise _problem(event, "<< needs a mapping to merge", "merge an anchored mapping")
            merges.append((source, place.items.get(position) if place and isinstance(value, list) else place))

    def _alias(self, event: Any, depth: int) -> tuple[Any, _Place | None]:
        anchored = self._anchored(event)
        self.count += anchored.count
        self.reached = max(self.reached, depth + anchored.height)
        if self.count > MOST_VALUES or depth + anchored.height > DEEPEST:
            _refuse_size(event)
        return _copy(anchored.value), anchored.place

    def _anchored(self, event: Any) -> _Anchored:
        anchored = self.anchors.get(event.anchor)
        if anchored is None:
            hint = "an alias *name needs an anchor &name that ended before it"
            raise _problem(event, f"the alias {quoted(event.anchor)} stands for nothing here", hint)
        return anchored

    def _is_text(self, event: Any) -> bool:
        if event.tag is None:
            return bool(event.style)
        if event.tag not in self.opaque_tags:
            self._check_tag(event, _TEXT_TAGS)
        return True

    def _check_tag(self, event: Any, allowed: frozenset[str]) -> None:
        if event.tag not in allowed:
            raise _problem(event, f"the tag {quoted(event.tag)} is not allowed", "write the value without a tag")

    def _place(self, event: Any) -> _Place | None:
        return _Place(event.start_mark.line + 1, {}) if self.keep_places else None


def _merge(found: dict[str, Any], place: _Place | None, merges: Merges) -> None:
    """Give a mapping what its `<<` bring in: its own keys win, then those of earlier sources."""
    for source, inner in merges:
        for key, value in source.items():
            if key not in found:
                found[key] = value
                if place is not None and inner is not None and key in inner.items:
                    place.items[key] = inner.items[key]


def _copy(value: Any) -> Any:
    """What an alias gives is its own: changing it changes nothing else."""
    if isinstance(value, dict):
        return {key: _copy(inner) for key, inner in value.items()}
    return [_copy(inner) for inner in value] if isinstance(value, list) else value


def _problem(event: Any, message: str, hint: str) -> _Problem:
    return _Problem(event.start_mark.line + 1, message, hint)


def _refuse_size(event: Any) -> NoReturn:
    raise _problem(event, "too many or too deeply nested values (aliases count each time)", "make it simpler")


def quoted(text: str) -> str:
    """A text out of a file, for a message: in quotes, on one line, and cut where it is long."""
    return repr(text if len(text) <= 60 else text[:60] + "…")


def printable(text: str) -> str:
    """A name out of a file or a folder, for a line of a terminal: nothing in it moves the cursor or fails to print."""
    return text if text.isprintable() else repr(text)[1:-1]


def _plain(text: str) -> Any:
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
