"""What is started first where the control node cannot carry everything at once."""

from __future__ import annotations

from datetime import timedelta

from drp.domain.objectives import Objectives
from drp.domain.recovery.plan import Plan, PlannedService, Step
from drp.domain.recovery.urgency import to_start, urgency_of


def step(service: str, stage: str, *needs: str) -> Step:
    return Step(id=f"{service}/{stage}", service=service, stage=stage, needs=needs)  # type: ignore[arg-type]


def planned(service: str, hours: int) -> PlannedService:
    objectives = Objectives(timedelta(hours=hours), timedelta(hours=1), None)
    return PlannedService(service, objectives, objectives, None, ("host",), "192.0.2.1", "hash")


STEPS = (
    step("leaf", "restore"),
    step("leaf", "verify", "leaf/restore", "middle/verify"),
    step("alone", "restore"),
    step("alone", "verify", "alone/restore"),
    step("urgent", "restore"),
    step("urgent", "verify", "urgent/restore"),
    step("middle", "restore"),
    step("middle", "verify", "middle/restore", "ground/verify"),
    step("ground", "restore"),
    step("ground", "verify", "ground/restore"),
    step("ground", "usable", "ground/verify"),
)
PLAN = Plan(
    kind="drill",
    runbook="site-loss",
    hold=timedelta(seconds=5),
    give_up_after=timedelta(hours=1),
    services={
        name: planned(name, hours)
        for name, hours in {"leaf": 1, "alone": 8, "urgent": 2, "middle": 8, "ground": 8}.items()
    },
    steps=STEPS,
)


def names(steps: list[Step]) -> list[str]:
    return [item.id for item in steps]


def test_the_longest_chain_comes_first_then_the_shortest_rto() -> None:
    ready = [item for item in STEPS if item.stage == "restore"]
    found = names(to_start(ready, [], 100, urgency_of(PLAN)))
    assert found == ["ground/restore", "middle/restore", "leaf/restore", "urgent/restore", "alone/restore"]


def test_only_so_many_playbooks_run_at_once_and_waiting_for_use_is_none() -> None:
    urgency = urgency_of(PLAN)
    ready = [item for item in STEPS if item.stage in ("restore", "usable")]
    running = [STEPS[1], STEPS[3]]
    assert names(to_start(ready, running, 3, urgency)) == ["ground/restore", "ground/usable"]
    assert names(to_start(ready, [*running, STEPS[5]], 3, urgency)) == ["ground/usable"]
    assert names(to_start(ready, running, 1, urgency)) == ["ground/usable"]


def test_a_chain_longer_than_the_stack_of_python_has_an_urgency() -> None:
    chain = [step("s0", "restore")]
    for number in range(1, 3000):
        chain.append(step(f"s{number}", "restore", chain[-1].id))
    plan = Plan("drill", "x", timedelta(), timedelta(), {}, tuple(chain))
    assert [-length for length, _, _ in urgency_of(plan).values()] == list(range(3000, 0, -1))
