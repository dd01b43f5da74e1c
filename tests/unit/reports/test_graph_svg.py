"""SVG drawings: well-formed, nothing over each other or outside, nothing told by colour alone, nothing smuggled in."""

from __future__ import annotations

import re
from itertools import combinations
from xml.etree import ElementTree

import pytest

from drp.domain.inventory import City
from drp.errors import UsageError
from drp.reports.graph import MOST_DRAWN, draw_impact, draw_network, draw_services, draw_single_points
from drp.reports.graph_model import State
from drp.reports.graph_style import MEANINGS, SIGNS
from tests.fakes.city import service_record
from tests.fakes.lost_city import BARE, NETWORK, hostile_city, lost_city

SVG = "{http://www.w3.org/2000/svg}"
CITY = lost_city()
THINGS = ["location:pusat", "recovery", "simpul", "server", "arsip", "utama", "dinas"]


def drawings(city: City) -> list[str]:
    drawn = [draw_network(city, "svg"), draw_services(city, "svg"), draw_single_points(city, "svg")]
    return [*drawn, *(draw_impact(city, "svg", [thing]) for thing in THINGS)]


def parsed(text: str) -> ElementTree.Element:
    return ElementTree.fromstring(text.encode())


def boxes(root: ElementTree.Element) -> list[tuple[float, float, float, float]]:
    """The outer frame of each node: left, top, right, bottom. A legend's sample is none."""
    found = []
    for group in root.iter(f"{SVG}g"):
        frame = group.find(f"{SVG}rect")
        if "node" in group.get("class", "") and frame is not None and group.find(f"{SVG}text") is not None:
            left, top, width, height = (float(frame.get(name, "")) for name in ("x", "y", "width", "height"))
            found.append((left, top, left + width, top + height))
    return found


@pytest.mark.parametrize("city", [CITY, hostile_city()], ids=["harmless", "hostile"])
def test_boxes_are_inside_and_apart(city: City) -> None:
    for drawing in drawings(city):
        root = parsed(drawing)
        width, height = float(root.get("width", "")), float(root.get("height", ""))
        found = boxes(root)
        assert found
        for left, top, right, bottom in found:
            assert left >= 0
            assert top >= 0
            assert right <= width
            assert bottom <= height
        for first, second in combinations(found, 2):
            apart = first[2] <= second[0] or second[2] <= first[0] or first[3] <= second[1] or second[3] <= first[1]
            assert apart, (first, second)


def test_texts_stay_inside_the_picture_and_in_their_boxes() -> None:
    for drawing in drawings(CITY):
        root = parsed(drawing)
        for group in root.iter(f"{SVG}g"):
            frame = group.find(f"{SVG}rect")
            for text in group.findall(f"{SVG}text") if "node" in group.get("class", "") else ():
                assert frame is not None
                right = float(frame.get("x", "")) + float(frame.get("width", ""))
                size = {"name": 8.6, "facts": 6.6, "mark": 7.8}[text.get("class", "")]
                assert float(text.get("x", "")) + size * len(text.text or "") <= right
        for text in root.iter(f"{SVG}text"):
            assert 0 <= float(text.get("x", "")) <= float(root.get("width", ""))
            assert 0 <= float(text.get("y", "")) <= float(root.get("height", ""))


def test_the_picture_says_what_it_is() -> None:
    root = parsed(draw_impact(CITY, "svg", ["simpul"]))
    assert root.get("role") == "img"
    labels = (root.get("aria-labelledby") or "").split()
    texts = {element.get("id"): element.text or "" for element in root if element.get("id")}
    assert texts[labels[0]] == "What goes down with location simpul (Simpul Jalan Baru)"
    assert texts[labels[1]].startswith("Losing location simpul (Simpul Jalan Baru) takes down 1 of 7 services")


@pytest.mark.parametrize("city", [CITY, hostile_city()], ids=["harmless", "hostile"])
def test_nothing_runs_and_nothing_is_loaded(city: City) -> None:
    for drawing in drawings(city):
        root = parsed(drawing)
        tags = {element.tag.removeprefix(SVG) for element in root.iter()}
        assert tags <= {"svg", "title", "desc", "style", "rect", "text", "path", "g"}
        names = {name for element in root.iter() for name in element.attrib}
        assert not [name for name in names if name.startswith("on") or "href" in name]
        assert not re.search(r"url\(|@import|https?:(?!//www\.w3\.org/2000/svg)", drawing)


@pytest.mark.parametrize(
    ("thing", "state", "mark"),
    [
        ("simpul", "lost", "LOST"),
        ("arsip", "lost", "LOST"),
        ("identitas", "down", "DOWN"),
        ("s2", "cut-off", "CUT OFF"),
        ("recovery", "weaker", "NO RECOVERY"),
        ("utama", "weaker", "BACKUP LINE UNTESTED"),
    ],
)
def test_what_is_affected_has_a_border_a_sign_and_words_and_the_legend_tells_it(
    thing: str, state: State, mark: str
) -> None:
    root = parsed(draw_impact(CITY, "svg", [thing]))
    groups = [group for group in root.iter(f"{SVG}g") if group.get("class") == f"node {state}"]
    words = [text.text for group in groups for text in group.iter(f"{SVG}text") if text.get("class") == "mark"]
    assert f"{SIGNS[state]} {mark}" in words
    assert MEANINGS[state] in [text.text for text in root.iter(f"{SVG}text")]
    assert f".{state} .box" in draw_impact(CITY, "svg", [thing])


def test_a_service_that_is_down_without_a_way_back_says_both() -> None:
    assert "▼ DOWN, NO RECOVERY" in draw_impact(CITY, "svg", ["identitas-1", "drc-identitas-1"])
    assert "△ RECOVERY CUT OFF" in draw_impact(CITY, "svg", ["utama", "cadangan"])
    assert "▼ DOWN, BACKUPS STOP" in draw_impact(CITY, "svg", ["c1", "cb"])


def test_links_have_labels_and_lost_ones_a_cross() -> None:
    root = parsed(draw_impact(CITY, "svg", ["s2"]))
    labels = {text.text: text.get("class") for text in root.iter(f"{SVG}text") if "label" in text.get("class", "")}
    assert labels["✕ s2"] == "label lost"
    assert {name for name in labels if name != "✕ s2"} == set(NETWORK["links"]) - {"s2"}
    assert "! s2" in draw_single_points(CITY, "svg")


def test_locations_at_the_same_distance_can_have_a_line() -> None:
    links = NETWORK["links"] | {"silang": {"a": "kantor-a", "b": "kantor-b", "medium": "fibre"}}
    drawing = draw_network(lost_city({**NETWORK, "links": links}), "svg")
    label = re.search(r'<text x="([\d.]+)"[^>]*>silang<', drawing)
    assert label is not None
    assert float(label[1]) + 7 * len("silang") <= float(parsed(drawing).get("width", ""))


def many(count: int) -> City:
    """So many services; the first is needed by two."""
    needs = {1: ["s0"], 2: ["s0"]}
    records = [service_record(f"s{number}", depends_on=needs.get(number, []), **BARE) for number in range(count)]
    return lost_city(None, *records, assets={})


def test_too_many_boxes_are_refused_with_a_hint_and_naming_a_thing_draws_what_it_affects() -> None:
    city = many(MOST_DRAWN + 1)
    with pytest.raises(UsageError, match="401 boxes") as told:
        draw_services(city, "svg")
    assert "drp graph THING" in told.value.hint
    assert len(boxes(parsed(draw_impact(city, "svg", ["s0"])))) == 3
    assert len(boxes(parsed(draw_services(many(MOST_DRAWN), "svg")))) == MOST_DRAWN


def test_a_loss_that_affects_too_many_is_refused_without_asking_for_what_was_given() -> None:
    with pytest.raises(UsageError) as told:
        draw_impact(many(MOST_DRAWN + 1), "svg", ["primary"])
    assert "THING" not in told.value.hint
    assert "--format" in told.value.hint
