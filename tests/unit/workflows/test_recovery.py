"""Recoveries with a real ledger and fake tools: what is carried out, what is judged, and what survives a crash."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from drp.domain.events import Body
from drp.domain.inventory import AnsibleHost
from drp.domain.objectives import Verdict
from drp.domain.recovery.plan import RecoveryKind
from drp.domain.recovery.probing import Sample
from drp.domain.recovery.run import Recovery
from drp.errors import BusyError, CancelledError, DrpError, UsageError
from drp.ports import ActionState
from drp.workflows.naming import action_folder
from drp.workflows.recover import RecoveryRequest, recover, resume
from drp.workflows.runs import abort
from drp.workflows.selection import services_for
from drp.workflows.trust import trusted
from tests.fakes.actions import Ending
from tests.fakes.city import NOW, make_city, service_record
from tests.fakes.world import SECRET, Crash, Stage, make_stage, task

FAILOVER = RecoveryRequest(kind="failover", services=("pengaduan",), runbook="site-loss", by="siti", reason="flood")
DRILL = replace(FAILOVER, kind="drill", reason="rehearsal")


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    """The city after its primary site went, as `drp watch` saw."""
    found = make_stage(tmp_path)
    for name in found.world.city.services:
        found.see_outage(name)
    return found


@pytest.fixture
def alone(tmp_path: Path) -> Stage:
    """A city of one service without dependencies: fewer events."""
    found = make_stage(tmp_path, make_city(service_record("pengaduan", address="192.0.2.80")))
    found.see_outage("pengaduan")
    return found


def outcomes(recovery: Recovery) -> dict[str, str]:
    return {name.removeprefix("pengaduan/"): state.outcome for name, state in recovery.steps.items()}


def texts(recovery: Recovery, service: str = "pengaduan") -> set[str]:
    return {item.text for item in recovery.reservations.get(service, [])}


def closing(recovery: Recovery) -> tuple[object, object]:
    assert recovery.closed is not None
    return recovery.closed.body["verdict"], recovery.closed.body["exit_code"]


def test_a_failover_brings_all_back_in_order_and_measures_it(stage: Stage) -> None:
    recovery = recover(stage.world, FAILOVER)
    assert set(outcomes(recovery).values()) == {"ok"}
    assert recovery.measurement("pengaduan").verdict is Verdict.MET
    # identitas has no address: nothing moved its users, which whoever declared has accepted.
    assert closing(recovery) == ("MET_WITH_EXCEPTION", 0)
    assert set(recovery.marks["pengaduan"]) == {"Tb", "T0", "T1", "T2", "T3", "T4", "T5"}
    measured = recovery.measurement("pengaduan")
    assert None not in measured.parts.values()
    assert all(part >= timedelta() for part in measured.parts.values() if part is not None)
    assert measured.rpa == recovery.marks["pengaduan"]["T0"].at - stage.points["pengaduan"].sentinel_at
    order = stage.actions.started
    assert order[:3] == ["_probe", "identitas-restore", "pengaduan-restore"]
    assert order.index("identitas-verify") < order.index("pengaduan-activate")
    assert order[-1] == "pengaduan-cutover"
    assert stage.ledger.active_site("pengaduan") == "recovery"
    stage.ledger.verify(recovery.run)
    assert stage.locks.held == {}


def test_no_more_playbooks_run_than_the_control_node_carries(stage: Stage) -> None:
    stage.actions.playbooks_at_once = 1
    recovery = recover(stage.world, FAILOVER)
    assert set(outcomes(recovery).values()) == {"ok"}
    running = 0
    for event in recovery.events:
        is_playbook = event.type in ("step.started", "step.ended") and not event.body["step"].endswith("/usable")
        running += {"step.started": 1, "step.ended": -1}[event.type] if is_playbook else 0
        assert running <= 1
    restores = [name for name in stage.actions.started if name.endswith("-restore")]
    assert restores[-1] == "pengaduan-restore"  # what others wait for comes first


def test_one_probe_for_all_runs_from_the_start_and_is_stopped_at_the_end(stage: Stage) -> None:
    recover(stage.world, FAILOVER)
    assert stage.actions.stopped == ["_probe"]
    targets = stage.actions.specs["_probe"]["targets"]
    assert set(targets) == {"identitas", "pengaduan"}
    assert targets["pengaduan"]["address"] == "192.0.2.80"


def test_only_the_restore_gets_secrets_and_the_ledger_none(stage: Stage) -> None:
    recovery = recover(stage.world, FAILOVER)
    for name, spec in stage.actions.specs.items():
        assert (SECRET in str(spec)) == name.endswith("-restore"), name
        assert SECRET not in str(spec.get("variables"))
    assert SECRET not in str(stage.ledger.events(recovery.run))
    assert SECRET not in "".join(stage.said)


def test_a_drill_touches_no_traffic_cleans_up_and_stays_at_the_primary(stage: Stage) -> None:
    recovery = recover(stage.world, DRILL)
    assert outcomes(recovery)["cleanup"] == "ok"
    assert not any(name.endswith("cutover") for name in stage.actions.started)
    assert stage.ledger.active_site("pengaduan") == "primary"
    assert recovery.marks["pengaduan"]["T0"].source == "simulated"
    assert recovery.verdict() is Verdict.MET


@pytest.mark.parametrize("failing", ["restore", "activate", "verify", "cutover"])
def test_a_failed_stage_is_not_met_and_its_followers_are_skipped(alone: Stage, failing: str) -> None:
    alone.script.failing = {f"pengaduan-{failing}"}
    recovery = recover(alone.world, FAILOVER)
    stages = list(outcomes(recovery))
    position = stages.index(failing)
    expected = ["ok"] * position + ["failed"] + ["skipped"] * (len(stages) - position - 1)
    assert list(outcomes(recovery).values()) == expected
    assert closing(recovery) == ("NOT_MET", 4)
    assert recovery.measurement("pengaduan").rta_at_least is not None
    assert "it broke" in recovery.steps[f"pengaduan/{failing}"].error
    assert "Next: " in recovery.steps[f"pengaduan/{failing}"].error


@pytest.mark.parametrize("failing", ["restore", "activate", "verify"])
def test_a_failed_drill_still_cleans_up(alone: Stage, failing: str) -> None:
    alone.script.failing = {f"pengaduan-{failing}"}
    recovery = recover(alone.world, DRILL)
    # A restore that failed before it looked has proved nothing, so nothing may be removed.
    assert outcomes(recovery)["cleanup"] == ("skipped" if failing == "restore" else "ok")
    assert recovery.verdict() is Verdict.NOT_MET


@pytest.mark.parametrize("wrong", ["rows", "files", "sentinel"])
def test_data_that_differs_stops_the_recovery_before_anything_is_activated(alone: Stage, wrong: str) -> None:
    alone.script.wrong = {wrong}
    recovery = recover(alone.world, FAILOVER)
    assert outcomes(recovery)["restore"] == "failed"
    assert outcomes(recovery)["activate"] == "skipped"
    assert recovery.data_verdict("pengaduan") is Verdict.NOT_MET


def test_a_host_that_is_not_empty_stops_it(alone: Stage) -> None:
    alone.script.found = {"pengaduan": ["PostgreSQL database pengaduan"]}
    recovery = recover(alone.world, DRILL)
    assert "not empty" in recovery.steps["pengaduan/restore"].error
    assert outcomes(recovery)["cleanup"] == "skipped"


def test_replacing_what_is_there_is_a_reservation_in_somebodys_name(alone: Stage) -> None:
    alone.script.found = {"pengaduan": ["PostgreSQL database pengaduan"]}
    recovery = recover(alone.world, replace(FAILOVER, replace_existing=True))
    assert any("it was replaced" in text for text in texts(recovery))
    assert closing(recovery) == ("MET_WITH_EXCEPTION", 0)


def test_a_relapse_voids_the_use_so_far(tmp_path: Path) -> None:
    marks = []
    for relapses in (set[float](), {1.0}):
        stage = make_stage(tmp_path / str(len(relapses)), make_city(service_record("pengaduan")))
        stage.see_outage("pengaduan")
        stage.watch.relapses = relapses
        recovery = recover(stage.world, FAILOVER)
        marks.append(recovery.marks["pengaduan"]["T5"].at - recovery.marks["pengaduan"]["T4"].at)
    assert marks[1] - marks[0] >= timedelta(seconds=1)


@pytest.mark.parametrize("never", ["arsip", "pengaduan"])
def test_a_service_that_never_becomes_usable_keeps_no_other_waiting(tmp_path: Path, never: str) -> None:
    """Once the first of them was looked at, the others were not, until it was given up."""
    names = ("arsip", "pengaduan")
    city = make_city(*(service_record(name, address=f"192.0.2.{80 + at}") for at, name in enumerate(names)))
    stage = make_stage(tmp_path, city)
    stage.clock.tick = 2
    for name in names:
        stage.see_outage(name)
    seen = stage.watch.run_samples

    def run_samples(folder: Path) -> list[Sample]:
        return [replace(sample, succeeded=sample.succeeded and never not in folder.name) for sample in seen(folder)]

    stage.watch.run_samples = run_samples  # type: ignore[method-assign]
    recovery = recover(stage.world, replace(FAILOVER, services=names))
    (other,) = set(names) - {never}
    ended = {name: recovery.steps[f"{name}/usable"].ended_at for name in names}
    begun = recovery.steps[f"{other}/usable"].started_at
    assert recovery.steps[f"{never}/usable"].outcome == "failed"
    assert begun is not None
    assert (at := ended[other]) is not None
    assert at - begun < recovery.plan.hold + timedelta(minutes=1) < recovery.plan.give_up_after


def test_a_service_that_never_becomes_usable_is_given_up_and_took_at_least_so_long(alone: Stage) -> None:
    alone.clock.tick = 5
    alone.watch.relapses = {number / 2 for number in range(3000)}
    recovery = recover(alone.world, FAILOVER)
    assert outcomes(recovery)["usable"] == "failed"
    at_least = recovery.measurement("pengaduan").rta_at_least
    assert at_least is not None
    assert at_least >= timedelta(minutes=5)
    assert closing(recovery) == ("NOT_MET", 4)


def lengthen(alone: Stage, action: str, *, hours: int) -> None:
    """Let an action without an end be lost after a while, if nobody has stopped it by then."""
    alone.script.endless = {action}
    sleep = alone.clock.sleep
    waited = 0.0

    def let_it_end(seconds: float) -> None:
        nonlocal waited
        sleep(max(seconds, 600))
        waited += max(seconds, 600)
        if waited > hours * 3600:
            alone.script.endless = set()
            for folder, started in alone.actions.known.items():
                if folder.name == action and started.state is ActionState.RUNNING:
                    alone.actions.lose(folder)

    alone.clock.sleep = let_it_end  # type: ignore[method-assign]


def test_a_restore_that_outlasts_the_runbooks_limit_is_left_to_work(alone: Stage) -> None:
    lengthen(alone, "pengaduan-restore", hours=5)  # longer than the runbook's give_up_after
    recovery = recover(alone.world, FAILOVER)
    assert "pengaduan-restore" not in alone.actions.stopped
    assert outcomes(recovery)["restore"] == "ok"


def test_a_stage_that_hangs_is_ended_and_says_what_it_waited_for(alone: Stage) -> None:
    begun = [{"event": "task.begun", "host": "drc-pengaduan-1", "task": f"Start {n}"} for n in "ab"]
    alone.script.hanging = [begun[0], task("drc-pengaduan-1", "Start a", NOW), begun[1]]
    lengthen(alone, "pengaduan-activate", hours=5)
    recovery = recover(alone.world, FAILOVER)
    state = recovery.steps["pengaduan/activate"]
    assert state.outcome == "failed"
    assert "took longer than 30 m and was ended; host drc-pengaduan-1, task 'Start b' had not ended" in state.error
    assert "raise recovery.timeouts.activate of pengaduan" in state.error
    assert alone.actions.started.count("pengaduan-activate") == 1
    assert closing(recovery) == ("NOT_MET", 4)


def away(name: str, *, reached: bool = True) -> list[Body]:
    """What Ansible tells of a host that it loses in a loop."""
    host = "drc-pengaduan-1"
    lost = {"error": "Connection timed out", "kind": "", "dataset": ""}
    before = [task(host, f"{name} : begin", NOW)] if reached else []
    item = task(host, f"{name} : work", NOW, "item failed", **lost)
    return [*before, item, task(host, f"{name} : work", NOW, "unreachable", **lost | {"error": "All items completed"})]


@pytest.mark.parametrize("stage_name", ["restore", "activate", "verify"])
def test_a_stage_that_lost_its_host_is_begun_again_once_that_answers(alone: Stage, stage_name: str) -> None:
    alone.script.away = {f"pengaduan-{stage_name}": away(stage_name)}
    alone.reachability.alive = set()
    alone.clock.tick = 1
    looks = 0

    def answers(host: AnsibleHost) -> bool:
        nonlocal looks
        looks += host.name == "drc-pengaduan-1"
        return looks > 3

    alone.reachability.answers = answers  # type: ignore[method-assign]
    recovery = recover(alone.world, FAILOVER)
    assert looks == 4
    assert alone.actions.started.count(f"pengaduan-{stage_name}") == 2
    assert [event.body["step"] for event in recovery.events if event.type == "step.repeated"] == [
        f"pengaduan/{stage_name}"
    ]
    assert closing(recovery) == ("MET", 0)


@pytest.mark.parametrize("reached", [True, False])
def test_a_host_that_does_not_come_back_fails_the_stage_and_is_named(alone: Stage, reached: bool) -> None:
    alone.script.away = {"pengaduan-restore": away("restore", reached=reached)}
    alone.clock.tick = 5
    recovery = recover(alone.world, DRILL)
    state = recovery.steps["pengaduan/restore"]
    assert "cannot be reached by SSH" in state.error
    assert "host drc-pengaduan-1" in state.error
    assert alone.actions.started.count("pengaduan-restore") == 1
    assert closing(recovery) == ("NOT_MET", 4)
    waited = any("was lost in pengaduan/restore; waiting up to 2 m" in line for line in alone.said)
    assert waited == reached, "one that never was there is not waited for"


def test_a_worker_that_is_killed_is_begun_again_but_not_for_ever(alone: Stage) -> None:
    alone.script.killed = {"pengaduan-activate": 1}
    assert closing(recover(alone.world, DRILL)) == ("MET", 0)
    assert alone.actions.started.count("pengaduan-activate") == 2
    alone.actions.started.clear()
    alone.script.killed = {"pengaduan-activate": 99}
    assert closing(recover(alone.world, DRILL)) == ("NOT_MET", 4)
    assert alone.actions.started.count("pengaduan-activate") == 3


def test_what_ansible_has_told_counts_though_its_supervisor_was_killed(alone: Stage) -> None:
    alone.script.untold = {"pengaduan-activate"}
    recovery = recover(alone.world, DRILL)
    assert alone.actions.started.count("pengaduan-activate") == 1
    assert closing(recovery) == ("MET", 0)


def test_an_action_that_was_lost_is_started_again(alone: Stage) -> None:
    alone.script.endless = {"pengaduan-activate"}
    alone.ledger.crash_at = 0
    sleep = alone.clock.sleep

    def lose(seconds: float) -> None:
        sleep(seconds)
        for folder, started in alone.actions.known.items():
            if folder.name == "pengaduan-activate" and started.ending.running:
                alone.script.endless = set()
                alone.actions.lose(folder)

    alone.clock.sleep = lose  # type: ignore[method-assign]
    recovery = recover(alone.world, FAILOVER)
    assert alone.actions.started.count("pengaduan-activate") == 2
    assert closing(recovery) == ("MET", 0)


# -- crashes -----------------------------------------------------------------------------------------------------------


def whole(folder: Path, request: RecoveryRequest, arrange: Callable[[Stage], None]) -> tuple[Stage, Recovery]:
    stage = make_stage(folder, make_city(service_record("pengaduan", address="192.0.2.80")))
    arrange(stage)
    return stage, recover(stage.world, request)


def good(stage: Stage) -> None:
    stage.see_outage("pengaduan")


def failing(stage: Stage) -> None:
    good(stage)
    stage.script.failing = {"pengaduan-verify"}


def unfenced(stage: Stage) -> None:
    good(stage)
    stage.reachability.alive = {"pengaduan-1"}


def unwatched(stage: Stage) -> None:
    pass


BY_HAND = replace(FAILOVER, disrupted_at=NOW - timedelta(seconds=30))
CRASHES: dict[str, tuple[RecoveryRequest, Callable[[Stage], None]]] = {
    "failover": (FAILOVER, good),
    "drill": (DRILL, good),
    "drill that fails": (DRILL, failing),
    "failover without a fence": (replace(FAILOVER, accept_unfenced=True), unfenced),
    "failover that a person dated, judged mildly": (replace(BY_HAND, rto=timedelta(hours=1)), unwatched),
}


@pytest.mark.parametrize(
    ("name", "after"),
    [*((name, False) for name in CRASHES), ("failover", True), ("drill that fails", True)],
    ids=lambda value: {False: "before the event is written", True: "after it is written"}.get(value, value),
)
def test_a_crash_at_any_event_changes_neither_the_verdict_nor_repeats_a_step(
    tmp_path: Path, name: str, after: bool
) -> None:
    request, arrange = CRASHES[name]
    stage, expected = whole(tmp_path / "whole", request, arrange)
    count = stage.ledger.appended
    stage.ledger.close()
    for at in range(2, count + 1) if not after else range(1, count):
        stage = make_stage(tmp_path / str(at), make_city(service_record("pengaduan", address="192.0.2.80")))
        arrange(stage)
        stage.ledger.crash_at, stage.ledger.crash_after = at, after
        with pytest.raises(Crash):
            recover(stage.world, request)
        stage.ledger.crash_at = 0
        stage.locks.held.clear()
        stage.watch.seen.clear()  # what is known of the disruption must be in the ledger by now
        run = stage.ledger.runs(kinds=("failover", "drill"))[0].run
        recovery = resume(stage.world, run)
        assert closing(recovery) == closing(expected), (at, texts(recovery))
        assert outcomes(recovery) == outcomes(expected), at
        assert texts(recovery) == texts(expected), at
        assert set(recovery.marks["pengaduan"]) == set(expected.marks["pengaduan"]), at
        assert sorted(stage.actions.started) == sorted(set(stage.actions.started)), at
        stage.ledger.verify(run)
        stage.ledger.close()


def test_a_run_that_was_cut_off_must_be_resumed_or_aborted_before_a_new_one(alone: Stage) -> None:
    alone.ledger.crash_at = 8
    with pytest.raises(Crash):
        recover(alone.world, FAILOVER)
    with pytest.raises(BusyError, match=r"has not ended.*was cut off"):
        recover(alone.world, FAILOVER)


def test_a_run_that_was_tampered_with_is_not_resumed(alone: Stage) -> None:
    alone.ledger.crash_at = 8
    with pytest.raises(Crash):
        recover(alone.world, FAILOVER)
    run = alone.ledger.runs(kinds=("failover",))[0].run
    alone.ledger.database.execute("DROP TRIGGER events_never_change")
    alone.ledger.database.execute(
        "UPDATE events SET at = '2026-01-01T00:00:00.000000Z' WHERE sequence = 2 AND run = ?", (run,)
    )
    with pytest.raises(DrpError, match="was changed at event 2"):
        resume(alone.world, run)


def test_what_has_ended_and_what_is_no_recovery_cannot_be_resumed(alone: Stage) -> None:
    recovery = recover(alone.world, DRILL)
    with pytest.raises(UsageError, match="has ended"):
        resume(alone.world, recovery.run)
    with pytest.raises(UsageError, match="is a backup"):
        resume(alone.world, alone.points["pengaduan"].id)


def test_an_abort_from_elsewhere_ends_the_run_that_another_drp_follows(alone: Stage) -> None:
    alone.script.endless = {"pengaduan-activate"}
    sleep = alone.clock.sleep

    def abort_soon(seconds: float) -> None:
        sleep(seconds)
        if "pengaduan-activate" in alone.actions.started and not alone.actions.stopped:
            run = alone.ledger.runs(kinds=("failover",))[0].run
            abort(alone.world, run, "wrong service")

    alone.clock.sleep = abort_soon  # type: ignore[method-assign]
    with pytest.raises(CancelledError, match="aborted from elsewhere"):
        recover(alone.world, FAILOVER)
    row = alone.ledger.runs(kinds=("failover",))[0]
    assert (row.verdict, row.exit_code, row.outcome) == ("ABORTED", 130, "aborted")
    assert {"pengaduan-activate", "_probe"} <= set(alone.actions.stopped)
    assert "pengaduan-verify" not in alone.actions.started
    with pytest.raises(UsageError, match="has ended"):
        abort(alone.world, row.run, "again")


# -- before anything starts --------------------------------------------------------------------------------------------


def test_a_primary_that_still_answers_is_refused_and_nothing_was_started(alone: Stage) -> None:
    alone.reachability.alive = {"pengaduan-1"}
    with pytest.raises(UsageError, match="still answers"):
        recover(alone.world, FAILOVER)
    assert alone.actions.started == []
    assert alone.ledger.runs(kinds=("failover",)) == []


def test_a_primary_of_a_dependency_that_still_answers_is_refused_too(stage: Stage) -> None:
    stage.reachability.alive = {"identitas-1"}
    with pytest.raises(UsageError, match="still answers"):
        recover(stage.world, FAILOVER)
    assert stage.actions.started == []


def test_who_goes_on_without_a_fence_does_so_in_their_name(alone: Stage) -> None:
    alone.reachability.alive = {"pengaduan-1"}
    recovery = recover(alone.world, replace(FAILOVER, accept_unfenced=True))
    assert [item.accepted_by for item in recovery.reservations["pengaduan"]] == ["siti"]
    assert closing(recovery) == ("MET_WITH_EXCEPTION", 0)


def test_a_drill_needs_no_fence(alone: Stage) -> None:
    alone.reachability.alive = {"pengaduan-1"}
    assert closing(recover(alone.world, DRILL)) == ("MET", 0)


def test_without_a_watch_and_a_persons_word_the_recovery_time_is_not_measured(alone: Stage) -> None:
    alone.watch.seen.clear()
    recovery = recover(alone.world, FAILOVER)
    measured = recovery.measurement("pengaduan")
    assert (measured.rta, measured.rpa) == (None, None)
    assert measured.rto_verdict is Verdict.NOT_MEASURED
    assert closing(recovery) == ("NOT_MEASURED", 4)


def test_a_persons_word_is_at_best_an_exception(alone: Stage) -> None:
    alone.watch.seen.clear()
    recovery = recover(alone.world, BY_HAND)
    assert recovery.marks["pengaduan"]["T0"].source == "human"
    assert closing(recovery) == ("MET_WITH_EXCEPTION", 0)


def test_a_watch_that_stopped_looking_is_not_used(alone: Stage) -> None:
    alone.clock.at += timedelta(minutes=10)
    assert "T0" not in recover(alone.world, FAILOVER).marks["pengaduan"]


def test_relaxed_objectives_are_a_reservation_and_stricter_ones_are_not(tmp_path: Path) -> None:
    for minutes, verdict in ((6, "MET_WITH_EXCEPTION"), (4, "MET")):
        stage, recovery = whole(tmp_path / str(minutes), replace(DRILL, rto=timedelta(minutes=minutes)), good)
        assert closing(recovery)[0] == verdict
        stage.ledger.close()


@pytest.mark.parametrize("kind", ["drill", "failover"])
def test_nothing_is_removed_at_the_dr_centre_while_a_recovery_reads(tmp_path: Path, kind: RecoveryKind) -> None:
    """A drill waits for a prune; a failover ends it."""
    stage = make_stage(tmp_path)
    stage.ledger.open_run("prune-1", "prune", "0" * 64, ["pengaduan"], {})
    folder = action_folder(stage.world, "prune-1", "prune-pengaduan-1")
    usual, stage.actions.script = stage.actions.script, lambda _name, _spec: Ending(running=True)
    stage.world.actions.start_remote(folder, stage.world.city.hosts["drc-pengaduan-1"], {}, {}, "")
    stage.actions.script = usual
    stage.see_outage("pengaduan")
    request = RecoveryRequest(kind=kind, services=("pengaduan",), runbook="site-loss", by="Siti", reason="banjir")
    if kind == "drill":
        with pytest.raises(BusyError, match="prune-1 removes data"):
            recover(stage.world, request)
        assert stage.actions.stopped == []
    else:
        recover(stage.world, request)
        assert stage.actions.stopped[0] == "prune-pengaduan-1"


def test_a_restore_point_in_which_a_check_found_damage_is_passed_over(tmp_path: Path) -> None:
    """The newest good one is recovered. Without a good one the newest is: what comes back is compared anyway."""
    stage = make_stage(tmp_path)
    good, damaged = stage.points["pengaduan"], replace(stage.points["pengaduan"], id="backup-newer")
    damaged = replace(damaged, sentinel_at=good.sentinel_at + timedelta(minutes=1))
    stage.ledger.open_run("check-1", "check", "0" * 64, ["pengaduan"], {})
    stage.ledger.append("check-1", "restore_point.recorded", damaged.record())

    def distrust(name: str) -> None:
        body = {"id": name, "service": "pengaduan", "reason": "a check found damage", "by": "drp"}
        stage.ledger.append("check-1", "restore_point.distrusted", body)

    distrust(damaged.id)
    assert trusted(stage.world, "pengaduan", [good, damaged]) == [good]
    assert "backup-newer is passed over: a check found damage" in stage.said[-1]
    distrust(good.id)
    assert trusted(stage.world, "pengaduan", [good, damaged]) == [good, damaged]
    assert "is used, for there is no better one" in stage.said[-1]


def test_a_service_without_a_restore_point_is_refused(tmp_path: Path) -> None:
    stage = make_stage(tmp_path, restore_points=False)
    with pytest.raises(UsageError, match="no such restore point"):
        recover(stage.world, DRILL)
    assert stage.ledger.runs() == []


def test_a_service_that_runs_at_the_recovery_site_already_is_refused(alone: Stage) -> None:
    recover(alone.world, FAILOVER)
    with pytest.raises(UsageError, match="already runs at the recovery site"):
        recover(alone.world, FAILOVER)


def test_another_recovery_at_work_is_busy(alone: Stage) -> None:
    alone.locks.acquire("recovery", "drp drill")
    with pytest.raises(BusyError):
        recover(alone.world, DRILL)
    assert alone.ledger.runs(kinds=("drill",)) == []


def test_unknown_names_are_told_with_the_known_ones(alone: Stage) -> None:
    with pytest.raises(UsageError, match="no runbook"):
        recover(alone.world, replace(DRILL, runbook="gempa"))
    with pytest.raises(UsageError) as caught:
        services_for(alone.world, ["pajak"], "recovery")
    assert "pengaduan" in caught.value.hint
    assert services_for(alone.world, [], "recovery") == ("pengaduan",)
    assert services_for(alone.world, ["pengaduan", "pengaduan"], "recovery") == ("pengaduan",)


def test_ctrl_c_says_how_to_go_on_and_leaves_the_run_open(alone: Stage) -> None:
    def interrupt(seconds: float) -> None:
        raise KeyboardInterrupt

    alone.clock.sleep = interrupt  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        recover(alone.world, DRILL)
    row = alone.ledger.runs(kinds=("drill",))[0]
    assert row.closed_at is None
    assert any(f"drp run resume {row.run}" in line for line in alone.said)
    assert alone.actions.stopped == []
    assert action_folder(alone.world, row.run, "_probe").is_dir()


def test_a_dependency_that_cannot_be_recovered_is_said_and_stands_in_the_verdict(tmp_path: Path) -> None:
    registered = service_record("identitas", checks=[])
    stage = make_stage(tmp_path, make_city(registered, service_record("pengaduan", depends_on=["identitas"])))
    with pytest.raises(UsageError, match="no check proves that it is usable"):
        services_for(stage.world, ["identitas"], "recovery")
    assert services_for(stage.world, [], "recovery") == ("pengaduan",)
    run = recover(stage.world, DRILL)
    texts = [item.text for item in run.measurement("pengaduan").exceptions]
    assert "it needs identitas, which cannot be recovered: no check proves that it is usable" in texts
    assert list(run.plan.services) == ["pengaduan"]


TWO_CHECKS = [
    {"id": "path", "type": "http", "interval": "500ms", "steps": [{"request": "GET /"}]},
    {
        "id": "database",
        "type": "sql",
        "engine": "postgresql",
        "database": "pengaduan",
        "user": "drp_probe",
        "interval": "500ms",
        "password": {"env": "DRP_TEST_PROBE"},
        "query": "SELECT 1",
    },
]


@pytest.fixture
def checked_twice(tmp_path: Path) -> Stage:
    """A city of one service with two checks."""
    record = service_record("pengaduan", address="192.0.2.80", checks=TWO_CHECKS)
    stage = make_stage(tmp_path, make_city(record))
    stage.watch.more_checks = {"database": True}
    return stage


def test_all_checks_are_tried_from_the_start_and_only_the_probe_gets_their_secret(checked_twice: Stage) -> None:
    recovery = recover(checked_twice.world, DRILL)
    spec = checked_twice.actions.specs["_probe"]["targets"]["pengaduan"]
    assert [check["id"] for check in spec["checks"]] == ["path", "database"]
    assert spec["secrets"] == {"database": SECRET}
    assert recovery.probes["pengaduan"]["checks"] == ["path", "database"]
    evidence = recovery.marks["pengaduan"]["T5"].evidence
    assert "checks path, database (the last to succeed:" in evidence
    assert SECRET not in str(checked_twice.ledger.events(recovery.run))


def test_a_service_of_which_one_check_fails_is_not_usable_and_that_check_is_named(checked_twice: Stage) -> None:
    checked_twice.watch.more_checks = {"database": False}
    recovery = recover(checked_twice.world, DRILL)
    assert "T5" not in recovery.marks["pengaduan"]
    assert recovery.verdict() is Verdict.NOT_MET
    assert "check database: refused" in recovery.steps["pengaduan/usable"].error
    assert "check path" not in recovery.steps["pengaduan/usable"].error
    assert any("not usable yet: check database: refused" in line for line in checked_twice.said)


def test_a_watch_that_did_not_try_every_check_dates_nothing(checked_twice: Stage) -> None:
    checked_twice.see_outage("pengaduan")  # of its first check only
    recovery = recover(checked_twice.world, FAILOVER)
    assert "T0" not in recovery.marks["pengaduan"]
    assert any("drp watch has not tried check database" in line for line in checked_twice.said)


def test_each_clock_that_a_figure_rests_on_is_written_down(stage: Stage) -> None:
    recovery = recover(stage.world, FAILOVER)
    found = [event.body for event in recovery.events if event.type == "clock.measured"]
    assert {(body["service"], body["clock"], body["offset_ms"]) for body in found} == {
        (name, clock, offset)
        for name in ("identitas", "pengaduan")
        for clock, offset in ((f"{name}-1", 0), ("control node", 0), ("DR centre drc", -40))
    }
    measured = recovery.measurement("pengaduan")
    assert measured.rta_uncertainty is not None
    assert measured.rpa_uncertainty is not None
    assert measured.rpa_uncertainty >= timedelta(milliseconds=20)


def test_a_centre_that_does_not_tell_its_clock_is_not_measured(stage: Stage) -> None:
    stage.store.refusing = {"drp-bogor"}
    recovery = recover(stage.world, FAILOVER)
    found = [event.body for event in recovery.events if event.type == "clock.measured"]
    assert [body["offset_ms"] for body in found if body["clock"] == "DR centre drc"] == [None, None]


@pytest.mark.parametrize("hours", [0.5, 5, 30])
def test_an_outage_of_long_ago_is_dated_by_its_beginning(alone: Stage, hours: float) -> None:
    alone.watch.seen.clear()
    alone.see_outage("pengaduan", lasting=hours * 3600)
    recovery = recover(alone.world, FAILOVER)
    mark = recovery.marks["pengaduan"]["T0"]
    assert abs(NOW - timedelta(hours=hours) - mark.at) < timedelta(seconds=5)
    assert mark.uncertainty is not None


def test_a_watch_that_stopped_is_told_and_not_used(alone: Stage) -> None:
    alone.clock.at += timedelta(hours=3)
    recovery = recover(alone.world, FAILOVER)
    assert "T0" not in recovery.marks["pengaduan"]
    assert "pengaduan: drp watch has not looked for 3 h; its record is not used" in alone.said[0]


def test_a_probe_that_is_killed_goes_on(alone: Stage) -> None:
    folder = alone.world.workspace / "var" / "runs"
    inner = alone.clock.sleep
    killed: list[Path] = []

    def sleep(seconds: float) -> None:
        inner(seconds)
        probes = [path for path in alone.actions.known if path.name == "_probe"]
        if probes and not killed and "pengaduan-restore" in alone.actions.started:
            alone.actions.lose(probes[0])
            killed.append(probes[0].relative_to(folder))

    alone.clock.sleep = sleep  # type: ignore[method-assign]
    recovery = recover(alone.world, DRILL)
    assert killed
    assert alone.actions.started.count("_probe") == 2
    assert alone.actions.stopped == ["_probe"]
    assert "T5" in recovery.marks["pengaduan"]
