"""Plans are refused when they could touch a real network, and survive being written down."""

from __future__ import annotations

import dataclasses
import json
import re
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import pytest

from drp.domain.service import Service
from drp.errors import UsageError
from drp.lab.plan import (
    LabDrCentre,
    LabFiles,
    LabHost,
    LabNameServer,
    LabPlan,
    LabService,
    LabZone,
    check_plan,
    names_of,
    plan_from_json,
    plan_to_json,
)
from drp.lab.zones import name_servers_of
from tests.fakes.city import service_record


def make_dr_centre(folder: Path, **changed: Any) -> LabDrCentre:
    centre = LabDrCentre(
        "drc", "https://198.18.3.10:9000", "drp-bogor", folder / "ca.pem", folder / "id", folder / "secret"
    )
    return dataclasses.replace(centre, **changed)


@pytest.fixture
def plan(tmp_path: Path) -> LabPlan:
    files = LabFiles(
        tmp_path / "key",
        tmp_path / "known_hosts",
        {"pengaduan": tmp_path / "password"},
    )
    return LabPlan(
        tmp_path,
        IPv4Network("198.18.0.0/16"),
        (LabHost("app-1", "primary", "198.18.1.10"), LabHost("drc-1", "recovery", "198.18.2.10")),
        (LabService("pengaduan", "app-1", "198.18.0.80"),),
        (make_dr_centre(tmp_path),),
        files,
    )


def test_a_good_plan_passes_and_comes_back_from_json(plan: LabPlan) -> None:
    check_plan(plan)
    assert plan_from_json(json.loads(json.dumps(plan_to_json(plan)))) == plan
    assert (plan.dr_centre().address, plan.dr_centre().port, str(plan.gateway)) == ("198.18.3.10", 9000, "198.18.0.1")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"network": IPv4Network("10.0.0.0/8")}, "not inside 198.18.0.0/15"),
        ({"network": IPv4Network("198.16.0.0/13")}, "not inside 198.18.0.0/15"),
        ({"network": IPv4Network("198.18.0.0/30")}, "smaller than"),
        ({"hosts": (LabHost("app-1", "primary", "192.168.1.10"),)}, "not an address of the lab's network"),
        ({"hosts": (LabHost("app-1", "primary", "198.19.1.10"),)}, "not an address of the lab's network"),
        ({"hosts": (LabHost("app-1", "primary", "198.18.0.1"),)}, "bridge"),
        ({"hosts": (LabHost("app-1", "primary", "app.example"),)}, "not an IPv4 address"),
        ({"hosts": (LabHost("app-1", "primary", "198.18.0.80"),)}, "already host app-1's"),
        ({"hosts": (LabHost("app 1", "primary", "198.18.1.10"),)}, "cannot be a lab host's name"),
        ({"hosts": (LabHost("../app", "primary", "198.18.1.10"),)}, "cannot be a lab host's name"),
        ({"hosts": (LabHost("dr-centre", "primary", "198.18.1.10"),)}, "cannot be a lab host's name"),
        ({"hosts": (LabHost("app-1", "moon", "198.18.1.10"),)}, "at site 'moon'"),
        ({"hosts": (LabHost("app-1", "primary", "198.18.1.10", disk_bytes=1),)}, "disk"),
        ({"services": (LabService("pengaduan", "elsewhere", None),)}, "not one of the lab's hosts"),
        ({"services": (LabService("other", "app-1", None),)}, "repository password"),
        ({"services": (LabService("pengaduan", "app-1", "8.8.8.8"),)}, "not an address of the lab's network"),
        ({"dr_centres": {"endpoint": "https://203.0.113.5:9000"}}, "not an address of the lab's network"),
        ({"dr_centres": {"endpoint": "https://s3.example.com"}}, "not an IPv4 address"),
        ({"dr_centres": {"endpoint": "http://198.18.3.10:9000"}}, "cannot serve S3"),
        ({"dr_centres": {"endpoint": "https://198.18.3.10:99999"}}, "cannot serve S3"),
        ({"dr_centres": {"bucket": "../escape", "endpoint": "https://198.18.4.10:9000"}}, "not a bucket name"),
        ({"dr_centres": {}}, "already the endpoint of DR centre drc's"),
        ({"workspace": Path("/")}, "root directory"),
        ({"workspace": Path("/nonexistent")}, "no such directory"),
    ],
)
def test_what_cannot_be_built_is_refused(plan: LabPlan, change: dict[str, Any], said: str) -> None:
    if "dr_centres" in change:
        change = {
            "dr_centres": (*plan.dr_centres, make_dr_centre(plan.workspace, name="other", **change["dr_centres"]))
        }
    with pytest.raises(UsageError, match=re.escape(said)):
        check_plan(dataclasses.replace(plan, **change))


def test_a_host_twice_is_refused(plan: LabPlan) -> None:
    twice = (*plan.hosts, LabHost("app-1", "recovery", "198.18.2.11"))
    with pytest.raises(UsageError, match="twice"):
        check_plan(dataclasses.replace(plan, hosts=twice))


def test_names_fit_into_the_kernel_and_differ_between_workspaces(tmp_path: Path) -> None:
    one, other = names_of(tmp_path), names_of(tmp_path / "other")
    assert len(one.bridge) <= 15
    assert len(one.interface("a" * 63)) <= 15
    assert one.interface("a").startswith(one.interface_prefix)
    assert one.interface("a") != one.interface("b")
    assert {one.bridge, one.marker, one.mac("a")}.isdisjoint({other.bridge, other.marker, other.mac("a")})
    # Bit 1 of the first byte: locally administered; bit 0: not a group's.
    assert int(one.mac("a")[:2], 16) & 3 == 2


def test_name_servers_come_back_from_json_and_their_addresses_are_claimed(plan: LabPlan, tmp_path: Path) -> None:
    zone = LabZone("kota.example", "drp", "hmac-sha256", tmp_path / "key", (("www.kota.example", "A", "198.18.1.10"),))
    with_names = dataclasses.replace(plan, name_servers=(LabNameServer("198.18.3.53", 53, (zone,)),))
    check_plan(with_names)
    assert plan_from_json(json.loads(json.dumps(plan_to_json(with_names)))) == with_names
    older = {name: value for name, value in plan_to_json(plan).items() if name != "name_servers"}
    assert plan_from_json(older) == plan
    taken = dataclasses.replace(plan, name_servers=(LabNameServer("198.18.1.10", 53, (zone,)),))
    with pytest.raises(UsageError, match="already host app-1's"):
        check_plan(taken)


def test_name_servers_are_those_in_the_labs_network_that_services_are_switched_at(tmp_path: Path) -> None:
    def service(server: str, **key: Any) -> Service:
        way = {
            "type": "dns",
            "server": server,
            "zone": "kota.example",
            "key": {"name": "drp", "secret": key or {"file": "zone-key"}},
            "records": [{"name": "a.kota.example", "type": "A", "primary": ["192.0.2.1"], "recovery": ["192.0.2.2"]}],
        }
        return Service.model_validate(service_record() | {"traffic": [way]})

    network = IPv4Network("198.18.0.0/16")
    (found,) = name_servers_of(
        tmp_path, [service("198.18.3.53"), service("198.18.3.53"), service("192.0.2.53")], network
    )
    assert (found.address, [zone.secret for zone in found.zones]) == ("198.18.3.53", [tmp_path / "zone-key"])
    assert name_servers_of(tmp_path, [service("ns.kota.example")], network) == ()
    with pytest.raises(UsageError, match="as a file"):
        name_servers_of(tmp_path, [service("198.18.3.53", env="ZONE_KEY")], network)
