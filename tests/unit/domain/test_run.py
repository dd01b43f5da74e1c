"""The state of a run is what its events say, wherever drp was cut off."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import fields
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drp.domain.events import Body, Event, event_hash
from drp.domain.objectives import Verdict
from drp.domain.recovery.plan import Plan, RecoveryKind
from drp.domain.recovery.run import Recovery, apply, replay
from drp.domain.values import to_stamp
from tests.fakes.city import NOW
from tests.unit.domain.test_plan import plan_of


class Journal:
    """A ledger in memory."""

    def __init__(self, plan: Plan) -> None:
        self.plan, self.events = plan, list[Event]()
        self.add("run.opened", {"kind": plan.kind, "plan": plan.record(), "by": "siti"})

    def add(self, type_: str, body: Body) -> Event:
        previous = self.events[-1].hash if self.events else self.plan.hash
        sequence, at = len(self.events) + 1, to_stamp(NOW)
        digest = event_hash(previous, "run", sequence, at, type_, body)
        self.events.append(Event("run", sequence, at, type_, body, previous, digest))
        return self.events[-1]

    def replayed(self, count: int | None = None) -> Recovery:
        return replay("run", self.plan.hash, self.events[:count])


def ended(step: str, outcome: str) -> Body:
    return {"step": step, "outcome": outcome, "error": "", "duration_ms": 1, "evidence": []}


def carry_out(  # noqa: C901 - one loop with one way out after each event: that is what is tested
    journal: Journal, failing: frozenset[str], found: frozenset[str], most: int = 10_000
) -> list[str]:
    """A tiny executor: goes on from the journal, for at most so many events. Gives the steps it really ran."""
    recovery = journal.replayed()
    ran: list[str] = []

    def record(type_: str, body: Body) -> bool:
        nonlocal most
        if most <= 0:
            return False
        most -= 1
        apply(recovery, journal.add(type_, body))
        return True

    while True:
        for step in recovery.doomed():
            if not record("step.ended", ended(step.id, "skipped")):
                return ran
        ready = recovery.ready()
        for step in ready:
            if not record("step.started", {"step": step.id, "action": step.id}):
                return ran
        running = [step for step in recovery.plan.steps if recovery.steps[step.id].outcome == "running"]
        for step in running:
            if step.stage == "restore" and step.service not in recovery.absences:
                body = {"service": step.service, "looked_for": ["x"], "found": ["x"] if step.service in found else []}
                if not record("absence.proved", body):
                    return ran
            outcome = "failed" if step.id in failing else "ok"
            if not record("step.ended", ended(step.id, outcome)):
                return ran
            ran.append(step.id)
        if not ready and not running and not recovery.doomed() and not recovery.ready():
            return ran


STEPS = [step.id for step in plan_of("drill").steps]
SCENARIOS: list[tuple[frozenset[str], frozenset[str]]] = [
    (frozenset(), frozenset()),
    *((frozenset({step}), frozenset()) for step in STEPS),
    (frozenset({"identitas/verify", "pengaduan/restore"}), frozenset()),
    (frozenset(), frozenset({"pengaduan"})),
    (frozenset({"pengaduan/restore"}), frozenset({"pengaduan"})),
]


def outcomes(journal: Journal) -> dict[str, str]:
    return {name: state.outcome for name, state in journal.replayed().steps.items()}


@pytest.mark.parametrize("kind", ["failover", "drill"])
@pytest.mark.parametrize(("failing", "found"), SCENARIOS)
def test_a_crash_at_any_event_leads_to_the_same_end_and_repeats_no_ended_step(
    kind: RecoveryKind, failing: frozenset[str], found: frozenset[str]
) -> None:
    plan = plan_of(kind)
    whole = Journal(plan)
    ran = carry_out(whole, failing, found)
    assert all(state.ended for state in whole.replayed().steps.values())
    for crash in range(len(whole.events)):
        journal = Journal(plan)
        first = carry_out(journal, failing, found, most=crash)
        second = carry_out(journal, failing, found)
        assert sorted(first + second) == sorted(ran), crash
        assert outcomes(journal) == outcomes(whole), crash


@pytest.mark.parametrize(("failing", "found"), SCENARIOS)
def test_replaying_is_the_same_as_applying_event_by_event(failing: frozenset[str], found: frozenset[str]) -> None:
    journal = Journal(plan_of("drill"))
    carry_out(journal, failing, found)
    stepwise = journal.replayed(1)
    for count, event in enumerate(journal.events[1:], 2):
        apply(stepwise, event)
        whole = journal.replayed(count)
        for field in fields(Recovery):
            assert getattr(stepwise, field.name) == getattr(whole, field.name), field.name


@pytest.mark.parametrize(("failing", "found"), SCENARIOS)
def test_no_step_is_ready_before_its_needs_and_none_is_ready_and_doomed(
    failing: frozenset[str], found: frozenset[str]
) -> None:
    journal = Journal(plan_of("drill"))
    carry_out(journal, failing, found)
    for count in range(1, len(journal.events) + 1):
        recovery = journal.replayed(count)
        ready, doomed = recovery.ready(), recovery.doomed()
        assert not {step.id for step in ready} & {step.id for step in doomed}
        for step in ready:
            if not step.is_clean_up:
                assert all(recovery.steps[need].outcome == "ok" for need in step.needs)


def test_a_failed_step_dooms_its_followers_but_not_the_other_services_restore() -> None:
    journal = Journal(plan_of("failover"))
    carry_out(journal, frozenset({"identitas/activate"}), frozenset())
    assert outcomes(journal) == {
        "identitas/restore": "ok",
        "identitas/activate": "failed",
        "identitas/verify": "skipped",
        "identitas/usable": "skipped",
        "pengaduan/restore": "ok",
        "pengaduan/activate": "skipped",
        "pengaduan/verify": "skipped",
        "pengaduan/cutover": "skipped",
        "pengaduan/usable": "skipped",
    }


@pytest.mark.parametrize("failing", ["restore", "activate", "verify", "usable"])
def test_a_drill_cleans_up_after_any_failure_where_the_host_was_proved_empty(failing: str) -> None:
    journal = Journal(plan_of("drill"))
    carry_out(journal, frozenset({f"pengaduan/{failing}"}), frozenset())
    assert outcomes(journal)["pengaduan/cleanup"] == "ok"


def test_a_drill_that_found_something_leaves_it_alone() -> None:
    journal = Journal(plan_of("drill"))
    ran = carry_out(journal, frozenset({"pengaduan/restore"}), frozenset({"pengaduan"}))
    assert outcomes(journal)["pengaduan/cleanup"] == "skipped"
    assert "pengaduan/cleanup" not in ran
    assert outcomes(journal)["identitas/cleanup"] == "ok"


def test_a_drill_without_a_proof_of_absence_removes_nothing() -> None:
    journal = Journal(plan_of("drill", ("identitas",)))
    for step in ("restore", "activate", "verify", "usable"):
        journal.add("step.ended", ended(f"identitas/{step}", "failed" if step == "restore" else "skipped"))
    recovery = journal.replayed()
    assert recovery.ready() == []
    assert [step.id for step in recovery.doomed()] == ["identitas/cleanup"]


def test_clean_up_waits_for_all_other_steps_of_its_service() -> None:
    journal = Journal(plan_of("drill", ("identitas",)))
    journal.add("absence.proved", {"service": "identitas", "looked_for": [], "found": []})
    for step in ("restore", "activate", "verify", "usable"):
        assert "identitas/cleanup" not in {ready.id for ready in journal.replayed().ready()}
        journal.add("step.ended", ended(f"identitas/{step}", "ok"))
    assert [step.id for step in journal.replayed().ready()] == ["identitas/cleanup"]


def check(dataset: str, kind: str, expected: str = "7", actual: str = "7", ok: bool = True) -> Body:
    return {"service": "identitas", "dataset": dataset, "check": kind, "expected": expected, "actual": actual, "ok": ok}


ALL_CHECKS = [check(dataset, kind) for dataset in ("database", "files") for kind in ("content", "sentinel")]


def data_verdict(checks: list[Body]) -> Verdict:
    journal = Journal(plan_of("drill", ("identitas",)))
    for body in checks:
        journal.add("data.verified", body)
    return journal.replayed().data_verdict("identitas")


def test_data_is_met_when_every_dataset_was_counted_and_its_sentinel_read() -> None:
    assert data_verdict(ALL_CHECKS) is Verdict.MET
    assert data_verdict([]) is Verdict.NOT_MEASURED


@pytest.mark.parametrize("missing", range(len(ALL_CHECKS)))
def test_data_with_any_check_missing_is_not_measured(missing: int) -> None:
    assert data_verdict(ALL_CHECKS[:missing] + ALL_CHECKS[missing + 1 :]) is Verdict.NOT_MEASURED


@pytest.mark.parametrize("changes", [{"ok": False}, {"actual": "6"}, {"expected": "8"}])
@pytest.mark.parametrize("position", range(len(ALL_CHECKS)))
def test_data_with_any_check_wrong_is_not_met(position: int, changes: dict[str, Any]) -> None:
    checks = deepcopy(ALL_CHECKS)
    checks[position] |= changes
    assert data_verdict(checks) is Verdict.NOT_MET


def test_an_aborted_run_is_aborted_whatever_was_measured() -> None:
    journal = Journal(plan_of())
    journal.add("run.closed", {"outcome": "aborted", "exit_code": 130, "verdict": "ABORTED"})
    assert journal.replayed().verdict() is Verdict.ABORTED


def test_a_step_started_again_keeps_its_first_start() -> None:
    journal = Journal(plan_of())
    first = journal.add("step.started", {"step": "pengaduan/restore", "action": "pengaduan-restore"})
    again = Event("run", 3, to_stamp(NOW.replace(hour=9)), "step.started", first.body, first.hash, "")
    recovery = journal.replayed()
    apply(recovery, again)
    assert recovery.steps["pengaduan/restore"].started_at == NOW


@settings(max_examples=60, deadline=None)
@given(st.frozensets(st.sampled_from(STEPS)), st.frozensets(st.sampled_from(["identitas", "pengaduan"])))
def test_every_run_comes_to_an_end_in_which_each_step_has_ended(failing: frozenset[str], found: frozenset[str]) -> None:
    journal = Journal(plan_of("drill"))
    ran = carry_out(journal, failing, found)
    recovery = journal.replayed()
    assert all(state.ended for state in recovery.steps.values())
    assert len(ran) == len(set(ran))
    for name in found:
        assert recovery.steps[f"{name}/cleanup"].outcome == "skipped"
