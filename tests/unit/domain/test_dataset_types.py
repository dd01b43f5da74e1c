"""A procedure is argument lists: no text of an inventory becomes part of a shell's or a database's statement."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import ValidationError

from drp.domain.datasets import (
    CommandDataset,
    DatasetType,
    FilesDataset,
    GitDataset,
    MariadbDataset,
    OpenldapDataset,
    PostgresqlClusterDataset,
    PostgresqlDataset,
    RedisDataset,
    Scratch,
    SqliteDataset,
    read_dataset,
    with_snapshots,
)
from tests.fakes.host_driver import HOST_PROGRAM, load

DATABASE = PostgresqlDataset(
    type="postgresql", id="data", host="host-1", database="Zzdatabase", run_as="zzowner", port=5999
)
FILES = FilesDataset(
    type="files", id="data", host="host-1", paths=("/srv/zz path$(id)", "/etc/zz"), excludes=("/srv/x",)
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


OTHERS: list[DatasetType] = [
    PostgresqlClusterDataset(type="postgresql-cluster", id="data", host="host-1"),
    MariadbDataset(type="mariadb", id="data", host="host-1", database="shop"),
    MariadbDataset(type="mariadb", id="data", host="host-1", login="/etc/drp/login"),
    SqliteDataset(type="sqlite", id="data", host="host-1", path="/srv/x/data.db"),
    OpenldapDataset(type="openldap", id="data", host="host-1", suffix="dc=example"),
    OpenldapDataset(type="openldap", id="data", host="host-1", suffix="cn=config"),
    RedisDataset(type="redis", id="data", host="host-1", password_file="/etc/drp/password"),
    GitDataset(type="git", id="data", host="host-1", path="/srv/x.git"),
    CommandDataset(
        type="command", id="data", host="host-1", dump=("a",), restore=("b",), freshness=("c",), present=("d",)
    ),
]
EVERY = [DATABASE, FILES, *OTHERS]
SCRATCH = Scratch("drp_scratch", "/var/lib/drp-scratch/one")


@pytest.mark.parametrize("dataset", EVERY, ids=lambda dataset: dataset.type)
def test_a_dataset_is_read_back_from_its_mechanics(dataset: DatasetType) -> None:
    assert read_dataset(json.loads(json.dumps(dataset.mechanics()))) == dataset
    assert dataset.places


@pytest.mark.parametrize("scratch", [None, SCRATCH], ids=["original", "scratch"])
@pytest.mark.parametrize("dataset", EVERY, ids=lambda dataset: dataset.type)
def test_every_type_has_what_the_host_program_reads(dataset: DatasetType, scratch: Scratch | None) -> None:
    procedure = dataset.procedure("service", TOKEN, scratch)
    assert {"parts", "sentinel", "absence", "prepare_restore", "requires", "units", "versions"} <= procedure.keys()
    assert json.loads(json.dumps(procedure)) == procedure
    assert all(item["what"] for item in procedure["absence"])
    for argv, _ in commands(procedure):
        assert argv
        assert all(isinstance(word, str) for word in argv)
        # Of drp's own programs only those that exist.
        for word in argv:
            if word.startswith("drp:"):
                assert (HOST_PROGRAM / f"program_{word[4:]}.py").is_file(), word
                assert word[4:] in load("process").PROGRAMS
    kind = procedure["sentinel"] and procedure["sentinel"]["kind"]
    assert (
        kind
        in {"sentinel": ("file", "command"), "freshness": ("freshness", None), "nothing": (None,)}[dataset.dated_by]
    )
    if scratch is None:
        assert dataset.dated_by == "nothing" or kind is not None


@pytest.mark.parametrize("dataset", EVERY, ids=lambda dataset: dataset.type)
def test_parts_of_a_type_have_names_and_flat_files_of_their_own(dataset: DatasetType) -> None:
    for scratch in (None, SCRATCH):
        parts = dataset.procedure("service", TOKEN, scratch)["parts"]
        names = [part["name"] for part in parts]
        files = [part["file"] for part in parts if part["kind"] == "stream"]
        assert len(set(names)) == len(names)
        assert len(set(files)) == len(files)
        assert all(file.startswith("service.data.") and "/" not in file for file in files)


@pytest.mark.parametrize("dataset", EVERY, ids=lambda dataset: dataset.type)
def test_a_scratch_place_touches_nothing_of_the_datasets_own(dataset: DatasetType) -> None:
    procedure = dataset.procedure("service", TOKEN, SCRATCH)
    changing = [*procedure["prepare_restore"], *procedure.get("finish_restore", []), *procedure["remove"]]
    for command in changing:
        words = command["argv"]
        text = " ".join([*words, command.get("stdin", "")])
        assert SCRATCH.folder in text or SCRATCH.name in text, words
        assert "service" not in words, "it would stop the server"
    for part in procedure["parts"]:
        if part["kind"] == "tree":
            assert part["target"] == SCRATCH.folder
        elif not (isinstance(dataset, PostgresqlDataset) and part["name"] == "roles"):
            assert any(SCRATCH.folder in word or SCRATCH.name in word for word in part["restore"]), part["restore"]
    for item in procedure["absence"]:
        assert SCRATCH.folder in str(item) or SCRATCH.name in str(item)


def test_a_scratch_place_is_never_somebody_elses() -> None:
    for folder in ("/", "/var", "/var/lib", "relative/x/y", "/var/lib/../etc", "/var//lib/x", "/var/lib/drp/"):
        with pytest.raises(ValueError, match="no folder"):
            Scratch("drp_x", folder)
    for name in ("", "a;b", "postgres'", "A", "a-b"):
        with pytest.raises(ValueError, match="no name"):
            Scratch(name, "/var/lib/drp/x")


def test_a_part_for_every_item_of_a_list_gets_the_snapshots_of_all_that_were_backed_up() -> None:
    dataset = PostgresqlClusterDataset(type="postgresql-cluster", id="data", host="host-1")
    snapshots = {"roles": "s1", "database:shop": "s2", "database:odd%2C%20one%7Bitem%7D": "s3"}
    parts = with_snapshots(dataset.procedure("service"), snapshots)["parts"]
    assert [(part["name"], part["snapshot"]) for part in parts] == list(snapshots.items())
    assert parts[2]["file"] == "service.data.odd%2C%20one%7Bitem%7D.pgdump"
    assert parts[2]["dump"][-1] == "dbname='odd, one{item}'"
    with pytest.raises(KeyError):
        with_snapshots(dataset.procedure("service"), {"database:shop": "s2"})


def test_a_login_is_never_an_argument() -> None:
    redis = RedisDataset(type="redis", id="data", host="host-1", password_file="/etc/drp/password")
    for argv, _ in commands(redis.procedure("service", TOKEN)):
        assert "-a" not in argv
    with pytest.raises(ValidationError):
        RedisDataset.model_validate(redis.mechanics() | {"password": "secret"})


@pytest.mark.parametrize(
    ("model", "wrong"),
    [
        (MariadbDataset, {"type": "mariadb", "database": "a`; DROP DATABASE b"}),
        (MariadbDataset, {"type": "mariadb", "socket": "/run/x --evil"}),
        (SqliteDataset, {"type": "sqlite", "path": "data.db"}),
        (OpenldapDataset, {"type": "openldap", "suffix": "-b"}),
        (OpenldapDataset, {"type": "openldap", "suffix": "dc=x\nchangetype: delete"}),
        (OpenldapDataset, {"type": "openldap", "suffix": "dc=x", "url": "ldap://evil x"}),
        (RedisDataset, {"type": "redis", "stop": []}),
        (RedisDataset, {"type": "redis", "stop": "service redis stop"}),
        (GitDataset, {"type": "git", "path": "--upload-pack=evil"}),
        (CommandDataset, {"type": "command", "dump": [], "restore": ["b"]}),
        (CommandDataset, {"type": "command", "dump": ["a\x00"], "restore": ["b"]}),
    ],
)
def test_hostile_text_never_gets_here(model: type[DatasetType], wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        model.model_validate({"id": "data", "host": "host-1"} | wrong)
