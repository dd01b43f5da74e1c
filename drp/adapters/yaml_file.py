"""YAML files with line numbers, read as data only.

libyaml gives one event after the other; values are built from them by YAML 1.2's rules (plain PyYAML reads 14:30 as
870 and no as False). Nobody needs the lines of a file without faults, so they are kept only in a second reading, by
the same code, when somebody asks. No tag runs anything; aliases are followed, but their total is limited, so that a
small file cannot become a huge one.
"""

from __future__ import annotations

import copy
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from drp.errors import Fault

LARGEST_FILE_BYTES = 1_048_576
MOST_VALUES = 100_000
DEEPEST = 40

_INTEGER = re.compile(r"[-+]?[0-9]+")
_OCTAL_OR_HEX = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_WORDS: dict[str, Any] = {"": None, "~": None, "null": None, "Null": None, "NULL": None}
_WORDS |= {word: value for value in (True, False) for word in (str(value), str(value).lower(), str(value).upper())}
_NUMBER_STARTS = frozenset("0123456789+-.")
_TEXT_TAGS = frozenset({"!", "tag:yaml.org,2002:str"})
_KNOWN_TAGS = _TEXT_TAGS | {f"tag:yaml.org,2002:{name}" for name in ("map", "seq", "int", "float", "bool", "null")}

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


def read_yaml(path: Path, name: str, *, opaque_tags: frozenset[str] = frozenset()) -> YamlFile | Fault:
    """Read one file.

    Args:
        name: how messages call the file.
        opaque_tags: tags whose scalars are kept as text, such as Ansible's `!vault`.
    """
    try:
        with path.open("rb") as stream:
            content = stream.read(LARGEST_FILE_BYTES + 1)
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        return Fault(name, None, f"not UTF-8 text: {error.reason} at byte {error.start}", "save the file as UTF-8")
    except OSError as error:
        return Fault(name, None, f"cannot be read: {error.strerror}", "check that it exists and may be read")
    if len(content) > LARGEST_FILE_BYTES:
        return Fault(name, None, f"the file is larger than {LARGEST_FILE_BYTES} bytes", "split it")
    try:
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


@dataclass(slots=True)
class _Anchored:
    """What an alias stands for. `text` only for scalars, which may be keys; `count` and `height` are its size."""

    value: Any
    text: str | None
    count: int
    height: int
    place: _Place | None


class _Collection:
    """A mapping or a sequence that is being built."""

    __slots__ = ("anchor", "count_before", "height", "key", "key_line", "line", "merged", "place", "value")

    def __init__(self, value: Any, event: Any, count: int) -> None:
        self.value = value
        self.anchor: str | None = event.anchor
        self.line: int = event.start_mark.line + 1
        self.count_before = count
        self.height = 0
        self.key: str | None = None
        self.key_line = 0
        self.merged: list[tuple[dict[str, Any], _Place | None]] | None = None
        self.place: _Place | None = None


class _Builder:
    """Builds plain values from libyaml's events, counting as it goes. It calls itself nowhere: depth costs no stack."""

    def __init__(self, text: str, opaque_tags: frozenset[str], *, keep_places: bool) -> None:
        self.parser: Any = yaml.CSafeLoader(text)
        self.opaque_tags = opaque_tags
        self.keep_places = keep_places
        self.open: list[_Collection] = []
        self.anchors: dict[str, _Anchored] = {}
        self.count = 0
        self.root: Any = None
        self.root_place = _Place(1, {})

    def build(self) -> tuple[Any, _Place]:
        next_event = self.parser.get_event
        documents = 0
        while True:
            event = next_event()
            kind = type(event)
            if kind is yaml.ScalarEvent:
                self._scalar(event)
            elif kind is yaml.MappingStartEvent:
                self._start({}, event)
            elif kind is yaml.SequenceStartEvent:
                self._start([], event)
            elif kind is yaml.MappingEndEvent or kind is yaml.SequenceEndEvent:
                self._end()
            elif kind is yaml.AliasEvent:
                self._alias(event)
            elif kind is yaml.DocumentStartEvent:
                documents += 1
                if documents > 1:
                    line = event.start_mark.line + 1
                    raise _Problem(line, "a second document starts here", "keep one document in each file")
            elif kind is yaml.StreamEndEvent:
                return self.root, self.root_place

    def _scalar(self, event: Any) -> None:
        self.count += 1
        text = event.value
        is_text = bool(event.style)
        if event.tag is not None:
            if event.tag not in self.opaque_tags:
                self._check_tag(event)
            is_text = is_text or event.tag in _TEXT_TAGS or event.tag in self.opaque_tags
        holder = self.open[-1] if self.open else None
        if holder is not None and holder.key is None and type(holder.value) is dict:
            if event.anchor is not None:
                self.anchors[event.anchor] = _Anchored(text if is_text else _plain(text), text, 1, 0, None)
            self._set_key(holder, text, event.start_mark.line + 1, is_merge=text == "<<" and not is_text)
            return
        value = text if is_text else _plain(text)
        place = _Place(event.start_mark.line + 1, {}) if self.keep_places else None
        if event.anchor is not None:
            self.anchors[event.anchor] = _Anchored(value, text, 1, 0, place)
        self._add(value, place, 0, event)

    def _start(self, value: Any, event: Any) -> None:
        self.count += 1
        if event.tag is not None:
            self._check_tag(event)
        self._refuse_key_that_is_none(event)
        collection = _Collection(value, event, self.count - 1)
        if self.keep_places:
            collection.place = _Place(collection.line, {})
        self.open.append(collection)
        if len(self.open) > DEEPEST + 1:
            self._refuse_size(event)

    def _end(self) -> None:
        collection = self.open.pop()
        if collection.merged is not None:
            _merge(collection)
        if collection.anchor is not None:
            self.anchors[collection.anchor] = _Anchored(
                collection.value, None, self.count - collection.count_before, collection.height + 1, collection.place
            )
        self._add(collection.value, collection.place, collection.height + 1, None)

    def _alias(self, event: Any) -> None:
        anchored = self.anchors.get(event.anchor)
        line = event.start_mark.line + 1
        if anchored is None:
            hint = "an alias *name needs an anchor &name that ended before it"
            raise _Problem(line, f"the alias {event.anchor!r} stands for nothing here", hint)
        self.count += anchored.count
        if len(self.open) + anchored.height > DEEPEST + 1:
            self._refuse_size(event)
        holder = self.open[-1] if self.open else None
        if holder is not None and holder.key is None and type(holder.value) is dict:
            if anchored.text is None:
                self._refuse_key_that_is_none(event)
            else:
                self._set_key(holder, anchored.text, line, is_merge=False)
            return
        self._refuse_if_many(event)
        self._add(copy.deepcopy(anchored.value), anchored.place, anchored.height, event)

    def _set_key(self, holder: _Collection, key: str, line: int, *, is_merge: bool) -> None:
        holder.key_line = line
        if is_merge and holder.merged is None:
            holder.merged = []
        elif key in holder.value:
            raise _Problem(line, f"the key {key!r} stands twice", "keep one of the two")
        holder.key = "<<" if is_merge else key
        if is_merge:
            holder.key_line = -line  # told apart from a quoted "<<", which is an ordinary key

    def _add(self, value: Any, place: _Place | None, height: int, event: Any) -> None:
        if event is not None and self.count > MOST_VALUES:
            self._refuse_size(event)
        if not self.open:
            self.root = value
            if place is not None:
                self.root_place = place
            return
        holder = self.open[-1]
        holder.height = max(holder.height, height)
        if type(holder.value) is list:
            if place is not None and holder.place is not None:
                holder.place.items[len(holder.value)] = place
            holder.value.append(value)
            return
        key = holder.key
        assert key is not None
        if holder.key_line < 0:
            self._add_merge(holder, value, place)
        else:
            holder.value[key] = value
            if place is not None and holder.place is not None:
                holder.place.items[key] = _Place(holder.key_line, place.items)
        holder.key = None

    def _add_merge(self, holder: _Collection, value: Any, place: _Place | None) -> None:
        assert holder.merged is not None
        sources = value if isinstance(value, list) else [value]
        for position, source in enumerate(sources):
            if not isinstance(source, dict):
                raise _Problem(-holder.key_line, "<< needs a mapping to merge", "merge an anchored mapping")
            inner = place.items.get(position) if place is not None and isinstance(value, list) else place
            holder.merged.append((source, inner))

    def _check_tag(self, event: Any) -> None:
        if event.tag not in _KNOWN_TAGS:
            line = event.start_mark.line + 1
            raise _Problem(line, f"the tag {event.tag!r} is not allowed", "write the value without a tag")

    def _refuse_key_that_is_none(self, event: Any) -> None:
        holder = self.open[-1] if self.open else None
        if holder is not None and holder.key is None and type(holder.value) is dict:
            raise _Problem(event.start_mark.line + 1, "a key that is not a plain word", "use a word as the key")

    def _refuse_if_many(self, event: Any) -> None:
        if self.count > MOST_VALUES:
            self._refuse_size(event)

    def _refuse_size(self, event: Any) -> None:
        line = event.start_mark.line + 1
        raise _Problem(line, "too many or too deeply nested values (aliases count each time)", "make it simpler")


def _merge(collection: _Collection) -> None:
    """Give a mapping what its `<<` bring in: its own keys win, then those of earlier sources."""
    assert collection.merged is not None
    for source, place in collection.merged:
        for key, value in source.items():
            if key not in collection.value:
                collection.value[key] = value
                if place is not None and collection.place is not None and key in place.items:
                    collection.place.items[key] = place.items[key]


def _plain(text: str) -> Any:
    """A plain scalar by YAML 1.2's core rules."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] in _NUMBER_STARTS and len(text) <= 40:
        if _INTEGER.fullmatch(text):
            return int(text)
        if _OCTAL_OR_HEX.fullmatch(text):
            return int(text, 0)
        if _FLOAT.fullmatch(text):
            return float(text)
    return text
