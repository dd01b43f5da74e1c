"""JSON for programs: stable keys, names that lead from one part to another."""

from __future__ import annotations

import json
from typing import Any

import pytest

from drp.reports.graph import MOST_DRAWN, draw_impact, draw_network, draw_services, draw_single_points
from tests.fakes.city import service_record
from tests.fakes.lost_city import BARE, HOSTILE, hostile_city, lost_city

CITY = lost_city()
KEYS = ["schema", "nodes", "edges", "impact", "single_points"]


def impact(*things: str) -> Any:
    return json.loads(draw_impact(CITY, "json", things))["impact"]


def test_the_graph_of_services_has_their_waves() -> None:
    value = json.loads(draw_services(CITY, "json"))
    assert list(value) == KEYS
    assert (value["schema"], value["impact"], value["single_points"]) == (1, None, None)
    nodes = {node["key"]: node for node in value["nodes"]}
    assert nodes["service:arsip"] == {
        "key": "service:arsip",
        "kind": "service",
        "id": "arsip",
        "title": "arsip",
        "wave": 3,
        "state": None,
    }
    needs = [(edge["from"], edge["to"], edge["kind"]) for edge in value["edges"]]
    assert needs == [
        ("service:identitas", "service:pengaduan", "needs"),
        ("service:pengaduan", "service:arsip", "needs"),
    ]


def test_the_graph_of_the_network_has_its_links() -> None:
    value = json.loads(draw_network(CITY, "json"))
    away = {node["id"]: node["lines_away"] for node in value["nodes"]}
    assert away == {"pusat": 0, "drc": 1, "simpul": 1, "cabang": 1, "kantor-a": 2, "kantor-b": 2, "pulau": None}
    assert {edge["link"] for edge in value["edges"]} == set(CITY.network.links)


@pytest.mark.parametrize("thing", ["location:pusat", "recovery", "s2", "server", "dinas", "arsip", "utama"])
def test_edges_lead_from_node_to_node(thing: str) -> None:
    value = json.loads(draw_impact(CITY, "json", [thing]))
    keys = {node["key"] for node in value["nodes"]}
    assert all({edge["from"], edge["to"]} <= keys for edge in value["edges"])


def test_an_impact_holds_all_that_the_text_tells() -> None:
    found = impact("c1", "simpul")
    assert found == {
        "named": ["link:c1", "location:simpul"],
        "lost": [
            {"thing": "link:c1", "because": None},
            {"thing": "location:simpul", "because": None},
            {"thing": "link:s1", "because": "location:simpul"},
            {"thing": "link:s2", "because": "location:simpul"},
            {"thing": "link:s3", "because": "location:simpul"},
        ],
        "unreachable": [{"thing": "host:lokal-1", "because": "location:cabang"}],
        "down": [
            {
                "service": "lokal",
                "agency": "humas",
                "tier": "penting",
                "rto_ms": 300_000,
                "rpo_ms": 900_000,
                "mtpd_ms": None,
                "causes": ["host:lokal-1"],
                "recovers_on": ["drc-lokal-1"],
                "obstacle": None,
            },
            {
                "service": "posyandu",
                "agency": "dinas",
                "tier": "penting",
                "rto_ms": 300_000,
                "rpo_ms": 900_000,
                "mtpd_ms": None,
                "causes": ["location:kantor-a"],
                "recovers_on": [],
                "obstacle": "it is hosted by its agency itself",
            },
        ],
        "cut_off": [
            {"location": "cabang", "because": "link:c1", "agencies": ["camat"], "reaches_recovery_site": False},
            {
                "location": "kantor-a",
                "because": "location:simpul",
                "agencies": ["dinas"],
                "reaches_recovery_site": False,
            },
            {
                "location": "kantor-b",
                "because": "location:simpul",
                "agencies": ["camat"],
                "reaches_recovery_site": False,
            },
        ],
        "agencies": [
            {"agency": "camat", "locations": ["kantor-b", "cabang"], "wholly": True},
            {"agency": "dinas", "locations": ["kantor-a"], "wholly": True},
        ],
        "apart": [],
        "unprotected": [
            {
                "service": "lokal",
                "tier": "penting",
                "rto_ms": 300_000,
                "rpo_ms": 900_000,
                "mtpd_ms": None,
                "losses": [{"code": "backups-cut-off", "causes": ["host:lokal-1"]}],
            }
        ],
        "backup_lines": [{"link": "c1", "backup": "cb", "last_failover_test": "2026-03-01"}],
        "untested_way_only": [],
        "notes": [
            {
                "code": "service-without-host",
                "text": "no host is declared for these services: whether they run on what is lost is not known",
                "things": ["portal"],
            },
            {
                "code": "dependencies-not-stated",
                "text": "nobody has said what these services depend on: they may go down too",
                "things": ["kabar"],
            },
            {
                "code": "location-without-line",
                "text": "no line to the primary site is declared for these locations: "
                "whether they are cut off is not known",
                "things": ["pulau"],
            },
        ],
    }


def test_what_is_not_declared_is_null() -> None:
    portal = next(row for row in impact("location:pusat")["down"] if row["service"] == "portal")
    assert (portal["tier"], portal["rto_ms"], portal["rpo_ms"], portal["recovers_on"]) == (None, None, None, [])
    assert impact("utama")["backup_lines"][0]["last_failover_test"] is None


def test_single_points_are_listed() -> None:
    value = json.loads(draw_single_points(CITY, "json"))
    assert value["single_points"] == [
        {"thing": "link:s2", "locations": 1, "agencies": 1, "sites": []},
        {"thing": "location:simpul", "locations": 1, "agencies": 1, "sites": []},
    ]
    assert {node["id"] for node in value["nodes"] if node["state"] == "single"} == {"simpul"}


def test_titles_are_kept_as_they_are() -> None:
    value = json.loads(draw_network(hostile_city(), "json"))
    assert {node["title"] for node in value["nodes"]} == {HOSTILE}


def test_a_large_city_is_whole_in_json() -> None:
    records = [service_record(f"s{number}", **BARE) for number in range(MOST_DRAWN + 1)]
    value = json.loads(draw_impact(lost_city(None, *records, assets={}), "json", ["service:s3"]))
    assert len([node for node in value["nodes"] if node["kind"] == "service"]) == MOST_DRAWN + 1
