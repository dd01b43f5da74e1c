"""What all commands share: options, progress lines, tables, confirmation."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from drp.cli import EXIT_CODES
from drp.domain.values import from_stamp, parse_duration
from drp.errors import UsageError

if TYPE_CHECKING:
    from rich.text import Text as RichText

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


def count_of(number: int, word: str, many: str = "") -> str:
    """`1 host`, `2 hosts`; `many` is the word for several where it is not made with an s."""
    return f"{number} {word}" if number == 1 else f"{number} {many or word + 's'}"


def say(line: str) -> None:
    """A line of progress, with the local time; on standard error, so that results can be piped."""
    stamp = datetime.now().astimezone().strftime("%H:%M:%S")
    click.echo(f"{click.style(stamp, dim=True)}  {line}" if line else "", err=True)


def printable(line: str) -> str:
    """A line without what would steer a terminal."""
    return line if line.isprintable() else "".join(char if char.isprintable() else " " for char in line)


def zone_of(world: World) -> str:
    """The organisation's time zone. Times for people stand in it, as what they write after `--at` is read in it."""
    return world.city.workspace.organisation.time_zone


def plain_time(moment: datetime, zone: str) -> str:
    """`2026-11-20 14:00:00`, for a table whose heading names the zone."""
    from zoneinfo import ZoneInfo

    return f"{moment.astimezone(ZoneInfo(zone)):%Y-%m-%d %H:%M:%S}"


def local_time(moment: datetime, zone: str) -> str:
    """`2026-11-20 14:00:00 Asia/Jakarta`"""
    return f"{plain_time(moment, zone)} {zone}"


def world_of(ctx: click.Context, *, whole: bool = False) -> World:
    """The workspace that the command works on; the `whole` for commands that reckon with its registers too."""
    from drp.wiring import build_world

    return build_world(Path(ctx.find_root().obj), say, whole=whole)


def print_json(value: Any) -> None:
    from pydantic_core import to_json  # the standard library's encoder takes seconds for a plan of a large city

    click.echo(to_json(value, indent=2).decode())


PIPED_WIDTH = 160
"""How wide tables are where the output is no terminal."""


WIDEST_PARAGRAPH = 120


def output_width() -> int:
    """How many columns standard output has room for."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else PIPED_WIDTH


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], *, ruled: bool = False) -> None:
    """A table on standard output, as wide as the terminal; unwrapped where the output is no terminal. Cells may have
    several lines; `ruled` keeps such rows apart."""
    from rich.console import Console
    from rich.table import Table

    console = Console(width=output_width(), highlight=False)
    table = Table(title=title, title_justify="left", title_style="bold", header_style="bold", show_lines=ruled)
    for number, column in enumerate(columns):
        table.add_column(
            column, overflow="fold", width=None if number else _width_of_names([[column], *rows], console.width)
        )
    for row in rows:
        table.add_row(*map(_styled, row))
    console.print(table)


def print_wrapped(text: str, *, indent: str = "", first: str | None = None) -> None:
    """A paragraph on standard output; `first` begins its first line, where that is other than `indent`."""
    import textwrap

    plain = printable(text)
    width = min(output_width(), WIDEST_PARAGRAPH)
    first = indent if first is None else first
    click.echo(textwrap.fill(plain, width, initial_indent=first, subsequent_indent=indent, break_on_hyphens=False))


def _width_of_names(rows: Sequence[Sequence[str]], whole: int) -> int:
    """A width of the first column in which no name is cut, so that it can be copied; other words wrap there."""
    lines = [line for row in rows for line in row[0].split("\n")]
    longest_name = max(len(word) for line in lines for word in line.split(" "))
    return min(max(map(len, lines)), max(longest_name, 16), whole * 2 // 5)


def _styled(cell: str) -> RichText:
    """A cell whose lines are coloured where they are a known word; what would steer the terminal is taken out."""
    from rich.text import Text

    lines = ["".join(char for char in line if char.isprintable() or char == "\xa0") for line in cell.split("\n")]
    return Text("\n").join(Text(line, style=_STYLES.get(line, "")) for line in lines)


_STYLES = {
    "MET": "bold green",
    "MET_WITH_EXCEPTION": "bold yellow",
    "NOT_MET": "bold red",
    "NOT_MEASURED": "bold red",
    "NOT_TESTED": "bold yellow",
    "ABORTED": "bold red",
    "no backup": "bold red",
    "never": "bold yellow",
    "faulty": "bold red",
}


def authority_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Who stands for a run for real, beside `--by`."""
    agreed = "Who has agreed, beside --by, of those that the runbook names; may be given several times."
    emergency = "Go on although nobody entitled has declared it or agreed; in --by's name, needs --reason."
    for option in (
        click.option("--accept-unauthorised", is_flag=True, help=emergency),
        click.option("--approved-by", multiple=True, metavar="NAME", help=agreed),
    ):
        command = option(command)
    return command


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
