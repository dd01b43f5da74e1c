"""What all commands share: options, progress lines, tables, confirmation."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from drp.cli import EXIT_CODES
from drp.domain.values import from_stamp, parse_duration
from drp.errors import UsageError

if TYPE_CHECKING:
    from drp.ports import World


class DurationType(click.ParamType[timedelta]):
    """`90s`, `15m`, `4h` …"""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        try:
            return parse_duration(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class InstantType(click.ParamType[datetime]):
    """`2026-11-20T14:00:00+07:00`"""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        if isinstance(value, datetime):
            return value
        try:
            return from_stamp(value)
        except ValueError as error:
            self.fail(f"{error}; write 2026-11-20T14:00:00+07:00", param, ctx)


DURATION = DurationType()
INSTANT = InstantType()
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")


def epilog(*examples: str) -> str:
    """The end of a command's help: examples, then the exit codes."""
    lines = "\n".join(f"  {example}" for example in examples)
    return f"\b\nExample{'s' if len(examples) > 1 else ''}:\n{lines}\n\n{EXIT_CODES}"


def count_of(number: int, word: str) -> str:
    """`1 host`, `2 hosts`."""
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def say(line: str) -> None:
    """A line of progress, with the local time; on standard error, so that results can be piped."""
    stamp = datetime.now().astimezone().strftime("%H:%M:%S")
    click.echo(f"{click.style(stamp, dim=True)}  {line}" if line else "", err=True)


def world_of(ctx: click.Context) -> World:
    """The workspace that the command works on."""
    from drp.wiring import build_world

    return build_world(Path(ctx.find_root().obj), say)


def print_json(value: Any) -> None:
    click.echo(json.dumps(value, ensure_ascii=False, indent=2))


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table on standard output, as wide as the terminal; unwrapped where the output is no terminal."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(width=None if sys.stdout.isatty() else 160, highlight=False)
    table = Table(title=title, title_justify="left", title_style="bold", header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell, style=_STYLES.get(cell, "")) for cell in row))
    console.print(table)


_STYLES = {
    "MET": "bold green",
    "MET_WITH_EXCEPTION": "bold yellow",
    "NOT_MET": "bold red",
    "NOT_MEASURED": "bold red",
    "NOT_TESTED": "bold yellow",
    "ABORTED": "bold red",
}


def confirm_production(services: Sequence[str], what: str, *, yes: bool, reason: str | None) -> None:
    """Have the service's name typed before production is touched; `--yes` needs `--reason`."""
    if yes:
        if not reason:
            raise UsageError("--yes needs --reason: the report must say why", hint='add --reason "…"')
        return
    wanted = " ".join(services)
    if not sys.stdin.isatty():
        raise UsageError(f"{what} touches production and nobody can confirm it here", hint='add --yes --reason "…"')
    typed = click.prompt(f"This {what} touches production. Type {wanted!r} to go on", default="", show_default=False)
    if typed.strip() != wanted:
        raise UsageError("the names do not match; nothing was started")
