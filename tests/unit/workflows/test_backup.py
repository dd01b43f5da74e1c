"""A backup is one restore point over all datasets, or none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from drp.domain.events import Body
from drp.domain.values import to_stamp
from drp.errors import BusyError, CancelledError, IntegrityError, UnreachableError
from drp.workflows.backup import back_up
from tests.fakes.actions import Ending
from tests.fakes.city import NOW, make_city, service_record
from tests.fakes.world import SECRET, Crash, Stage, make_stage

ASKED = int(NOW.timestamp() * 1_000_000)


def two_hosts() -> dict[str, Any]:
    record = service_record("pengaduan", runs_on=["pengaduan-1", "arsip-1"])
    record["recovers_on"] |= {"arsip-1": "drc-arsip-1"}
    record["datasets"][1]["host"] = "arsip-1"
    return record


def result_of(job: Body) -> Body:
    """What the host program tells of a good backup."""
    token = job["datasets"][0]["sentinel"].get("token") or job["datasets"][0]["sentinel"]["write"]["argv"][-1]
    parts = [
        {"dataset": dataset["id"], "part": part["name"], "snapshot": f"{dataset['id']}-{part['name']}"}
        | {"files": 1, "bytes": 10, "duration_ms": 5}
        for dataset in job["datasets"]
        for part in dataset["parts"]
    ]
    sentinel = {"token": token, "written_at": to_stamp(NOW)}
    return {
        "sentinels": {dataset["id"]: sentinel for dataset in job["datasets"]},
        "content": {dataset["id"]: {"rows": {"public.x": 1}} for dataset in job["datasets"]},
        "parts": parts,
        "tools": {"restic": "restic 0.14.0"},
    }


def good(_name: str, spec: Body) -> Ending:
    hello: Body = {"event": "hello", "host_time": to_stamp(NOW.replace(microsecond=750_000))}
    hello |= {"asked_at_us": ASKED, "answered_at_us": ASKED + 100_000}
    return Ending(0, [hello, {"event": "result", "result": result_of(spec["job"])}])


def trouble(kind: str, dataset: str = "files") -> Ending:
    return Ending(1, [{"event": "trouble", "kind": kind, "text": "restic said so", "dataset": dataset}])


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    found = make_stage(tmp_path, make_city(two_hosts()), restore_points=False)
    found.actions.script = good
    return found


def test_all_datasets_of_all_hosts_become_one_restore_point(stage: Stage) -> None:
    (result,) = back_up(stage.world, ["pengaduan"])
    point = result.restore_point
    assert result.error is None
    assert point is not None
    assert stage.ledger.restore_points("pengaduan") == [point]
    assert {item.dataset for item in point.snapshots} == {"database", "files"}
    assert point.arrived_at == stage.store.at
    assert set(point.repositories) == {"pengaduan-1", "arsip-1"}
    assert set(point.content) == {"database", "files"}
    row = stage.ledger.run(result.run)
    assert (row.outcome, row.exit_code) == ("done", 0)
    assert stage.locks.held == {}


def test_a_job_holds_no_secret_and_marks_every_dataset_with_one_token(stage: Stage) -> None:
    (result,) = back_up(stage.world, ["pengaduan"])
    assert result.restore_point is not None
    for spec in stage.actions.specs.values():
        assert SECRET not in str(spec["job"])
        assert result.restore_point.sentinel in str(spec["job"]["datasets"])
        assert spec["secrets"]["password"] == SECRET
    assert SECRET not in str(stage.ledger.events(result.run))


def test_the_hosts_clock_is_measured_and_recorded(stage: Stage) -> None:
    (result,) = back_up(stage.world, ["pengaduan"])
    measured = [event.body for event in stage.ledger.events(result.run) if event.type == "clock.measured"]
    # The host said .750 s when the control node's clock stood between .250 s and .350 s.
    assert measured == [
        {"host": "pengaduan-1", "offset_ms": 450, "uncertainty_ms": 50},
        {"host": "arsip-1", "offset_ms": 450, "uncertainty_ms": 50},
    ]


@pytest.mark.parametrize("failing", ["pengaduan-1", "arsip-1"])
@pytest.mark.parametrize(
    ("kind", "error"), [("dump", "dump failed"), ("stalled", "stalled"), ("new", "restic said so")]
)
def test_one_failed_dataset_means_no_restore_point(stage: Stage, failing: str, kind: str, error: str) -> None:
    stage.actions.script = lambda name, spec: trouble(kind) if name == failing else good(name, spec)
    (result,) = back_up(stage.world, ["pengaduan"])
    assert result.restore_point is None
    assert error in str(result.error)
    assert f"pengaduan on {failing}, dataset files" in str(result.error)
    assert stage.ledger.restore_points("pengaduan") == []
    row = stage.ledger.run(result.run)
    assert (row.outcome, row.closed_at is not None) == ("failed", True)
    assert stage.locks.held == {}


def test_a_trouble_keeps_its_exit_code(stage: Stage) -> None:
    for kind, error in (("no_repository", IntegrityError), ("credentials", UnreachableError), ("locked", BusyError)):
        stage.actions.script = lambda _name, _spec, kind=kind: trouble(kind)  # type: ignore[misc]
        (result,) = back_up(stage.world, ["pengaduan"])
        assert isinstance(result.error, error)
        assert stage.ledger.run(result.run).exit_code == error.exit_code


def test_a_host_that_ended_without_a_word_is_a_failure(stage: Stage) -> None:
    stage.actions.script = lambda _name, _spec: Ending(0, [])
    (result,) = back_up(stage.world, ["pengaduan"])
    assert "lost without a result" in str(result.error)


def test_a_snapshot_that_is_not_at_the_dr_centre_is_a_failure(stage: Stage) -> None:
    stage.store.missing = "arsip-1/snapshots/files-files"
    (result,) = back_up(stage.world, ["pengaduan"])
    assert "is not at the DR centre" in str(result.error)
    assert stage.ledger.restore_points("pengaduan") == []
    assert stage.ledger.run(result.run).outcome == "failed"


def test_one_services_failure_does_not_stop_the_others(tmp_path: Path) -> None:
    stage = make_stage(tmp_path, restore_points=False)
    stage.actions.script = lambda name, spec: trouble("dump") if name == "identitas-1" else good(name, spec)
    results = back_up(stage.world, ["identitas", "pengaduan"])
    assert [result.restore_point is None for result in results] == [True, False]


def test_a_new_repository_may_only_be_made_where_none_was_known(stage: Stage) -> None:
    back_up(stage.world, ["pengaduan"])
    assert stage.actions.specs["arsip-1"]["job"]["may_create_repository"] is True
    back_up(stage.world, ["pengaduan"])
    assert stage.actions.specs["arsip-1"]["job"]["may_create_repository"] is False


def test_after_a_failover_the_recovery_hosts_are_backed_up(stage: Stage) -> None:
    stage.ledger.open_run("failover-1", "failover", "0" * 64, ["pengaduan"], {})
    stage.ledger.append("failover-1", "site.activated", {"service": "pengaduan", "site": "recovery"})
    (result,) = back_up(stage.world, ["pengaduan"])
    assert stage.actions.started == ["drc-pengaduan-1", "drc-arsip-1"]
    assert result.restore_point is not None
    assert result.restore_point.site == "recovery"


@pytest.mark.parametrize("after", [False, True])
def test_an_unfinished_backup_is_taken_up_again_wherever_it_was_cut_off(tmp_path: Path, after: bool) -> None:
    whole = make_stage(tmp_path / "whole", make_city(two_hosts()), restore_points=False)
    whole.actions.script = good
    back_up(whole.world, ["pengaduan"])
    count = whole.ledger.appended
    whole.ledger.close()
    for at in range(1, count) if after else range(2, count + 1):
        stage = make_stage(tmp_path / str(at), make_city(two_hosts()), restore_points=False)
        stage.actions.script = good
        stage.ledger.crash_at, stage.ledger.crash_after = at, after
        with pytest.raises(Crash):
            back_up(stage.world, ["pengaduan"])
        stage.ledger.crash_at = 0
        stage.locks.held.clear()
        (result,) = back_up(stage.world, ["pengaduan"])
        assert result.error is None, (at, result.error)
        assert len(stage.ledger.runs(kinds=("backup",))) == 1, at
        assert stage.ledger.restore_points("pengaduan") == [result.restore_point], at
        assert sorted(stage.actions.started) == ["arsip-1", "pengaduan-1"], at
        assert stage.ledger.run(result.run).outcome == "done", at
        stage.ledger.close()


def test_ctrl_c_stops_the_hosts_and_leaves_no_restore_point(stage: Stage) -> None:
    stage.actions.script = lambda _name, _spec: Ending(130, [], running=True)
    sleep = stage.clock.sleep
    count = 0

    def interrupt_once(seconds: float) -> None:
        nonlocal count
        count += 1
        if count == 1:
            raise KeyboardInterrupt
        sleep(seconds)

    stage.clock.sleep = interrupt_once  # type: ignore[method-assign]
    with pytest.raises(CancelledError, match="left no restore point"):
        back_up(stage.world, ["pengaduan"])
    assert stage.actions.stopped == ["pengaduan-1"]
    row = stage.ledger.runs(kinds=("backup",))[0]
    assert (row.outcome, row.exit_code) == ("aborted", 130)


def test_a_backup_at_work_elsewhere_is_busy(stage: Stage) -> None:
    stage.locks.acquire("backup-pengaduan", "drp backup of pengaduan")
    (result,) = back_up(stage.world, ["pengaduan"])
    assert isinstance(result.error, BusyError)
    assert stage.actions.started == []
