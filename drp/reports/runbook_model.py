"""A printed runbook as a neutral document: every word is chosen, and nothing is said about how it looks."""

from __future__ import annotations

from dataclasses import dataclass

from drp.domain.runbooks.by_hand import Language


@dataclass(frozen=True, slots=True)
class Paragraph:
    """`kind` note: something to heed."""

    text: str
    kind: str = "text"


@dataclass(frozen=True, slots=True)
class Bullets:
    """A list; with `boxes` each item is ticked off by hand."""

    items: tuple[str, ...]
    boxes: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under a head; `title` is empty where the section's own is enough."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Code:
    """Commands to type in one go. `where` is the host, `title` what they do."""

    where: str
    title: str
    commands: str


@dataclass(frozen=True, slots=True)
class Step:
    """A line to work through, with room for the time and for initials. `facts` are short: kind, who, services."""

    number: int
    title: str
    facts: tuple[str, ...]
    text: str
    minutes: str
    by_people: bool


@dataclass(frozen=True, slots=True)
class Steps:
    steps: tuple[Step, ...]


Element = Paragraph | Bullets | Table | Code | Steps


@dataclass(frozen=True, slots=True)
class Section:
    """`level` 2 or 3, as of headings. `apart`: it starts on a page of its own."""

    title: str
    level: int
    elements: tuple[Element, ...]
    apart: bool = False


@dataclass(frozen=True, slots=True)
class RunbookDocument:
    """`control` tells which paper this is: pairs of a word and its value. `labels` are the words that renderers need:
    step, minutes, start, end, initials."""

    language: Language
    organisation: str
    kind: str
    title: str
    control: tuple[tuple[str, str], ...]
    sections: tuple[Section, ...]
    labels: dict[str, str]
    footer: str
