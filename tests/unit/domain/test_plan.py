"""A plan is a graph of steps, fixed before anything starts."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from drp.domain.graph import with_dependencies
from drp.domain.inventory import City
from drp.domain.objectives import Objectives
from drp.domain.recovery.compiling import compile_recovery
from drp.domain.recovery.plan import Plan, RecoveryKind
from tests.fakes.city import make_city, make_restore_point, service_record

OBJECTIVES = Objectives(rto=timedelta(minutes=5), rpo=timedelta(minutes=15), mtpd=timedelta(hours=4))


def plan_of(
    kind: RecoveryKind = "failover", wanted: tuple[str, ...] = ("pengaduan",), city: City | None = None
) -> Plan:
    city = city or make_city()
    return compile_recovery(
        city,
        kind,
        with_dependencies(wanted, {name: service.depends_on for name, service in city.services.items()}),
        city.runbooks["site-loss"],
        restore_points={name: make_restore_point(name) for name in city.services},
        declared=dict.fromkeys(city.services, OBJECTIVES),
        objectives=dict.fromkeys(city.services, OBJECTIVES),
        hold=timedelta(seconds=60),
    )


def needs(plan: Plan) -> dict[str, tuple[str, ...]]:
    return {step.id: step.needs for step in plan.steps}


def test_a_failover_restores_at_once_and_activates_after_its_dependencies() -> None:
    assert needs(plan_of()) == {
        "identitas/restore": (),
        "identitas/activate": ("identitas/restore",),
        "identitas/verify": ("identitas/activate",),
        "identitas/usable": ("identitas/verify",),  # no address of its own: there is no traffic to switch
        "pengaduan/restore": (),
        "pengaduan/activate": ("pengaduan/restore", "identitas/verify"),
        "pengaduan/verify": ("pengaduan/activate",),
        "pengaduan/cutover": ("pengaduan/verify",),
        "pengaduan/usable": ("pengaduan/cutover",),
    }


def test_what_needs_a_service_waits_in_a_failover_until_users_find_that() -> None:
    """It asks for it at its own address, which is at the lost site until then: it would never prove well. A drill's
    hosts are told other names, and no traffic is switched."""
    records = (service_record("a", address="192.0.2.80"), service_record("b", depends_on=["a"]))
    of_failover, of_drill = (needs(plan_of(kind, ("b",), city=make_city(*records))) for kind in ("failover", "drill"))
    assert of_failover["b/activate"] == ("b/restore", "a/cutover")
    assert of_drill["b/activate"] == ("b/restore", "a/verify")


def test_a_drill_leaves_traffic_alone_and_cleans_up() -> None:
    steps = needs(plan_of("drill"))
    assert "pengaduan/cutover" not in steps
    for name in ("identitas", "pengaduan"):
        assert steps[f"{name}/usable"] == (f"{name}/verify",)
        assert steps[f"{name}/cleanup"] == (f"{name}/usable",)


@pytest.mark.parametrize("kind", ["failover", "drill"])
def test_every_need_is_a_step_before_it(kind: RecoveryKind) -> None:
    plan = plan_of(kind)
    seen: set[str] = set()
    for step in plan.steps:
        assert set(step.needs) <= seen
        seen.add(step.id)


def test_users_look_at_the_service_address_in_a_failover_and_at_the_recovery_host_in_a_drill() -> None:
    assert plan_of("failover").services["pengaduan"].address == "192.0.2.80"
    assert plan_of("drill").services["pengaduan"].address == "198.51.100.2"
    assert plan_of("failover").services["identitas"].address == "198.51.100.1"


def test_only_recovery_hosts_are_in_a_plan() -> None:
    assert plan_of().services["pengaduan"].hosts == ("drc-pengaduan-1",)


@pytest.mark.parametrize("kind", ["failover", "drill"])
def test_a_plan_reads_back_from_its_record(kind: RecoveryKind) -> None:
    plan = plan_of(kind)
    again = Plan.from_record(plan.record())
    assert again == plan
    assert again.hash == plan.hash


@pytest.mark.parametrize("name", ["identitas", "pengaduan"])
@pytest.mark.parametrize("which", ["objectives", "declared"])
@pytest.mark.parametrize("objective", ["rto", "rpo", "mtpd"])
def test_any_changed_objective_changes_the_hash(name: str, which: str, objective: str) -> None:
    plan = plan_of()
    planned = plan.services[name]
    changed = replace(OBJECTIVES, **{objective: timedelta(minutes=7)})
    by_name = {"objectives": planned.objectives, "declared": planned.declared, which: changed}
    other_service = replace(planned, objectives=by_name["objectives"], declared=by_name["declared"])
    other = replace(plan, services=plan.services | {name: other_service})
    assert other.hash != plan.hash


def test_another_restore_point_hold_or_step_changes_the_hash() -> None:
    plan = plan_of()
    planned = plan.services["pengaduan"]
    assert planned.restore_point is not None
    older = replace(
        planned, restore_point=make_restore_point(at=planned.restore_point.sentinel_at - timedelta(hours=1))
    )
    others = [
        replace(plan, services=plan.services | {"pengaduan": older}),
        replace(plan, hold=timedelta(seconds=59)),
        replace(plan, give_up_after=timedelta(hours=9)),
        replace(plan, steps=plan.steps[:-1]),
        plan_of("drill"),
        plan_of(wanted=("identitas",)),
    ]
    assert len({plan.hash, *(other.hash for other in others)}) == 1 + len(others)


@pytest.mark.parametrize(
    ("rto", "rpo", "relaxed"), [(5, 15, False), (4, 14, False), (6, 15, True), (5, 16, True), (4, 16, True)]
)
def test_objectives_milder_than_the_inventorys_are_known_as_such(rto: int, rpo: int, relaxed: bool) -> None:
    used = Objectives(rto=timedelta(minutes=rto), rpo=timedelta(minutes=rpo), mtpd=None)
    assert replace(plan_of().services["pengaduan"], objectives=used).objectives_relaxed is relaxed
