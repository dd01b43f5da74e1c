"""What goes down, is cut off and loses protection when parts of a city are lost; see tests/fakes/lost_city.py."""

from __future__ import annotations

import copy
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drp.domain.impact.impact import Impact, impact_of
from drp.domain.impact.things import Thing
from drp.errors import UsageError
from tests.fakes.city import service_record, workspace_record
from tests.fakes.lost_city import BARE, NETWORK, lost_city, services

CITY = lost_city()
CENTRAL = ["identitas", "pengaduan", "arsip"]


def chains(impact: Impact) -> dict[str, str]:
    """Each service that goes down, with its reason as a line."""
    return {name: " ← ".join(thing.key for thing in impact.chain(Thing("service", name))) for name in impact.down}


def weaker(impact: Impact) -> dict[str, dict[str, list[str]]]:
    """Each service that loses protection, with what it loses, and with what."""
    return {
        name: {loss.code: [cause.key for cause in loss.causes] for loss in found.losses}
        for name, found in impact.unprotected.items()
    }


DOWN: list[tuple[list[str], dict[str, str]]] = [
    (["arsip"], {"arsip": "service:arsip"}),
    (
        ["identitas-1"],
        {
            "identitas": "service:identitas ← host:identitas-1",
            "pengaduan": "service:pengaduan ← service:identitas ← host:identitas-1",
            "arsip": "service:arsip ← service:pengaduan ← service:identitas ← host:identitas-1",
        },
    ),
    (["drc-identitas-1"], {}),
    (["recovery"], {}),
    (["dr-centre:drc"], {}),
    (["utama"], {}),
    (["s1"], {}),
    (
        ["genset"],  # it names no host: it carries all that stand at its location
        {name: f"service:{name} ← host:{name}-1 ← asset:genset" for name in ("arsip", "identitas", "pengaduan")},
    ),
    (
        ["primary"],
        {
            "identitas": "service:identitas ← host:identitas-1 ← site:primary",
            "lokal": "service:lokal ← host:lokal-1 ← site:primary",
            "pengaduan": "service:pengaduan ← host:pengaduan-1 ← site:primary",
            "arsip": "service:arsip ← host:arsip-1 ← site:primary",
            "portal": "service:portal ← site:primary",
        },
    ),
    (
        ["location:pusat"],
        {
            "identitas": "service:identitas ← host:identitas-1 ← location:pusat",
            "lokal": "service:lokal ← host:lokal-1 ← location:cabang ← location:pusat",
            "pengaduan": "service:pengaduan ← host:pengaduan-1 ← location:pusat",
            "posyandu": "service:posyandu ← location:kantor-a ← location:pusat",
            "arsip": "service:arsip ← host:arsip-1 ← location:pusat",
            "portal": "service:portal ← site:primary ← location:pusat",
        },
    ),
    (["cabang"], {"lokal": "service:lokal ← host:lokal-1 ← location:cabang"}),
    (["c1", "cb"], {"lokal": "service:lokal ← host:lokal-1 ← location:cabang ← link:c1"}),
    (["simpul"], {"posyandu": "service:posyandu ← location:kantor-a ← location:simpul"}),
    (["s2"], {"posyandu": "service:posyandu ← location:kantor-a ← link:s2"}),
    (["dinas"], {"posyandu": "service:posyandu ← agency:dinas"}),
    (["humas"], {}),
    (
        ["server"],
        {
            "identitas": "service:identitas ← host:identitas-1 ← asset:server",
            "pengaduan": "service:pengaduan ← service:identitas ← host:identitas-1 ← asset:server",
            "posyandu": "service:posyandu ← location:kantor-a ← link:s2 ← asset:server",
            "arsip": "service:arsip ← service:pengaduan ← service:identitas ← host:identitas-1 ← asset:server",
        },
    ),
    (
        ["pengaduan", "identitas-1"],
        {
            "identitas": "service:identitas ← host:identitas-1",
            "pengaduan": "service:pengaduan",
            "arsip": "service:arsip ← service:pengaduan",
        },
    ),
]


@pytest.mark.parametrize(("things", "expected"), DOWN, ids=lambda value: "+".join(value) if value else "nothing")
def test_what_goes_down_and_why_the_most_urgent_first(things: list[str], expected: dict[str, str]) -> None:
    found = chains(impact_of(CITY, things))
    assert found == expected
    assert list(found) == [
        name for name in ("identitas", "lokal", "pengaduan", "posyandu", "arsip", "portal") if name in found
    ]


@pytest.mark.parametrize(
    ("things", "locations", "agencies"),
    [
        (["s1"], {}, {}),  # the ring over the branch office carries
        (["simpul"], {"kantor-a": "location:simpul"}, {"dinas": True}),
        (["s2"], {"kantor-a": "link:s2"}, {"dinas": True}),
        (["cabang"], {}, {"camat": False}),
        (["cabang", "s3"], {"kantor-b": "link:s3"}, {"camat": True}),
        (
            ["s1", "c1"],
            {"simpul": "link:s1", "cabang": "link:c1", "kantor-a": "link:s1", "kantor-b": "link:s1"},
            {"camat": True, "dinas": True},
        ),
        (["utama", "cadangan"], {"drc": "link:utama"}, {}),
        (["location:pulau"], {}, {}),  # it had no line before
        (["agency:pulau"], {}, {}),
        (["primary"], {}, {}),  # the machines are gone, the lines are not
        (
            ["location:pusat"],
            dict.fromkeys(("drc", "simpul", "cabang", "kantor-a", "kantor-b"), "location:pusat"),
            {"camat": True, "dinas": True, "humas": True, "kominfo": True},
        ),
    ],
)
def test_who_is_cut_off_and_by_what(things: list[str], locations: dict[str, str], agencies: dict[str, bool]) -> None:
    impact = impact_of(CITY, things)
    assert {name: cut.because.key for name, cut in impact.cut_off.items()} == locations
    assert {cut.agency: cut.wholly for cut in impact.agencies} == agencies


def test_who_is_cut_off_may_still_reach_the_recovery_site_or_not_or_nobody_knows() -> None:
    network = copy.deepcopy(NETWORK)
    network["links"]["langsung"] = {"a": "kantor-a", "b": "drc", "medium": "internet"}
    impact = impact_of(lost_city(network), ["location:pusat"])
    reached = {name: cut.reaches_recovery for name, cut in impact.cut_off.items()}
    assert reached == {"drc": True, "simpul": True, "cabang": True, "kantor-a": True, "kantor-b": True}
    impact = impact_of(CITY, ["location:pusat"])
    assert {name for name, cut in impact.cut_off.items() if cut.reaches_recovery} == {"drc"}
    sites = {"primary": {"title": "Pusat", "location": "pusat"}, "recovery": {"title": "DRC"}}
    impact = impact_of(lost_city(sites=sites), ["simpul"])
    assert impact.cut_off["kantor-a"].reaches_recovery is None


FOUR = ["identitas", "lokal", "pengaduan", "arsip"]


@pytest.mark.parametrize(
    ("things", "expected"),
    [
        (["identitas-1"], {}),
        (["drc-identitas-1"], {"identitas": {"recovery-host-lost": ["host:drc-identitas-1"]}}),
        (["recovery"], {name: {"recovery-host-lost": [f"host:drc-{name}-1"]} for name in FOUR}),
        (["dr-centre:drc"], {name: {"backups-lost": ["dr-centre:drc"]} for name in FOUR}),
        (
            ["location:drc"],
            {name: {"recovery-host-lost": [f"host:drc-{name}-1"], "backups-lost": ["dr-centre:drc"]} for name in FOUR},
        ),
        (["utama"], {}),
        (
            ["utama", "cadangan"],
            {
                name: {"recovery-host-cut-off": [f"host:drc-{name}-1"], "backups-cut-off": [f"host:{name}-1"]}
                for name in FOUR
            },
        ),
        (["c1", "cb"], {"lokal": {"backups-cut-off": ["host:lokal-1"]}}),
    ],
)
def test_what_loses_protection_and_with_what(things: list[str], expected: dict[str, dict[str, list[str]]]) -> None:
    assert weaker(impact_of(CITY, things)) == expected


def test_a_recovery_site_that_cannot_fetch_backups_is_told() -> None:
    network = copy.deepcopy(NETWORK)
    network["locations"]["awan"] = {"title": "Awan", "kind": "dr-centre"}
    network["links"]["sewa"] = {"a": "drc", "b": "awan", "medium": "leased"}
    network["links"]["unggah"] = {"a": "pusat", "b": "awan", "medium": "leased"}
    city = lost_city(network)
    centre = city.workspace.dr_centres["drc"].model_copy(update={"location": "awan"})
    city = city.model_copy(update={"workspace": city.workspace.model_copy(update={"dr_centres": {"drc": centre}})})
    assert impact_of(city, ["sewa"]).unprotected == {}  # over the primary site it still can
    impact = impact_of(city, ["sewa", "unggah"])
    assert weaker(impact)["arsip"] == {"restore-cut-off": ["host:drc-arsip-1"], "backups-cut-off": ["host:arsip-1"]}
    assert [thing.key for thing in impact.apart] == ["dr-centre:drc"]
    assert not impact.unprotected["arsip"].for_good
    assert impact_of(city, ["dr-centre:drc"]).unprotected["arsip"].for_good


def test_a_site_that_is_cut_off_from_the_other_is_told() -> None:
    assert [thing.key for thing in impact_of(CITY, ["utama", "cadangan"]).apart] == ["site:recovery", "dr-centre:drc"]
    assert impact_of(CITY, ["utama"]).apart == ()
    assert impact_of(CITY, ["location:drc"]).apart == ()  # lost, not cut off


def test_a_backup_line_that_stands_is_told_with_its_last_test() -> None:
    impact = impact_of(CITY, ["utama", "c1"])
    assert [(line.link, line.backup, line.last_test) for line in impact.backup_lines] == [
        ("c1", "cb", date(2026, 3, 1)),
        ("utama", "cadangan", None),
    ]
    assert impact.hanging == ("drc",)  # `cb` was tested
    assert impact_of(CITY, ["utama", "cadangan"]).backup_lines == ()
    assert impact_of(CITY, ["cabang"]).backup_lines == ()  # both end there
    assert impact_of(CITY, ["cadangan"]).hanging == ()


def test_the_same_name_for_a_link_and_a_location_is_kept_apart() -> None:
    network = copy.deepcopy(NETWORK)
    network["links"]["cabang"] = network["links"].pop("s2")
    city = lost_city(network, assets={})
    assert set(impact_of(city, ["link:cabang"]).cut_off) == {"kantor-a"}
    assert set(impact_of(city, ["location:cabang"]).cut_off) == set()


def notes(impact: Impact) -> dict[str, tuple[str, ...]]:
    return {note.code: note.things for note in impact.notes}


@pytest.mark.parametrize(
    ("things", "expected"),
    [
        (["arsip"], {"dependencies-not-stated": ("kabar",)}),
        (["recovery"], {}),
        (["identitas-1"], {"service-without-host": ("portal",), "dependencies-not-stated": ("kabar",)}),
        (["primary"], {"dependencies-not-stated": ("kabar",), "host-elsewhere": ("lokal-1",)}),
        (["s1"], {"location-without-line": ("pulau",)}),
        (
            ["genset"],
            {"asset-without-parts": (), "service-without-host": ("portal",), "dependencies-not-stated": ("kabar",)},
        ),
        (["humas"], {"office-shared": ("pusat",)}),
        (
            ["simpul"],
            {
                "service-without-host": ("portal",),
                "dependencies-not-stated": ("kabar",),
                "location-without-line": ("pulau",),
            },
        ),
    ],
)
def test_what_nobody_has_declared_is_told(things: list[str], expected: dict[str, tuple[str, ...]]) -> None:
    assert notes(impact_of(CITY, things)) == expected


def test_without_places_nobody_knows_who_is_cut_off() -> None:
    city = lost_city(sites={"primary": "Pusat", "recovery": "DRC"}, dr_centres=workspace_record()["dr_centres"])
    impact = impact_of(city, ["simpul"])
    assert (impact.cut_off, impact.agencies, impact.hanging) == ({}, (), ())
    assert notes(impact)["primary-site-without-location"] == ()
    assert notes(impact)["dr-centre-without-location"] == ("drc",)
    assert "recovery-site-without-location" in notes(impact)
    assert "identitas-1" in notes(impact)["host-without-location"]


def test_a_service_with_several_hosts_goes_down_with_one_and_that_is_told() -> None:
    hosts = {"runs_on": ["app-1", "db-1"], "recovers_on": {"app-1": "drc-1", "db-1": "drc-1"}}
    city = lost_city(None, service_record("peta", **hosts, datasets=[]), assets={})
    impact = impact_of(city, ["db-1"])
    assert chains(impact) == {"peta": "service:peta ← host:db-1"}
    assert notes(impact) == {"some-hosts-lost": ("peta",)}
    assert impact.down["peta"].recovers_on == ("drc-1",)
    assert notes(impact_of(city, ["primary"])) == {}


def test_how_a_service_that_is_down_could_come_back_is_told() -> None:
    down = impact_of(CITY, ["location:pusat"]).down
    assert (down["identitas"].recovers_on, down["identitas"].obstacle) == (("drc-identitas-1",), None)
    assert down["posyandu"].obstacle == "it is hosted by its agency itself"
    assert down["portal"].obstacle == "no backup is declared"
    assert down["portal"].objectives is None
    identitas = down["identitas"].objectives
    assert identitas is not None
    assert identitas.rto.total_seconds() == 60


def test_a_service_of_an_agency_with_several_offices_needs_all_of_them_lost() -> None:
    record = service_record("camatku", agency="camat", hosting="agency", **BARE)
    city = lost_city(None, record, assets={})
    assert impact_of(city, ["kantor-b"]).down == {}
    assert set(impact_of(city, ["kantor-b", "cabang"]).down) == {"camatku"}


def test_unknown_things_are_refused() -> None:
    with pytest.raises(UsageError, match="nothing is called 'atlantis'"):
        impact_of(CITY, ["atlantis"])


THINGS = [
    *(f"location:{name}" for name in NETWORK["locations"]),
    *(f"link:{name}" for name in NETWORK["links"]),
    *(f"service:{record['id']}" for record in services()),
    *(f"host:{name}" for name in CITY.hosts),
    *("primary", "recovery", "dr-centre:drc", "agency:dinas", "agency:camat", "asset:server", "asset:genset"),
]
SOME = st.lists(st.sampled_from(THINGS), min_size=1, max_size=4, unique=True)


@given(SOME, SOME)
def test_losing_more_never_brings_anything_back(first: list[str], more: list[str]) -> None:
    alone, together = impact_of(CITY, first), impact_of(CITY, [*first, *more])
    assert set(alone.down) <= set(together.down)
    assert set(alone.lost) <= set(together.lost)
    gone = {thing.id for thing in together.lost if thing.kind == "location"}
    assert set(alone.cut_off) <= set(together.cut_off) | gone


@given(SOME)
def test_every_reason_leads_from_the_service_to_something_that_was_named(things: list[str]) -> None:
    impact = impact_of(CITY, things)
    for name in impact.down:
        assert impact.chain(Thing("service", name))[-1] in impact.named
    for name in impact.cut_off:
        assert impact.chain(Thing("location", name))[-1] in impact.named


def test_a_chain_of_ten_thousand_services_and_locations_is_no_trouble() -> None:
    records = [
        service_record(f"s{number}", depends_on=[f"s{number - 1}"] if number else [], **BARE)
        for number in range(10_000)
    ]
    places = {f"l{number}": {"title": f"L{number}"} for number in range(10_000)}
    links = {f"k{number}": {"a": f"l{number}", "b": f"l{number + 1}", "medium": "fibre"} for number in range(9_999)}
    sites = {"primary": {"title": "A", "location": "l0"}, "recovery": {"title": "B", "location": "l1"}}
    agencies = {"humas": "Humas"}
    city = lost_city(
        {"locations": places, "links": links},
        *records,
        sites=sites,
        agencies=agencies,
        dr_centres=workspace_record()["dr_centres"],
        assets={},
    )
    impact = impact_of(city, ["s0", "k5"])
    assert len(impact.down) == 10_000
    assert len(impact.chain(Thing("service", "s9999"))) == 10_000
    assert len(impact.cut_off) == 9_994
