"""What the self-test counts as caught, and as missed."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from drp.adapters.inventory import load_city
from drp.errors import UsageError
from drp.lab.applications import application_of
from drp.lab.applications.pengaduan import Pengaduan
from drp.lab.applications.portal import Portal
from drp.lab.faults.base import Fault, Scene, Sign, Target
from drp.lab.faults.catalogue import FAULTS
from drp.lab.plan import check_plan
from drp.lab.selftest.engine import NETWORK, SERVICES, Order, check
from drp.lab.selftest.scoring import Told, exit_code, score, summary
from drp.lab.workspace import plan_of
from drp.wiring import shipped

TARGET = Target(
    service="pengaduan",
    primary="utama-app-1",
    recovery="drc-app-1",
    dr_centre="drc",
    repository="pengaduan/utama-app-1",
    password="password",
    service_file="pengaduan.yaml",
    application="pengaduan",
    dependants=("portal",),
    files=("files", "/srv/pengaduan"),
    name_server="198.19.243.53",
)


def nothing(_scene: Scene) -> None: ...


WRONG_KEY = Fault(
    "wrong-key", "the key is wrong", nothing, nothing, (Sign(("password",), ("restore",), at_recovery_host=True),)
)


def cause(**changes: str) -> dict[str, str]:
    named = {"service": "pengaduan", "step": "pengaduan/restore", "host": "drc-app-1", "kind": "password"}
    return {**named, "text": "the repository password is wrong", **changes}


def told(*causes: dict[str, str], exit_code: int = 4, verdict: str = "NOT_MET") -> Told:
    return Told(exit_code, verdict, causes)


def test_red_with_the_cause_named_is_caught() -> None:
    found = score(WRONG_KEY, TARGET, told(cause(kind="dependency", service="portal"), cause()))
    assert (found.word, found.passed, found.why) == ("caught", True, "")
    assert found.cause == "the repository password is wrong"


@pytest.mark.parametrize(
    ("drill", "why"),
    [
        (told(exit_code=0, verdict="MET"), "it did not end red, and the cause is not named"),
        # A drill that noticed and was taken as good all the same.
        (told(cause(), exit_code=0, verdict="MET_WITH_EXCEPTION"), "it did not end red"),
        (told(cause(), exit_code=4, verdict="MET_WITH_EXCEPTION"), "it did not end red"),
        (told(), "the cause is not named"),
        (told(cause(kind="failed")), "the cause is not named"),
        (told(cause(service="portal")), "the cause is not named"),
        (told(cause(host="drc-web-1")), "the cause is not named"),
        (told(cause(step="pengaduan/verify")), "the cause is not named"),
        (Told(12, complaint="the lab is down"), "it did not end red, and the cause is not named"),
        (Told(-1, complaint="it did not end"), "it did not end red, and the cause is not named"),
        (told(cause(), exit_code=130, verdict="ABORTED"), "it did not end red"),
    ],
)
def test_anything_else_under_a_fault_is_a_miss(drill: Told, why: str) -> None:
    found = score(WRONG_KEY, TARGET, drill)
    assert (found.word, found.passed, found.why) == ("MISSED", False, why)


@pytest.mark.parametrize(
    ("drill", "green"),
    [
        (told(exit_code=0, verdict="MET"), True),
        (told(exit_code=0, verdict="MET_WITH_EXCEPTION"), False),
        (told(exit_code=4, verdict="MET"), False),
        (told(cause()), False),
        (Told(1), False),
    ],
)
def test_a_control_must_be_plainly_green(drill: Told, green: bool) -> None:
    found = score(None, None, drill)
    assert (found.passed, found.word) == (green, "green" if green else "NOT GREEN")


def test_only_a_hundred_per_cent_is_done() -> None:
    caught, missed = score(WRONG_KEY, TARGET, told(cause())), score(WRONG_KEY, TARGET, told())
    green, red = score(None, None, told(exit_code=0, verdict="MET")), score(None, None, told(cause()))
    assert summary([caught, green, caught]) == "2 of 2 faults caught, 1 of 1 controls green"
    assert exit_code([caught, green]) == 0
    assert summary([caught, missed, red]) == "1 of 2 faults caught, 0 of 1 controls green"
    for scores in ([caught, missed], [caught, red], []):
        assert exit_code(scores) == 4


def test_all_signs_of_a_fault_are_wanted() -> None:
    fault = FAULTS["dead-dependency"]
    unit = cause(kind="unit", step="pengaduan/activate", text="service pengaduan does not start")
    needs = cause(service="portal", step="portal/activate", host="", kind="dependency", text="it needs pengaduan")
    assert score(fault, TARGET, told(unit, needs)).passed
    assert not score(fault, TARGET, told(unit)).passed
    assert not score(fault, TARGET, told(needs)).passed
    assert not score(fault, TARGET, told(unit, {**needs, "text": "it needs another"})).passed


def test_the_order_is_random_and_the_same_for_the_same_seed() -> None:
    first = Order(1).drills()
    assert first == Order(1).drills()
    assert first != Order(2).drills()
    assert sorted(first) == sorted([*FAULTS, "", "", ""])


@pytest.mark.parametrize(
    "changes",
    [{"faults": ("no-such",)}, {"network": "10.0.0.0/20"}, {"network": "198.19.0.0/16"}, {"faults": (), "controls": 0}],
)
def test_what_cannot_be_tested_is_refused(changes: dict[str, Any]) -> None:
    from ipaddress import IPv4Network

    if "network" in changes:
        changes = {"network": IPv4Network(changes["network"])}
    with pytest.raises(UsageError):
        check(Order(1, **changes))
    check(Order(1, network=NETWORK))


def test_a_target_comes_back_from_the_labs_state() -> None:
    import json

    assert Target.from_record(json.loads(json.dumps(TARGET.record()))) == TARGET


def test_the_issue_lists_these_faults() -> None:
    assert len(FAULTS) == 11
    for fault in FAULTS.values():
        assert fault.choose([TARGET]) is TARGET, fault.name
        assert fault.named_by


def test_the_workspace_of_the_self_test_is_one_that_the_lab_can_build() -> None:
    template = Path(str(files("drp.lab.selftest") / "workspace"))
    city = load_city(template, shipped("runbooks"))
    plan = plan_of(template, city)
    check_plan(plan)
    assert tuple(city.services) == SERVICES
    assert [type(application_of(service)) for service in plan.services] == [Pengaduan, Portal]
    assert [server.address for server in plan.name_servers] == ["198.18.3.53"]
    (portal,) = [service for service in plan.services if service.id == "portal"]
    entries = {entry.path: entry.content.decode() for entry in Portal().entries(portal, plan)}
    assert "proxy_pass http://198.18.1.10/health;" in entries["/etc/nginx/sites-available/portal"]
    assert all(any(f"{path}/".startswith(f"{kept}/") for kept in portal.paths) for path in entries)
