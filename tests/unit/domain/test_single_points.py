"""Single points are exactly the locations and links whose loss cuts somebody off, however the lines run."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from drp.domain.impact.impact import impact_of
from drp.domain.impact.single_points import single_points
from drp.domain.inventory import City
from tests.fakes.city import workspace_record
from tests.fakes.lost_city import AGENCIES, lost_city

PLACES = ["pusat", "drc", "kantor-a", "e", "f", "g"]


def test_the_worst_is_told_first_with_what_it_cuts_off() -> None:
    found = [(point.thing.key, point.locations, point.agencies) for point in single_points(lost_city())]
    assert found == [("link:s2", 1, 1), ("location:simpul", 1, 1)]


def test_a_line_to_the_recovery_site_is_told_as_such() -> None:
    city = lost_city()
    links = {name: link for name, link in city.network.links.items() if name != "cadangan"}
    links["utama"] = links["utama"].model_copy(update={"backup_link": None})
    city = city.model_copy(update={"network": city.network.model_copy(update={"links": links})})
    worst = {point.thing.key: [site.key for site in point.sites] for point in single_points(city)}
    assert worst["link:utama"] == ["dr-centre:drc", "site:recovery"]


def test_without_a_place_of_the_primary_site_nothing_is_claimed() -> None:
    sites = {"primary": "Pusat", "recovery": {"title": "DRC", "location": "drc"}}
    assert single_points(lost_city(sites=sites)) == []


@st.composite
def cities(draw: st.DrawFn) -> City:
    """Any lines between six locations, several between the same two and lines to themselves included."""
    ends = st.tuples(st.sampled_from(PLACES), st.sampled_from(PLACES)).filter(lambda pair: pair[0] != pair[1])
    links = {
        f"k{number}": {"a": a, "b": b, "medium": "fibre"}
        for number, (a, b) in enumerate(draw(st.lists(ends, max_size=10)))
    }
    agencies = st.lists(st.sampled_from(["humas", "kominfo", "camat"]), unique=True)
    locations: dict[str, Any] = {name: {"title": name, "agencies": draw(agencies)} for name in PLACES}
    return lost_city({"locations": locations, "links": links}, agencies=AGENCIES, places={}, assets={})


@given(cities())
def test_they_are_what_losing_each_thing_alone_shows(city: City) -> None:
    expected = {}
    for key in (
        *(f"location:{name}" for name in PLACES if name != "pusat"),
        *(f"link:{name}" for name in city.network.links),
    ):
        cut = impact_of(city, [key]).cut_off
        if cut:
            agencies = {agency for found in cut.values() for agency in found.agencies}
            sites = {thing.key for thing in impact_of(city, [key]).apart}
            expected[key] = (len(cut), len(agencies), sites)
    found = {
        point.thing.key: (point.locations, point.agencies, {site.key for site in point.sites})
        for point in single_points(city)
    }
    assert found == expected


def test_a_chain_of_twenty_thousand_locations_needs_no_deep_stack() -> None:
    locations = {f"l{number}": {"title": "L", "agencies": [f"a{number % 500}"]} for number in range(20_000)}
    links = {f"k{number}": {"a": f"l{number}", "b": f"l{number + 1}", "medium": "fibre"} for number in range(19_999)}
    sites = {"primary": {"title": "A", "location": "l0"}, "recovery": {"title": "B", "location": "l1"}}
    agencies = AGENCIES | {"dinas": "Dinas"} | {f"a{number}": "A" for number in range(500)}
    lines = {"locations": locations, "links": links}
    city = lost_city(
        lines, sites=sites, agencies=agencies, dr_centres=workspace_record()["dr_centres"], places={}, assets={}
    )
    found = single_points(city)
    assert len(found) == 19_999 + 19_998
    assert (found[0].thing.key, found[0].locations, found[0].agencies) == ("link:k0", 19_999, 500)
