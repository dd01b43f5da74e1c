"""A failover takes the hosts of a drill, whatever moment drp dies in; other recoveries on the same hosts wait."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from drp.domain.events import Body
from drp.domain.objectives import Verdict
from drp.errors import BusyError, CancelledError
from drp.ports import ActionState
from drp.workflows.recover import RecoveryRequest, recover, resume
from drp.workflows.runs import abort
from tests.fakes.city import make_city, service_record
from tests.fakes.world import Crash, Stage, make_stage

FAILOVER = RecoveryRequest(kind="failover", services=("pengaduan",), runbook="site-loss", by="siti", reason="flood")
DRILL = replace(FAILOVER, kind="drill", by="budi", reason="rehearsal")


@pytest.fixture
def alone(tmp_path: Path) -> Stage:
    found = make_stage(tmp_path, make_city(service_record("pengaduan", address="192.0.2.80")))
    found.see_outage("pengaduan")
    return found


@pytest.fixture
def apart(tmp_path: Path) -> Stage:
    """Two services on hosts of their own, neither of which needs the other."""
    city = make_city(
        service_record("identitas", address="192.0.2.81"), service_record("pengaduan", address="192.0.2.80")
    )
    found = make_stage(tmp_path, city)
    for name in city.services:
        found.see_outage(name)
    return found


def crashed_drill(stage: Stage, at: int = 12, request: RecoveryRequest = DRILL) -> str:
    """A drill whose drp has died after so many events."""
    stage.ledger.appended, stage.ledger.crash_at = 0, at
    with pytest.raises(Crash):
        recover(stage.world, request)
    stage.ledger.crash_at = 0
    stage.locks.held.clear()
    return stage.ledger.runs(kinds=("drill",))[0].run


def bodies(stage: Stage, run: str, type_: str) -> list[Body]:
    return [event.body for event in stage.ledger.events(run) if event.type == type_]


def test_a_failover_ends_a_drill_that_was_cut_off_and_meets_its_objectives(alone: Stage) -> None:
    drill = crashed_drill(alone)
    recovery = recover(alone.world, FAILOVER)
    assert recovery.measurement("pengaduan").verdict is Verdict.MET
    row = alone.ledger.run(drill)
    assert (row.outcome, row.verdict, row.exit_code) == ("aborted", "ABORTED", 130)
    (ended,) = recovery.ended_drills
    assert (ended["run"], ended["hosts"]) == (drill, ["drc-pengaduan-1"])
    assert alone.actions.specs["pengaduan-restore"]["variables"]["drp_jobs"][0]["own_runs"] == [drill]
    assert not [folder for folder in alone.actions.known if alone.actions.state(folder) is ActionState.RUNNING]
    assert alone.locks.held == {}
    with pytest.raises(Exception, match="has ended"):
        resume(alone.world, drill)


def test_a_failover_is_carried_on_with_whatever_of_the_drill_had_ended(tmp_path: Path) -> None:
    for at in range(1, 12):
        stage = make_stage(tmp_path / str(at), make_city(service_record("pengaduan", address="192.0.2.80")))
        stage.see_outage("pengaduan")
        drill = crashed_drill(stage)
        stage.ledger.appended, stage.ledger.crash_at = 0, at
        with pytest.raises(Crash):
            recover(stage.world, FAILOVER)
        stage.ledger.crash_at = 0
        stage.locks.held.clear()
        stage.watch.seen.clear()
        opened = stage.ledger.runs(kinds=("failover",))
        if not opened:
            assert stage.ledger.run(drill).closed_at is None, "nothing is ended for a failover that is not on record"
            continue
        if stage.ledger.run(drill).closed_at is None:
            with pytest.raises(BusyError, match="ends this drill"):
                resume(stage.world, drill)
        recovery = resume(stage.world, opened[0].run)
        assert recovery.verdict() is Verdict.MET, at
        assert [body["run"] for body in recovery.ended_drills] == [drill], at
        assert stage.ledger.run(drill).verdict == "ABORTED"
        stage.ledger.close()


def test_whoever_follows_the_drill_is_told_which_failover_has_ended_it(alone: Stage) -> None:
    alone.script.endless = {"pengaduan-activate"}
    sleep = alone.clock.sleep
    failovers: list[str] = []

    def lose_the_site(seconds: float) -> None:
        sleep(seconds)
        if "pengaduan-activate" in alone.actions.started and not failovers:
            alone.script.endless = set()
            failovers.append("")
            alone.see_outage("pengaduan")
            failovers[0] = recover(alone.world, FAILOVER).run

    alone.clock.sleep = lose_the_site  # type: ignore[method-assign]
    with pytest.raises(CancelledError) as caught:
        recover(alone.world, DRILL)
    assert failovers[0] in str(caught.value)
    assert "declared by siti" in str(caught.value)
    assert "drp run show" in caught.value.hint
    assert alone.ledger.run(failovers[0]).verdict == "MET"


def test_runs_on_other_hosts_go_on_beside_each_other(apart: Stage) -> None:
    drill = crashed_drill(apart, request=replace(DRILL, services=("identitas",)))
    recovery = recover(apart.world, FAILOVER)
    assert recovery.ended_drills == []
    assert apart.ledger.run(drill).closed_at is None
    with pytest.raises(BusyError, match=f"{drill} has not ended, and has identitas: it was cut off"):
        recover(apart.world, replace(DRILL, services=("identitas",)))


def test_an_abort_clears_a_drill_away_and_connects_its_hosts(alone: Stage) -> None:
    drill = crashed_drill(alone, at=20)
    assert alone.actions.isolated == {"drc-pengaduan-1": drill}
    abort(alone.world, drill, "wrong service")
    assert alone.actions.isolated == {}
    assert alone.actions.started[-2:] == ["pengaduan-cleanup", "pengaduan-unisolate"]
    assert [body["run"] for body in bodies(alone, drill, "isolation.ended")] == [drill]
    assert alone.ledger.run(drill).verdict == "ABORTED"
    assert any("nothing of the drill is left" in line for line in alone.said)


def test_a_drill_that_was_given_up_and_hangs_is_ended_by_a_second_abort(alone: Stage) -> None:
    drill = crashed_drill(alone, at=20)
    alone.ledger.append(drill, "run.abandoned", {"by": "budi", "reason": "wrong service"})
    abort(alone.world, drill, "it hangs")
    assert "pengaduan-cleanup" not in alone.actions.started
    assert alone.ledger.run(drill).verdict == "ABORTED"


def test_what_a_drill_on_more_hosts_has_left_is_stopped_there_too(apart: Stage) -> None:
    drill = crashed_drill(apart, at=24, request=replace(DRILL, services=("identitas", "pengaduan")))
    assert set(apart.actions.isolated) == {"drc-identitas-1", "drc-pengaduan-1"}
    recovery = recover(apart.world, FAILOVER)
    assert apart.actions.isolated == {}
    assert apart.actions.specs[f"unisolate-{drill}"]["hosts"] == ["drc-identitas-1"]
    assert {body["host"] for body in bodies(apart, recovery.run, "isolation.ended")} == {
        "drc-identitas-1",
        "drc-pengaduan-1",
    }
    assert any("identitas: what" in line and "the next drill replaces it" in line for line in apart.said)


def test_a_host_of_several_services_is_connected_again_whatever_they_are_called(tmp_path: Path) -> None:
    """A ledger gives the services of a plan back in the order of their names; they are recovered in another."""
    names = ("pengaduan", "arsip", "loket")
    needs = {"pengaduan": [], "arsip": ["pengaduan"], "loket": ["arsip"]}
    records = [service_record(name, depends_on=needs[name], recovers_on={f"{name}-1": "drc-app"}) for name in names]
    stage = make_stage(tmp_path, make_city(*records))
    recovery = recover(stage.world, replace(DRILL, services=names))
    assert list(recovery.plan.services) != list(names)
    assert [step.id for step in recovery.plan.steps if step.stage == "unisolate"] == ["pengaduan/unisolate"]
    assert stage.actions.isolated == {}
    assert {body["host"] for body in bodies(stage, recovery.run, "isolation.ended")} == {"drc-app"}


def test_a_host_that_cannot_be_isolated_gets_no_drill_unless_somebody_accepts_it(alone: Stage) -> None:
    alone.actions.cannot_isolate = "the host has neither nft nor iptables"
    recovery = recover(alone.world, DRILL)
    error = recovery.steps["pengaduan/restore"].error
    assert "the drill's copies cannot be kept from production (the host has neither nft nor iptables)" in error
    assert "--accept-unisolated" in error
    assert recovery.verdict() is Verdict.NOT_MET
    recovery = recover(alone.world, replace(DRILL, accept_unisolated=True))
    assert recovery.verdict() is Verdict.MET_WITH_EXCEPTION
    (item,) = recovery.reservations["pengaduan"]
    assert (item.accepted_by, "was not isolated" in item.text) == ("budi", True)


def test_playbooks_that_know_nothing_of_isolation_get_no_further_than_the_restore(alone: Stage) -> None:
    alone.actions.knows_isolation = False
    recovery = recover(alone.world, DRILL)
    assert "nobody has isolated drc-pengaduan-1" in recovery.steps["pengaduan/restore"].error
    assert recovery.steps["pengaduan/activate"].outcome == "skipped"


def test_whoever_follows_a_drill_that_was_given_up_clears_it_away(alone: Stage) -> None:
    alone.script.endless = {"pengaduan-activate"}
    sleep = alone.clock.sleep

    def give_up(seconds: float) -> None:
        sleep(seconds)
        if "pengaduan-activate" in alone.actions.started and alone.script.endless:
            alone.script.endless = set()
            drill = alone.ledger.runs(kinds=("drill",))[0].run
            alone.ledger.append(drill, "run.abandoned", {"by": "siti", "reason": "wrong service"})

    alone.clock.sleep = give_up  # type: ignore[method-assign]
    with pytest.raises(CancelledError, match="aborted by siti: wrong service"):
        recover(alone.world, DRILL)
    row = alone.ledger.runs(kinds=("drill",))[0]
    assert (row.outcome, row.verdict, row.exit_code) == ("aborted", "ABORTED", 130)
    assert "pengaduan-activate" in alone.actions.stopped
    assert "pengaduan-verify" not in alone.actions.started
    assert alone.actions.started[-2:] == ["pengaduan-cleanup", "pengaduan-unisolate"]
    assert alone.actions.isolated == {}
    assert not [folder for folder in alone.actions.known if alone.actions.state(folder) is ActionState.RUNNING]
