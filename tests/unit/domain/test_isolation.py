"""Which rules keep which drill's copies from production, and which runs exclude each other."""

from __future__ import annotations

import re
import shutil
import subprocess
from typing import Any

import pytest
from pydantic import ValidationError

from drp.domain.consistency import faults_of
from drp.domain.inventory import City
from drp.domain.objectives import objectives_of
from drp.domain.recovery.compiling import compile_recovery
from drp.domain.recovery.conflicts import OpenRun, conflicts
from drp.domain.recovery.isolation import isolation_jobs, production, refused_text
from drp.domain.recovery.plan import Plan, RecoveryKind
from drp.domain.service import RecoverySettings
from drp.errors import UsageError
from tests.fakes.city import make_city, make_restore_point, parts_of, service_record
from tests.fakes.host_driver import load_from

rules, names = (load_from("drp_traffic", f"isolation_{name}") for name in ("rules", "names"))

ZONE = {
    "type": "dns",
    "server": "192.0.2.53",
    "zone": "kota.example",
    "key": {"name": "drp", "secret": {"env": "KEY"}},
    "records": [
        {"name": "lapor.kota.example", "type": "A", "primary": ["192.0.2.81"], "recovery": ["198.51.100.2"]},
        {
            "name": "www.kota.example",
            "type": "CNAME",
            "primary": ["app.kota.example"],
            "recovery": ["drc.kota.example"],
        },
    ],
}


def plan_of(city: City, *services: str, kind: RecoveryKind = "drill") -> Plan:
    objectives = {name: objectives_of(city.services[name], city.workspace.tiers) for name in services}
    found = {name: item for name, item in objectives.items() if item is not None}
    return compile_recovery(
        city,
        kind,
        services,
        city.runbooks["site-loss"],
        restore_points={name: make_restore_point(name) for name in services},
        declared=found,
        objectives=found,
        hold=city.runbooks["site-loss"].hold,
    )


def job_of(city: City, *services: str, host: str = "drc-pengaduan-1") -> dict[str, Any]:
    jobs = isolation_jobs(city, plan_of(city, *services), "drill-1", [host], lambda _: [], by="siti", accepted=False)
    return jobs[host]


def allowing(*allowed: dict[str, Any], workspace: list[dict[str, Any]] | None = None) -> City:
    own = service_record("pengaduan", address="192.0.2.80", recovery={"drill_allows": list(allowed)})
    return make_city(service_record("identitas"), own, workspace={"drill_allows": workspace or []})


def test_a_drills_host_reaches_the_drill_and_the_dr_centre_and_its_dependencies_are_the_drills() -> None:
    job = job_of(make_city(), "identitas", "pengaduan")
    assert job["peers"] == ["198.51.100.1", "198.51.100.2"]
    assert job["endpoints"] == [{"name": "", "addresses": ["192.0.2.10"], "port": 9000}]
    assert job["production"] == ["192.0.2.1", "192.0.2.2", "192.0.2.80"]
    # An application that is told its dependency's production address finds the copy; so does one that is told a name.
    assert job["redirects"] == {"192.0.2.1": "198.51.100.1", "192.0.2.2": "198.51.100.2", "192.0.2.80": "198.51.100.2"}
    assert job["names"] == {"identitas-1": "198.51.100.1", "pengaduan-1": "198.51.100.2"}
    assert job["trials"] == [["192.0.2.1", 22], ["192.0.2.2", 22]]


def test_what_has_no_copy_in_the_drill_is_led_nowhere() -> None:
    job = job_of(make_city(), "pengaduan")
    assert "192.0.2.1" in job["production"]
    assert job["redirects"] == {"192.0.2.2": "198.51.100.2", "192.0.2.80": "198.51.100.2"}
    assert "identitas-1" not in job["names"]


def test_an_address_that_would_lead_to_two_copies_leads_to_none() -> None:
    shared = {"runs_on": ["app-1"], "datasets": []}
    city = make_city(
        service_record("identitas", recovers_on={"app-1": "drc-a"}, **shared),
        service_record("pengaduan", recovers_on={"app-1": "drc-b"}, **shared),
    )
    job = job_of(city, "identitas", "pengaduan", host="drc-a")
    assert (job["redirects"], job["names"]) == ({}, {})


def test_names_in_a_zone_are_led_too() -> None:
    job = job_of(make_city(service_record("pengaduan", traffic=[ZONE])), "pengaduan")
    assert job["redirects"]["192.0.2.81"] == "198.51.100.1"
    assert {name for name in job["names"] if "." in name} == {
        "lapor.kota.example",
        "www.kota.example",
        "app.kota.example",
    }


def test_units_that_hold_no_data_are_stopped_before_the_isolation_ends() -> None:
    record = service_record("pengaduan", recovery={"start": ["postgresql", "pengaduan", "nginx"]})
    assert job_of(make_city(record), "pengaduan")["units"] == ["pengaduan", "nginx"]


@pytest.mark.skipif(shutil.which("unshare") is None, reason="unshare is missing")
@pytest.mark.parametrize("ipv6", [False, True])
def test_nft_understands_the_table(ipv6: bool) -> None:
    job = job_of(
        allowing({"to": "192.0.2.53", "ports": [53]}, workspace=[{"to": "203.0.113.0/28"}]), "identitas", "pengaduan"
    )
    if ipv6:
        job["peers"].append("2001:db8::1")
        job["redirects"]["2001:db8::7"] = "2001:db8::1"
        job["allowed"].append({"network": "2001:db8:1::/64", "ports": []})
    text = rules.nft_table("drp-isolation-drill-1", job)
    judge = text[text.index("chain judge") : text.index("chain out")]
    lines = [line.strip() for line in judge.splitlines()]
    # Production is refused before anything that somebody allows, and mail too, to whomever it goes.
    refusals = [number for number, line in enumerate(lines) if "goto refuse" in line]
    allowed = next(number for number, line in enumerate(lines) if "192.0.2.53" in line)
    assert all(number < allowed for number in refusals[:-1])
    assert "th dport { 25, 465, 587 } goto refuse" in judge
    assert lines[-3:-1] == ["goto refuse", "}"]
    if shutil.which("nft", path="/usr/sbin:/sbin"):
        argv = ["unshare", "--net", "--map-root-user", "nft", "-c", "-f", "-"]
        done = subprocess.run(argv, input=text, capture_output=True, text=True, check=False)
        if "Operation not permitted" not in done.stderr:
            assert done.stderr == ""


def test_rules_of_iptables_say_the_same() -> None:
    job = job_of(allowing({"to": "192.0.2.53", "ports": [53]}), "identitas", "pengaduan")
    filters, nat = rules.iptables_rules(job, 4)
    order = [
        next(number for number, line in enumerate(filters.splitlines()) if re.search(pattern, line))
        for pattern in (
            r"JUDGE -p tcp --sport 22 ! --syn",
            r"JUDGE -d 198.51.100.1 -j RETURN",
            r"JUDGE -d 192.0.2.1 -p tcp -j REJECT",
            r"--dport 587 -j REJECT",
            r"-d 192.0.2.53/32 -p udp --dport 53 -j RETURN",
            r"JUDGE -p tcp -j REJECT --reject-with tcp-reset",
        )
    ]
    assert order == sorted(order)
    assert "-d 192.0.2.1 -p tcp -m multiport ! --dports 22,25,465,587 -j DNAT --to-destination 198.51.100.1" in nat
    listing = """Chain DRP-JUDGE (1 references)
    pkts      bytes target     prot opt in     out     source               destination
       3      180 REJECT     6    --  *      *       0.0.0.0/0            192.0.2.1            reject-with tcp-reset
       2      120 REJECT     6    --  *      *       0.0.0.0/0            0.0.0.0/0            tcp dpt:25 reject-with
       5      120 RETURN     0    --  *      *       0.0.0.0/0            198.51.100.1
       4      120 DNAT       6    --  *      *       0.0.0.0/0            192.0.2.2            multiport to:198.51.100.2
"""
    assert rules.iptables_counts(listing) == (
        [["192.0.2.1", "tcp", 0, 3], ["anywhere", "tcp", 25, 2]],
        {"192.0.2.2": 4},
    )


@pytest.mark.parametrize("network", ["192.0.2.1", "192.0.2.0/24", "192.0.2.80"])
def test_nobody_may_allow_production(network: str) -> None:
    for city in (allowing({"to": network}), allowing(workspace=[{"to": network}])):
        (fault,) = faults_of(parts_of(city))
        assert fault.code == "drill-allows-production"
        with pytest.raises(UsageError, match="drill_allows lets a drill reach"):
            job_of(city, "pengaduan")
    assert faults_of(parts_of(allowing({"to": "198.51.100.53"}))) == []


def test_a_host_that_is_known_by_name_is_production_too() -> None:
    city = allowing({"to": "203.0.113.9"})
    host = city.hosts["identitas-1"].model_copy(update={"address": "identitas.kota.example"})
    city = city.model_copy(update={"hosts": {**city.hosts, "identitas-1": host}})
    resolve = {"identitas.kota.example": ["203.0.113.9"]}.get
    assert production(city, lambda name: resolve(name, []))["203.0.113.9"] == "identitas-1"
    with pytest.raises(UsageError, match="is identitas-1"):
        isolation_jobs(
            city, plan_of(city, "pengaduan"), "drill-1", [], lambda name: resolve(name, []), by="siti", accepted=False
        )


@pytest.mark.parametrize("allowed", [{"to": "198.51.100.9", "ports": [25]}, {"to": "mail.example"}, {"to": 3}])
def test_what_cannot_be_allowed(allowed: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        RecoverySettings.model_validate({"drill_allows": [allowed]})


def test_attempts_in_words() -> None:
    whose = {"192.0.2.30": "db-1"}
    assert refused_text(["192.0.2.30", "tcp", 5432, 3], whose) == (
        "3 attempts to reach 192.0.2.30:5432 (db-1), refused"
    )
    assert refused_text(["anywhere", "udp", 0, 1], whose) == "1 attempt to reach anywhere by udp, refused"


HOSTS = """# The machine's own.
127.0.0.1 localhost
192.0.2.30\tdb-1 db-1.kota.example other   # two names
192.0.2.31 app-2
"""


def test_names_lead_to_copies_and_the_file_comes_back_as_it_was() -> None:
    text = names.with_names(HOSTS, "drill-1", {"db-1": "198.51.100.30", "db-1.kota.example": "198.51.100.30"})
    lines = [line.partition("#")[0].split() for line in text.splitlines()]
    found = {name: line[0] for line in reversed(lines) if line for name in line[1:]}
    assert (found["db-1"], found["other"], found["app-2"]) == ("198.51.100.30", "192.0.2.30", "192.0.2.31")
    assert [line for line in lines if "db-1" in line] == [["198.51.100.30", "db-1", "db-1.kota.example"]]
    assert names.without_names(text) == HOSTS
    assert names.with_names(text, "drill-1", {"app-2": "198.51.100.2"}) == names.with_names(
        HOSTS, "drill-1", {"app-2": "198.51.100.2"}
    )
    # What somebody else adds meanwhile stays.
    assert names.without_names(text + "192.0.2.99 new\n") == HOSTS + "192.0.2.99 new\n"


def run_of(kind: RecoveryKind, services: str, hosts: str) -> OpenRun:
    return OpenRun(f"{kind}-1", kind, frozenset(services.split()), frozenset(hosts.split()))


@pytest.mark.parametrize(
    ("kind", "services", "hosts", "other", "expected"),
    [
        ("drill", "a", "x", run_of("drill", "b", "x"), "excludes"),
        ("drill", "a", "x", run_of("drill", "b", "y"), ""),
        ("drill", "a", "x", run_of("failover", "b", "x"), "excludes"),
        ("failover", "a", "x", run_of("drill", "b", "x"), "ends"),
        ("failover", "a", "x", run_of("drill", "a", "x"), "ends"),
        ("failover", "a", "x", run_of("drill", "b", "y"), ""),
        ("failover", "a", "x", run_of("failover", "a", "x"), "excludes"),
        ("failover", "a", "x", run_of("failover", "b", "x"), ""),
        ("failover", "a", "x", run_of("switchover", "b", "x"), ""),
        ("failover", "a", "x", run_of("switchover", "a", "x"), "excludes"),
        ("switchover", "a", "p x", run_of("drill", "b", "x"), "excludes"),
        ("failback", "a", "p x", run_of("failback", "b", "p"), "excludes"),
    ],
)
def test_which_runs_exclude_each_other(
    kind: RecoveryKind, services: str, hosts: str, other: OpenRun, expected: str
) -> None:
    found = conflicts(kind, services.split(), hosts.split(), [other])
    assert (bool(found.excludes), bool(found.to_end)) == (expected == "excludes", expected == "ends")
