"""Status says what a disaster now would cost, and never more than is known."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest

from drp.domain.objectives import Verdict
from drp.domain.recovery.probing import Sample
from drp.workflows.status import ServiceStatus, status
from tests.fakes.city import make_city, service_record
from tests.fakes.world import Stage, make_stage


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return make_stage(tmp_path, make_city(service_record("pengaduan")))


def shown(stage: Stage) -> ServiceStatus:
    (row,) = status(stage.world, ["pengaduan"])
    json.dumps(row.record())
    return row


def test_the_age_of_the_newest_data_is_judged_by_the_rpo(stage: Stage) -> None:
    row = shown(stage)
    assert row.data_age is not None
    assert timedelta(minutes=5) <= row.data_age < timedelta(minutes=5, seconds=1)
    assert row.rpo_verdict is Verdict.MET
    stage.clock.at += timedelta(minutes=11)
    assert shown(stage).rpo_verdict is Verdict.NOT_MET


def test_a_service_without_a_restore_point_is_not_met(tmp_path: Path) -> None:
    stage = make_stage(tmp_path, make_city(service_record("pengaduan")), restore_points=False)
    row = shown(stage)
    assert (row.restore_point, row.data_age, row.rpo_verdict) == (None, None, Verdict.NOT_MET)


def test_after_a_failover_the_old_sites_restore_points_protect_nothing(stage: Stage) -> None:
    stage.ledger.open_run("failover-1", "failover", "0" * 64, ["pengaduan"], {})
    stage.ledger.append("failover-1", "site.activated", {"service": "pengaduan", "site": "recovery"})
    row = shown(stage)
    assert (row.active_site, row.restore_point, row.rpo_verdict) == ("recovery", None, Verdict.NOT_MET)
    assert row.last_recovery is None  # it has not ended
    stage.ledger.append("failover-1", "run.closed", {"outcome": "done", "exit_code": 0, "verdict": "MET"})
    last = shown(stage).last_recovery
    assert last is not None
    assert last.run == "failover-1"


def see(stage: Stage, type_: str) -> None:
    if not stage.ledger.runs(kinds=("watch",)):
        stage.ledger.open_run("watch-1", "watch", "0" * 64, ["pengaduan"], {})
    stage.ledger.append("watch-1", type_, {"service": "pengaduan"})
    now = stage.clock.now()
    stage.watch.seen["pengaduan"] = [Sample(now, now, type_ == "service.up", "")]


def test_what_the_watch_sees_now_is_shown(stage: Stage) -> None:
    assert shown(stage).usable is None
    see(stage, "service.up")
    assert shown(stage).usable is True
    see(stage, "service.down")
    assert shown(stage).usable is False


def test_a_watch_that_died_or_ended_says_nothing_about_now(stage: Stage) -> None:
    see(stage, "service.up")
    stage.clock.at += timedelta(seconds=61)
    assert shown(stage).usable is None
    see(stage, "service.up")
    stage.ledger.append("watch-1", "run.closed", {"outcome": "done", "exit_code": 0})
    assert shown(stage).usable is None
