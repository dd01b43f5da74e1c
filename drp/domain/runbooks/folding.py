"""Long commands over several lines, as a shell reads them: on paper nobody can tell a wrapped line from a new one."""

from __future__ import annotations

import re

WIDTH = 88
"""Signs that fit into a line of the printed page."""

INDENT = "    "
_HERE = re.compile(r"<<'(END_*)'$")


def fold(commands: str, width: int = WIDTH) -> str:
    """The same commands with no line longer than `width`, where words can be parted: at blanks outside of quotes, with
    a backslash at the line's end. What a here-document holds stays as it is."""
    found: list[str] = []
    end, quote = "", ""
    for line in commands.split("\n"):
        if end:
            end = "" if line == end else end
            found.append(line)
            continue
        places, quote = _blanks(line, quote)
        found += _parted(line, places, width)
        here = _HERE.search(line)
        end = here[1] if here and not quote else ""
    return "\n".join(found)


def _blanks(line: str, quote: str) -> tuple[list[int], str]:
    """Where single blanks outside of quotes are, and which quote is open at the line's end. A quote within a quoted
    command substitution is taken for the end of the outer one: there a blank parts words as well."""
    places = []
    position = 0
    while position < len(line):
        sign = line[position]
        if sign == "\\" and quote != "'":
            position += 2
            continue
        if quote:
            quote = "" if sign == quote else quote
        elif sign in "'\"":
            quote = sign
        elif sign == " ":
            places.append(position)
        position += 1
    return places, quote


def _parted(line: str, places: list[int], width: int) -> list[str]:
    found: list[str] = []
    start, room = 0, width - 2
    while len(line) - start > (width if not found else width - len(INDENT)):
        fitting = [place for place in places if start < place <= start + room]
        later = [place for place in places if place > start]
        if not later:
            break
        place = fitting[-1] if fitting else later[0]
        found.append(f"{INDENT if found else ''}{line[start:place]} \\")
        start, room = place + 1, width - 2 - len(INDENT)
    return [*found, f"{INDENT if found else ''}{line[start:]}"]
