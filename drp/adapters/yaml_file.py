"""YAML files with line numbers, read as data only.

The file is parsed by libyaml into nodes, each of which knows its line; values are built from the nodes by YAML 1.2's
rules (plain PyYAML reads 14:30 as 870 and no as False). One parser for values and lines, so both always agree. No tag
runs anything; aliases are followed, but their total is limited, so that a small file cannot become a huge one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from drp.errors import Fault

LARGEST_FILE_BYTES = 1_048_576
MOST_VALUES = 100_000
DEEPEST = 40
ALWAYS_SHALLOW_CHARACTERS = 4_000
"""A text of this length cannot nest so deeply that libyaml's composer, which calls itself, ends its stack."""

_INTEGER = re.compile(r"[-+]?[0-9]+")
_OCTAL_OR_HEX = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_WORDS: dict[str, Any] = {"": None, "~": None, "null": None, "Null": None, "NULL": None}
_WORDS |= {word: value for value in (True, False) for word in (str(value), str(value).lower(), str(value).upper())}
_KNOWN_TAGS = frozenset(
    f"tag:yaml.org,2002:{name}"
    for name in ("map", "seq", "str", "int", "float", "bool", "null", "merge", "timestamp", "value")
)

Location = tuple[str | int, ...]


class _Problem(Exception):
    def __init__(self, line: int | None, message: str, hint: str) -> None:
        super().__init__(message)
        self.line, self.message, self.hint = line, message, hint


@dataclass(frozen=True)
class YamlFile:
    """A file that could be read: its value, and the line of anything in it."""

    name: str
    value: Any
    _root: yaml.Node | None

    def line_of(self, location: Location) -> int | None:
        """The line (from 1) of the value at a path of keys; of its nearest ancestor where there is no such value.
        Words of the path that are no key there (names of a union's members, say) are passed over."""
        node = self._root
        line = 1 if node is None else node.start_mark.line + 1
        for word in location:
            if isinstance(node, yaml.MappingNode):
                found = _entry(node, str(word))
                if found is not None:
                    key, node = found
                    line = key.start_mark.line + 1
            elif isinstance(node, yaml.SequenceNode) and isinstance(word, int) and word < len(node.value):
                node = node.value[word]
                line = node.start_mark.line + 1
        return line


def read_yaml(path: Path, name: str, *, opaque_tags: frozenset[str] = frozenset()) -> YamlFile | Fault:
    """Read one file.

    Args:
        name: how messages call the file.
        opaque_tags: tags whose scalars are kept as text, such as Ansible's `!vault`.
    """
    try:
        if path.stat().st_size > LARGEST_FILE_BYTES:
            return Fault(name, None, f"the file is larger than {LARGEST_FILE_BYTES} bytes", "split it")
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        return Fault(name, None, f"not UTF-8 text: {error.reason} at byte {error.start}", "save the file as UTF-8")
    except OSError as error:
        return Fault(name, None, f"cannot be read: {error.strerror}", "check that it exists and may be read")
    try:
        if len(text) > ALWAYS_SHALLOW_CHARACTERS:
            _refuse_depth(text)
        root = yaml.compose(text, Loader=yaml.CSafeLoader)
        builder = _Builder(opaque_tags)
        value = None if root is None else builder.build(root, 0)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = None if mark is None else mark.line + 1
        return Fault(
            name, line, f"not valid YAML: {error.problem or error}", "check indentation, quotes and colons here"
        )
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        text = str(error).splitlines()[0] if str(error) else type(error).__name__
        return Fault(name, None, f"not valid YAML: {text}", "remove the characters that YAML does not allow")
    except _Problem as problem:
        return Fault(name, problem.line, problem.message, problem.hint)
    return YamlFile(name, value, root)


def _refuse_depth(text: str) -> None:
    """Look at the events first, which libyaml gives one by one: its composer would crash on a very deep text."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > DEEPEST + 1:
            line = None if event.start_mark is None else event.start_mark.line + 1
            raise _Problem(line, "too deeply nested values", "make it simpler")


def _entry(node: yaml.MappingNode, key: str) -> tuple[yaml.Node, yaml.Node] | None:
    merged: tuple[yaml.Node, yaml.Node] | None = None
    for key_node, value_node in node.value:
        if key_node.value == key:
            return key_node, value_node
        if key_node.value == "<<":
            sources = value_node.value if isinstance(value_node, yaml.SequenceNode) else [value_node]
            for source in sources:
                if merged is None and isinstance(source, yaml.MappingNode):
                    merged = _entry(source, key)
    return merged


class _Builder:
    """Builds plain values from nodes, counting as it goes."""

    def __init__(self, opaque_tags: frozenset[str]) -> None:
        self.opaque_tags = opaque_tags
        self.count = 0

    def build(self, node: yaml.Node, depth: int) -> Any:
        self.count += 1
        line = node.start_mark.line + 1
        if self.count > MOST_VALUES or depth > DEEPEST:
            raise _Problem(line, "too many or too deeply nested values (aliases count each time)", "make it simpler")
        if node.tag in self.opaque_tags and isinstance(node, yaml.ScalarNode):
            return str(node.value)
        if node.tag not in _KNOWN_TAGS:
            raise _Problem(line, f"the tag {node.tag!r} is not allowed", "write the value without a tag")
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, depth)
        if isinstance(node, yaml.SequenceNode):
            return [self.build(item, depth + 1) for item in node.value]
        assert isinstance(node, yaml.ScalarNode)
        return _scalar(node)

    def _mapping(self, node: yaml.MappingNode, depth: int) -> dict[str, Any]:
        own: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                raise _Problem(line, "a key that is not a plain word", "use a word as the key")
            key = str(key_node.value)
            if key == "<<" and not key_node.style:
                self._merge(merged, value_node, depth)
                continue
            if key in own:
                raise _Problem(line, f"the key {key!r} stands twice", "keep one of the two")
            own[key] = self.build(value_node, depth + 1)
        return merged | own

    def _merge(self, merged: dict[str, Any], node: yaml.Node, depth: int) -> None:
        value = self.build(node, depth + 1)
        for source in value if isinstance(value, list) else [value]:
            if not isinstance(source, dict):
                raise _Problem(node.start_mark.line + 1, "<< needs a mapping to merge", "merge an anchored mapping")
            merged.update({key: item for key, item in source.items() if key not in merged})


def _scalar(node: yaml.ScalarNode) -> Any:
    """A scalar by YAML 1.2's core rules; whatever is quoted or a block is text."""
    text = str(node.value)
    if node.style:
        return text
    if text in _WORDS:
        return _WORDS[text]
    if len(text) <= 40:
        if _INTEGER.fullmatch(text):
            return int(text)
        if _OCTAL_OR_HEX.fullmatch(text):
            return int(text, 0)
        if _FLOAT.fullmatch(text):
            return float(text)
    return text
