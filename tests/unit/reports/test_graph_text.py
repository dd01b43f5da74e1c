"""The graphs and an impact as a person reads them on a terminal."""

from __future__ import annotations

import copy

import pytest

from drp.domain.impact.things import Thing
from drp.reports.graph import draw_impact, draw_network, draw_services, draw_single_points
from drp.reports.graph_model import called, listed, plain
from drp.reports.text_table import WIDTH, table
from tests.fakes.city import service_record
from tests.fakes.lost_city import BARE, HOSTILE, NETWORK, hostile_city, lost_city

CITY = lost_city()

SERVICES = """\
7 services in 3 waves. A service can start when those that it needs are up: they are in earlier waves.

Wave 1: 5 services
  identitas  penting  RTO 1 m   needed by 1
  kabar      penting  RTO 5 m                needs: not stated
  lokal      penting  RTO 5 m
  portal     no tier  RTO none
  posyandu   penting  RTO 5 m

Wave 2: 1 service
  pengaduan  penting  RTO 5 m  needed by 1  needs identitas

Wave 3: 1 service
  arsip  biasa  RTO 1 d  needs pengaduan
"""

LOSS = """\
Losing link c1 (Pusat Data – Kantor Cabang) and location simpul (Simpul Jalan Baru) takes down 2 of 7 services (2
  penting), cuts off 3 of 7 locations, leaves 2 agencies without any way to the central services and weakens the
  protection of 1 service.

LOST: 5 things
  link c1          Pusat Data – Kantor Cabang
  location simpul  Simpul Jalan Baru
  link s1          Kabel Utama                   ends at location simpul
  link s2          Simpul Jalan Baru – Kantor A  ends at location simpul
  link s3          Kantor B – Simpul Jalan Baru  ends at location simpul

GOES DOWN: 2 services, the most urgent first
  service   tier     RTO  why                                         recovers on
  lokal     penting  5 m  ← host lokal-1 ← location cabang (cut off)  drc-lokal-1
  posyandu  penting  5 m  ← location kantor-a (cut off)               nowhere: it is hosted by its agency itself

CUT OFF from the primary site: 3 locations. Nobody there can reach a central service.
  location  title          shortest way was over  after a failover     agencies there
  cabang    Kantor Cabang  link c1                cut off from it too  camat
  kantor-a  Kantor A       location simpul        cut off from it too  dinas
  kantor-b  Kantor B       location simpul        cut off from it too  camat

Agencies that no longer have any office with a way to the central services: 2
  camat, dinas

Backup lines that still stand:
  cb  for c1  failover last tested 2026-03-01

LOSES PROTECTION: 1 service, until the lines are back
  New backups no longer arrive at the DR centre (host lokal-1): 1 service
    penting  RTO 5 m  lokal

NOTE
  No host is declared for these services: whether they run on what is lost is not known (1): portal
  Nobody has said what these services depend on: they may go down too (1): kabar
  No line to the primary site is declared for these locations: whether they are cut off is not known (1): pulau
"""

LINES = """\
7 locations and 7 links, by how many lines are between them and the primary site at pusat.

Primary site: 1 location
  pusat  Pusat Data  primary site

1 line away: 3 locations
  drc     Pusat Pemulihan    recovery site, DR centre drc  utama (fibre) from pusat; cadangan (radio) from pusat
  simpul  Simpul Jalan Baru                                s1 (fibre) from pusat
  cabang  Kantor Cabang                                    c1 (fibre) from pusat

2 lines away: 2 locations
  kantor-a  Kantor A  s2 (fibre) from simpul
  kantor-b  Kantor B  s3 (radio) from simpul; cb (radio) from cabang

Locations without any line to the primary site: 1 location
  pulau  Kantor Pulau
"""

POINTS = """\
1 location and 1 link that cut others off from the primary site at pusat when they alone are lost.

Those that cut off one location each: 2
  link:s2, location:simpul

These links have a backup line, and nobody has tested that it takes over: 1
  utama
"""


def test_the_services_are_told_in_waves() -> None:
    assert draw_services(CITY, "text") == SERVICES


def test_the_network_is_told_by_distance() -> None:
    assert draw_network(CITY, "text") == LINES


def test_a_loss_is_told_in_the_order_of_what_matters() -> None:
    assert draw_impact(CITY, "text", ["c1", "simpul"]) == LOSS


def test_single_points_are_told_with_lines_that_nobody_has_tested() -> None:
    assert draw_single_points(CITY, "text") == POINTS


@pytest.mark.parametrize(
    ("things", "lines"),
    [
        (["kantor-b"], ["GOES DOWN: nothing, as far as is declared"]),
        (["identitas"], ["identitas penting 1 m lost itself drc-identitas-1"]),
        (
            ["recovery"],
            [
                "LOSES PROTECTION: 4 services, 4 of them for good",
                "The host that they would recover on is lost: 4 services",
                "penting RTO 5 m lokal, pengaduan",
            ],
        ),
        (["dr-centre:drc"], ["Their backups are lost (DR centre drc): 4 services"]),
        (
            ["identitas-1", "drc-identitas-1"],
            ["identitas penting 1 m ← host identitas-1 nowhere: that is lost too"],
        ),
        (
            ["primary", "utama", "cadangan"],
            ["pengaduan penting 5 m ← host pengaduan-1 drc-pengaduan-1 (cut off)"],
        ),
        (
            ["utama", "cadangan"],
            [
                "LOSES PROTECTION: 4 services, until the lines are back",
                "Cut off with them: site recovery (Pusat Pemulihan) and DR centre drc (DR centre)",
            ],
        ),
        (
            ["utama"],
            [
                "cadangan for utama failover never tested",
                "Their way now hangs on a backup line whose failover was never tested: 1 location",
                "drc (recovery site) (DR centre drc)",
            ],
        ),
        (["cabang"], ["Agencies that lose some of their offices: 1", "camat (1 of 2)"]),
        (
            ["genset"],
            ["No host or link is declared for asset genset: it is taken to carry all hosts at location:pusat"],
        ),
    ],
    ids=lambda value: "+".join(value) if len(value) < 4 else "",
)
def test_each_kind_of_loss_is_told_in_its_words(things: list[str], lines: list[str]) -> None:
    told = [" ".join(line.split()) for line in draw_impact(CITY, "text", things).splitlines()]
    for line in lines:
        assert line in told


def test_the_middle_of_a_long_chain_is_left_out() -> None:
    records = [
        service_record(f"s{number}", depends_on=[f"s{number - 1}"] if number else [], **BARE) for number in range(12)
    ]
    told = draw_impact(lost_city(None, *records, assets={}), "text", ["s0"])
    assert "  s6       penting  5 m  ← s5 ← s4 ← s3 ← s2 ← s1 ← s0 " in told
    assert "  s11      penting  5 m  ← s10 ← s9 ← s8 ← … 6 more … ← s1 ← s0 " in told


def test_nobody_knows_single_points_without_the_place_of_the_primary_site() -> None:
    sites = {"primary": "Pusat", "recovery": {"title": "DRC", "location": "drc"}}
    city = lost_city(sites=sites)
    assert draw_single_points(city, "text").startswith("Not known: nobody has said")
    assert "Nobody has said at which location the primary site is." in draw_network(city, "text")


def test_a_ring_has_no_single_point() -> None:
    network = copy.deepcopy(NETWORK)
    network["links"]["lingkar"] = {"a": "kantor-a", "b": "kantor-b", "medium": "fibre"}
    assert draw_single_points(lost_city(network), "text").startswith(
        "No location and no link cuts another location off"
    )


def test_hostile_titles_stay_on_their_line() -> None:
    city = hostile_city()
    for told in (
        draw_impact(city, "text", ["location:pusat"]),
        draw_network(city, "text"),
        draw_single_points(city, "text"),
    ):
        assert "\uffff" not in told
        assert not [line for line in told.splitlines() if line.startswith(("1. end", "-->"))]


def test_a_title_is_one_line_of_visible_characters() -> None:
    assert (
        plain("a\n\tb  c\x1b[31m\u202e\ufffe") == "a b c\N{REPLACEMENT CHARACTER}[31m" + 2 * "\N{REPLACEMENT CHARACTER}"
    )
    assert plain("x" * 50, 10) == "x" * 9 + "…"
    assert plain(HOSTILE).count("\n") == 0


def test_things_are_called_by_their_title_where_it_says_more() -> None:
    assert called(CITY, Thing("location", "simpul")) == "location simpul (Simpul Jalan Baru)"
    assert called(CITY, Thing("host", "lokal-1")) == "host lokal-1"
    assert called(CITY, Thing("service", "arsip")) == "service arsip"
    many = [Thing("host", f"{name}-1") for name in ("identitas", "pengaduan", "arsip", "lokal")]
    assert listed(CITY, many) == "host identitas-1, host pengaduan-1, host arsip-1 and 1 more"


def test_a_table_wraps_its_last_column_and_leaves_empty_ones_out() -> None:
    lines = table([["a", "", "word " * 60], ["bbb", "", ""]])
    assert all(len(line) <= WIDTH for line in lines)
    assert lines[0].startswith("  a    word")
    assert lines[1].startswith("       word")
    assert lines[-1] == "  bbb"
