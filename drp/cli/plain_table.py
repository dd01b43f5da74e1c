"""Tables without frames: drawing frames for a hundred rows takes longer than finding out what they say."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import click

from drp.cli.common import output_width

GAP = "  "


def print_plain_table(
    columns: Sequence[str], rows: Sequence[Sequence[str]], style: Callable[[int, str], str] | None = None
) -> None:
    """Columns as wide as what stands in them. A first cell that leaves no room for the others has a line of its own,
    uncut: it is a name to copy. `style` may colour a cell, given its column and its padded text."""
    cells = [[_plain(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(columns, *cells, strict=True)]
    others = sum(len(GAP) + width for width in widths[1:])
    widths[0] = max(min(widths[0], output_width() - others), len(columns[0]))
    click.secho(_line(columns, widths), bold=True)
    lines = []
    for row in cells:
        first = row[0]
        if len(first) > widths[0]:
            lines.append(first)
            first = ""
        padded = [cell.ljust(width) for cell, width in zip((first, *row[1:]), widths, strict=True)]
        lines.append(GAP.join(padded if style is None else map(style, range(len(padded)), padded)).rstrip())
    click.echo("\n".join(lines))


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return GAP.join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()


def _plain(cell: str) -> str:
    """What would steer the terminal is taken out."""
    return cell if cell.isprintable() else "".join(char if char.isprintable() else " " for char in cell)
