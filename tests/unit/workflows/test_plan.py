"""`drp plan` takes what the ledger has measured before what the inventory declares."""

from __future__ import annotations

from pathlib import Path

import pytest

from drp.domain.forecasts.estimates import Basis
from drp.errors import UsageError
from drp.workflows.plan import plan, read_history
from drp.workflows.recover import RecoveryRequest, recover, resume
from tests.fakes.planned import ESTIMATES, LINES, city_with, runbook, sized_record
from tests.fakes.world import Crash, Stage, make_stage

DRILL = RecoveryRequest(kind="drill", services=("pengaduan",), runbook="site-loss", by="siti", reason="rehearsal")


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    city = city_with(LINES, sized_record("identitas"), sized_record("pengaduan"), estimates=ESTIMATES)
    return make_stage(tmp_path, city.model_copy(update={"runbooks": {"site-loss": runbook()}}), restore_points=True)


def test_before_any_run_estimates_are_computed_or_declared(stage: Stage) -> None:
    report = plan(stage.world, [], "site-loss", "failover")
    bases = {step.estimate.basis for step in report.forecast.steps.values()}
    assert bases == {Basis.COMPUTED, Basis.DECLARED}
    assert report.feasible


def test_after_a_drill_its_stages_are_measured_and_the_rest_is_not(stage: Stage) -> None:
    run = recover(stage.world, DRILL)
    found = plan(stage.world, [], "site-loss", "failover").forecast
    for name in ("activate", "verify", "usable"):  # the fake restore is faster than the line
        estimate = found.steps[f"pengaduan/{name}"].estimate
        assert (estimate.basis, estimate.text) == (Basis.MEASURED, run.run), name
    assert found.steps["pengaduan/cutover"].estimate.basis is Basis.DECLARED  # a drill switches no traffic
    assert found.steps["identitas/restore"].estimate.basis is not Basis.MEASURED


def test_the_usable_stage_is_measured_until_t5_without_the_hold(stage: Stage) -> None:
    run = recover(stage.world, DRILL)
    state = run.steps["pengaduan/usable"]
    assert state.started_at is not None
    measured = read_history(stage.world, ["pengaduan"]).stages["pengaduan", "usable"][0]
    assert measured.duration == run.marks["pengaduan"]["T5"].at - state.started_at
    assert state.ended_at is not None
    assert measured.duration < state.ended_at - state.started_at


def test_a_run_that_was_cut_off_measures_nothing(stage: Stage) -> None:
    stage.ledger.crash_at = 12
    with pytest.raises(Crash):
        recover(stage.world, DRILL)
    run = stage.world.ledger.runs(kinds=("drill",))[0].run
    assert read_history(stage.world, ["pengaduan"]).stages == {}  # it has not ended
    stage.ledger.crash_at = 0
    resume(stage.world, run)
    assert read_history(stage.world, ["pengaduan"]).stages == {}  # its pause would count


def test_an_unknown_service_or_scenario_is_told(stage: Stage) -> None:
    with pytest.raises(UsageError, match="no service 'pajak'"):
        plan(stage.world, ["pajak"], "site-loss", "failover")
    with pytest.raises(UsageError, match="no runbook 'gempa'"):
        plan(stage.world, [], "gempa", "failover")


def test_what_runs_at_the_recovery_site_already_is_not_planned_again(stage: Stage) -> None:
    stage.ledger.open_run("failover-1", "failover", "0" * 64, ["identitas"], {})
    stage.ledger.append("failover-1", "site.activated", {"service": "identitas", "site": "recovery"})
    assert list(plan(stage.world, [], "site-loss", "failover").forecast.services) == ["pengaduan"]
