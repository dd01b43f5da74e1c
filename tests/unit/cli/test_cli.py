"""The command line: help that helps, faults with their place, codes that hold."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from unittest.mock import patch
from zoneinfo import ZoneInfo

import click
import pytest

from drp.adapters.ledger import SqliteLedger
from drp.adapters.template import write_template
from drp.cli import drp
from drp.errors import (
    BusyError,
    CancelledError,
    DrpError,
    ExitCode,
    IntegrityError,
    UnreachableError,
    UsageError,
)
from tests.fakes.city import NOW, make_restore_point
from tests.fakes.command import run


def commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """The whole tree of commands."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield (*path, name), command
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))


TREE = list(commands(drp))
assert len(TREE) > 15


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """A valid workspace with a ledger in which something has happened."""
    folder = tmp_path / "city"
    write_template(folder)
    ledger = SqliteLedger(folder / "var" / "ledger.sqlite3", lambda: NOW)
    point = make_restore_point("example")
    ledger.open_run(point.id, "backup", "0" * 64, ["example"], {})
    ledger.append(point.id, "restore_point.recorded", point.record())
    ledger.append(point.id, "run.closed", {"outcome": "done", "exit_code": 0})
    ledger.close()
    return folder


@pytest.mark.parametrize("path", [path for path, command in TREE if not isinstance(command, click.Group)], ids=" ".join)
def test_every_command_has_help_with_an_example_and_the_exit_codes(path: tuple[str, ...]) -> None:
    done = run(*path, "--help")
    assert done.code == 0
    assert f"drp {' '.join(path)}" in done.out.split("Example", 1)[1]
    for code in ("0 done", "10 invalid inventory", "11 busy", "130 cancelled"):
        assert code in done.out


@pytest.mark.parametrize("path", [path for path, command in TREE if isinstance(command, click.Group)], ids=" ".join)
def test_every_group_lists_its_commands(path: tuple[str, ...]) -> None:
    done = run(*path, "--help")
    assert done.code == 0
    for found, _ in TREE:
        if found[:-1] == path:
            assert found[-1] in done.out
    assert "..." not in done.out.split("Commands:", 1)[1], "a sentence is cut off: write a short_help"


@pytest.mark.parametrize(
    "command", [["backup", "list"], ["backup", "status", "example"], ["run", "list"]], ids=" ".join
)
def test_times_stand_in_the_organisations_zone_as_people_write_them_after_at(
    workspace: Path, command: list[str]
) -> None:
    local = make_restore_point("example").arrived_at.astimezone(ZoneInfo("Asia/Jakarta"))
    opened = NOW.astimezone(ZoneInfo("Asia/Jakarta"))
    done = run("-w", workspace, *command)
    assert "UTC" not in done.out
    assert "WIB" in done.out or "(Asia/Jakarta)" in done.out.replace("\n", "")
    assert f"{opened if command[0] == 'run' else local:%Y-%m-%d %H:%M}" in done.out


def test_the_help_of_drp_lists_every_command_and_every_exit_code() -> None:
    done = run("--help")
    for path, _ in TREE:
        assert path[0] in done.out
    for code in ExitCode:
        assert str(int(code)) in done.out


def test_the_tree_and_the_commands_that_show_something_take_json() -> None:
    for path, command in TREE:
        if path[-1] in ("list", "show", "status", "validate"):
            assert any(parameter.name == "as_json" for parameter in command.params), path


def test_a_valid_workspace_is_called_valid(workspace: Path) -> None:
    done = run("-w", workspace, "validate")
    assert (done.code, done.err) == (0, "")
    assert "valid: 1 service, 2 hosts" in done.out


def test_faults_are_told_with_file_and_line_and_what_to_do(workspace: Path) -> None:
    path = workspace / "inventories/services/example.yaml"
    path.write_text(
        path.read_text().replace("type: postgresql\n", "type: oracle\n").replace("tier: important", "tier: none")
    )
    lines = path.read_text().splitlines()
    expected = [number for number, line in enumerate(lines, 1) if "type: oracle" in line or "tier: none" in line]
    done = run("-w", workspace, "validate")
    assert done.code == 10
    assert len(expected) == 2
    for number in expected:
        assert f"inventories/services/example.yaml:{number}: " in done.err
    assert "nothing was started" in done.err
    assert "next: " in done.err


@pytest.mark.parametrize(
    "command", [("backup", "run"), ("drill", "run"), ("failover", "--yes", "--reason", "x"), ("status",)]
)
def test_no_command_starts_with_a_faulty_inventory(workspace: Path, command: tuple[str, ...]) -> None:
    (workspace / "drp.yaml").write_text("schema: 1\n")
    done = run("-w", workspace, *command)
    assert done.code == 10
    assert "drp.yaml:" in done.err
    assert done.out == ""


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (("validate",), 0),
        (("status",), 4),
        (("backup", "list"), 0),
        (("run", "list"), 0),
        (("run", "show", make_restore_point("example").id), 0),
    ],
)
def test_json_is_json_and_nothing_else_on_standard_output(workspace: Path, command: tuple[str, ...], code: int) -> None:
    done = run("-w", workspace, *command, "--json")
    assert done.code == code, done.err
    assert json.loads(done.out)
    plain = run("-w", workspace, *command)
    assert plain.code == code
    assert plain.out
    with pytest.raises(ValueError, match=r"Expecting value|Extra data"):
        json.loads(plain.out)


def test_the_faults_of_an_inventory_are_json_too(workspace: Path) -> None:
    (workspace / "drp.yaml").write_text("schema: 1\n")
    done = run("-w", workspace, "validate", "--json")
    found = json.loads(done.out)
    assert done.code == 10
    assert found["valid"] is False
    assert all({"file", "line", "message", "hint"} <= fault.keys() for fault in found["faults"])


def test_a_failed_backup_is_json_too_and_ends_with_its_code(workspace: Path) -> None:
    done = run("-w", workspace, "backup", "run", "--json")
    assert done.code == 1
    (found,) = json.loads(done.out)
    assert found["restore_point"] is None
    assert "error: " in done.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("status",), "no drp.yaml here"),
        (("nonsense",), "No such command"),
        (("drill", "run", "--hold", "30"), "is not a duration"),
        (("failover", "--disrupted-at", "2026-11-20T14:00:00"), "no time zone"),
        (("run", "abort", "x"), "--reason"),
    ],
)
def test_wrong_use_is_code_2_and_says_what_is_wrong(tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    done = run("-w", tmp_path, *arguments)
    assert done.code == 2
    assert said in done.err


@pytest.mark.parametrize("arguments", [("status", "pajak"), ("run", "show", "gone"), ("run", "resume", "gone")])
def test_a_name_that_does_not_exist_is_code_2(workspace: Path, arguments: tuple[str, ...]) -> None:
    done = run("-w", workspace, *arguments)
    assert done.code == 2
    assert "next: " in done.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(("failover",), "nobody can confirm it here"), (("failover", "--yes"), "--yes needs --reason")],
)
def test_a_failover_starts_only_when_somebody_confirms_it(
    workspace: Path, arguments: tuple[str, ...], said: str
) -> None:
    with patch("sys.stdin", io.StringIO("")):
        done = run("-w", workspace, *arguments)
    assert done.code == 2
    assert said in done.err
    assert json.loads(run("-w", workspace, "run", "list", "--json").out)[0]["kind"] == "backup"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (DrpError("x"), 1),
        (UsageError("x"), 2),
        (BusyError("x"), 11),
        (UnreachableError("x"), 12),
        (IntegrityError("x"), 13),
        (CancelledError("x"), 130),
        (KeyboardInterrupt(), 130),
    ],
)
def test_each_error_ends_with_its_code(error: BaseException, code: int) -> None:
    with patch("drp.wiring.workspace_at", side_effect=error):
        assert run("validate").code == code


def test_a_tampered_run_is_not_shown(workspace: Path) -> None:
    import sqlite3
    from contextlib import closing

    with closing(sqlite3.connect(workspace / "var/ledger.sqlite3", isolation_level=None)) as database:
        database.execute("DROP TRIGGER events_never_change")
        database.execute("UPDATE events SET at = '2026-01-01T00:00:00.000000Z' WHERE sequence = 2")
    done = run("-w", workspace, "run", "show", make_restore_point("example").id)
    assert done.code == 13
    assert "was changed at event 2" in done.err


def test_a_new_workspace_says_what_to_do_next(tmp_path: Path) -> None:
    done = run("init", tmp_path / "new")
    assert done.code == 0
    assert "drp.yaml" in done.out
    assert run("-w", tmp_path / "new", "validate").code == 0


def test_a_check_that_had_nothing_to_check_is_not_good(tmp_path: Path) -> None:
    folder = tmp_path / "city"
    write_template(folder)
    done = run("-w", folder, "backup", "check", "--all")
    assert done.code == ExitCode.NOT_MET
    assert "example: nothing was checked: there is no restore point yet; first: drp backup run example" in done.out
    with closing(SqliteLedger(folder / "var" / "ledger.sqlite3", lambda: NOW)) as ledger:
        assert ledger.runs() == [], "there was no check"
    done = run("-w", folder, "backup", "check", "--json")
    assert done.code == ExitCode.NOT_MET
    assert json.loads(done.out)[0]["result"] == {"repositories": []}
