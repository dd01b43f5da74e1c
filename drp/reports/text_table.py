"""Aligned columns and wrapped lists, for a terminal about 120 characters wide."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence

WIDTH = 118


def counted(number: int, word: str, plural: str = "") -> str:
    """`1 service`, `2 services`, `no services`."""
    return f"{number or 'no'} {word if number == 1 else plural or word + 's'}"


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows in aligned columns, empty columns left out; the last column is wrapped below itself where it is long."""
    shown = [column for column in range(len(rows[0])) if any(row[column] for row in rows)]
    widths = [max(len(row[column]) for row in rows) for column in shown]
    lines = []
    for row in rows:
        start = "  " + "".join(f"{row[column]:<{width}}  " for column, width in zip(shown[:-1], widths, strict=False))
        last = _wrap(row[shown[-1]], max(WIDTH - len(start), 40)) or [""]
        lines += [(start + last[0]).rstrip(), *(" " * len(start) + line for line in last[1:])]
    return lines


def wrapped(text: str, indent: int = 2) -> list[str]:
    """A text or list below its heading; what follows the first line is set in further."""
    lines = _wrap(text, WIDTH - indent - 2)
    return [*(" " * indent + line for line in lines[:1]), *(" " * (indent + 2) + line for line in lines[1:])]


def joined(lines: Iterable[str]) -> str:
    return "\n".join(lines) + "\n"


def capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _wrap(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False)
