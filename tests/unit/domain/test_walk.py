"""Which restore points may be taken, what a failure says of them, and what is done again with the next one."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from drp.domain.objectives import objectives_of
from drp.domain.recovery.compiling import compile_recovery
from drp.domain.recovery.plan import Plan, RecoveryKind
from drp.domain.recovery.restore_choice import youngest_data
from drp.domain.recovery.walk import candidates, speaks_of_data, standing_on
from drp.domain.runbooks.model import Runbook
from drp.domain.trouble import error_of
from drp.errors import DrpError, UsageError
from tests.fakes.city import NOW, make_city, make_restore_point, runbook_record

MINUTES = st.lists(st.integers(1, 500), unique=True, max_size=8)


def plan_of(kind: RecoveryKind = "failover", **runbook: Any) -> Plan:
    """Of two services, of which `pengaduan` needs `identitas`."""
    city = make_city()
    objectives = {name: found for name in city.services if (found := objectives_of(city.services[name], _tiers(city)))}
    points = {
        name: [make_restore_point(name, at=NOW - timedelta(hours=hours)) for hours in range(3)] for name in objectives
    }
    return compile_recovery(
        city,
        kind,
        ["identitas", "pengaduan"],
        Runbook.model_validate(runbook_record() | {"restore_points": "walk-back"} | runbook),
        restore_points={name: found[0] for name, found in points.items()},
        older={name: tuple(found[1:]) for name, found in points.items()},
        declared=objectives,
        objectives=objectives,
        hold=timedelta(seconds=2),
    )


def _tiers(city: Any) -> Any:
    return city.workspace.tiers


@given(ages=MINUTES, before=st.none() | st.integers(0, 500), most=st.integers(1, 10))
def test_candidates_come_newest_first_up_to_the_limit_and_hold_nothing_younger(
    ages: list[int], before: int | None, most: int
) -> None:
    points = [make_restore_point(at=NOW - timedelta(minutes=age)) for age in ages]
    moment = None if before is None else NOW - timedelta(minutes=before)
    found = candidates(points, before=moment, most=most)
    fit = [point for point in points if moment is None or youngest_data(point) <= moment]
    assert len(found) == min(most, len(fit))
    assert list(found) == sorted(fit, key=lambda point: point.sentinel_at, reverse=True)[:most]


@pytest.mark.parametrize(
    ("kind", "says_something"),
    [
        *((kind, True) for kind in ("damaged", "no_snapshot", "load", "command", "program", "too_long", "task", "")),
        *((kind, False) for kind in ("ssh", "unreachable", "no_space", "little_space", "not_empty", "password")),
        *((kind, False) for kind in ("credentials", "no_repository", "no_program", "locked", "cancelled", "lost")),
        *((kind, False) for kind in ("playbook", "guard", "stalled", "connection_lost", "not_alone", "host_key")),
    ],
)
def test_only_what_speaks_of_the_data_turns_a_restore_point_down(kind: str, says_something: bool) -> None:
    assert speaks_of_data(error_of(kind, "the tool's word", "pengaduan/restore")) is says_something


def test_a_comparison_that_fails_speaks_of_the_data_and_a_wrong_command_does_not() -> None:
    assert speaks_of_data(DrpError("dataset database: content is 11 instead of 12"))
    assert not speaks_of_data(UsageError("there is no host"))


def test_a_walk_is_a_part_of_the_plan_and_of_its_hash() -> None:
    plan = plan_of()
    assert Plan.from_record(plan.record()) == plan
    assert plan_of(walk_back={"patience": "5s"}).hash != plan.hash
    assert "older" not in str(plan_of("switchover").record()), "a planned move makes its own restore point"
    assert "patience_ms" not in plan_of("switchover").record()


def test_users_and_whoever_needs_a_service_wait_for_its_trial() -> None:
    needs = {step.id: step.needs for step in plan_of().steps}
    assert needs["identitas/trial"] == ("identitas/verify",)
    assert "identitas/trial" in needs["pengaduan/activate"]
    assert needs["pengaduan/cutover"] == ("pengaduan/trial",)
    assert not any(name.endswith("/trial") for name in (step.id for step in plan_of(restore_points="newest").steps))


def test_what_stands_on_a_restore_is_all_that_was_done_with_its_data() -> None:
    step = {"kind": "manual", "instructions": {"en": "x", "id": "x"}, "expected": "1m", "title": {"en": "x", "id": "x"}}
    plan = plan_of("drill", steps=[{**step, "id": "early"}, {**step, "id": "compare", "after": "verify"}])
    own = [item.id for item in standing_on(plan, "pengaduan")]
    stages = ("restore", "activate", "verify", "trial", "usable")
    assert own == [*(f"pengaduan/{stage}" for stage in stages), "compare"]
    theirs = {item.id for item in standing_on(plan, "identitas")}
    assert {"identitas/restore", "pengaduan/activate", "pengaduan/trial", "compare"} <= theirs
    assert not {"pengaduan/restore", "identitas/cleanup", "pengaduan/cleanup", "early"} & theirs


@pytest.mark.parametrize("walk", [{"attempts": 0}, {"attempts": 101}, {"patience": "0s"}, {"tries": 3}])
def test_a_walk_that_goes_nowhere_is_refused(walk: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Runbook.model_validate(runbook_record() | {"walk_back": walk})
