"""Every trouble that a host or a connection can report has a meaning for people."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import drp.adapters.ssh_worker
from drp.domain.trouble import _MEANINGS, error_of
from drp.errors import BusyError, IntegrityError, UnreachableError
from tests.fakes.host_driver import HOST_PROGRAM, load

SSH_WORKER = Path(drp.adapters.ssh_worker.__file__)


def words(node: ast.expr) -> set[str]:
    """The texts that an expression can be; nothing for a variable."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return {node.value}
    if isinstance(node, ast.IfExp):
        return words(node.body) | words(node.orelse)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id.endswith("_or"):
        return words(node.args[0])
    return set()


def emitted(source: Path) -> set[str]:
    """All kinds in a source: of `Trouble(kind, …)`, `trouble(worker, kind, …)`, `return kind, …`, `kind = …` and a
    trouble's `kind`."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source.read_text())):
        match node:
            case ast.Call(func=ast.Name(id="Trouble"), args=[kind, *_]):
                found |= words(kind)
            case ast.Call(func=ast.Name(id="trouble"), args=[_, kind, *_]):
                found |= words(kind)
            case ast.Call(func=ast.Attribute(attr="__init__"), args=[kind, _]):
                found |= words(kind)
            case ast.Return(value=ast.Tuple(elts=[kind, _])):
                found |= words(kind)
            case ast.Assign(targets=[ast.Name(id="kind")], value=value):
                found |= words(value)
            case ast.Dict(keys=keys, values=values):
                pairs = {
                    key.value: value for key, value in zip(keys, values, strict=True) if isinstance(key, ast.Constant)
                }
                if words(pairs.get("event", ast.Constant(0))) == {"trouble"}:
                    found |= words(pairs["kind"])
    return found


def restic_kinds() -> set[str]:
    return {kind for kind, _ in load("trouble").RESTIC_MEANINGS}


def host_kinds() -> set[str]:
    return set().union(*(emitted(path) for path in HOST_PROGRAM.glob("*.py")))


def test_the_sources_are_read_as_they_are_written() -> None:
    """Guards this file: if the sources change their form, the kinds must still be found."""
    assert {"no_restic", "no_program", "control_gone", "stalled", "dump", "load", "command"} <= host_kinds()
    assert {"cancelled", "host_key", "ssh_login", "ssh", "connection_lost"} <= emitted(SSH_WORKER)


@pytest.mark.parametrize("kind", sorted(host_kinds() | emitted(SSH_WORKER) | restic_kinds()))
def test_every_kind_has_a_meaning_and_a_next_step(kind: str) -> None:
    assert kind in _MEANINGS
    assert _MEANINGS[kind].hint


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("credentials", UnreachableError),
        ("locked", BusyError),
        ("damaged", IntegrityError),
        ("no_repository", IntegrityError),
    ],
)
def test_a_kind_becomes_its_error_with_the_tools_own_word(kind: str, error: type[Exception]) -> None:
    found = error_of(kind, "the tool said so", "pengaduan on host-1")
    assert type(found) is error
    assert "the tool said so" in str(found)
    assert str(found).startswith("pengaduan on host-1: ")


def test_a_kind_that_nobody_knows_is_a_failure_all_the_same() -> None:
    assert "the tool said so" in str(error_of("new-kind", "the tool said so", "here"))
