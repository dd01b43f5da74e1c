"""Test restores with a real ledger and fake hosts: what counts as proved, and that everything is removed again."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from drp.domain.backups.restore_point import RestorePoint
from drp.domain.events import Body
from drp.errors import CancelledError, DrpError, IntegrityError, UsageError
from drp.workflows.naming import action_folder
from drp.workflows.recover import recover
from drp.workflows.restore_test import draw, restore_test
from tests.fakes.actions import Ending, Script
from tests.fakes.city import NOW, make_city, make_restore_point, service_record
from tests.fakes.world import Crash, Stage, make_stage
from tests.unit.workflows.test_recovery import DRILL
from tests.unit.workflows.test_restore import add_point, answer

TEST, SWEEP = "test-drc-pengaduan-1-from-pengaduan-1", "sweep-drc-pengaduan-1-from-pengaduan-1"
GONE: Body = {"event": "scratch.removed", "looked_for": ["path /x"], "found": [], "host": "drc", "unknown": ""}


def script(point: RestorePoint, wrong: str = "", *, trouble: str = "", says_removed: bool = True) -> Script:
    def play(_name: str, spec: Body) -> Ending:
        job = spec["job"]
        if job["verb"] == "remove_scratch":
            return Ending(0, [{"event": "result", "result": GONE}])
        told = [GONE] if says_removed else []
        if trouble:
            return Ending(1, [*told, {"event": "trouble", "kind": trouble, "text": "no", "dataset": "files"}])
        result = answer(point, job, wrong) | {"removed": GONE, "duration_ms": 1500, "units_started": []}
        return Ending(0, [*told, {"event": "result", "result": result}])

    return play


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    found = make_stage(tmp_path, make_city(service_record("pengaduan")))
    found.actions.script = script(found.points["pengaduan"])
    return found


def types(stage: Stage, run: str) -> list[str]:
    return [event.type for event in stage.ledger.events(run)]


def test_what_agrees_is_proved_after_it_was_removed(stage: Stage) -> None:
    (result,) = restore_test(stage.world, ["pengaduan"])
    assert result.error is None
    assert (result.proved, result.duration_ms) == (("database", "files"), 1500)
    assert types(stage, result.run) == [
        "run.opened",
        "action.started",
        "scratch.removed",
        *["data.verified"] * 4,
        *["proof.recorded"] * 2,
        "run.closed",
    ]
    assert {proof.how for proof in stage.ledger.proofs("pengaduan")} == {"test-restore"}
    declared = {item.id: item.declaration() for item in stage.world.city.services["pengaduan"].datasets}
    assert {proof.dataset: proof.declaration for proof in stage.ledger.proofs("pengaduan")} == declared
    assert stage.actions.started == [TEST]


def test_it_goes_to_a_place_apart_on_the_recovery_host(stage: Stage) -> None:
    restore_test(stage.world, ["pengaduan"])
    spec = stage.actions.specs[TEST]
    job = spec["job"]
    assert spec["host"] == "drc-pengaduan-1"
    assert job["scratch"].startswith("/var/tmp/drp-test-")
    database, files = job["datasets"]
    assert files["parts"][0]["target"] == job["scratch"] + "/files"
    assert "drp_test_" in str(database["remove"])
    assert "'pengaduan'" not in str(database["remove"])
    assert job["space_percent"] == 120
    assert [part["bytes"] for dataset in job["datasets"] for part in dataset["parts"]] == [100, 5000, 7000]


@pytest.mark.parametrize(("wrong", "proved"), [("rows", {"files"}), ("files", {"database"}), ("sentinel", set())])
def test_what_differs_is_damage_and_stays_visible(stage: Stage, wrong: str, proved: set[str]) -> None:
    stage.actions.script = script(stage.points["pengaduan"], wrong)
    (result,) = restore_test(stage.world, ["pengaduan"])
    assert isinstance(result.error, IntegrityError)
    assert {proof.dataset for proof in stage.ledger.proofs("pengaduan")} == proved
    row = stage.ledger.run(result.run)
    assert (row.outcome, row.exit_code) == ("failed", 13)
    assert "scratch.removed" in types(stage, result.run)


def test_a_test_that_cannot_say_what_it_removed_is_followed_by_a_sweep(stage: Stage) -> None:
    stage.actions.script = script(stage.points["pengaduan"], trouble="connection_lost", says_removed=False)
    (result,) = restore_test(stage.world, ["pengaduan"])
    assert result.error is not None
    assert stage.actions.started == [TEST, SWEEP]
    assert "scratch.removed" in types(stage, result.run)
    assert stage.actions.specs[SWEEP]["job"]["scratch"] == stage.actions.specs[TEST]["job"]["scratch"]
    assert stage.ledger.proofs("pengaduan") == []


def test_what_could_not_be_removed_is_removed_by_the_next_test(stage: Stage) -> None:
    def away(_name: str, _spec: Body) -> Ending:
        return Ending(1, [{"event": "trouble", "kind": "ssh", "text": "no route to host", "dataset": ""}])

    stage.actions.script = away
    (first,) = restore_test(stage.world, ["pengaduan"])
    assert first.error is not None
    assert "sweep.failed" in types(stage, first.run)
    place = stage.actions.specs[TEST]["job"]["scratch"]

    stage.actions.script = script(stage.points["pengaduan"])
    (second,) = restore_test(stage.world, ["pengaduan"])
    assert second.error is None
    sweep = f"leftovers-{first.run}-{TEST.removeprefix('test-')}"
    assert stage.actions.specs[sweep]["job"]["scratch"] == place
    assert "leftovers.removed" in types(stage, second.run)

    restore_test(stage.world, ["pengaduan"])
    assert Counter(stage.actions.started)[sweep] == 1


def test_something_left_is_a_failure_though_the_data_agrees(stage: Stage) -> None:
    left = GONE | {"found": ["PostgreSQL database drp_test_x_0"]}

    def play(name: str, spec: Body) -> Ending:
        if spec["job"]["verb"] == "remove_scratch":
            return Ending(0, [{"event": "result", "result": left}])
        ending = script(stage.points["pengaduan"])(name, spec)
        return Ending(0, [left, *ending.messages[1:]])

    stage.actions.script = play
    (result,) = restore_test(stage.world, ["pengaduan"])
    assert "left PostgreSQL database drp_test_x_0" in str(result.error)
    assert result.proved == ("database", "files")
    assert stage.ledger.run(result.run).outcome == "failed"


@pytest.mark.parametrize("after", [False, True])
def test_a_test_goes_on_wherever_it_was_cut_off(tmp_path: Path, after: bool) -> None:
    whole = make_stage(tmp_path / "whole", make_city(service_record("pengaduan")))
    whole.actions.script = script(whole.points["pengaduan"])
    (done,) = restore_test(whole.world, ["pengaduan"])
    kinds = types(whole, done.run)
    for at in range(1, len(kinds)) if after else range(2, len(kinds) + 1):
        stage = make_stage(tmp_path / f"{at}", make_city(service_record("pengaduan")))
        stage.actions.script = script(stage.points["pengaduan"])
        stage.ledger.crash_at, stage.ledger.crash_after = at, after
        with pytest.raises(Crash):
            restore_test(stage.world, ["pengaduan"])
        stage.ledger.crash_at = 0
        stage.locks.held.clear()
        (result,) = restore_test(stage.world, ["pengaduan"])
        assert result.error is None, at
        assert len(stage.ledger.runs(kinds=("restore-test",))) == 1, at
        found = types(stage, result.run)
        missing = [] if "action.started" in found else ["action.started"]
        assert sorted(found + missing) == sorted(kinds), at
        assert stage.actions.started == [TEST], at
        assert result.proved == ("database", "files"), at
        stage.ledger.close()


def test_one_that_was_lost_is_swept_and_told_and_the_next_starts_anew(stage: Stage) -> None:
    stage.ledger.crash_at, stage.ledger.crash_after = 2, True
    with pytest.raises(Crash):
        restore_test(stage.world, ["pengaduan"])
    stage.ledger.crash_at = 0
    stage.locks.held.clear()
    (row,) = stage.ledger.runs(kinds=("restore-test",))
    folder = action_folder(stage.world, row.run, TEST)
    stage.actions.known[folder].ending.messages.clear()
    stage.actions.lose(folder)
    (result,) = restore_test(stage.world, ["pengaduan"])
    assert "lost without a result" in str(result.error)
    assert stage.actions.started == [TEST, SWEEP]
    (again,) = restore_test(stage.world, ["pengaduan"])
    assert again.error is None
    assert again.run != result.run


def test_one_that_takes_too_long_is_stopped_and_swept(stage: Stage) -> None:
    def play(name: str, spec: Body) -> Ending:
        if spec["job"]["verb"] == "test_restore":
            return Ending(130, [], running=True)
        return script(stage.points["pengaduan"])(name, spec)

    stage.actions.script = play
    (result,) = restore_test(stage.world, ["pengaduan"], limit=timedelta(seconds=3))
    assert "took longer than" in str(result.error)
    assert stage.actions.stopped == [TEST]
    assert stage.actions.started == [TEST, SWEEP]


def test_ctrl_c_stops_and_sweeps(stage: Stage) -> None:
    def play(name: str, spec: Body) -> Ending:
        if spec["job"]["verb"] == "test_restore":
            return Ending(130, [], running=True)
        return script(stage.points["pengaduan"])(name, spec)

    stage.actions.script = play
    sleep, count = stage.clock.sleep, 0

    def interrupt_once(seconds: float) -> None:
        nonlocal count
        count += 1
        if count == 1:
            raise KeyboardInterrupt
        sleep(seconds)

    stage.clock.sleep = interrupt_once  # type: ignore[method-assign]
    with pytest.raises(CancelledError):
        restore_test(stage.world, ["pengaduan"])
    assert stage.actions.started == [TEST, SWEEP]
    (row,) = stage.ledger.runs(kinds=("restore-test",))
    assert (row.outcome, row.exit_code) == ("aborted", 130)
    assert stage.locks.held == {}


def test_a_host_without_a_stand_in_has_no_place_to_test(tmp_path: Path) -> None:
    stage = make_stage(tmp_path, make_city(service_record("pengaduan", recovers_on={})))
    (result,) = restore_test(stage.world, ["pengaduan"])
    assert isinstance(result.error, UsageError)
    assert stage.actions.started == []
    assert stage.ledger.runs(kinds=("restore-test",)) == []


def test_one_services_failure_does_not_stop_the_others(tmp_path: Path) -> None:
    stage = make_stage(tmp_path)

    def play(name: str, spec: Body) -> Ending:
        service = spec["job"]["service"]
        return script(stage.points[service], trouble="damaged" if service == "identitas" else "")(name, spec)

    stage.actions.script = play
    first, second = restore_test(stage.world, ["identitas", "pengaduan"])
    assert isinstance(first.error, IntegrityError)
    assert second.error is None


def test_two_at_once_are_refused(stage: Stage) -> None:
    stage.locks.acquire("restore-test-pengaduan", "drp restore test of pengaduan")
    (result,) = restore_test(stage.world, ["pengaduan"])
    assert isinstance(result.error, DrpError)
    assert stage.actions.started == []


def test_the_moment_of_the_schedule_is_kept(stage: Stage) -> None:
    (result,) = restore_test(stage.world, ["pengaduan"], due={"pengaduan": NOW})
    assert stage.ledger.events(result.run)[0].body["due_at"] == "2026-11-20T07:00:00.250000Z"


def test_chance_draws_what_was_never_proved_and_old_points_too(tmp_path: Path) -> None:
    stage = make_stage(tmp_path)
    for name in ("identitas", "pengaduan"):
        stage.actions.script = script(stage.points[name])
        add_point(stage, replace(make_restore_point(name, at=NOW - timedelta(days=3)), id=f"old-{name}"))
    stage.actions.script = script(stage.points["identitas"])
    assert restore_test(stage.world, ["identitas"])[0].error is None
    chance = random.Random(1)
    drawn = Counter(draw(stage.world, ["identitas", "pengaduan"], chance)[0] for _ in range(50))
    assert drawn["pengaduan"] >= 49
    points = {draw(stage.world, ["pengaduan"], chance)[1].id for _ in range(30)}
    assert points == {"old-pengaduan", stage.points["pengaduan"].id}


def test_drills_and_failovers_prove_too(tmp_path: Path) -> None:
    stage = make_stage(tmp_path, make_city(service_record("pengaduan")))
    recover(stage.world, DRILL)
    assert {(proof.dataset, proof.how) for proof in stage.ledger.proofs("pengaduan")} == {
        ("database", "drill"),
        ("files", "drill"),
    }
    wrong = make_stage(tmp_path / "wrong", make_city(service_record("pengaduan")))
    wrong.script.wrong = {"rows"}
    recover(wrong.world, DRILL)
    assert {proof.dataset for proof in wrong.ledger.proofs("pengaduan")} == {"files"}
