"""The lines that a person types to restore a dataset, compiled from its description; words as a shell takes them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from drp.domain.datasets.base import Procedure


def restore_commands(service: str, procedure: Procedure, certificate: Sequence[str] = ()) -> list[str]:
    """The lines that restore one dataset, each a command of its own. $RUN names the restore point; restic finds the
    repository and its secrets in the environment. Parts for which only a list of items is known are left out."""
    lines = [_shell(command) for command in procedure["prepare_restore"]]
    for part in procedure["parts"]:
        if "each" not in part:
            lines += _cleared(part)
            lines.append(_part(service, procedure["id"], part, certificate))
    lines += [_shell(command) for command in procedure.get("finish_restore", [])]
    lines += [_shell(check) for check in procedure.get("checks", [])]
    return [*lines, *_age(procedure)]


def _part(service: str, dataset: str, part: dict[str, Any], certificate: Sequence[str]) -> str:
    rest = f"service:{service},dataset:{dataset},part:{part['name']}"
    plain = re.fullmatch(r"[a-z0-9:,.%-]+", rest)
    # $RUN is filled in by the shell; the rest is taken by the letter.
    chosen = f'--tag "run:$RUN,{rest}"' if plain else f'--tag "run:$RUN,"{shlex.quote(rest)}'
    if part["kind"] == "stream":
        dump = f"{shlex.join(['restic', *certificate, 'dump', '--no-lock'])} {chosen} latest"
        load = part["by_hand"] if "by_hand" in part else _words(part["restore"])
        return f"{dump} {shlex.quote('/' + part['file'])} | {load}"
    includes = [word for path in part["paths"] for word in ("--include", _literally(path))]
    restore = shlex.join(["restic", *certificate, "restore", "--no-lock", "--verify"])
    return f"{restore} {chosen} {shlex.join(['--target', '/', *includes])} latest"


def _age(procedure: Procedure) -> list[str]:
    """What tells how old the restored data is."""
    sentinel = procedure["sentinel"]
    if sentinel is None:
        return []
    if sentinel["kind"] == "file":
        return [shlex.join(["cat", f"{sentinel['directory']}/{sentinel['name']}"]) + "; echo"]
    own = any(word.startswith("drp:") and word != "drp:with_password" for word in sentinel["read"]["argv"])
    return [] if own else [_shell(sentinel["read"])]


def _words(argv: Iterable[str]) -> str:
    """An argument list as it is typed. Of several programs that would do, the first one is named."""
    words = list(argv)
    several = re.compile(r"[A-Za-z0-9_./-]+(\|[A-Za-z0-9_./*-]+)+")
    named = [word.split("|")[0] if several.fullmatch(word) else word for word in words]
    if "drp:with_password" in named:
        at = named.index("drp:with_password")
        login = f'REDISCLI_AUTH="$(cat {shlex.quote(named[at + 1])})" '
        return login + shlex.join([*named[:at], *named[at + 2 :]])
    return shlex.join(named)


def _shell(command: Procedure) -> str:
    """A command, with what it reads from standard input as a document behind it."""
    if "by_hand" in command:
        return str(command["by_hand"])
    text = _words(command["argv"])
    return f"{text} {here_document(command['stdin'])}" if command.get("stdin") else text


def here_document(text: str) -> str:
    """A document that the shell takes by the letter; its end is a word that is no line of it."""
    end = "END"
    while end in text.splitlines():
        end += "_"
    return f"<<'{end}'\n{text.rstrip(chr(10))}\n{end}"


def _cleared(part: dict[str, Any]) -> Iterator[str]:
    """Takes away what lies where files are restored. Where backups leave something out, all stays: nothing would bring
    that back."""
    if part.get("paths") and not part.get("excludes"):
        yield shlex.join(["rm", "-rf", "--one-file-system", "--", *part["paths"]])


def _literally(path: str) -> str:
    """A path as restic's patterns take it by the letter."""
    return re.sub(r"([\\*?\[])", r"\\\1", path)
