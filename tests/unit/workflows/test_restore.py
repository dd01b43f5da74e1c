"""Restores with a real ledger and fake hosts: what is asked of hosts, what is refused, and what survives a crash."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from drp.domain.backups.restore_point import RestorePoint
from drp.domain.events import Body
from drp.domain.recovery.restore_plan import RestorePlan
from drp.domain.values import to_stamp
from drp.errors import BusyError, CancelledError, IntegrityError, UnreachableError, UsageError
from drp.workflows.restore import Consent, look, prepare, restore, resume, undo_hint, units_to_stop
from drp.workflows.restore_request import RestoreRequest
from tests.fakes.actions import Ending, Script
from tests.fakes.city import NOW, make_city, make_restore_point, service_record
from tests.fakes.world import SECRET, Crash, Stage, make_stage

CONSENT = Consent(by="siti", reason="a deleted file", replace_existing=True)
ALL = RestoreRequest("pengaduan")


def answer(point: RestorePoint, job: Body, wrong: str = "") -> Body:
    """What the host program tells of a restore."""
    parts, datasets = [], {}
    for dataset in job["datasets"]:
        for part in dataset["parts"]:
            counted = {"files": 7, "bytes": 7000} if part["kind"] == "tree" else {}
            fewer = {"files": 6, "bytes": 6000} if counted and wrong == "files" else counted
            parts.append({"dataset": dataset["id"], "part": part["name"], "expected": counted, "actual": fewer})
        token = "another" if wrong == "sentinel" else point.sentinel
        found: Body = {"sentinel": {"token": token, "written_at": to_stamp(point.sentinel_at)}}
        if dataset["id"] == "database":
            found["rows"] = {"public.complaints": 11 if wrong == "rows" else 12}
        datasets[dataset["id"]] = found
    return {"parts": parts, "datasets": datasets}


def script(point: RestorePoint, wrong: str = "", found: tuple[str, ...] = (), **survey: Any) -> Script:
    def play(_name: str, spec: Body) -> Ending:
        job = spec["job"]
        if job["verb"] == "survey":
            disk = {"folder": "/srv", "free": 10**12, "coming": 12100}
            result = {
                "found": list(found),
                "looked_for": [],
                "host": spec["host"],
                "unknown": "",
                "missing": [],
                "amounts": {},
            }
            return Ending(0, [{"event": "result", "result": result | {"space": [disk]} | survey}])
        return Ending(0, [{"event": "result", "result": answer(point, job, wrong)}])

    return play


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    found = make_stage(tmp_path, make_city(service_record("pengaduan")))
    found.actions.script = script(found.points["pengaduan"])
    return found


def add_point(stage: Stage, point: RestorePoint) -> None:
    stage.ledger.open_run(point.id, "backup", "0" * 64, [point.service], {})
    stage.ledger.append(point.id, "restore_point.recorded", point.record())
    stage.ledger.append(point.id, "run.closed", {"outcome": "done", "exit_code": 0})


def planned(stage: Stage, request: RestoreRequest = ALL) -> RestorePlan:
    return prepare(stage.world, request)[0]


def test_the_newest_goes_back_to_where_the_service_runs_and_that_is_production(stage: Stage) -> None:
    plan = planned(stage)
    assert [(job.host, job.repository_host, job.datasets) for job in plan.jobs] == [
        ("pengaduan-1", "pengaduan-1", ("database", "files"))
    ]
    assert plan.production == ("pengaduan-1",)
    assert RestorePlan.from_record(plan.record()) == plan


def test_after_a_failover_it_goes_to_the_recovery_host(stage: Stage) -> None:
    stage.ledger.open_run("failover-1", "failover", "0" * 64, ["pengaduan"], {})
    stage.ledger.append("failover-1", "site.activated", {"service": "pengaduan", "site": "recovery"})
    plan = planned(stage)
    assert [(job.host, job.repository_host) for job in plan.jobs] == [("drc-pengaduan-1", "pengaduan-1")]
    assert plan.production == ("drc-pengaduan-1",)
    assert "in no restore point" in undo_hint(stage.world, plan)


def test_another_host_and_a_scratch_place_are_not_production(stage: Stage) -> None:
    assert planned(stage, replace(ALL, to="drc-pengaduan-1")).production == ()
    plan = planned(stage, replace(ALL, scratch="/var/tmp/look", datasets=("files",)))
    assert plan.production == ()
    assert plan.jobs[0].host == "drc-pengaduan-1"
    assert plan.places("files") == ("path /var/tmp/look/files",)
    on_primary = planned(stage, replace(ALL, scratch="/var/tmp/look", to="pengaduan-1"))
    assert on_primary.production == ()


@pytest.mark.parametrize("folder", ["/", "/etc", "relative", "/var/../etc/x", "/srv//x"])
def test_a_scratch_place_that_could_be_something_else_is_refused(stage: Stage, folder: str) -> None:
    with pytest.raises(UsageError, match="no folder for a scratch place"):
        planned(stage, replace(ALL, scratch=folder))


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        (replace(ALL, datasets=("mail",)), "has no dataset mail"),
        (replace(ALL, restore_point="backup-x"), "no restore point backup-x"),
        (replace(ALL, snapshot="4" * 64), "no restore point has"),
        (replace(ALL, at=NOW - timedelta(days=9)), "no restore point is that old"),
        (replace(ALL, to="nowhere"), "not in the Ansible inventory"),
        (replace(ALL, from_centre="other"), "no DR centre 'other'"),
    ],
)
def test_what_is_not_there_is_a_usage_error(stage: Stage, request_: RestoreRequest, error: str) -> None:
    with pytest.raises(UsageError, match=error):
        planned(stage, request_)


def test_a_snapshot_means_its_dataset_and_a_time_the_point_before_it(stage: Stage) -> None:
    older = make_restore_point(at=NOW - timedelta(hours=2))
    older = replace(older, snapshots=tuple(replace(part, snapshot="a" + part.snapshot[1:]) for part in older.snapshots))
    add_point(stage, older)
    plan = planned(stage, replace(ALL, snapshot="a3333333"))
    assert (plan.point, plan.datasets) == (older, ("files",))
    plan, choice = prepare(stage.world, replace(ALL, at=NOW - timedelta(hours=1)))
    assert (plan.point, choice.distance) == (older, timedelta(hours=1))
    assert choice.next_newer == stage.points["pengaduan"]


def test_a_copy_is_taken_from_the_centre_that_has_one(tmp_path: Path) -> None:
    centres = make_city().workspace.model_dump()["dr_centres"]
    record = {name: value for name, value in centres["drc"].items() if value is not None}
    record |= {"access_key_id": {"env": "X"}, "secret_access_key": {"env": "Y"}}
    second = record | {"endpoint": "https://192.0.2.99:9000", "bucket": "copies"}
    city = make_city(service_record("pengaduan"), workspace={"dr_centres": {"drc": record, "second": second}})
    stage = make_stage(tmp_path, city)
    stage.actions.script = script(stage.points["pengaduan"])
    with pytest.raises(UsageError, match="nothing of it has been copied to second"):
        planned(stage, replace(ALL, from_centre="second"))
    point = stage.points["pengaduan"]
    stage.ledger.open_run("copy-1", "copy", "0" * 64, ["pengaduan"], {})
    copied = {"restore_point": point.id, "service": "pengaduan", "dr_centre": "second", "arrived_at": to_stamp(NOW)}
    stage.ledger.append("copy-1", "copy.recorded", copied)
    plan = planned(stage, replace(ALL, from_centre="second"))
    assert plan.jobs[0].repository_url == "s3:https://192.0.2.99:9000/copies/pengaduan/pengaduan-1"
    assert restore(stage.world, plan, CONSENT).error is None
    spec = stage.actions.specs["restore-pengaduan-1"]
    assert spec["job"]["repository"]["url"] == plan.jobs[0].repository_url


def test_a_good_restore_is_compared_recorded_and_proves_its_datasets(stage: Stage) -> None:
    result = restore(stage.world, planned(stage), CONSENT)
    assert result.error is None
    events = stage.ledger.events(result.run)
    assert [event.type for event in events] == [
        "run.opened",
        "action.started",
        *["data.verified"] * 4,
        *["proof.recorded"] * 2,
        "run.closed",
    ]
    assert {(proof.dataset, proof.how) for proof in stage.ledger.proofs("pengaduan")} == {
        ("database", "restore"),
        ("files", "restore"),
    }
    assert (events[0].body["by"], events[0].body["reason"]) == ("siti", "a deleted file")
    assert stage.ledger.run(result.run).exit_code == 0
    assert stage.locks.held == {}
    assert SECRET not in str(events)
    assert stage.actions.specs["restore-pengaduan-1"]["secrets"]["password"] == SECRET


@pytest.mark.parametrize(("wrong", "proved"), [("rows", {"files"}), ("files", {"database"}), ("sentinel", set())])
def test_what_differs_is_an_integrity_error_and_proves_nothing(stage: Stage, wrong: str, proved: set[str]) -> None:
    stage.actions.script = script(stage.points["pengaduan"], wrong)
    result = restore(stage.world, planned(stage), CONSENT)
    assert isinstance(result.error, IntegrityError)
    assert {proof.dataset for proof in stage.ledger.proofs("pengaduan")} == proved
    row = stage.ledger.run(result.run)
    assert (row.outcome, row.exit_code) == ("failed", 13)


def test_a_host_that_says_nothing_of_a_dataset_has_restored_nothing(stage: Stage) -> None:
    stage.actions.script = lambda _name, _spec: Ending(
        0, [{"event": "result", "result": {"parts": [], "datasets": {}}}]
    )
    result = restore(stage.world, planned(stage), CONSENT)
    assert isinstance(result.error, IntegrityError)
    assert stage.ledger.proofs("pengaduan") == []


def test_without_consent_the_place_must_be_empty(stage: Stage) -> None:
    restore(stage.world, planned(stage), replace(CONSENT, replace_existing=False))
    assert stage.actions.specs["restore-pengaduan-1"]["job"]["must_be_empty"] is True


def test_the_look_tells_what_is_there_and_refuses_lost_snapshots(stage: Stage) -> None:
    plan = planned(stage)
    stage.actions.script = script(stage.points["pengaduan"], found=("path /srv/pengaduan",))
    assert look(stage.world, plan).found == ("path /srv/pengaduan on pengaduan-1",)
    stage.actions.script = script(stage.points["pengaduan"], missing=["3" * 64])
    with pytest.raises(IntegrityError, match="does not have snapshot 33333333"):
        look(stage.world, plan)
    assert stage.ledger.runs(kinds=("restore",)) == []


def test_a_trouble_of_the_host_closes_the_run_with_its_code(stage: Stage) -> None:
    said = {"event": "trouble", "kind": "unreachable", "text": "no route", "dataset": "files"}
    stage.actions.script = lambda _name, _spec: Ending(1, [said])
    result = restore(stage.world, planned(stage), CONSENT)
    assert isinstance(result.error, UnreachableError)
    assert stage.ledger.run(result.run).exit_code == 12


def test_no_backup_and_no_drill_may_run_meanwhile(stage: Stage) -> None:
    stage.locks.acquire("backup-pengaduan", "drp backup of pengaduan")
    result = restore(stage.world, planned(stage), CONSENT)
    assert isinstance(result.error, BusyError)
    assert stage.actions.started == []
    # Another place is no backup's business, but a drill's.
    assert restore(stage.world, planned(stage, replace(ALL, to="drc-pengaduan-1")), CONSENT).error is None
    stage.locks.acquire("recovery", "drp drill")
    result = restore(stage.world, planned(stage, replace(ALL, to="drc-pengaduan-1")), CONSENT)
    assert isinstance(result.error, BusyError)
    assert restore(stage.world, planned(stage, replace(ALL, scratch="/var/tmp/x")), CONSENT).error is None


def test_a_failed_backup_before_stops_the_restore(stage: Stage) -> None:
    said = {"event": "trouble", "kind": "dump", "text": "no", "dataset": "database"}
    stage.actions.script = lambda _name, _spec: Ending(1, [said])
    result = restore(stage.world, planned(stage), replace(CONSENT, backup_first=True))
    assert "nothing was restored" in str(result.error)
    assert not any(name.startswith("restore-") for name in stage.actions.started)


@pytest.mark.parametrize("after", [False, True])
def test_a_restore_goes_on_wherever_it_was_cut_off(tmp_path: Path, after: bool) -> None:
    whole = make_stage(tmp_path / "whole", make_city(service_record("pengaduan")))
    whole.actions.script = script(whole.points["pengaduan"])
    done = restore(whole.world, planned(whole), CONSENT)
    kinds = [event.type for event in whole.ledger.events(done.run)]
    for at in range(1, len(kinds)) if after else range(2, len(kinds) + 1):
        stage = make_stage(tmp_path / f"{at}", make_city(service_record("pengaduan")))
        stage.actions.script = script(stage.points["pengaduan"])
        stage.ledger.crash_at, stage.ledger.crash_after = at, after
        with pytest.raises(Crash):
            restore(stage.world, planned(stage), CONSENT)
        stage.ledger.crash_at = 0
        stage.locks.held.clear()
        with pytest.raises(UsageError, match="was cut off"):
            restore(stage.world, planned(stage), CONSENT)
        (row,) = stage.ledger.runs(kinds=("restore",))
        result = resume(stage.world, row.run)
        assert result.error is None, at
        found = [event.type for event in stage.ledger.events(row.run)]
        found.remove("run.resumed")
        missing = [] if "action.started" in found else ["action.started"]
        assert sorted(found + missing) == sorted(kinds), at
        assert stage.actions.started.count("restore-pengaduan-1") == 1, at
        with pytest.raises(UsageError, match="has ended"):
            resume(stage.world, row.run)
        stage.ledger.close()


def test_a_restore_that_was_lost_with_its_machine_is_done_again(stage: Stage) -> None:
    stage.ledger.crash_at, stage.ledger.crash_after = 2, True
    plan = planned(stage)
    with pytest.raises(Crash):
        restore(stage.world, plan, replace(CONSENT, replace_existing=False))
    stage.ledger.crash_at = 0
    stage.locks.held.clear()
    (row,) = stage.ledger.runs(kinds=("restore",))
    stage.actions.lose(stage.world.workspace / "var" / "runs" / row.run / "restore-pengaduan-1")
    assert resume(stage.world, row.run).error is None
    assert stage.actions.started == ["restore-pengaduan-1", "restore-pengaduan-1+2"]
    # What the lost attempt left half done is its own.
    assert stage.actions.specs["restore-pengaduan-1+2"]["job"]["must_be_empty"] is False


def test_ctrl_c_stops_it_and_says_what_the_place_holds(stage: Stage) -> None:
    stage.actions.script = lambda _name, _spec: Ending(130, [], running=True)
    sleep, count = stage.clock.sleep, 0

    def interrupt_once(seconds: float) -> None:
        nonlocal count
        count += 1
        if count == 1:
            raise KeyboardInterrupt
        sleep(seconds)

    stage.clock.sleep = interrupt_once  # type: ignore[method-assign]
    with pytest.raises(CancelledError) as raised:
        restore(stage.world, planned(stage), CONSENT)
    assert "half" in raised.value.hint
    assert stage.actions.stopped == ["restore-pengaduan-1"]
    assert stage.locks.held == {}
    assert stage.ledger.runs(kinds=("restore",))[0].outcome == "aborted"


def test_it_says_what_to_stop_and_how_to_undo(tmp_path: Path) -> None:
    record = service_record("pengaduan", recovery={"start": ["postgresql", "pengaduan", "nginx"]})
    stage = make_stage(tmp_path, make_city(record))
    plan = planned(stage)
    assert units_to_stop(stage.world, plan) == ["pengaduan", "nginx"]
    assert stage.points["pengaduan"].id in undo_hint(stage.world, plan)
    assert "--backup-first" in undo_hint(stage.world, plan)


def two_hosts(folder: Path) -> Stage:
    """A service on two hosts, of which the name of one begins with the other's; its own files lie on `app`."""
    record = service_record("pengaduan", runs_on=["app", "app-2"], recovers_on={"app": "drc-app", "app-2": "drc-app-2"})
    record["datasets"] = [
        {"id": "data", "type": "files", "host": "app-2", "paths": ["/srv/data"]},
        {"id": "files", "type": "files", "host": "app", "paths": ["/srv/files"]},
    ]
    stage = make_stage(folder, make_city(record), restore_points=False)
    point = stage.points["pengaduan"]
    snapshots = tuple(
        replace(point.snapshots[0], dataset=name, part="files", snapshot=letter * 64)
        for name, letter in (("data", "a"), ("files", "b"))
    )
    point = replace(
        point,
        snapshots=snapshots,
        content={},
        datasets={item.id: item.mechanics() for item in stage.world.city.services["pengaduan"].datasets},
        repositories={host: f"s3:https://192.0.2.10:9000/drp-bogor/pengaduan/{host}" for host in ("app", "app-2")},
        clocks={},
    )
    stage.points["pengaduan"] = point
    stage.actions.script = script(point)
    add_point(stage, point)
    stage.ledger.appended = 0
    return stage


def test_a_host_is_not_taken_for_one_whose_name_begins_alike(tmp_path: Path) -> None:
    stage = two_hosts(tmp_path)
    restore(stage.world, planned(stage), replace(CONSENT, replace_existing=False))
    assert stage.actions.started == ["restore-app-2", "restore-app"]
    # Nobody agreed to replace anything: neither host may, and the first one's start says nothing of the second.
    assert [stage.actions.specs[name]["job"]["must_be_empty"] for name in stage.actions.started] == [True, True]


def test_what_was_lost_on_one_host_does_not_take_anothers_result(tmp_path: Path) -> None:
    stage = two_hosts(tmp_path)
    stage.ledger.crash_at, stage.ledger.crash_after = 3, True
    with pytest.raises(Crash):
        restore(stage.world, planned(stage), CONSENT)
    stage.ledger.crash_at = 0
    stage.locks.held.clear()
    (row,) = stage.ledger.runs(kinds=("restore",))
    stage.actions.lose(stage.world.workspace / "var" / "runs" / row.run / "restore-app")
    resume(stage.world, row.run)
    assert stage.actions.started == ["restore-app-2", "restore-app", "restore-app+2"]


def test_where_one_host_cannot_be_started_what_runs_on_the_others_is_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = two_hosts(tmp_path)
    stage.actions.script = lambda _name, _spec: Ending(130, [], running=True)
    start = stage.actions.start_remote

    def start_one(folder: Path, *arguments: Any) -> None:
        if folder.name == "restore-app":
            raise UnreachableError("no key for it")
        start(folder, *arguments)

    monkeypatch.setattr(stage.actions, "start_remote", start_one)
    assert isinstance(restore(stage.world, planned(stage), CONSENT).error, UnreachableError)
    assert stage.actions.stopped == ["restore-app-2"]


@pytest.mark.parametrize("folder", ["/srv/pengaduan/look", "/srv/pengaduan/a/b"])
def test_a_scratch_place_never_lies_in_data_of_a_service(stage: Stage, folder: str) -> None:
    with pytest.raises(UsageError, match="has its data in /srv/pengaduan"):
        planned(stage, replace(ALL, scratch=folder))
