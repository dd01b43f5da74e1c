"""A backup is one restore point over all datasets, or none."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from drp.domain.events import Body
from drp.domain.values import to_stamp
from drp.errors import BusyError, CancelledError, IntegrityError, UnreachableError
from drp.ports import ActionState
from drp.workflows.backup import back_up, most_urgent_first
from drp.workflows.naming import action_folder
from drp.workflows.repository import repository_lock
from tests.fakes.actions import Ending
from tests.fakes.city import NOW, make_city, service_record
from tests.fakes.world import SECRET, Crash, Stage, make_stage

ASKED = int(NOW.timestamp() * 1_000_000)


def two_hosts() -> dict[str, Any]:
    record = service_record("pengaduan", runs_on=["pengaduan-1", "arsip-1"])
    record["recovers_on"] |= {"arsip-1": "drc-arsip-1"}
    record["datasets"][1]["host"] = "arsip-1"
    return record


def snapshot_of(dataset: str, part: str) -> str:
    """A snapshot as restic 0.14 tells it: by the beginning of its name."""
    return hashlib.sha256(f"{dataset}-{part}".encode()).hexdigest()[:8]


def result_of(job: Body) -> Body:
    """What the host program tells of a good backup."""
    token = job["datasets"][0]["sentinel"].get("token") or job["datasets"][0]["sentinel"]["write"]["argv"][-1]
    parts = [
        {"dataset": dataset["id"], "part": part["name"], "snapshot": snapshot_of(dataset["id"], part["name"])}
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


@pytest.mark.parametrize(
    "told",
    [
        [{"event": "part.ended"}, {"event": "result", "result": {}}],
        [{"event": "trouble"}],
        [{"event": "quiesce.started", "host": "another", "half": 0.5}, {"event": "result", "result": {}}],
    ],
)
def test_a_host_that_tells_nonsense_fails_its_own_backup_alone(tmp_path: Path, told: list[Body]) -> None:
    stage = make_stage(tmp_path, restore_points=False)
    stage.actions.script = lambda name, spec: good(name, spec) if name == "identitas-1" else Ending(0, told)
    results = back_up(stage.world, ["pengaduan", "identitas"])
    assert [result.restore_point is not None for result in results] == [False, True]
    assert "cannot be understood" in str(results[0].error)
    assert stage.ledger.run(results[0].run).outcome == "failed"


def test_a_dataset_without_any_snapshot_is_a_failure(stage: Stage) -> None:
    def without_files(name: str, spec: Body) -> Ending:
        ending = good(name, spec)
        result = ending.messages[-1]["result"]
        result["parts"] = [part for part in result["parts"] if part["dataset"] != "files"]
        return ending

    stage.actions.script = without_files
    (result,) = back_up(stage.world, ["pengaduan"])
    assert "no snapshot was made of files" in str(result.error)
    assert stage.ledger.restore_points("pengaduan") == []


def test_a_snapshot_that_is_not_at_the_dr_centre_is_a_failure(stage: Stage) -> None:
    stage.store.missing = f"arsip-1/snapshots/{snapshot_of('files', 'files')}"
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
    assert stage.actions.stopped == ["pengaduan-1", "arsip-1"]
    assert stage.locks.held == {}
    row = stage.ledger.runs(kinds=("backup",))[0]
    assert (row.outcome, row.exit_code) == ("aborted", 130)


def test_a_backup_at_work_elsewhere_is_busy(stage: Stage) -> None:
    stage.locks.acquire("backup-pengaduan", "drp backup of pengaduan")
    (result,) = back_up(stage.world, ["pengaduan"])
    assert isinstance(result.error, BusyError)
    assert stage.actions.started == []


def test_a_check_at_work_on_one_of_its_repositories_makes_a_backup_busy_and_leaves_no_run(stage: Stage) -> None:
    service = stage.world.city.services["pengaduan"]
    stage.locks.acquire(repository_lock(service, "arsip-1"), "drp check of pengaduan")
    (result,) = back_up(stage.world, ["pengaduan"])
    assert isinstance(result.error, BusyError)
    assert "drp check of pengaduan" in str(result.error)
    assert stage.ledger.runs() == []
    assert len(stage.locks.held) == 1


def test_the_record_says_what_it_was_made_for_and_under_which_tags(tmp_path: Path) -> None:
    backup = service_record()["backup"] | {"tags": ["legal-hold"]}
    stage = make_stage(tmp_path, make_city(service_record(backup=backup)), restore_points=False)
    stage.actions.script = good
    (result,) = back_up(stage.world, ["pengaduan"], {"pengaduan": NOW - timedelta(minutes=3)})
    assert result.restore_point is not None
    assert result.restore_point.tags == ("legal-hold",)
    assert result.restore_point.due_at == NOW - timedelta(minutes=3)
    assert {len(item.snapshot) for item in result.restore_point.snapshots} == {64}
    assert stage.actions.specs["pengaduan-1"]["job"]["tags"] == ["legal-hold"]
    assert stage.ledger.restore_points("pengaduan") == [result.restore_point]


def test_a_repository_is_only_unlocked_where_something_may_have_left_a_lock(stage: Stage) -> None:
    def may_unlock() -> bool:
        back_up(stage.world, ["pengaduan"])
        return bool(stage.actions.specs["arsip-1"]["job"]["may_unlock"])

    assert not may_unlock(), "nothing has ever worked on it"
    stage.actions.script = lambda name, spec: trouble("dump") if name == "arsip-1" else good(name, spec)
    assert not may_unlock(), "all went well before"
    stage.actions.script = good
    assert may_unlock()
    assert not may_unlock()
    stage.ledger.open_run("prune-1", "prune", "0" * 64, ["pengaduan"], {})
    assert may_unlock(), "a prune was killed"


def test_one_failed_host_stops_the_others_of_its_service(stage: Stage) -> None:
    def script(name: str, spec: Body) -> Ending:
        return trouble("dump") if name == "arsip-1" else Ending(130, good(name, spec).messages, running=True)

    stage.actions.script = script
    (result,) = back_up(stage.world, ["pengaduan"])
    assert stage.actions.stopped == ["pengaduan-1"]
    assert "dump failed" in str(result.error)
    assert stage.ledger.restore_points("pengaduan") == []


def test_where_something_is_quiesced_one_host_follows_the_other(tmp_path: Path) -> None:
    record = two_hosts()
    record["backup"]["quiesce"] = [{"host": "arsip-1", "before": [["stop"]], "after": [["start"]]}]
    stage = make_stage(tmp_path, make_city(record), restore_points=False)
    stage.actions.script = lambda _name, _spec: Ending(0, [], running=True)
    seen: list[list[str]] = []

    def finish_one() -> None:
        if list(stage.actions.started) not in seen:
            seen.append(list(stage.actions.started))
        assert len(running(stage)) <= 1
        end(stage, stage.actions.started[-1])

    on_sleep(stage, finish_one)
    (result,) = back_up(stage.world, ["pengaduan"])
    assert result.restore_point is not None
    assert seen == [["pengaduan-1"], ["pengaduan-1", "arsip-1"]]


# -- many services at once ---------------------------------------------------------------------------------------------


def on_sleep(stage: Stage, act: Callable[[], None]) -> None:
    """Do something whenever drp waits."""
    sleep = stage.clock.sleep

    def acting(seconds: float) -> None:
        act()
        sleep(seconds)

    stage.clock.sleep = acting  # type: ignore[method-assign]


def end(stage: Stage, name: str) -> None:
    """The action of this name that runs ends well."""
    for folder, started in stage.actions.known.items():
        if folder.name == name and started.state is ActionState.RUNNING:
            started.ending = good(name, stage.actions.specs[name])
            started.state = ActionState.ENDED


def many(folder: Path, count: int, **limits: Any) -> Stage:
    """A city of services on a host each; their backups run until they are ended."""
    records = [service_record(f"layanan{number}", depends_on=[]) for number in range(count)]
    city = make_city(*records, workspace={"backups": {"limits": limits}})
    stage = make_stage(folder, city, restore_points=False)
    stage.actions.script = lambda _name, _spec: Ending(130, [], running=True)
    return stage


def running(stage: Stage) -> list[str]:
    return [folder.name for folder, started in stage.actions.known.items() if started.state is ActionState.RUNNING]


def test_as_many_run_at_once_as_the_limit_says_in_the_given_order(tmp_path: Path) -> None:
    stage = many(tmp_path, 7, at_once=3)
    most = 0

    def end_the_first() -> None:
        nonlocal most
        most = max(most, len(running(stage)))
        end(stage, running(stage)[0])

    on_sleep(stage, end_the_first)
    order = [f"layanan{number}" for number in (3, 1, 0, 2, 6, 5, 4)]
    results = back_up(stage.world, order)
    assert most == 3
    assert stage.actions.started == [f"{name}-1" for name in order]
    assert [result.service for result in results] == order
    assert all(result.restore_point for result in results)


def test_what_another_drp_backs_up_counts_too(tmp_path: Path) -> None:
    stage = many(tmp_path, 3, at_once=2)
    stage.ledger.open_run("backup-other", "backup", "0" * 64, ["layanan0"], {"plan": {"hosts": ["layanan0-1"]}})
    folder = action_folder(stage.world, "backup-other", "layanan0-1")
    stage.actions.start_remote(folder, stage.world.city.hosts["layanan0-1"], {}, {}, "")
    steps: list[list[str]] = []

    def go_on() -> None:
        steps.append(running(stage))
        if len(steps) == 3:
            stage.actions.known[folder].state = ActionState.ENDED
        elif "layanan2-1" in stage.actions.started:
            end(stage, running(stage)[0])

    on_sleep(stage, go_on)
    back_up(stage.world, ["layanan1", "layanan2"])
    assert steps[0] == ["layanan0-1", "layanan1-1"]
    assert all(len(step) <= 2 for step in steps)
    assert any(step == ["layanan1-1", "layanan2-1"] for step in steps)


def test_a_line_is_shared_and_its_limit_given_to_the_hosts_and_the_ledger(tmp_path: Path) -> None:
    line = {"start": "00:00", "end": "00:00", "rate": "8Mbit/s"}
    stage = many(tmp_path, 4, at_once=2, bandwidth=[line])
    on_sleep(stage, lambda: end(stage, running(stage)[0]))
    results = back_up(stage.world, [f"layanan{number}" for number in range(4)])
    limits = [stage.actions.specs[f"layanan{number}-1"]["job"]["upload_limit_kib"] for number in range(4)]
    assert limits == [488, 488, 488, 488]
    started = [event.body for event in stage.ledger.events(results[0].run) if event.type == "action.started"]
    assert [body["upload_limit_kib"] for body in started] == [488]


def test_ctrl_c_ends_all_that_run_and_starts_no_more(tmp_path: Path) -> None:
    stage = many(tmp_path, 5, at_once=3)
    count = 0

    def interrupt() -> None:
        nonlocal count
        count += 1
        if count == 1:
            end(stage, "layanan1-1")
        if count == 2:
            raise KeyboardInterrupt

    on_sleep(stage, interrupt)
    with pytest.raises(CancelledError):
        back_up(stage.world, [f"layanan{number}" for number in range(5)])
    assert sorted(stage.actions.stopped) == ["layanan0-1", "layanan2-1", "layanan3-1"]
    assert "layanan4-1" not in stage.actions.started
    outcomes = {row.services[0]: row.outcome for row in stage.ledger.runs()}
    assert outcomes == {"layanan0": "aborted", "layanan1": "done", "layanan2": "aborted", "layanan3": "aborted"}
    assert stage.locks.held == {}


@pytest.mark.parametrize("after", [False, True])
def test_many_that_were_cut_off_are_all_taken_up_and_none_is_started_twice(tmp_path: Path, after: bool) -> None:
    names = [f"layanan{number}" for number in range(3)]
    for at in range(1, 13):
        stage = many(tmp_path / str(at), 3, at_once=2)
        on_sleep(stage, lambda stage=stage: end(stage, running(stage)[0]) if running(stage) else None)  # type: ignore[misc]
        stage.ledger.crash_at, stage.ledger.crash_after = at, after
        with pytest.raises(Crash):
            back_up(stage.world, names)
        stage.ledger.crash_at = 0
        stage.locks.held.clear()
        results = back_up(stage.world, names)
        assert [result.error for result in results] == [None] * 3, at
        done = [row.services[0] for row in stage.ledger.runs() if row.outcome == "done"]
        assert set(done) == set(names)
        # What had ended before the crash is backed up once more: it was asked for.
        assert len(stage.actions.started) == len(stage.ledger.runs()), at
        assert all(row.closed_at is not None for row in stage.ledger.runs())
        stage.ledger.close()


@pytest.mark.parametrize("kind", ["cancelled", "control_gone"])
def test_one_that_was_stopped_while_drp_was_dead_is_begun_anew(stage: Stage, kind: str) -> None:
    stage.actions.script = lambda _name, _spec: trouble(kind)
    stage.ledger.crash_at = 3
    with pytest.raises(Crash):
        back_up(stage.world, ["pengaduan"])
    stage.ledger.crash_at = 0
    stage.locks.held.clear()
    stage.actions.script = good
    (result,) = back_up(stage.world, ["pengaduan"])
    assert result.error is None
    assert [row.outcome for row in stage.ledger.runs()] == ["done", "failed"]
    assert stage.actions.specs["arsip-1"]["job"]["may_unlock"] is True


def test_a_result_that_was_told_counts_though_the_supervisor_was_killed(stage: Stage) -> None:
    stage.ledger.crash_at = 4
    with pytest.raises(Crash):
        back_up(stage.world, ["pengaduan"])
    stage.ledger.crash_at = 0
    stage.locks.held.clear()
    for folder in stage.actions.known:
        stage.actions.lose(folder)
    (result,) = back_up(stage.world, ["pengaduan"])
    assert result.error is None
    assert len(stage.ledger.runs()) == 1


def test_the_most_urgent_goes_first(tmp_path: Path) -> None:
    records = [service_record(name, rpo=rpo) for name, rpo in (("daily", "24h"), ("hourly", "1h"), ("never", "1h"))]
    stage = make_stage(tmp_path, make_city(*records), restore_points=False)
    stage.actions.script = good
    back_up(stage.world, ["daily", "hourly"])
    assert most_urgent_first(stage.world, ["daily", "hourly", "never"]) == ["never", "hourly", "daily"]
