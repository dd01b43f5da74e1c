"""What must keep a result from being good, and what must be refused: each of these once went the other way."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from drp.domain.objectives import Verdict
from drp.errors import UsageError
from drp.workflows.recover import recover, resume
from tests.fakes.city import make_city, service_record
from tests.fakes.world import Crash, Stage, make_stage
from tests.unit.workflows.test_recovery import DRILL, FAILOVER, texts


@pytest.fixture
def alone(tmp_path: Path) -> Stage:
    found = make_stage(tmp_path, make_city(service_record("pengaduan", address="192.0.2.80")))
    found.see_outage("pengaduan")
    return found


def test_a_watch_that_never_saw_it_work_does_not_date_the_disruption(alone: Stage) -> None:
    alone.watch.seen["pengaduan"] = [sample for sample in alone.watch.seen["pengaduan"] if not sample.succeeded]
    recovery = recover(alone.world, FAILOVER)
    assert "T0" not in recovery.marks["pengaduan"]
    assert recovery.measurement("pengaduan").verdict is not Verdict.MET


def test_a_dataset_that_is_not_in_the_restore_point_is_an_exception_that_nobody_accepted(alone: Stage) -> None:
    service = alone.world.city.services["pengaduan"]
    point = alone.points["pengaduan"]
    kept = {dataset.id: dataset.model_dump(mode="json") for dataset in service.datasets[:1]}
    fewer = replace(
        point,
        id="backup-of-less",
        sentinel_at=point.sentinel_at + timedelta(seconds=1),
        datasets=kept,
        snapshots=tuple(part for part in point.snapshots if part.dataset in kept),
    )
    alone.ledger.open_run(fewer.id, "backup", "0" * 64, ["pengaduan"], {})
    alone.ledger.append(fewer.id, "restore_point.recorded", fewer.record())
    alone.points["pengaduan"] = fewer
    recovery = recover(alone.world, FAILOVER)
    assert recovery.point_of("pengaduan") == fewer
    missing = [text for text in texts(recovery) if "is not in the restore point" in text]
    assert len(missing) == len(service.datasets) - 1 > 0
    assert recovery.closed is not None
    assert recovery.closed.body["exit_code"] == 4


def test_what_was_declared_otherwise_is_restored_as_it_was_backed_up(alone: Stage) -> None:
    service = alone.world.city.services["pengaduan"]
    point = alone.points["pengaduan"]
    then = {dataset.id: dataset.model_dump(mode="json") for dataset in service.datasets}
    files = next(record for record in then.values() if record["type"] == "files")
    files["paths"] = ["/srv/as-it-was"]
    older = replace(point, id="backup-then", sentinel_at=point.sentinel_at + timedelta(seconds=1), datasets=then)
    alone.ledger.open_run(older.id, "backup", "0" * 64, ["pengaduan"], {})
    alone.ledger.append(older.id, "restore_point.recorded", older.record())
    alone.points["pengaduan"] = older
    recovery = recover(alone.world, FAILOVER)
    assert "/srv/as-it-was" in str(alone.actions.specs["pengaduan-restore"]["variables"]["drp_jobs"])
    assert any("was declared otherwise" in text for text in texts(recovery))


def test_a_shorter_hold_than_the_runbooks_is_an_exception(alone: Stage) -> None:
    recovery = recover(alone.world, replace(FAILOVER, hold=timedelta(milliseconds=1)))
    assert recovery.measurement("pengaduan").verdict is Verdict.MET_WITH_EXCEPTION
    assert any("had to hold for" in text for text in texts(recovery))


def test_a_failover_without_an_address_says_so_and_is_still_where_the_service_runs(tmp_path: Path) -> None:
    stage = make_stage(tmp_path, make_city(service_record("arsip")))
    stage.see_outage("arsip")
    recovery = recover(stage.world, replace(FAILOVER, services=("arsip",)))
    assert any("switched no traffic" in text for text in texts(recovery, "arsip"))
    assert stage.ledger.active_site("arsip") == "recovery"


def test_a_drill_is_refused_beside_a_service_in_use_on_its_host(tmp_path: Path) -> None:
    shared = service_record("arsip")
    other = service_record("pengaduan")
    other["recovers_on"] = {host: next(iter(shared["recovers_on"].values())) for host in other["runs_on"]}
    stage = make_stage(tmp_path, make_city(shared, other))
    stage.ledger.open_run("failover-before", "failover", "0" * 64, ["arsip"], {})
    stage.ledger.append("failover-before", "site.activated", {"service": "arsip", "site": "recovery", "reason": ""})
    stage.ledger.append("failover-before", "run.closed", {"outcome": "done", "exit_code": 0})
    with pytest.raises(UsageError, match="arsip is in use"):
        recover(stage.world, DRILL)
    assert stage.actions.started == []


def test_ansible_goes_to_the_addresses_that_drp_checked(alone: Stage) -> None:
    recover(alone.world, FAILOVER)
    variables = alone.actions.specs["pengaduan-restore"]["variables"]
    host = alone.world.city.hosts["drc-pengaduan-1"]
    assert variables["drp_addresses"] == {host.name: host.address}
    assert variables["ansible_host"] == "{{ drp_addresses[inventory_hostname] }}"
    assert variables["ansible_connection"] == "ssh"


def test_a_changed_service_file_stops_a_resumption(alone: Stage) -> None:
    alone.ledger.crash_at = 8
    with pytest.raises(Crash):
        recover(alone.world, FAILOVER)
    alone.ledger.crash_at = 0
    alone.locks.held.clear()
    changed = make_city(service_record("pengaduan", address="192.0.2.80", rto="9h"))
    run = alone.ledger.runs(kinds=("failover",))[0].run
    with pytest.raises(UsageError, match="was changed since the run started"):
        resume(replace(alone.world, city=changed), run)


def test_a_disruption_cannot_lie_in_the_future(alone: Stage) -> None:
    later = alone.world.clock.now() + timedelta(hours=1)
    with pytest.raises(UsageError, match="future"):
        recover(alone.world, replace(FAILOVER, disrupted_at=later))
