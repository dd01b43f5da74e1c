"""Whatever a step is told that leads to a primary host is found before a drill starts."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import pytest

from drp.domain.inventory import AnsibleHost
from drp.domain.recovery.guard import forbidden_addresses, touches
from tests.fakes.city import make_city, service_record

HOSTS = {
    host.name: host
    for host in (
        AnsibleHost(name="app-1", site="primary", address="192.0.2.11"),
        AnsibleHost(name="db-1", site="primary", address="db.kota.example"),
        AnsibleHost(name="drc-1", site="recovery", address="198.51.100.1"),
        AnsibleHost(name="drc-2", site="recovery", address="drc-2.kota.example"),
        AnsibleHost(name="drc-3", site="recovery", address="198.51.100.3", jump_host="app-1"),
        AnsibleHost(name="drc-4", site="recovery", address="198.51.100.4", jump_host="drc-3"),
        AnsibleHost(name="lb-1", site=None, address="203.0.113.1"),
    )
}
NAMES = {"db.kota.example": ["192.0.2.12", "2001:db8::12"], "drc-2.kota.example": ["192.0.2.12"]}


def resolve(name: str) -> Collection[str]:
    return NAMES.get(name, [])


def found(variables: dict[str, Any], *limit: str) -> list[str]:
    return [str(touch) for touch in touches(variables, limit or ("drc-1",), HOSTS, resolve)]


@pytest.mark.parametrize(
    ("variables", "limit", "told"),
    [
        ({}, ("app-1",), "app-1 (192.0.2.11): the step runs on it"),
        ({}, ("drc-1", "all"), "any host (all): the limit names no host of the inventory"),
        ({}, ("app-*",), "any host (app-*): the limit names no host of the inventory"),
        ({}, ("drc-2",), "db-1 (192.0.2.12): recovery host drc-2 has the same address"),
        ({}, ("drc-3",), "app-1 (192.0.2.11): recovery host drc-3 is reached through it"),
        ({}, ("drc-4",), "app-1 (192.0.2.11): recovery host drc-4 is reached through it"),
        ({"drp_addresses": {"drc-1": "192.0.2.11"}}, (), "app-1 (192.0.2.11): named in drp_addresses.drc-1"),
        ({"drp_addresses": {"app-1": "198.51.100.1"}}, (), "app-1 (app-1): named in drp_addresses.app-1"),
        (
            {"drp_commands": {"activate": [{"argv": ["rsync", "root@192.0.2.11:/srv"]}]}},
            (),
            "app-1 (192.0.2.11): named in drp_commands.activate.0.argv.1",
        ),
        ({"url": "postgres://192.0.2.11:5432/x"}, (), "app-1 (192.0.2.11): named in url"),
        ({"argv": ["ssh", "root@app-1", "true"]}, (), "app-1 (app-1): named in argv.1"),
        ({"argv": ["ssh", "APP-1"]}, (), "app-1 (app-1): named in argv.1"),
        ({"url": "https://db.kota.example/x"}, (), "db-1 (db.kota.example): named in url"),
        ({"url": "http://[2001:db8::12]:80/"}, (), "db-1 (2001:db8::12): named in url"),
    ],
)
def test_each_way_to_a_primary_is_found(variables: dict[str, Any], limit: tuple[str, ...], told: str) -> None:
    assert found(variables, *limit) == [told]


def test_what_only_looks_like_a_primary_is_none() -> None:
    variables = {
        "drp_addresses": {"drc-1": "198.51.100.1"},
        "near": [
            "192.0.2.110",
            "1192.0.2.11",
            "192.0.2.11.example",
            "app-10",
            "my-app-1",
            "/srv/app-1/x",
            "db.kota.example.org",
        ],
        "numbers": [1921, True, None, 0.5],
    }
    assert found(variables, "drc-1", "lb-1") == []


def test_a_drill_is_kept_from_hosts_and_from_where_users_are_served() -> None:
    record = {"name": "www.kota.example", "type": "A", "primary": ["203.0.113.9"], "recovery": ["198.51.100.1"]}
    zone = {
        "type": "dns",
        "server": "203.0.113.53",
        "zone": "kota.example",
        "key": {"name": "drp", "secret": {"env": "X"}},
        "records": [record],
    }
    city = make_city(service_record("identitas", address="192.0.2.80"), service_record(traffic=[zone]))
    city = city.model_copy(update={"hosts": HOSTS})
    assert forbidden_addresses(city, resolve) == ["192.0.2.11", "192.0.2.80", "2001:db8::12", "203.0.113.9"]
