"""The page: self-contained, well-formed, traceable, and not to be written into by hostile texts."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from drp.reports.document import Document
from drp.reports.render_html import render as render_anew

Documents = Callable[[str], Document]
VOID = {"meta", "br", "link", "img", "input", "hr"}
CLOSED_SVG = {"rect", "line", "path"}


RENDERED: dict[int, tuple[Document, str]] = {}


def render(document: Document) -> str:
    """A document's page, made once: many tests look at the same one. The document is kept, so its number is its own."""
    if id(document) not in RENDERED:
        RENDERED[id(document)] = (document, render_anew(document))
    return RENDERED[id(document)][1]


class Page(HTMLParser):
    """Reads a page strictly: every element closed in order; collects what the tests ask about."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.attributes: list[tuple[str, dict[str, str | None]]] = []
        self.figure_rows: dict[str, str] = {}
        self.figure_links: dict[str, int] = {}
        self.row = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.attributes.append((tag, values))
        self.seen.append(tag)
        if tag not in VOID:
            self.open.append(tag)
        if tag == "tr":
            self.row = values.get("data-figure") or ""
        if tag == "a" and self.row and (values.get("href") or "").startswith("#event-"):
            self.figure_links[self.row] = self.figure_links.get(self.row, 0) + 1

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in VOID | CLOSED_SVG, tag
        self.attributes.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open[-1] == tag, f"</{tag}> closes <{self.open[-1]}>"
        self.open.pop()
        if tag == "tr":
            self.row = ""

    def handle_data(self, data: str) -> None:
        if self.row:
            self.figure_rows[self.row] = self.figure_rows.get(self.row, "") + data


def test_the_page_is_well_formed_and_closed(document: Documents, scenario: str) -> None:
    page = Page(render(document(scenario)))
    assert page.open == []
    identifiers = [values["id"] for _, values in page.attributes if "id" in values]
    assert len(identifiers) == len(set(identifiers))
    links = {values["href"] for tag, values in page.attributes if tag == "a"}
    assert {str(link) for link in links} <= {f"#{name}" for name in identifiers}


def test_nothing_outside_the_file_is_asked_for(document: Documents, scenario: str) -> None:
    text = render(document(scenario))
    page = Page(text)
    assert not {"script", "link", "img", "iframe", "object", "form"} & set(page.seen)
    assert not re.search(r"(https?:)?//[a-z0-9]", re.sub(r"//</text>", "", text))
    assert "url(" not in text
    assert "@import" not in text
    for _, values in page.attributes:
        assert not [name for name in values if name.startswith("on") or name in ("src", "srcset", "action")]


def test_hostile_texts_stay_texts(document: Documents, hostile_text: str) -> None:
    text = render(document("hostile"))
    assert "<script" not in text.lower()
    assert text.count("&lt;script&gt;") > 20
    assert "{{ 7*7 }}" in text
    assert "49 ]]" not in text
    assert "\u202e" not in text
    assert "\x00" not in text


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("met", ["MET", "2 m 50.4 s", "8 m", "14:00:00.123 WIB", "2026-11-20 07:00:00.123 UTC", "within its RTO"]),
        ("missed", ["NOT MET", "6 m 10.4 s", "exceeded by 1 m 10.4 s", "longer than its RTO"]),
        ("not_recovered", ["NOT MET", "≥ 30 m, not recovered", "restic: repository is locked", "not measured"]),
        ("drill", ["MET WITH EXCEPTION", "Exercise (rehearsal)", "Budi, Inspektorat", "not accepted by anybody"]),
        ("overridden", ["declared RTO: 5 m", "Objectives were changed for this run", "made milder"]),
        ("nothing_measured", ["This run is not closed", "not measured"]),
        ("aborted", ["ABORTED", "It proves nothing"]),
        ("within_a_second", ["12 h", "RPA is NOT MET", "DOES NOT agree"]),
        ("two_services", ["Sign-in", "Public complaints"]),
    ],
)
def test_the_page_says(document: Documents, name: str, words: list[str]) -> None:
    text = render(document(name))
    for word in words:
        assert word in text, word


def test_every_figure_row_leads_to_events_or_says_not_measured(document: Documents, scenario: str) -> None:
    page = Page(render(document(scenario)))
    assert {"rta", "rpa", "mtpd_headroom", "detect", "decide", "mobilise", "restore", "validate"} <= set(
        page.figure_rows
    )
    for name, text in page.figure_rows.items():
        assert page.figure_links.get(name) or "not measured" in text or "unknown" in text, name


def test_tables_pictures_and_the_page_can_be_read_aloud(document: Documents) -> None:
    page = Page(render(document("met")))
    assert ("html", {"lang": "en"}) in page.attributes
    tables = page.seen.count("table")
    labelled = sum(tag == "table" and "aria-label" in values for tag, values in page.attributes)
    assert page.seen.count("caption") == tables - labelled
    assert page.seen.count("h1") == 1
    pictures = [values for tag, values in page.attributes if tag == "svg"]
    assert pictures
    assert all(values["role"] == "img" and values["aria-labelledby"] for values in pictures)


def test_a_broken_chain_is_the_first_thing_one_reads(document: Documents) -> None:
    made = document("met")
    broken = replace(made, control=replace(made.control, chain_broken_at=6))
    text = render(broken)
    assert text.index("The record was changed") < text.index('class="verdict')
    assert "broken at event 6" in text
    assert "✔ whole" in render(made)


def test_the_hashes_to_keep_are_printed(document: Documents) -> None:
    made = document("met")
    text = render(made)
    assert made.control.head in text
    assert made.control.plan_hash in text
    assert "drp report verify report.json" in text


def test_the_same_input_gives_the_same_page(document: Documents) -> None:
    assert render_anew(document("drill")) == render_anew(copy.deepcopy(document("drill")))
