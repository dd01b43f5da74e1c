"""YAML as data: 1.2's rules, the line of everything, and no file that harms its reader."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from drp.adapters.yaml_file import LARGEST_FILE_BYTES, YamlFile, read_yaml
from drp.errors import Fault

FILE_IS_REUSED = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "file.yaml"


def read(file: Path, content: str | bytes, **options: Any) -> YamlFile | Fault:
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_yaml(file, "file.yaml", **options)


def value_of(file: Path, content: str, **options: Any) -> Any:
    found = read(file, content, **options)
    assert isinstance(found, YamlFile), found
    return found.value


def fault_of(file: Path, content: str | bytes, **options: Any) -> Fault:
    found = read(file, content, **options)
    assert isinstance(found, Fault), found
    return found


@pytest.mark.parametrize(
    "text",
    [
        "no",
        "yes",
        "on",
        "off",
        "NO",
        "y",
        "14:30",
        "1:2:3",
        "1_000",
        "0b1",
        "2026-11-20",
        "2026-11-20T14:00:00Z",
        "1,5",
        "0o8",
        "0xg",
        ".inf",
        ".nan",
        "1e",
        "+",
        "=",
        "9" * 41,
        "1e999",
        "-1e999",
    ],
)
def test_what_yaml_1_1_reads_as_something_else_stays_text(file: Path, text: str) -> None:
    assert value_of(file, f"key: {text}") == {"key": text}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("0o17", 15),
        ("0x1F", 31),
        ("017", 17),
        ("-5", -5),
        ("1.5", 1.5),
        ("1e3", 1000.0),
        ('"5"', "5"),
        ("'no'", "no"),
        ('"true"', "true"),
        ("'~'", "~"),
    ],
)
def test_scalars_are_read_by_the_core_rules_of_yaml_1_2(file: Path, text: str, value: object) -> None:
    found = value_of(file, f"key: {text}")["key"]
    assert found == value
    assert type(found) is type(value)


def test_a_block_is_text_whatever_it_holds(file: Path) -> None:
    assert value_of(file, "key: |\n  5\n") == {"key": "5\n"}


def test_a_key_that_stands_twice_is_refused_at_its_second_line(file: Path) -> None:
    fault = fault_of(file, "a: 1\nb: 2\na: 3\n")
    assert (fault.line, fault.message) == (3, "the key 'a' stands twice")


def test_anchors_and_merges_give_values_and_lines(file: Path) -> None:
    found = read(file, "base: &base\n  x: 1\n  y: 2\nmore:\n  <<: *base\n  y: 3\nlist: [*base]\n")
    assert isinstance(found, YamlFile)
    assert found.value == {"base": {"x": 1, "y": 2}, "more": {"x": 1, "y": 3}, "list": [{"x": 1, "y": 2}]}
    assert found.line_of(("more", "x")) == 2
    assert found.line_of(("more", "y")) == 6
    assert found.line_of(("list", 0, "y")) == 3


def test_the_first_of_several_merged_mappings_wins_for_value_and_line(file: Path) -> None:
    found = read(file, "a: &a {x: 1}\nb: &b\n  x: 2\n  y: 2\nc:\n  <<: [*a, *b]\n")
    assert isinstance(found, YamlFile)
    assert found.value["c"] == {"x": 1, "y": 2}
    assert [found.line_of(("c", key)) for key in "xy"] == [1, 4]


def test_only_a_mapping_can_be_merged(file: Path) -> None:
    assert fault_of(file, "a: 1\nb:\n  <<: 5\n").line == 3


@pytest.mark.parametrize(
    ("location", "line"),
    [
        ((), 1),
        (("b",), 2),
        (("b", 1), 4),
        (("b", 1, "c"), 4),
        (("b", 9), 2),
        (("zz",), 1),
        (("b", 1, "member", "c"), 4),
    ],
)
def test_the_line_of_anything_or_of_what_holds_it(file: Path, location: tuple[str | int, ...], line: int) -> None:
    found = read(file, "a: 1\nb:\n  - x\n  - c: 1\n")
    assert isinstance(found, YamlFile)
    assert found.line_of(location) == line


@pytest.mark.parametrize(
    "tag",
    ["!!python/object/apply:os.system", "!!python/name:os.system", "!!binary", "!!set", "!!omap", "!vault", "!x"],
)
@pytest.mark.parametrize("content", ["[id]", "{a: b}", "id"])
def test_an_unknown_tag_is_refused_with_its_line_and_runs_nothing(file: Path, tag: str, content: str) -> None:
    fault = fault_of(file, f"a: 1\nb: {tag} {content}\n")
    assert fault.line == 2
    assert "is not allowed" in fault.message


@pytest.mark.parametrize(
    ("content", "value"),
    [
        ("!!str 5", "5"),
        ("! 5", "5"),
        ("!!map {b: 1}", {"b": 1}),
        ("!!seq [b]", ["b"]),
        ("!!int 5", None),
        ('!!bool "true"', None),
        ("!!map [b]", None),
        ("!!seq {b: 1}", None),
        ("!!str [b]", None),
    ],
)
def test_a_tag_that_says_what_is_there_anyway_may_stand(file: Path, content: str, value: object) -> None:
    found = read(file, f"a: {content}\n")
    assert (found.value if isinstance(found, YamlFile) else None) == ({"a": value} if value is not None else None)


@pytest.mark.parametrize(
    ("content", "value"),
    [
        ("&k a: 1\nb: *k\n", {"a": 1, "b": "a"}),
        ("a: &k x\n*k : 1\n", {"a": "x", "x": 1}),
        ("a: &k 017\n*k : *k\n", {"a": 17, "017": 17}),
        ("? a\n: 1\n? b\n", {"a": 1, "b": None}),
        ("!!str a: 1\n", {"a": 1}),
        ("'<<': {a: 1}\n", {"<<": {"a": 1}}),
        ("a: &k {x: 1}\nb: &k {y: 2}\nc: *k\n", {"a": {"x": 1}, "b": {"y": 2}, "c": {"y": 2}}),
        ("a: &k {x: 1}\nb:\n  <<: *k\n  <<: {y: 2}\n", {"a": {"x": 1}, "b": {"x": 1, "y": 2}}),
        ("b:\n  <<: {x: 1}\n  x: 2\n", {"b": {"x": 2}}),
    ],
)
def test_unusual_keys_and_anchors(file: Path, content: str, value: object) -> None:
    assert value_of(file, content) == value


@pytest.mark.parametrize(
    "content", ["? [a]\n: b\n", "? {a: b}\n: c\n", "a: &k [x]\n*k : b\n", "{[a]: b}\n", "!x a: b\n"]
)
def test_a_key_that_is_no_plain_word_is_refused(file: Path, content: str) -> None:
    assert fault_of(file, content).line is not None


def test_what_two_aliases_give_is_not_the_same_thing(file: Path) -> None:
    """Leaving a faulty value out of the one leaves the other as it is."""
    value = value_of(file, "a: &a {x: [1]}\nb: *a\nc: *a\n")
    value["b"]["x"].append(2)
    assert (value["a"], value["c"]) == ({"x": [1]}, {"x": [1]})


def test_an_anchor_that_is_given_again_means_nothing_until_its_new_value_has_ended(file: Path) -> None:
    assert "stands for nothing" in fault_of(file, "a: &a 1\nb: &a {x: *a}\n").message


def test_long_names_are_cut_in_messages(file: Path) -> None:
    for content in ("a: *" + "x" * 9_000, "a: !" + "x" * 9_000 + " b", "? " + "k" * 9_000 + "\n: 1\n? " + "k" * 9_000):
        assert len(fault_of(file, content).message) < 200


def test_a_tag_that_is_opaque_keeps_its_text(file: Path) -> None:
    assert value_of(file, "a: !vault |\n  $ANSIBLE\n", opaque_tags=frozenset({"!vault"})) == {"a": "$ANSIBLE\n"}


def test_an_opaque_tag_does_not_let_a_structure_in(file: Path) -> None:
    assert fault_of(file, "a: !vault {b: c}\n", opaque_tags=frozenset({"!vault"})).line == 1


def test_a_bomb_of_aliases_is_refused_at_once(file: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    started = time.monotonic()
    assert "too many" in fault_of(file, "\n".join(lines)).message
    assert time.monotonic() - started < 2


def test_a_bomb_of_merges_is_refused_at_once(file: Path) -> None:
    lines = ["a0: &a0 {x: 1}"] + [f"a{n}: &a{n}\n  <<: [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    started = time.monotonic()
    assert "too many" in fault_of(file, "\n".join(lines)).message
    assert time.monotonic() - started < 2


def test_an_alias_of_itself_is_refused(file: Path) -> None:
    assert "stands for nothing" in fault_of(file, "a: &a\n  b: *a\n").message


@pytest.mark.parametrize(
    "make",
    [
        "'[' * 1_000_000",
        "'{a: ' * 200_000",
        "'- ' * 500_000",
        "'? ' * 500_000",
        "'\\n'.join(' ' * n + 'a:' for n in range(1400))",
    ],
)
def test_deep_nesting_is_refused_and_does_not_end_the_process(file: Path, make: str) -> None:
    """In a process of its own: the parser is C, and C has a stack that can end."""
    program = (
        "import sys, pathlib; from drp.adapters.yaml_file import read_yaml; from drp.errors import Fault\n"
        f"file = pathlib.Path(sys.argv[1]); file.write_text({make})\n"
        "assert isinstance(read_yaml(file, 'x'), Fault)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, file], capture_output=True, timeout=20, check=False)
    assert done.returncode == 0, (done.returncode, done.stderr[-500:])


def test_a_file_that_is_not_utf_8_is_refused(file: Path) -> None:
    assert "not UTF-8" in fault_of(file, b"a: \xff\xfe\n").message


def test_a_huge_file_is_refused_unread(file: Path) -> None:
    with file.open("wb") as handle:
        handle.truncate(LARGEST_FILE_BYTES + 1)
    found = read_yaml(file, "file.yaml")
    assert isinstance(found, Fault)
    assert "larger than" in found.message


@pytest.mark.parametrize(
    "content", ["a: [1\n", "a: b: c\n", "\tx: 1\n", "a: 1\n---\nb: 2\n", 'a: "x\n', "a: *b\n", "%x"]
)
def test_a_mistake_of_form_is_told_with_its_line(file: Path, content: str) -> None:
    assert fault_of(file, content).line is not None


def test_a_file_that_is_not_there_or_no_file_is_a_fault(tmp_path: Path) -> None:
    for path in (tmp_path / "gone.yaml", tmp_path):
        found = read_yaml(path, "x")
        assert isinstance(found, Fault)
        assert "cannot be read" in found.message


def test_an_empty_file_is_nothing(file: Path) -> None:
    assert value_of(file, "# only a comment\n") is None


YAMLISH = st.text(st.sampled_from("a1:-?[]{}&*!|>'\"%@`#,~<= \n\t\\0x.é\x00\x85\ufeff"), max_size=60)


@settings(FILE_IS_REUSED, max_examples=300)
@given(content=st.binary(max_size=60) | st.text(max_size=60) | YAMLISH)
def test_any_content_gives_a_value_or_a_fault(file: Path, content: str | bytes) -> None:
    file.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass"))
    found = read_yaml(file, "file.yaml")
    assert isinstance(found, YamlFile | Fault)
    if isinstance(found, YamlFile):
        assert found.line_of(("a", 0, "b")) is not None


PRINTABLE = st.text(
    st.characters(min_codepoint=0x20, max_codepoint=0x1FFFF, exclude_categories=("Cc", "Cs", "Cn")), max_size=20
)
NESTED = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | PRINTABLE,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(PRINTABLE, inner, max_size=4),
    max_leaves=15,
)


@settings(FILE_IS_REUSED, max_examples=200)
@given(value=NESTED, indent=st.sampled_from([None, 2]))
def test_what_is_written_as_json_reads_back_equal(file: Path, value: Any, indent: int | None) -> None:
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    if "\ufffe" in text or "\uffff" in text:
        return
    assert value_of(file, text) == value
