"""Mermaid text that Mermaid reads, whatever the titles hold."""

from __future__ import annotations

import re

import pytest

from drp.domain.impact.things import Thing
from drp.domain.inventory import City
from drp.reports.graph import draw_impact, draw_network, draw_services, draw_single_points
from drp.reports.graph_mermaid import draw, label
from drp.reports.graph_model import Edge, Node, Panel, State
from tests.fakes.lost_city import HOSTILE, hostile_city, lost_city

LABEL = r'"(?:[^\W_]|[ -]|#\d+;|<br/>)+"'
"""Letters, digits, spaces, hyphens, numbered characters, and the line breaks that we write ourselves."""

SHAPE = "|".join(
    re.escape(opening) + LABEL + re.escape(closing)
    for opening, closing in (("[", "]"), ("([", "])"), ("[[", "]]"), ("((", "))"), ("{{", "}}"), ("[/", "/]"))
)
NODE = rf"p\d+n\d+(?:{SHAPE})(?::::[a-z]+)?"
EDGE = rf"p\d+n\d+ (?:-->|==>|-\.->|---|-\.-|===)(?:\|{LABEL}\|)? p\d+n\d+"
LINE = re.compile(
    rf"flowchart LR| *(?:{NODE}|{EDGE}|subgraph p\d+\[{LABEL}\]|direction LR|end|classDef [a-z]+ [-#:,0-9a-z ]+)"
)


@pytest.mark.parametrize("city", [lost_city(), hostile_city()], ids=["harmless", "hostile"])
def test_every_line_is_one_that_mermaid_knows(city: City) -> None:
    drawings = [draw_network(city, "mermaid"), draw_services(city, "mermaid")]
    drawings += [draw_single_points(city, "mermaid")]
    drawings += [draw_impact(city, "mermaid", [thing]) for thing in ("location:pusat", "recovery", "s1", "arsip")]
    for drawing in drawings:
        for line in drawing.splitlines():
            assert LINE.fullmatch(line), line


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sim-egov", "sim-egov"),
        ("Balai Kota (pusat)", "Balai Kota #40;pusat#41;"),
        ('"]', "#34;#93;"),
        ("a --> b", "a #45;#45;#62; b"),
        ("- satu", "#45; satu"),
        ("1. satu", "1#46; satu"),
        ("_a_ *b* `c` #quot;", "#95;a#95; #42;b#42; #96;c#96; #35;quot#59;"),
        ("<script>", "#60;script#62;"),
        ("Café 日本", "Café 日本"),
        ("dua\nbaris", "dua baris"),
    ],
)
def test_only_letters_digits_and_inner_hyphens_are_written_as_they_are(text: str, expected: str) -> None:
    assert label(text) == expected


def test_a_numbered_label_reads_as_the_title() -> None:
    shown = re.sub(r"#(\d+);", lambda found: chr(int(found[1])), label(HOSTILE))
    assert shown == " ".join(HOSTILE.replace("\uffff", "\N{REPLACEMENT CHARACTER}").split())


def test_what_is_affected_has_a_shape_and_words_of_its_own() -> None:
    drawing = draw_impact(lost_city(), "mermaid", ["drc-identitas-1", "cabang"])
    assert '{{"drc-identitas-1<br/>host<br/>#10005; LOST"}}:::lost' in drawing
    assert '[["lokal<br/>penting #183; RTO 5 m<br/>#9660; DOWN"]]:::down' in drawing
    assert '(["identitas<br/>penting #183; RTO 1 m<br/>#9651; NO RECOVERY"]):::weaker' in drawing
    assert "#10005; c1" in drawing
    cut = draw_impact(lost_city(), "mermaid", ["s2"], network=True)
    assert '[/"Kantor A<br/>kantor-a #183; 1 agency<br/>#8856; CUT OFF"/]:::cutoff' in cut
    points = draw_single_points(lost_city(), "mermaid")
    assert '(("Simpul Jalan Baru<br/>simpul<br/>#9670; CUTS OFF 1")):::single' in points


def test_every_state_of_a_line_is_drawn() -> None:
    things = (Thing("location", "a"), Thing("location", "b"))
    nodes = tuple(Node(thing, thing.id, "", number) for number, thing in enumerate(things))
    states: dict[State, str] = {"": "---", "lost": "-.-", "single": "==="}
    for state, line in states.items():
        panel = Panel("title", nodes, (Edge(*things, "link", "r1", state),))
        assert f'  p0n0 {line}|"r1"| p0n1' in draw([panel])
