"""Runbooks: what their files may say, which services they are about, and where their steps hang in a plan."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from drp.domain.consistency import faults_of
from drp.domain.inventory import City
from drp.domain.recovery.compiling import steps_of
from drp.domain.recovery.plan import STAGES, RecoveryKind
from drp.domain.runbooks.model import Runbook
from drp.domain.runbooks.placement import PlacedStep, place_steps
from drp.domain.runbooks.services import may_answer, persons_of, services_of
from drp.domain.runbooks.steps import RunKind
from tests.fakes.city import make_city, parts_of, runbook_record, service_record
from tests.fakes.planned import LINES, city_with

TEXT = {"en": "Text", "id": "Teks"}
KINDS: dict[str, dict[str, Any]] = {
    "manual": {"instructions": TEXT, "who": ["drill-lead"], "expected": "5m"},
    "approval": {"question": TEXT, "who": ["approves"]},
    "wait": {"duration": "10m"},
    "playbook": {"playbook": "gedung", "timeout": "5m"},
    "command": {"host": "drc-pengaduan-1", "argv": ["true"], "timeout": "5s"},
    "notification": {"text": TEXT},
    "traffic": {"to": "primary", "only": ["failback"]},
}
PEOPLE: dict[str, Any] = {
    "people": {"ratna": {"name": "Ratna", "deputy": "dedi"}, "dedi": {"name": "Dedi"}, "yuli": {"name": "Yuli"}},
    "roles": {"declares": ["ratna", "yuli"], "approves": ["ratna"]},
}


def step(name: str, kind: str = "manual", **changes: Any) -> dict[str, Any]:
    return {"id": name, "kind": kind, "title": TEXT} | KINDS[kind] | changes


def runbook(*steps: dict[str, Any], **changes: Any) -> Runbook:
    return Runbook.model_validate(runbook_record() | {"steps": list(steps)} | changes)


def placed(
    book: Runbook, kind: RunKind = "failover", city: City | None = None, stages: RecoveryKind | None = None
) -> dict[str, PlacedStep]:
    """The steps in a plan of the city's services."""
    services = (city or make_city()).services
    of_plan: RecoveryKind = stages or ("drill" if kind == "drill" else "failover")
    plan = [item for service in services.values() for item in steps_of(service, of_plan, services)]
    found = place_steps(book, kind, plan, STAGES)
    known = {item.id for item in plan} | {item.id for item in found}
    assert all(known.issuperset((*item.needs, *item.blocks)) for item in found), "every id stands for something"
    return {item.id: item for item in found}


def faults(book: dict[str, Any] | Runbook, **people: Any) -> list[tuple[str, tuple[str | int, ...], str]]:
    """What drp has against a runbook in the small city."""
    city = make_city(people=people or PEOPLE)
    read = book if isinstance(book, Runbook) else Runbook.model_validate(runbook_record() | book)
    found = faults_of(parts_of(city.model_copy(update={"runbooks": {"site-loss": read}})))
    assert all(item.record.name == "site-loss" and item.severity == "fault" and item.hint for item in found)
    return [(item.code, item.location, item.message) for item in found]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_step_is_read_and_has_no_fault(kind: str) -> None:
    book = runbook(step("a", kind), clean_up=[step("b", kind)])
    assert [item.id for item in book.all_steps] == ["a", "b"]
    assert faults(book) == []


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_kind_needs_must_be_there_and_nothing_else(kind: str) -> None:
    for key in KINDS[kind].keys() - {"who", "only"}:
        without = {name: value for name, value in step("a", kind).items() if name != key}
        with pytest.raises(ValidationError, match=key):
            runbook(without)
    with pytest.raises(ValidationError, match="extra"):
        runbook(step("a", kind, unknown=1))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": [step("a"), step("a")]}, "step 'a': another step"),
        ({"steps": [step("start")]}, "step 'start'"),
        ({"steps": [step("a")], "clean_up": [step("a")]}, "step 'a': another step"),
        ({"clean_up": [step("a", after="verify")]}, "take away before and after"),
        ({"services": ["pengaduan"], "select": {"tiers": ["penting"]}}, "keep services or select"),
        ({"select": {}}, "it selects nothing"),
        ({"select": {"sites": ["third"]}}, "sites"),
        ({"steps": [step("a", "traffic", only=[])]}, "a drill leaves users' traffic alone"),
        ({"steps": [step("a", "traffic", only="drill")]}, "a drill leaves users' traffic alone"),
        ({"steps": [step("a", "approval", who=[])]}, "who"),
        ({"steps": [step("a", "wait", duration="0s")]}, "duration"),
        ({"steps": [step("a", "command", argv="rm -rf x")]}, "argv"),
        ({"steps": [step("a") | {"kind": "dance"}]}, "dance"),
        ({"steps": [step("a", rerun="no")]}, "rerun"),
        ({"operation": "sideways"}, "operation"),
    ],
)
def test_what_cannot_be_meant_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Runbook.model_validate(runbook_record() | changes)


@pytest.mark.parametrize(
    ("changes", "code", "location", "message"),
    [
        ({"services": ["pengaduhan"]}, "unknown-name", ("services", 0), "unknown service 'pengaduhan'"),
        ({"select": {"tiers": ["kritis"]}}, "unknown-name", ("select", "tiers", 0), "unknown tier 'kritis'"),
        ({"select": {"agencies": ["x"]}}, "unknown-name", ("select", "agencies", 0), "unknown agency 'x'"),
        ({"select": {"hosts": ["x"]}}, "unknown-name", ("select", "hosts", 0), "unknown host 'x'"),
        ({"select": {"links": ["x"]}}, "unknown-name", ("select", "links", 0), "unknown link 'x'"),
        ({"select": {"locations": ["x"]}}, "unknown-name", ("select", "locations", 0), "unknown location 'x'"),
        ({"select": {"assets": ["x"]}}, "unknown-name", ("select", "assets", 0), "unknown asset 'x'"),
        ({"select": {"dr_centres": ["x"]}}, "unknown-name", ("select", "dr_centres", 0), "unknown DR centre 'x'"),
        ({"declared_by": ["x"]}, "unknown-name", ("declared_by", 0), "unknown role or person 'x'"),
        ({"approved_by": ["ratna", "x"]}, "unknown-name", ("approved_by", 1), "unknown role or person 'x'"),
        ({"steps": [step("a", who="x")]}, "unknown-name", ("steps", 0, "who", 0), "unknown role or person 'x'"),
        (
            {"clean_up": [step("a", "approval", who="x")]},
            "unknown-name",
            ("clean_up", 0, "who", 0),
            "unknown role or person 'x'",
        ),
        ({"steps": [step("a", "playbook", playbook="x")]}, "unknown-name", ("steps", 0, "playbook"), "playbook 'x'"),
        ({"steps": [step("a", "playbook", hosts=["x"])]}, "unknown-name", ("steps", 0, "hosts", 0), "unknown host 'x'"),
        ({"steps": [step("a", "command", host="x")]}, "unknown-name", ("steps", 0, "host"), "unknown host 'x'"),
        (
            {"steps": [step("a", "traffic", services=["x"])]},
            "unknown-name",
            ("steps", 0, "services", 0),
            "unknown service 'x'",
        ),
        ({"steps": [step("a", before="x/verify")]}, "unknown-name", ("steps", 0, "before", 0), "unknown service 'x'"),
        ({"steps": [step("a", after="verfy")]}, "unknown-name", ("steps", 0, "after", 0), "unknown place 'verfy'"),
        ({"steps": [step("a", after="pengaduan/b"), step("b")]}, "unknown-name", ("steps", 0, "after", 0), "place"),
        ({"steps": [step("a", after="a")]}, "unknown-name", ("steps", 0, "after", 0), "waits for itself"),
        ({"steps": [step("verify")]}, "name-twice", ("steps", 0, "id"), "called like a stage"),
        (
            {"steps": [step("a", "command", host="pengaduan-1")]},
            "wrong-site",
            ("steps", 0, "host"),
            "would touch primary host 'pengaduan-1' in a drill",
        ),
        (
            {"steps": [step("a", "playbook", hosts=["drc-pengaduan-1", "pengaduan-1"])]},
            "wrong-site",
            ("steps", 0, "hosts", 1),
            "would touch primary host 'pengaduan-1' in a drill",
        ),
        (
            {"steps": [step("a", before="activate", after="verify")]},
            "step-cycle",
            ("steps", 0),
            "must come before something that it waits for",
        ),
        (
            {"steps": [step("a", before="verify", after="activate")]},  # dependants activate after `verify`
            "step-cycle",
            ("steps", 0),
            "must come before something that it waits for",
        ),
        (
            {"steps": [step("a", before="cutover", after="verify")]},  # but for a drill even after `cutover`
            "step-cycle",
            ("steps", 0),
            "must come before something that it waits for",
        ),
        (
            {"steps": [step("a", before="identitas/verify", after="pengaduan/verify")]},
            "step-cycle",
            ("steps", 0),
            "must come before something that it waits for",
        ),
        ({"steps": [step("a", after="b"), step("b", after="a")]}, "step-cycle", ("steps", 0), "must come before"),
    ],
)
def test_each_fault_is_told_where_it_is(
    changes: dict[str, Any], code: str, location: tuple[str | int, ...], message: str
) -> None:
    found = faults(changes)
    assert [(item[0], item[1]) for item in found] == [(code, location)], found
    assert message in found[0][2]


def test_a_step_on_a_primary_host_is_fine_where_it_never_happens_in_a_drill() -> None:
    assert faults({"steps": [step("a", "command", host="pengaduan-1", only=["failover"])]}) == []


def test_a_bond_within_one_service_is_no_circle() -> None:
    assert faults({"steps": [step("a", before="verify", after="activate", each_service=True)]}) == []
    assert faults({"steps": [step("a", before="pengaduan/verify", after="identitas/verify")]}) == []
    assert faults({"steps": [step("a", before="cutover", after="verify", each_service=True)]}) == []
    assert faults({"steps": [step("a", before="cutover", after="verify", only=["drill"])]}) == []


def test_one_name_or_a_list_of_them_may_be_written() -> None:
    one, several = runbook(step("a", before="verify")), runbook(step("a", before=["verify"]))
    assert one == several


def test_steps_at_the_start_are_in_the_order_of_the_list_and_all_restores_wait_for_them() -> None:
    found = placed(runbook(step("a"), step("b")))
    assert found["a"].needs == ()
    assert found["b"].needs == ("a",)
    for item in found.values():
        assert item.blocks == ("identitas/restore", "pengaduan/restore")
        assert item.services == ("identitas", "pengaduan")


def test_a_step_between_stages_waits_for_those_of_all_services() -> None:
    found = placed(runbook(step("a", after="verify", before="cutover"), step("b")))
    assert found["a"].needs == ("identitas/verify", "pengaduan/verify")
    # identitas has no address to switch, so users find it at once: what comes next stands for the switch.
    assert found["a"].blocks == ("identitas/usable", "pengaduan/cutover")
    assert found["b"].needs == ("a",)
    assert found["b"].blocks == found["a"].blocks


def test_a_step_of_each_service_waits_for_its_own_stages_alone() -> None:
    found = placed(
        runbook(
            step("a", each_service=True, after="verify", before="cutover"),
            step("b", each_service=True),
            step("c"),
        )
    )
    assert found["pengaduan/a"].needs == ("pengaduan/verify",)
    assert found["pengaduan/a"].blocks == ("pengaduan/cutover",)
    assert found["pengaduan/a"].services == ("pengaduan",)
    assert found["pengaduan/b"].needs == ("pengaduan/a",)
    assert found["pengaduan/b"].blocks == ("pengaduan/cutover",)
    assert found["c"].needs == ("identitas/b", "pengaduan/b")
    assert found["c"].blocks == ("identitas/usable", "pengaduan/cutover")


def test_a_step_at_one_service_leaves_the_others_alone() -> None:
    found = placed(runbook(step("a", after="identitas/verify", before="pengaduan/activate")))
    assert (found["a"].needs, found["a"].blocks) == (("identitas/verify",), ("pengaduan/activate",))
    alone = make_city(service_record("pengaduan", depends_on=[]))
    assert placed(runbook(step("a", after="identitas/verify"), step("b")), city=alone) == {}, "its place is not there"


def test_a_step_may_come_before_one_that_stands_further_down() -> None:
    found = placed(runbook(step("a", before="b"), step("b", after="usable")))
    assert found["a"].blocks == ()
    assert found["a"].needs == ()
    assert found["b"].needs == ("identitas/usable", "pengaduan/usable", "a")


def test_a_step_that_does_not_happen_keeps_those_around_it_in_order_and_binds_no_stages() -> None:
    book = runbook(
        step("a", after="verify"), step("b", "approval", after="a", before="c", only="failover"), step("c", after="end")
    )
    assert placed(book)["c"].needs == ("identitas/usable", "pengaduan/usable", "b")
    drill = placed(book, "drill")
    assert list(drill) == ["a", "c"]
    assert drill["c"].needs == ("identitas/usable", "pengaduan/usable", "a")
    only_between = runbook(step("a", "approval", after="verify", before="cutover", only="failover"))
    assert placed(only_between, "drill") == {}


def test_what_a_left_out_step_held_back_is_held_back_by_the_one_before_it() -> None:
    book = runbook(step("a", after="restore"), step("b", only="failover", after="a", before="verify"))
    assert placed(book, "drill")["a"].blocks == ("identitas/verify", "pengaduan/verify")


def test_stages_that_a_plan_does_not_have_stand_for_their_neighbours() -> None:
    drill = placed(runbook(step("a", before="cutover", after="cutover", each_service=True)), "drill")
    assert (drill["pengaduan/a"].needs, drill["pengaduan/a"].blocks) == (("pengaduan/verify",), ("pengaduan/usable",))
    real = placed(runbook(step("a", before="cleanup", after="cleanup")))
    assert (real["a"].needs, real["a"].blocks) == (("identitas/usable", "pengaduan/usable"), ())


def test_clean_up_waits_for_everything_in_its_order() -> None:
    found = placed(runbook(step("a", after="usable"), clean_up=[step("x"), step("y", each_service=True)]), "drill")
    assert found["x"].is_clean_up
    assert not found["a"].is_clean_up
    assert {"a", "identitas/cleanup", "pengaduan/cleanup", "pengaduan/restore"} <= set(found["x"].needs)
    assert found["pengaduan/y"].needs == ("x",)
    assert found["pengaduan/y"].is_clean_up


def test_without_services_the_steps_are_a_list() -> None:
    found = place_steps(runbook(step("a"), step("b"), clean_up=[step("c")]), "failover", [], STAGES)
    assert [(item.id, item.needs) for item in found] == [("a", ()), ("b", ("a",)), ("c", ("a", "b"))]


def test_traffic_concerns_the_services_that_it_names() -> None:
    found = placed(runbook(step("a", "traffic", services=["pengaduan"], after="usable")), "failback", stages="failover")
    assert found["a"].services == ("pengaduan",)


def test_services_are_those_named_or_selected_or_all() -> None:
    city = make_city()
    assert services_of(runbook(), city) == ("identitas", "pengaduan")
    assert services_of(runbook(services=["pengaduan"]), city) == ("pengaduan",)
    assert services_of(runbook(select={"sites": ["primary"]}), city) == ("identitas", "pengaduan")
    # What depends on a lost service goes down with it; what it depends on stays.
    assert services_of(runbook(select={"hosts": ["pengaduan-1"]}), city) == ("pengaduan",)
    assert services_of(runbook(select={"hosts": ["identitas-1"]}), city) == ("identitas", "pengaduan")
    assert services_of(runbook(select={"tiers": ["penting"], "hosts": ["pengaduan-1"]}), city) == ("pengaduan",)
    assert services_of(runbook(select={"agencies": ["humas"]}), city) == ("identitas", "pengaduan")
    other = make_city(service_record("identitas", tier=None, rto="1h", rpo="1h"), service_record("pengaduan"))
    assert services_of(runbook(select={"tiers": ["penting"]}), other) == ("pengaduan",)


def test_a_line_selects_the_services_whose_backups_or_users_it_carries() -> None:
    city = city_with(LINES, service_record("pengaduan"))
    assert services_of(runbook(select={"links": ["uplink"]}), city) == ("pengaduan",), "its backups no longer arrive"


def test_persons_are_found_by_role_and_by_name_each_once() -> None:
    city = make_city(people=PEOPLE)
    assert [person.name for person in persons_of(city, ["declares", "ratna", "dedi"])] == ["Ratna", "Yuli", "Dedi"]
    assert persons_of(city, ["observer"]) == (), "nobody has the role"


@pytest.mark.parametrize(
    ("names", "by", "allowed"),
    [
        (["approves"], "ratna", True),
        (["approves"], " RATNA ", True),
        (["approves"], "Dedi", True),  # her deputy
        (["approves"], "Yuli", False),
        (["approves", "yuli"], "Yuli", True),
        (["declares"], "yuli", True),
        (["approves"], "", False),
        ([], "anybody", True),
        ([], "  ", False),
        (["observer"], "anybody", True),  # nobody has the role: a name is all that can be asked for
    ],
)
def test_who_may_answer_is_who_is_meant_or_the_deputy(names: list[str], by: str, allowed: bool) -> None:
    assert may_answer(make_city(people=PEOPLE), names, by) is allowed
