"""A procedure is argument lists: no text of an inventory becomes part of a shell's or a database's statement."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import ValidationError

from drp.domain.datasets import FilesDataset, PostgresqlDataset

DATABASE = PostgresqlDataset(
    type="postgresql", id="data", host="host-1", database="Zzdatabase", run_as="zzowner", port=5999
)
FILES = FilesDataset(
    type="files", id="tree", host="host-1", paths=("/srv/zz path$(id)", "/etc/zz"), excludes=("/srv/x",)
)
TOKEN = "zztoken-1"


def commands(value: Any) -> Iterator[tuple[list[str], str]]:
    """Every argument list with its standard input."""
    if isinstance(value, dict):
        for name in ("argv", "dump", "restore"):
            if isinstance(value.get(name), list):
                yield (
                    value[name],
                    str(value.get("stdin", "")) + str(value.get("open", "")) + str(value.get("count", "")),
                )
        for item in value.values():
            yield from commands(item)
    elif isinstance(value, list):
        for item in value:
            yield from commands(item)


@pytest.mark.parametrize("text", ["Zzdatabase", "zzowner", TOKEN, "5999"])
def test_a_name_of_the_inventory_is_an_argument_of_its_own_or_the_value_of_a_variable(text: str) -> None:
    found = list(commands(DATABASE.procedure("service", TOKEN)))
    assert len(found) == 11
    seen = 0
    for argv, stdin in found:
        assert text not in stdin
        for word in argv:
            if text in word:
                assert word in (text, f"name={text}", f"token={text}"), argv
                seen += 1
    assert seen


def test_no_command_goes_through_a_shell() -> None:
    for argv, _ in commands(DATABASE.procedure("service", TOKEN)):
        assert argv[:4] == ["runuser", "-u", "zzowner", "--"]
        assert argv[4] in ("psql", "pg_dump", "pg_restore", "dropdb")


def test_the_database_is_the_value_of_an_option_wherever_an_option_can_take_one() -> None:
    for argv, _ in commands(DATABASE.procedure("service", TOKEN)):
        if "Zzdatabase" in argv and "dropdb" not in argv:
            assert argv[argv.index("Zzdatabase") - 1] == "-d"


@pytest.mark.parametrize(
    "name",
    [
        "",
        "-d",
        "--help",
        "a b",
        "a;drop",
        "a'b",
        'a"b',
        "a\nb",
        "dbname=x",
        "host=evil",
        "postgres://x",
        "a" * 64,
        "ä",
        "$x",
    ],
)
def test_a_hostile_database_name_never_gets_here(name: str) -> None:
    with pytest.raises(ValidationError):
        PostgresqlDataset(type="postgresql", id="data", host="host-1", database=name)


@pytest.mark.parametrize("name", ["", "-u", "root; id", "a b", "Root", "a" * 33])
def test_a_hostile_owner_never_gets_here(name: str) -> None:
    with pytest.raises(ValidationError):
        PostgresqlDataset(type="postgresql", id="data", host="host-1", database="x", run_as=name)


@pytest.mark.parametrize("path", ["-rf", "srv", "/srv/../etc", "/", "/srv/a\nb", "/proc/1"])
@pytest.mark.parametrize("field", ["paths", "excludes"])
def test_a_hostile_path_never_gets_here(field: str, path: str) -> None:
    record: dict[str, Any] = {"type": "files", "id": "tree", "host": "host-1", "paths": ["/srv/x"]}
    with pytest.raises(ValidationError):
        FilesDataset.model_validate(record | {field: [path]})


def test_a_procedure_has_what_the_host_program_reads() -> None:
    for dataset in (DATABASE, FILES):
        procedure = dataset.procedure("service", TOKEN)
        assert procedure["id"] == dataset.id
        assert {"parts", "sentinel", "absence", "prepare_restore", "requires", "units"} <= procedure.keys()
        assert all(item["what"] for item in procedure["absence"])


def test_files_are_marked_in_their_first_directory_and_looked_for_one_by_one() -> None:
    procedure = FILES.procedure("service", TOKEN)
    assert procedure["parts"] == [
        {"name": "files", "kind": "tree", "paths": ["/srv/zz path$(id)", "/etc/zz"], "excludes": ["/srv/x"]}
    ]
    assert procedure["sentinel"]["directory"] == "/srv/zz path$(id)"
    assert procedure["sentinel"]["token"] == TOKEN
    assert [item["path"] for item in procedure["absence"]] == ["/srv/zz path$(id)", "/etc/zz"]


def test_the_dump_is_of_the_moment_in_which_its_rows_are_counted() -> None:
    part = DATABASE.procedure("service")["parts"][1]
    assert "--snapshot={snapshot}" in part["dump"]
    assert "REPEATABLE READ" in part["session"]["open"]
    assert part["session"]["count"] == DATABASE.procedure("service")["count"]["stdin"]
