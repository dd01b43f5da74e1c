"""What is due is done, what failed is tried again, and the ledger is what remembers."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from drp.domain.backups.record import SCHEDULED_KINDS
from drp.domain.schedules.due import Why
from drp.domain.schedules.due_text import notes_of
from drp.errors import BusyError, UnreachableError
from drp.ports import World
from drp.workflows.backup import back_up
from drp.workflows.schedule import LANES, TaskResult, decisions_of, missed_backups, run_lane
from drp.workflows.task_kinds import TASK_KINDS
from tests.fakes.actions import Ending
from tests.fakes.city import make_city, service_record
from tests.fakes.world import Stage, make_stage

EACH_HOUR = datetime(2026, 11, 20, 7, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)


def record(name: str = "pengaduan", **backup: Any) -> dict[str, Any]:
    plain = service_record(name)
    plain["backup"] |= {"schedule": "hourly"} | backup
    return plain


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    found = make_stage(tmp_path, make_city(record(), record("identitas")), restore_points=False)
    found.clock.at = EACH_HOUR + timedelta(minutes=16)
    return found


class Runner:
    """Opens and closes runs of a kind as a workflow does; those of `failing` services fail."""

    def __init__(self, kind: str = "backup") -> None:
        self.kind, self.failing, self.done = kind, set[str](), list[tuple[str, datetime]]()

    def __call__(self, world: World, due: Mapping[str, datetime]) -> list[TaskResult]:
        results = []
        for service, moment in due.items():
            run = f"{self.kind}-{service}-{len(self.done)}"
            body = {"due_at": moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")}
            world.ledger.open_run(run, self.kind, "0" * 64, [service], body)
            failed = service in self.failing
            world.ledger.append(
                run, "run.closed", {"outcome": "failed" if failed else "done", "exit_code": int(failed)}
            )
            self.done.append((service, moment))
            results.append(TaskResult(service, UnreachableError("no route", where=service) if failed else None))
        return results


def test_what_is_due_is_done_once_and_remembered_by_the_ledger(stage: Stage) -> None:
    runner = Runner()
    outcomes = run_lane(stage.world, "backup", {"backup": runner})
    assert {outcome.decision.task.service for outcome in outcomes} == {"pengaduan", "identitas"}
    assert {outcome.decision.why for outcome in outcomes} == {Why.FIRST}
    assert run_lane(stage.world, "backup", {"backup": runner}) == []
    stage.clock.at += 5 * HOUR
    outcomes = run_lane(stage.world, "backup", {"backup": runner})
    assert {outcome.decision.moment for outcome in outcomes} == {EACH_HOUR + 5 * HOUR}
    assert len(runner.done) == 4
    assert stage.locks.held == {}


def test_what_failed_is_tried_again_after_a_while_and_others_are_not(stage: Stage) -> None:
    runner = Runner()
    runner.failing = {"pengaduan"}
    run_lane(stage.world, "backup", {"backup": runner})
    assert run_lane(stage.world, "backup", {"backup": runner}) == []
    runner.failing = set()
    stage.clock.at += timedelta(minutes=3)
    outcomes = run_lane(stage.world, "backup", {"backup": runner})
    assert [outcome.decision.task.service for outcome in outcomes] == ["pengaduan"]
    assert outcomes[0].decision.why is Why.RETRY
    assert any("retry 1" in line for line in stage.said)


def test_two_schedulers_do_not_work_at_once_and_lanes_do_not_wait_for_each_other(stage: Stage) -> None:
    stage.locks.acquire("scheduler", "another drp")
    with pytest.raises(BusyError):
        run_lane(stage.world, "backup", {"backup": Runner()})
    assert run_lane(stage.world, "proof", {"check": Runner("check")}) == []


def test_other_kinds_follow_the_runs_of_their_kind(tmp_path: Path) -> None:
    stage = make_stage(tmp_path, make_city(record()))
    stage.clock.at = datetime(2026, 11, 20, 21, 0, tzinfo=UTC)  # after 03:30 + 15 minutes in Jakarta
    runner = Runner("check")
    outcomes = run_lane(stage.world, "proof", {"check": runner})
    assert [(outcome.decision.task.kind, outcome.decision.moment) for outcome in outcomes] == [
        ("check", datetime(2026, 11, 20, 20, 30, tzinfo=UTC))
    ]
    assert run_lane(stage.world, "proof", {"check": runner}) == []


def test_a_runner_that_tells_nothing_of_a_service_is_not_taken_for_good(stage: Stage) -> None:
    outcomes = run_lane(stage.world, "backup", {"backup": lambda _world, _due: []})
    assert [outcome.error is not None for outcome in outcomes] == [True, True]


def test_a_runner_that_fails_as_a_whole_fails_for_each(stage: Stage) -> None:
    def broken(_world: World, _due: Mapping[str, datetime]) -> list[TaskResult]:
        raise UnreachableError("no route")

    outcomes = run_lane(stage.world, "backup", {"backup": broken})
    assert [str(outcome.error) for outcome in outcomes] == ["no route", "no route"]


def test_after_a_failover_the_first_backup_is_due_and_the_old_sites_data_counts_no_more(tmp_path: Path) -> None:
    stage = make_stage(tmp_path, make_city(record()))
    now = stage.clock.at
    stage.ledger.open_run("failover-1", "failover", "0" * 64, ["pengaduan"], {})
    body = {"service": "pengaduan", "site": "recovery", "reason": "failover-1"}
    stage.ledger.append("failover-1", "site.activated", body)
    found = decisions_of(stage.world, kinds=("backup",))[0]
    assert (found.is_due, found.why, found.breach_at) == (True, Why.FAILOVER, None)
    assert found.moment is not None
    assert now < found.moment < now + timedelta(seconds=1)


def test_a_backup_that_was_not_started_is_missed_and_one_that_failed_is_not(stage: Stage) -> None:
    runner = Runner()
    assert missed_backups(stage.world) == {}
    run_lane(stage.world, "backup", {"backup": runner})
    runner.failing = {"identitas"}
    stage.clock.at = EACH_HOUR + HOUR + timedelta(minutes=16)
    runner(stage.world, {"identitas": EACH_HOUR + HOUR})
    stage.clock.at += timedelta(minutes=20)
    assert missed_backups(stage.world) == {"pengaduan": EACH_HOUR + HOUR}


def test_the_moment_that_a_backup_is_for_is_in_the_ledger(stage: Stage) -> None:
    trouble = {"event": "trouble", "kind": "unreachable", "text": "no route", "dataset": "files"}
    stage.actions.script = lambda _name, _spec: Ending(1, [trouble])
    back_up(stage.world, ["pengaduan"], {"pengaduan": EACH_HOUR})
    state = stage.ledger.backup_states()["pengaduan"]
    assert (state.due_at, state.outcome) == (EACH_HOUR, "failed")
    stage.ledger.rebuild_projections()
    assert stage.ledger.backup_states()["pengaduan"] == state


def test_every_kind_that_a_schedule_knows_can_be_carried_out() -> None:
    assert set(TASK_KINDS) == set(SCHEDULED_KINDS) == {kind for kinds in LANES.values() for kind in kinds}


def test_what_cannot_begin_is_tried_again_later_each_time_and_within_the_rpo(stage: Stage) -> None:
    """A lock that another drp holds: no run tells of it, and it may last for hours."""
    stage.locks.acquire("backup-pengaduan", "drp prune of pengaduan")

    def one(world: World, due: Mapping[str, datetime]) -> list[TaskResult]:
        return [TaskResult(row.service, row.error) for row in back_up(world, list(due), due)]

    tried = []
    began = stage.clock.at
    while stage.clock.at < began + timedelta(minutes=20):
        if outcomes := run_lane(stage.world, "backup", {"backup": one}, ["pengaduan"]):
            assert [outcome.is_busy for outcome in outcomes] == [True]
            tried.append((stage.clock.at - began) // timedelta(seconds=1))
        stage.clock.at += timedelta(seconds=30)
    assert tried == [0, 120, 360, 600, 840, 1080], (
        "twice as long, but never more than a quarter of the RPO of 15 minutes"
    )
    assert stage.ledger.backup_states() == {}, "a lock is no failed backup"
    (found,) = decisions_of(stage.world, ["pengaduan"], ("backup",))
    assert found.deferral is not None
    assert found.deferral.count == 6
    assert "could not begin, 6 times so far" in "".join(notes_of(found, stage.clock.at))
    assert "drp prune of pengaduan" in found.deferral.reason
    assert missed_backups(stage.world, ["pengaduan"]) == {}, "it was never backed up, which is told otherwise"
    before = stage.ledger.deferrals()
    stage.ledger.rebuild_projections()
    assert stage.ledger.deferrals() == before
    stage.locks.release("backup-pengaduan")
    stage.clock.at += timedelta(minutes=4)
    run_lane(stage.world, "backup", {"backup": Runner()}, ["pengaduan"])
    assert stage.ledger.backup_states()["pengaduan"].outcome == "done"
    assert stage.ledger.deferrals() == [], "it has begun"
