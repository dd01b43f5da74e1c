"""drp reads every file as a reader that others wrote for YAML 1.2 does, and finds its lines where that one does."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq

from drp.adapters.yaml_file import DEEPEST, YamlFile, _Builder, read_yaml
from drp.adapters.yaml_quick import read_quickly
from tests.bench.cities import write_city
from tests.fakes.yaml_texts import damaged, documents

REPOSITORY = Path(__file__).parents[3]
FOLDERS = ("inventories", "runbooks", "drp/adapters/templates")
SHIPPED = [
    REPOSITORY / "drp.yaml",
    *(path for folder in FOLDERS for path in sorted((REPOSITORY / folder).rglob("*.yaml"))),
]
TEXTS = [path.read_text(encoding="utf-8") for path in SHIPPED]
VAULT = frozenset({"!vault"})
QUICK = settings(
    deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], max_examples=150
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "file.yaml"


def by_drp(file: Path, text: str) -> Any:
    """What drp makes of a text; a Fault where it refuses."""
    file.write_text(text, encoding="utf-8", newline="")
    found = read_yaml(file, "file.yaml", opaque_tags=VAULT)
    return found.value if isinstance(found, YamlFile) else found


def by_ruamel(text: str) -> Any:
    reader = YAML(typ="safe", pure=True)
    reader.version = (1, 2)
    return reader.load(text)


@QUICK
@given(text=documents())
def test_a_document_reads_as_an_independent_reader_of_yaml_1_2_reads_it(file: Path, text: str) -> None:
    assert repr(in_order(by_drp(file, text))) == repr(in_order(by_ruamel(text)))


def in_order(value: Any) -> Any:
    """Merged keys come first for the one and last for the other reader; their order means nothing."""
    if isinstance(value, dict):
        return {key: in_order(value[key]) for key in sorted(value)}
    return [in_order(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_a_shipped_file_reads_the_same_by_all_readers(file: Path, path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    value = by_drp(file, text)
    assert value == without_dates(by_ruamel(text))


def without_dates(value: Any) -> Any:
    """The other reader makes days of what looks like one, which YAML 1.2 does not ask for."""
    if isinstance(value, dict):
        return {key: without_dates(item) for key, item in value.items()}
    if isinstance(value, list):
        return [without_dates(item) for item in value]
    return value.isoformat() if hasattr(value, "isoformat") else value


@settings(QUICK, max_examples=300)
@given(text=damaged(st.sampled_from(TEXTS) | documents()))
def test_what_the_quick_reader_takes_the_other_one_reads_the_same(text: str) -> None:
    found = read_quickly(text, DEEPEST)
    if found is not None:
        assert repr(found) == repr(_Builder(text, frozenset(), keep_places=False).build()[0])


@pytest.mark.parametrize(
    "text",
    [
        *("a", "- a", "a: *b", "a: &b c", "!x\na: b", "a: !x b", "a:\n  !x b", "<<: {a: b}", "{<<: {a: b}}", "1: a"),
        *(
            "true: a",
            "a: 0777",
            "a: [0b11]",
            "a: 1.5",
            "a: 1e3",
            "a: " + "9" * 20,
            "a: " + "9" * 41,
            "a: .inf",
            "a: [.nan]",
            "a: +0x1",
            "a: |\n  b",
        ),
        *(
            "%YAML 1.1\n---\na: b",
            "a: b\n---\nc: d",
            "a: b\n...",
            "a:\tb",
            "a: 1\na: 2",
            "a: \x85",
            "a: \u2028",
            "\ufeffa: b",
            "a: \xa0",
            "a: \x07",
            "[a",
        ),
        "\n".join(" " * depth + "a:" for depth in range(60)),
        *("a:\n  017", "a:\n  -.INF", "a:\n  0b1", "- a\n- 017", "a: " + "b" * 70_000, "a: " + "[" * 1_001),
    ],
    ids=ascii,
)
def test_what_may_mean_another_thing_is_left_to_the_other_reader(text: str) -> None:
    assert read_quickly(text, DEEPEST) is None


def test_most_services_are_read_the_quick_way(tmp_path: Path) -> None:
    write_city(tmp_path, 100)
    texts = [path.read_text(encoding="utf-8") for path in (tmp_path / "inventories" / "services").iterdir()]
    assert sum(read_quickly(text, DEEPEST) is not None for text in texts) > 90


@QUICK
@given(text=documents())
def test_lines_are_where_an_independent_reader_finds_them(file: Path, text: str) -> None:
    file.write_text(text, encoding="utf-8")
    found = read_yaml(file, "file.yaml")
    assert isinstance(found, YamlFile), found
    check_lines(found, YAML(typ="rt", pure=True).load(io.StringIO(text)), ())


def check_lines(found: YamlFile, node: Any, location: tuple[str | int, ...]) -> None:
    """Compare the line of everything below a node with the places that ruamel keeps for its round trip. It keeps none
    for what a merge brings in, nor for an alias in a list."""
    children: list[tuple[str | int, Any]] = []
    if isinstance(node, CommentedMap):
        own = [key for key in node if key in node.lc.data]
        children = [(key, node[key]) for key in own]
        expected = {key: node.lc.key(key)[0] + 1 for key in own}
    elif isinstance(node, CommentedSeq):
        children = list(enumerate(node))
        expected = {position: node.lc.item(position)[0] + 1 for position, _ in children}
    for key, child in children:
        line = found.line_of((*location, key))
        assert line == expected[key] or found.text.splitlines()[line - 1].lstrip().startswith("- *"), (*location, key)
        check_lines(found, child, (*location, key))


def test_lines_survive_anchors_merges_and_encrypted_values(file: Path) -> None:
    file.write_text(
        """\
base: &base
  ansible_password: !vault |
    $ANSIBLE_VAULT;1.1;AES256
    6162
  port: 22
hosts:
  - &first {name: a}   # here
  - *first
  - <<: [*base, {port: 23, user: u}]
    name: c
last: !vault x
"""
    )
    found = read_yaml(file, "file.yaml", opaque_tags=VAULT)
    assert isinstance(found, YamlFile)
    lines: dict[tuple[str | int, ...], int] = {
        ("base",): 1,
        ("base", "ansible_password"): 2,
        ("base", "port"): 5,
        ("hosts", 0): 7,
        ("hosts", 0, "name"): 7,
        ("hosts", 1): 8,
        ("hosts", 1, "name"): 7,
        ("hosts", 2): 9,
        ("hosts", 2, "ansible_password"): 2,
        ("hosts", 2, "port"): 5,
        ("hosts", 2, "user"): 9,
        ("hosts", 2, "name"): 10,
        ("last",): 11,
    }
    assert {location: found.line_of(location) for location in lines} == lines
