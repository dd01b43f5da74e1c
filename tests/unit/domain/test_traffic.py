"""What a service may declare about its traffic, what follows from it, and what the answers mean."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from drp.domain.events import Body
from drp.domain.recovery.compiling import steps_of, user_address
from drp.domain.recovery.cutover import (
    events_of,
    hosts_of,
    not_switched,
    refuse_in_drill,
    secrets_of,
    steps,
    user_place,
    ways_of,
    where_traffic_goes,
)
from drp.domain.service import Service
from drp.errors import UsageError
from tests.fakes.city import make_city, service_record

FLOATING = {"type": "floating_address", "address": "192.0.2.80"}
RECORD = {"name": "www.kota.example", "type": "A", "primary": ["192.0.2.1"], "recovery": ["192.0.2.3", "192.0.2.2"]}
ZONE: dict[str, Any] = {
    "type": "dns",
    "server": "192.0.2.53",
    "zone": "kota.example",
    "key": {"name": "drp", "secret": {"file": "/etc/drp/zone-key"}},
    "records": [RECORD],
}
PROXY = {"type": "haproxy", "hosts": ["lb-1", "lb-2"], "backend": "users", "primary": ["a"], "recovery": ["b"]}
COMMAND = {"type": "command", "to_recovery": ["go", "there"], "to_primary": ["go", "back"]}


def service(*ways: Any, **changes: Any) -> Service:
    more = {"traffic": list(ways)} if ways else {}
    return Service.model_validate(service_record() | more | changes)


def test_an_address_alone_is_a_floating_one() -> None:
    plain = service(address="192.0.2.80")
    assert ways_of(plain) == ways_of(service(FLOATING))
    assert steps(plain, "recovery", release=False) == steps(service(FLOATING), "recovery", release=False)
    assert ways_of(service()) == ()
    assert [step.stage for step in steps_of(service(), "failover", {})] == ["restore", "activate", "verify", "usable"]


@pytest.mark.parametrize("way", [FLOATING, ZONE, PROXY | {"hosts": ["pengaduan-1"]}, COMMAND])
def test_a_failover_switches_whatever_way_is_declared_and_a_drill_none(way: Any) -> None:
    assert "cutover" in {step.stage for step in steps_of(service(way), "failover", {})}
    assert "cutover" not in {step.stage for step in steps_of(service(way), "drill", {})}
    with pytest.raises(UsageError, match="a drill switches no traffic"):
        refuse_in_drill("drill", "recovery")
    refuse_in_drill("drill", None)
    refuse_in_drill("failover", "recovery")


@pytest.mark.parametrize(
    ("found", "place"),
    [
        (service(address="192.0.2.9"), "192.0.2.9"),
        (service(PROXY, address="192.0.2.9"), "192.0.2.9"),
        (service(ZONE, address="192.0.2.9"), "192.0.2.9"),
        (service(PROXY, FLOATING), "192.0.2.80"),
        (service(COMMAND, ZONE), "www.kota.example"),
        (service(PROXY, COMMAND), None),
        (service(), None),
    ],
)
def test_where_users_reach_a_service(found: Service, place: str | None) -> None:
    assert user_place(found) == place
    city = make_city(service_record("identitas"), service_record())
    host = city.hosts["drc-pengaduan-1"].address
    assert user_address(city, found, "failover") == (place or host)
    assert user_address(city, found, "drill") == host


def test_an_address_is_let_go_before_it_is_taken() -> None:
    def compiled(site: Any, *, release: bool) -> list[tuple[str, str]]:
        return [(step["verb"], step["host"]) for step in steps(service(FLOATING), site, release=release)]

    assert compiled("recovery", release=True) == [("release", "pengaduan-1"), ("take", "drc-pengaduan-1")]
    assert compiled("recovery", release=False) == [("take", "drc-pengaduan-1")]
    assert compiled("primary", release=True) == [("release", "drc-pengaduan-1"), ("take", "pengaduan-1")]
    assert compiled(None, release=True) == [("read", "pengaduan-1"), ("read", "drc-pengaduan-1")]


def test_a_lost_site_is_not_connected_to() -> None:
    everything = service(FLOATING, ZONE, PROXY, COMMAND)
    found = steps(everything, "recovery", release=False)
    assert hosts_of(everything, found) == ["drc-pengaduan-1", "lb-1", "lb-2"]
    assert [(step["way"], step["type"], step["host"]) for step in found] == [
        (0, "floating_address", "drc-pengaduan-1"),
        (1, "dns", ""),
        (2, "haproxy", "lb-1"),
        (2, "haproxy", "lb-2"),
        (3, "command", ""),
    ]
    only_here = service(ZONE, COMMAND)
    assert hosts_of(only_here, steps(only_here, "recovery", release=False)) == ["drc-pengaduan-1"]


def test_no_secret_and_no_shell_is_compiled() -> None:
    found = service(FLOATING, ZONE)
    assert {number: secret.file for number, secret in secrets_of(found).items()} == {"1": "/etc/drp/zone-key"}
    compiled = json.dumps(steps(found, "recovery", release=False))
    assert "zone-key" not in compiled
    (zone,) = (step for step in json.loads(compiled) if step["type"] == "dns")
    assert zone["records"][0]["recovery"] == ["192.0.2.2", "192.0.2.3"]
    assert (zone["ttl"], zone["timeout_seconds"], zone["port"]) == (60, 20.0, 53)


@pytest.mark.parametrize(
    ("way", "complaint"),
    [
        (FLOATING | {"port": 1}, "Extra inputs are not permitted"),
        ({"type": "anycast"}, "does not match any of the expected tags"),
        (ZONE | {"records": [RECORD | {"recovery": ["192.0.2.1"]}]}, "says the same for both sites"),
        (ZONE | {"records": [RECORD | {"recovery": ["2001:db8::1"]}]}, "is no IPv4 address"),
        (ZONE | {"records": [RECORD | {"type": "AAAA"}]}, "is no IPv6 address"),
        (ZONE | {"records": [RECORD | {"type": "CNAME"}]}, "a CNAME record has one value"),
        (ZONE | {"records": [RECORD, RECORD]}, "is declared twice"),
        (ZONE | {"records": [RECORD | {"name": "www.desa.example"}]}, "is not in the zone kota.example"),
        (ZONE | {"records": [RECORD | {"name": "kota.example", "type": "MX"}]}, "Input should be 'A', 'AAAA' or"),
        (ZONE | {"ttl": "1500ms"}, "whole seconds"),
        (ZONE | {"key": {"name": "drp", "secret": "c2VjcmV0"}}, "valid dictionary"),
        (ZONE | {"key": ZONE["key"] | {"algorithm": "hmac-md5"}}, "Input should be"),
        (ZONE | {"zone": "kota example"}, "should match pattern"),
        (PROXY | {"recovery": ["b", "a"]}, "server a stands for both sites"),
        (PROXY | {"backend": "users; shutdown"}, "should match pattern"),
        (PROXY | {"hosts": []}, "at least 1 item"),
        (COMMAND | {"to_primary": "go back"}, "valid tuple"),
    ],
)
def test_what_cannot_work_is_refused(way: Any, complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        service(way)


def answer(step: Body, after: str, before: str = "primary") -> Body:
    kept = {name: step[name] for name in ("way", "type", "label", "host", "verb", "site")}
    traffic = {**kept, "before": before, "after": after, "changed": before != after, "details": {}}
    return {"event": "task", "host": step["host"], "result": {"traffic": traffic}}


def test_only_ways_that_say_so_are_switched() -> None:
    found = service(FLOATING, ZONE, PROXY)
    compiled = steps(found, "recovery", release=True)
    good = {"take": "held", "release": "absent", "switch": "recovery"}
    told = [answer(step, good[step["verb"]]) for step in compiled]
    assert not_switched(events_of("pengaduan", told), compiled) == []
    assert len(events_of("pengaduan", told * 2)) == len(compiled), "items of a loop are told twice"
    assert not_switched([], compiled) == [
        "address 192.0.2.80 on pengaduan-1: no answer",
        "address 192.0.2.80 on drc-pengaduan-1: no answer",
        "www.kota.example at 192.0.2.53: no answer",
        "HAProxy back end users on lb-1: no answer",
        "HAProxy back end users on lb-2: no answer",
    ]
    wrong = [*told[:2], answer(compiled[2], "primary"), told[3], answer(compiled[4], "both")]
    assert not_switched(events_of("pengaduan", wrong), compiled) == [
        "www.kota.example at 192.0.2.53: traffic goes to primary",
        "HAProxy back end users on lb-2: traffic goes to both",
    ]


@pytest.mark.parametrize(
    ("primary", "recovery", "site"),
    [
        ("held", "absent", "primary"),
        ("absent", "held", "recovery"),
        ("held", "held", "both"),
        ("absent", "absent", "nowhere"),
    ],
)
def test_where_an_address_is(primary: str, recovery: str, site: str) -> None:
    found = service(FLOATING)
    compiled = steps(found, None, release=False)
    told = [answer(step, after) for step, after in zip(compiled, (primary, recovery), strict=True)]
    assert where_traffic_goes(events_of("pengaduan", told), found) == {0: site}


def test_proxies_that_disagree_lead_to_no_one_site() -> None:
    found = service(PROXY, FLOATING)
    compiled = steps(found, None, release=False)[:2]
    told = [answer(compiled[0], "recovery"), answer(compiled[1], "nowhere")]
    assert where_traffic_goes(events_of("pengaduan", told), found) == {0: "mixed"}
    told = [answer(compiled[0], "recovery"), answer(compiled[1], "primary")]
    assert where_traffic_goes(events_of("pengaduan", told), found) == {0: "both"}
