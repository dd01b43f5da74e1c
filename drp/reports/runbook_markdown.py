"""A printed runbook as Markdown, for a wiki, a terminal, and whoever copies commands out of it."""

from __future__ import annotations

import re
from collections.abc import Iterator

from drp.reports.runbook_model import Bullets, Code, Element, Paragraph, RunbookDocument, Steps, Table
from drp.reports.wording import visible


def render(document: RunbookDocument) -> str:
    """The whole document. Commands stand in fenced blocks whose title is the host: ```sh title="drc-app-1"."""
    lines = [f"# {_plain(document.title)}", "", f"{_plain(document.kind)} · {_plain(document.organisation)}", ""]
    lines += [f"- {_plain(word)}: {_plain(value)}" for word, value in document.control]
    for section in document.sections:
        lines += ["", f"{'#' * section.level} {_plain(section.title)}"]
        for element in section.elements:
            lines += ["", *_element(element, document)]
    return "\n".join([*lines, "", "---", "", _plain(document.footer), ""])


def _element(element: Element, document: RunbookDocument) -> Iterator[str]:
    match element:
        case Paragraph():
            yield ("> " if element.kind == "note" else "") + _plain(element.text)
        case Bullets():
            for item in element.items:
                yield f"- {'[ ] ' if element.boxes else ''}{_plain(item)}"
        case Table():
            yield from _table(element)
        case Code():
            fence = "`" * max(3, *(len(run) + 1 for run in re.findall("`+", element.commands)), 3)
            yield f"{_plain(element.title)}:"
            yield ""
            yield f'{fence}sh title="{element.where}"'
            yield from element.commands.splitlines()
            yield fence
        case Steps():
            yield from _steps(element, document.labels)


def _table(table: Table) -> Iterator[str]:
    if table.title:
        yield f"**{_plain(table.title)}**"
        yield ""
    yield f"| {' | '.join(map(_cell, table.head))} |"
    yield "|" + " --- |" * len(table.head)
    for row in table.rows:
        yield f"| {' | '.join(map(_cell, row))} |"


def _steps(steps: Steps, labels: dict[str, str]) -> Iterator[str]:
    for number, step in enumerate(steps.steps):
        if number:
            yield ""
        yield f"**{step.number}. {_plain(step.title)}** ({_plain(', '.join(step.facts))})"
        if step.text:
            yield ""
            yield _plain(step.text)
        yield ""
        room = " ".join(f"{labels[name]} ________" for name in ("start", "end", "initials"))
        yield f"{labels['minutes']}: {step.minutes} · {room}"


def _plain(text: str) -> str:
    """Text in one line, with the signs taken by the letter that Markdown would read otherwise."""
    return re.sub(r"([\\`*\[\]<>#|])", r"\\\1", visible(" ".join(text.split())))


def _cell(text: str) -> str:
    return _plain(text)
