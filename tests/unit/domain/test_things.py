"""What people may call a thing, and what they are told where that means nothing, or too much."""

from __future__ import annotations

from itertools import chain

import pytest

from drp.domain.impact.things import Thing, find_things, title_of
from drp.errors import UsageError
from tests.fakes.lost_city import NETWORK, lost_city

CITY = lost_city()


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("identitas", "service:identitas"),
        ("identitas-1", "host:identitas-1"),
        ("IDENTITAS-1", "host:identitas-1"),
        ("s2", "link:s2"),
        ("kabel utama", "link:s1"),
        ("Route 1", "link:s1"),
        ("simpul jalan baru – kantor a", "link:s2"),
        ("Simpul  Jalan BARU", "location:simpul"),
        ("primary", "site:primary"),
        ("location:drc", "location:drc"),
        ("dr-centre:drc", "dr-centre:drc"),
        ("DR-Centre: DR centre", "dr-centre:drc"),
        ("site:Pusat Pemulihan", "site:recovery"),
        ("dinas", "agency:dinas"),
        ("Dinas Kesehatan", "agency:dinas"),
        ("server basis data", "asset:server"),
    ],
)
def test_a_thing_is_found_by_its_id_its_title_and_its_kind(name: str, key: str) -> None:
    assert [thing.key for thing in find_things(CITY, [name])] == [key]


@pytest.mark.parametrize(
    ("name", "message", "hint"),
    [
        ("drc", "several things", "location:drc or dr-centre:drc"),
        ("pusat pemulihan", "several things", "location:drc or site:recovery"),
        ("simpul jalan", "nothing is called", "did you mean location:simpul or link:s1 or link:s2 or link:s3?"),
        ("identitis-1", "nothing is called", "host:identitas-1"),
        ("link:simpul", "nothing is called", "link:"),
        ("", "nothing is called ''", "by its id or its title"),
        ("service:", "nothing is called", "by its id or its title"),
        ("tidak ada sama sekali", "nothing is called", "name a service, host, link"),
    ],
)
def test_what_means_nothing_or_several_things_is_told_with_what_to_write(name: str, message: str, hint: str) -> None:
    with pytest.raises(UsageError) as told:
        find_things(CITY, ["identitas", name])
    assert message in told.value.message
    assert hint in told.value.hint


def test_an_id_wins_over_a_title_and_capitals_matter_where_hosts_differ_by_them() -> None:
    network = {**NETWORK, "locations": NETWORK["locations"] | {"toko": {"title": "s2"}}}
    city = lost_city(network)
    assert find_things(city, ["s2"]) == (Thing("link", "s2"),)
    shouted = city.hosts["arsip-1"].model_copy(update={"name": "ARSIP-1"})
    city = city.model_copy(update={"hosts": city.hosts | {"ARSIP-1": shouted}})
    assert find_things(city, ["ARSIP-1"]) == (Thing("host", "ARSIP-1"),)
    assert find_things(city, ["arsip-1"]) == (Thing("host", "arsip-1"),)


def test_a_thing_that_is_named_twice_is_one() -> None:
    assert find_things(CITY, ["s1", "link:s1", "Kabel Utama"]) == (Thing("link", "s1"),)


def test_everything_has_a_title_but_hosts() -> None:
    keys = [
        "service:arsip",
        "link:s2",
        "location:pusat",
        "site:primary",
        "dr-centre:drc",
        "agency:camat",
        "asset:genset",
    ]
    assert all(title_of(CITY, thing) for thing in chain.from_iterable(find_things(CITY, [key]) for key in keys))
    assert title_of(CITY, Thing("host", "arsip-1")) == ""
