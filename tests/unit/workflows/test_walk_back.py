"""Recoveries that walk back over restore points: with a real ledger and fake tools."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from drp.domain.backups.restore_point import RestorePoint
from drp.domain.objectives import Verdict
from drp.domain.recovery.causes import causes_of
from drp.domain.recovery.run import Recovery
from drp.domain.runbooks.model import Runbook
from drp.errors import UsageError
from drp.workflows.recover import RecoveryRequest, recover, resume
from drp.workflows.retention import distrust, trust
from drp.workflows.runs import approve
from tests.fakes.city import NOW, make_city, make_restore_point, runbook_record, service_record
from tests.fakes.world import Crash, Stage, make_stage

FAILOVER = RecoveryRequest(
    kind="failover", services=("pengaduan",), runbook="ransomware", by="siti", reason="encrypted"
)
DRILL = replace(FAILOVER, kind="drill", reason="rehearsal")
EXAMINE = {
    "id": "examine",
    "kind": "manual",
    "title": {"en": "Examine", "id": "Periksa"},
    "instructions": {"en": "Look.", "id": "Lihat."},
    "expected": "5m",
    "each_service": True,
    "after": "restore",
    "before": "activate",
}


def make(folder: Path, *records: dict[str, Any], count: int = 4, **runbook: Any) -> Stage:
    """A city whose services have several restore points, an hour apart; the newest is five minutes old."""
    city = make_city(*(records or (service_record("pengaduan", address="192.0.2.80"),)))
    declared = runbook_record() | {"id": "ransomware", "restore_points": "walk-back"}
    declared |= {"walk_back": {"attempts": 3, "patience": "5s"}, "declared_by": []} | runbook
    stage = make_stage(folder, city)
    city.runbooks["ransomware"] = Runbook.model_validate(declared)
    for name in city.services:
        points = [stage.points[name], *(point_of(name, hours) for hours in range(1, count))]
        stage.script.others[name] = points
        stage.ledger.open_run(f"older-{name}", "backup", "0" * 64, [name], {})
        for point in points[1:]:
            stage.ledger.append(f"older-{name}", "restore_point.recorded", point.record())
        stage.ledger.append(f"older-{name}", "run.closed", {"outcome": "done", "exit_code": 0})
        stage.see_outage(name)
    stage.ledger.appended = 0
    return stage


def point_of(service: str, hours: int) -> RestorePoint:
    point = make_restore_point(service, at=NOW - timedelta(minutes=5, hours=hours))
    snapshots = tuple(replace(item, snapshot=item.snapshot[:-1] + "abcdef"[hours]) for item in point.snapshots)
    return replace(point, snapshots=snapshots)


def ids(stage: Stage, service: str = "pengaduan") -> list[str]:
    """The restore points of a service, newest first."""
    return [point.id for point in stage.script.others[service]]


def tried(recovery: Recovery, service: str = "pengaduan") -> list[tuple[str, str]]:
    return [(item.restore_point, item.step) for item in recovery.turned_down.get(service, [])]


@pytest.mark.parametrize("kind", ["failover", "drill"])
@pytest.mark.parametrize("bad", ["restore", "activate", "verify", "trial"])
def test_a_bad_restore_point_is_turned_down_and_the_next_one_is_good(tmp_path: Path, bad: str, kind: Any) -> None:
    stage = make(tmp_path)
    newest, older, *_ = ids(stage)
    stage.script.bad = {newest: bad}
    recovery = recover(stage.world, replace(FAILOVER, kind=kind))
    assert tried(recovery) == [(newest, f"pengaduan/{bad}")]
    assert recovery.verdict() is Verdict.NOT_MET, "what is an hour older is more than the RPO"
    measured = recovery.measurement("pengaduan")
    assert (measured.rto_verdict, measured.data_verdict) == (Verdict.MET, Verdict.MET)
    point = recovery.point_of("pengaduan")
    assert point is not None
    assert point.id == older
    assert measured.rpa == recovery.marks["pengaduan"]["T0"].at - point.sentinel_at
    done = {name: state.outcome for name, state in recovery.steps.items() if not name.endswith("/withdraw")}
    assert set(done.values()) == {"ok"}
    assert max(Counter(stage.actions.started).values()) == 1
    assert recovery.marks["pengaduan"]["T3"].at < recovery.turned_down["pengaduan"][0].ended_at
    assert recovery.turned_down["pengaduan"][0].ended_at < recovery.marks["pengaduan"]["T4"].at
    again = stage.actions.specs["pengaduan-restore+2"]["variables"]["drp_turned_down"]
    if bad != "restore":  # that had not looked whether the host was empty
        assert [job["datasets"][0]["id"] for job in again["jobs"]] == ["database", "files"]
        assert stage.script.others["pengaduan"][0].snapshots[0].snapshot in str(again["jobs"])
    assert stage.actions.specs["pengaduan-restore"]["variables"]["drp_turned_down"] == {"units": [], "jobs": []}
    assert {proof.restore_point for proof in stage.ledger.proofs("pengaduan")} == {older}


def test_users_come_only_after_a_trial_that_went_well(tmp_path: Path) -> None:
    stage = make(tmp_path)
    stage.script.bad = {ids(stage)[0]: "trial"}
    recover(stage.world, FAILOVER)
    started = [name for name in stage.actions.started if name.endswith(("trial", "trial+2", "cutover"))]
    assert started == ["pengaduan-trial", "pengaduan-trial+2", "pengaduan-cutover"]
    assert stage.actions.specs["pengaduan-trial"]["targets"]["pengaduan"]["address"] == "198.51.100.1"
    assert "pengaduan-trial+2" in stage.actions.stopped


def test_when_nothing_passes_the_run_is_not_met_with_all_reasons(tmp_path: Path) -> None:
    stage = make(tmp_path)
    first, second, third, never = ids(stage)
    stage.script.bad = {first: "verify", second: "trial", third: "activate"}
    recovery = recover(stage.world, FAILOVER)
    assert tried(recovery) == [(first, "pengaduan/verify"), (second, "pengaduan/trial")]
    assert "it broke" in recovery.turned_down["pengaduan"][0].reason
    assert "differs from the one before" in recovery.turned_down["pengaduan"][1].reason
    assert "it broke" in recovery.steps["pengaduan/activate"].error
    assert recovery.steps["pengaduan/cutover"].outcome == "skipped"
    assert recovery.verdict() is Verdict.NOT_MET
    assert recovery.measurement("pengaduan").rta_at_least is not None
    assert never not in str(recovery.plan.record()), "three attempts are declared"


@pytest.mark.parametrize("bad", ["activate", "verify", "trial"])
def test_when_nothing_passes_the_last_copy_is_stopped_again_and_its_data_kept(tmp_path: Path, bad: str) -> None:
    stage = make(tmp_path, service_record("pengaduan", address="192.0.2.80", recovery={"start": ["pengaduan"]}))
    first, second, third, _ = ids(stage)
    stage.script.bad = {first: "verify", second: "trial", third: bad}
    recovery = recover(stage.world, FAILOVER)
    assert recovery.steps["pengaduan/withdraw"].outcome == "ok"
    stopped = stage.actions.specs["pengaduan-withdraw"]
    assert (stopped["playbook"], stopped["hosts"]) == ("stop", ["drc-pengaduan-1"])
    assert stopped["variables"]["drp_units"] == ["pengaduan"]
    assert stage.actions.started[-1] == "pengaduan-withdraw"
    (told,) = [item.text for item in recovery.reservations["pengaduan"] if third in item.text]
    assert "the data is kept there" in told
    (cause,) = [item.text for item in causes_of(recovery) if item.kind == "none_passed"]
    assert all(point in cause for point in (first, second, third))
    assert "drp failover pengaduan --restore-point ID --replace-existing" in cause
    assert recovery.measurement("pengaduan").rta_at_least is not None


def test_only_what_proved_bad_is_stopped(tmp_path: Path) -> None:
    """Not a good copy, nor one that nobody could look at, nor one that was never started, nor one that users have."""
    for number, (bad, failing) in enumerate([("", ""), ("restore", ""), ("", "pengaduan-cutover")]):
        stage = make(tmp_path / str(number), count=1)
        stage.script.bad = {ids(stage)[0]: bad}
        stage.script.failing = {failing}
        recovery = recover(stage.world, FAILOVER)
        assert recovery.steps["pengaduan/withdraw"].outcome == "skipped", (bad, failing)
        assert recovery.plan.step("pengaduan/withdraw").is_way_back
        assert [item for item in causes_of(recovery) if item.kind == "none_passed"] == []
        stage.ledger.close()


def test_a_copy_that_cannot_be_stopped_is_told(tmp_path: Path) -> None:
    stage = make(tmp_path, count=1)
    stage.script.bad = {ids(stage)[0]: "trial"}
    stage.script.failing = {"pengaduan-withdraw"}
    recovery = recover(stage.world, FAILOVER)
    assert any("still runs at the recovery host" in item.text for item in recovery.reservations["pengaduan"])
    assert any(item.step == "pengaduan/withdraw" and "it broke" in item.text for item in causes_of(recovery))


def test_what_a_good_service_needs_beside_it_runs_on(tmp_path: Path) -> None:
    shared = {"recovers_on": {"identitas-1": "drc-pengaduan-1"}, "recovery": {"start": ["nginx", "identitas"]}}
    own = {"recovery": {"start": ["nginx", "pengaduan"]}, "address": "192.0.2.80"}
    stage = make(tmp_path, service_record("identitas", **shared), service_record("pengaduan", **own), count=1)
    stage.script.bad = {ids(stage)[0]: "trial"}
    recovery = recover(stage.world, replace(FAILOVER, services=("identitas", "pengaduan")))
    assert recovery.steps["identitas/usable"].outcome == "ok"
    assert stage.actions.specs["pengaduan-withdraw"]["variables"]["drp_units"] == ["pengaduan"]
    assert any("nginx runs on" in item.text for item in recovery.reservations["pengaduan"])


def test_a_drill_leaves_it_to_its_clean_up(tmp_path: Path) -> None:
    stage = make(tmp_path, count=1)
    stage.script.bad = {ids(stage)[0]: "trial"}
    recovery = recover(stage.world, DRILL)
    assert "pengaduan/withdraw" not in recovery.steps
    assert recovery.steps["pengaduan/cleanup"].outcome == "ok"


def test_trouble_of_the_place_turns_nothing_down(tmp_path: Path) -> None:
    """An older restore point would meet the same, and cost more data."""
    stage = make(tmp_path)
    stage.script.found = {"pengaduan": ["path /srv/pengaduan"]}
    recovery = recover(stage.world, FAILOVER)
    assert recovery.steps["pengaduan/restore"].outcome == "failed"
    assert tried(recovery) == []


def test_what_others_had_put_there_is_never_taken_away_by_itself(tmp_path: Path) -> None:
    stage = make(tmp_path)
    stage.script.found = {"pengaduan": ["path /srv/pengaduan"]}
    stage.script.bad = {ids(stage)[0]: "verify"}
    recovery = recover(stage.world, replace(FAILOVER, replace_existing=True))
    assert len(tried(recovery)) == 1
    assert stage.actions.specs["pengaduan-restore+2"]["variables"]["drp_turned_down"]["jobs"] == []


def test_after_users_came_nothing_is_turned_down(tmp_path: Path) -> None:
    stage = make(tmp_path)
    stage.script.failing = {"pengaduan-cutover"}
    recovery = recover(stage.world, FAILOVER)
    assert recovery.steps["pengaduan/cutover"].outcome == "failed"
    assert tried(recovery) == []


def test_the_one_that_is_asked_for_is_the_only_one_that_is_tried(tmp_path: Path) -> None:
    stage = make(tmp_path)
    chosen = ids(stage)[1]
    stage.script.bad = {chosen: "verify"}
    recovery = recover(stage.world, replace(FAILOVER, restore_point=chosen))
    assert recovery.plan.services["pengaduan"].older == ()
    assert recovery.steps["pengaduan/verify"].outcome == "failed"


def test_only_what_is_older_than_the_moment_is_tried(tmp_path: Path) -> None:
    """What arrived after the moment may hold what was written after it, though its sentinel is older."""
    stage = make(tmp_path)
    second = stage.script.others["pengaduan"][1]
    recovery = recover(stage.world, replace(DRILL, before=second.arrived_at))
    assert recovery.plan.services["pengaduan"].restore_point == second
    stage.ledger.close()
    stage = make(tmp_path / "earlier")
    just_before = replace(DRILL, before=second.arrived_at - timedelta(seconds=1))
    assert recover(stage.world, just_before).plan.services["pengaduan"].restore_point != second
    with pytest.raises(UsageError, match="no such restore point"):
        recover(stage.world, replace(DRILL, before=NOW - timedelta(days=1)))


def test_a_runbook_that_goes_back_to_a_moment_must_be_told_it_but_in_a_drill(tmp_path: Path) -> None:
    stage = make(tmp_path, restore_points="before-a-moment")
    with pytest.raises(UsageError, match="none is named") as caught:
        recover(stage.world, FAILOVER)
    assert "--before" in caught.value.hint
    with pytest.raises(UsageError, match="exclude each other"):
        recover(stage.world, replace(FAILOVER, before=NOW, restore_point="backup-1"))
    assert stage.actions.started == []
    assert recover(stage.world, DRILL).verdict() is Verdict.MET


def test_whoever_examines_it_is_asked_of_each_restore_point_anew(tmp_path: Path) -> None:
    stage = make(tmp_path, steps=[EXAMINE])
    sleep, answers = stage.clock.sleep, ["failed", "done"]

    def answer(seconds: float) -> None:
        sleep(seconds)
        run = stage.ledger.runs(kinds=("failover",))[0].run
        begun = [event for event in stage.ledger.events(run) if event.type == "step.started"]
        asked = sum(event.body["step"] == "pengaduan/examine" for event in begun)
        if answers and asked == 3 - len(answers):
            word: Any = answers.pop(0)
            approve(stage.world, run, "pengaduan/examine", "Siti", "a web shell", word)

    stage.clock.sleep = answer  # type: ignore[method-assign]
    recovery = recover(stage.world, FAILOVER)
    assert tried(recovery) == [(ids(stage)[0], "pengaduan/examine")]
    assert "Siti: a web shell" in recovery.turned_down["pengaduan"][0].reason
    assert recovery.steps["pengaduan/examine"].outcome == "ok"
    assert recovery.reservations.get("pengaduan") is None, "that was said of data that is gone"


def test_what_a_person_marks_as_bad_is_passed_over_also_once_the_run_has_begun(tmp_path: Path) -> None:
    stage = make(tmp_path, steps=[{**EXAMINE, "each_service": False, "after": [], "before": "restore"}])
    first, second, third, _ = ids(stage)
    distrust(stage.world, first, "made after the break-in")
    sleep = stage.clock.sleep

    def answer(seconds: float) -> None:
        sleep(seconds)
        run = stage.ledger.runs(kinds=("failover",))[0].run
        begun = [event.body["step"] for event in stage.ledger.events(run) if event.type == "step.started"]
        if begun == ["examine"] and second not in {mark.restore_point for mark in stage.ledger.marks("pengaduan")}:
            distrust(stage.world, second, "older than thought")
            approve(stage.world, run, "examine", "Siti", "", None)

    stage.clock.sleep = answer  # type: ignore[method-assign]
    recovery = recover(stage.world, FAILOVER)
    point = recovery.point_of("pengaduan")
    assert point is not None
    assert point.id == third
    (passed,) = recovery.turned_down["pengaduan"]
    assert (passed.restore_point, passed.reason) == (second, "siti marked it as bad: older than thought")
    assert stage.actions.started.count("pengaduan-restore") == 1
    assert stage.actions.specs["pengaduan-restore"]["variables"]["drp_turned_down"] == {"units": [], "jobs": []}
    with pytest.raises(UsageError, match="nobody has marked it"):
        trust(stage.world, third, "examined")
    trust(stage.world, first, "examined")
    assert [mark.restore_point for mark in stage.ledger.marks("pengaduan")] == [second]


def test_a_service_that_is_taken_back_waits_for_nobody_and_the_younger_one_beside_it_is_told(tmp_path: Path) -> None:
    """Its dependency had passed its own trial before: it keeps its data."""
    records = (service_record("identitas"), service_record("pengaduan", depends_on=["identitas"], address="192.0.2.80"))
    stage = make(tmp_path, *records)
    stage.script.bad = {ids(stage)[0]: "trial"}
    recovery = recover(stage.world, FAILOVER)
    assert tried(recovery, "identitas") == []
    assert "identitas-restore+2" not in stage.actions.started
    assert stage.actions.started.index("identitas-trial") < stage.actions.started.index("pengaduan-activate")
    (told,) = [item for item in recovery.reservations["pengaduan"] if "may not fit together" in item.text]
    assert told.accepted_by is None
    assert "that of identitas, with which it works" in told.text


def test_what_stands_on_a_dependency_begins_only_with_its_good_data(tmp_path: Path) -> None:
    records = (service_record("identitas"), service_record("pengaduan", depends_on=["identitas"], address="192.0.2.80"))
    stage = make(tmp_path, *records)
    stage.script.bad = {ids(stage, "identitas")[0]: "trial"}
    recovery = recover(stage.world, FAILOVER)
    assert tried(recovery, "identitas") == [(ids(stage, "identitas")[0], "identitas/trial")]
    assert tried(recovery) == []
    order = stage.actions.started
    assert order.index("identitas-trial+2") < order.index("pengaduan-activate")
    assert "pengaduan-restore+2" not in order


def state_of(recovery: Recovery) -> tuple[Any, ...]:
    assert recovery.closed is not None
    return (
        recovery.closed.body["verdict"],
        tried(recovery),
        {name: state.outcome for name, state in recovery.steps.items()},
        sorted(recovery.marks["pengaduan"]),
        recovery.reservations,
    )


def test_a_crash_at_any_event_of_a_walk_changes_nothing_and_repeats_no_attempt(tmp_path: Path) -> None:
    def arranged(folder: Path) -> Stage:
        stage = make(folder)
        first, second, *_ = ids(stage)
        stage.script.bad = {first: "verify", second: "trial"}
        return stage

    whole = arranged(tmp_path / "whole")
    expected = recover(whole.world, DRILL)
    turned_down = [item.event for item in expected.turned_down["pengaduan"]]
    whole.ledger.close()
    # Before each event of the walk is written, and after each that decides something.
    crashes = [(at, False) for at in range(turned_down[0] - 4, turned_down[-1] + 6)]
    crashes += [(at + shift, True) for at in turned_down for shift in (-1, 0, 1)]
    for at, after in crashes:
        stage = arranged(tmp_path / f"{at}-{after}")
        stage.ledger.crash_at, stage.ledger.crash_after = at, after
        with pytest.raises(Crash):
            recover(stage.world, DRILL)
        stage.ledger.crash_at = 0
        stage.locks.held.clear()
        recovery = resume(stage.world, stage.ledger.runs(kinds=("drill",))[0].run)
        assert state_of(recovery) == state_of(expected), (at, after)
        assert max(Counter(stage.actions.started).values()) == 1, (at, after, stage.actions.started)
        stage.ledger.verify(recovery.run)
        stage.ledger.close()
