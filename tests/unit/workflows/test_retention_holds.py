"""Legal holds beside a forget, sizes that a person accepts, and upkeep that was cut off beside a recovery."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from drp.domain.backups.restore_point import RestorePoint
from drp.domain.events import Body
from drp.domain.values import to_stamp
from drp.errors import BusyError, DrpError, UsageError
from drp.workflows import retention, upkeep
from drp.workflows.backup_status import backup_status
from drp.workflows.retention import BEING_FORGOTTEN, accept_size, forget, hold, prune, release
from tests.fakes.actions import Ending
from tests.fakes.city import NOW, make_city, make_restore_point, service_record
from tests.fakes.world import Stage, make_stage


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return make_stage(tmp_path, make_city(service_record("pengaduan")))


def distrust(stage: Stage) -> str:
    point = stage.points["pengaduan"].id
    stage.ledger.open_run("forget-1", "forget", "0" * 64, ["pengaduan"], {"plan": {}})
    body = {"id": point, "service": "pengaduan", "reason": BEING_FORGOTTEN}
    stage.ledger.append("forget-1", "restore_point.distrusted", body)
    return point


def test_a_hold_that_comes_before_the_removal_ends_it(stage: Stage) -> None:
    point = stage.points["pengaduan"].id
    hold(stage.world, point, "audit")
    decided: Body = {"points": [{"id": point, "stays": False}], "forget": {"pengaduan-1": ["a" * 64]}}
    service = stage.world.city.services["pengaduan"]
    repositories = upkeep.repositories_of(stage.world, service, [stage.points["pengaduan"]])
    with pytest.raises(DrpError, match="put on hold"):
        retention._carry_out(stage.world, service, "forget-1", repositories, decided)
    assert stage.actions.started == []


def test_a_hold_that_comes_after_the_removal_began_says_so(stage: Stage) -> None:
    with pytest.raises(DrpError, match="may not be whole"):
        hold(stage.world, distrust(stage), "audit")
    assert "held" in {mark.mark for mark in stage.ledger.marks("pengaduan")}


def test_a_prune_that_was_cut_off_waits_for_a_recovery_like_a_new_one(stage: Stage) -> None:
    stage.ledger.open_run("prune-1", "prune", "0" * 64, ["pengaduan"], {"plan": {"service": "pengaduan"}})
    stage.ledger.open_run("failover-1", "failover", "0" * 64, ["pengaduan"], {})
    stage.actions.script = lambda _name, _spec: Ending(1, [])
    (result,) = prune(stage.world, ["pengaduan"])
    assert isinstance(result.error, BusyError)
    assert "failover-1" in str(result.error)
    assert stage.actions.started == []
    assert stage.ledger.run("prune-1").closed_at is None


def test_a_person_accepts_a_size_and_says_why(stage: Stage) -> None:
    with pytest.raises(UsageError, match="all datasets have their usual size"):
        accept_size(stage.world, "pengaduan", [], "archived")
    for number, rows in enumerate((1000, 3)):
        point = make_restore_point("pengaduan", at=NOW + timedelta(days=number))
        content = {**point.content, "database": {"rows": {"complaints": rows}}}
        stage.ledger.open_run(f"backup-{number}", "backup", "0" * 64, ["pengaduan"], {})
        recorded = replace(point, id=f"backup-{number}", content=content)
        stage.ledger.append(f"backup-{number}", "restore_point.recorded", recorded.record())
    stage.clock.at = NOW + timedelta(days=1, minutes=1)
    assert [one.size.dataset for one in backup_status(stage.world, ["pengaduan"])[0].shrunk] == ["database"]
    with pytest.raises(UsageError, match="dataset files has its usual size"):
        accept_size(stage.world, "pengaduan", ["database", "files"], "archived")
    assert accept_size(stage.world, "pengaduan", [], "archived") == ["database"]
    assert backup_status(stage.world, ["pengaduan"])[0].shrunk == ()
    (row,) = stage.ledger.runs(kinds=("accept",))
    body = stage.ledger.events(row.run)[1].body
    assert (body["restore_point"], body["reason"], body["by"]) == ("backup-1", "archived", stage.world.operator)
    assert stage.ledger.restore_points("pengaduan")[0].id == "backup-1", "the restore point stays"


def keep(stage: Stage) -> str:
    """What a failback has kept of the old primary, a hundred days ago."""
    kept = replace(make_restore_point("pengaduan", at=NOW - timedelta(days=100)), id="keep-1")
    own = tuple(replace(item, snapshot=f"{number:064x}") for number, item in enumerate(kept.snapshots))
    kept = replace(kept, snapshots=own)
    stage.ledger.open_run(kept.id, "keep", "0" * 64, ["pengaduan"], {})
    stage.ledger.append(kept.id, "stranded.recorded", kept.record())
    stage.ledger.append(kept.id, "run.closed", {"outcome": "done", "exit_code": 0})
    return kept.id


def test_what_a_failback_has_kept_can_be_put_on_hold_and_be_released(stage: Stage) -> None:
    kept = keep(stage)
    assert hold(stage.world, kept, "court order").service == "pengaduan"
    (mark,) = stage.ledger.marks("pengaduan")
    assert (mark.restore_point, mark.mark, mark.reason) == (kept, "held", "court order")
    release(stage.world, kept, "closed")
    assert stage.ledger.marks("pengaduan") == []
    with pytest.raises(UsageError, match="no restore point 'keep-2'") as caught:
        hold(stage.world, "keep-2", "court order")
    assert "--stranded" in caught.value.hint


@pytest.mark.parametrize("is_held", [False, True])
def test_a_forget_lets_it_go_after_its_declared_age_but_not_from_a_hold(tmp_path: Path, is_held: bool) -> None:
    record = service_record("pengaduan")
    record["backup"] |= {"retention": {"last": 1, "stranded": "90d"}}
    stage = make_stage(tmp_path, make_city(record))
    kept = keep(stage)
    point = stage.points["pengaduan"]
    (stranded,) = stage.ledger.stranded("pengaduan")
    if is_held:
        hold(stage.world, kept, "court order")

    def listed(of: RestorePoint) -> list[Body]:
        return [
            {
                "id": item.snapshot,
                "host": "pengaduan-1",
                "tags": ["drp", "service:pengaduan", f"run:{of.id}", f"dataset:{item.dataset}", f"part:{item.part}"],
                "time": to_stamp(of.sentinel_at),
            }
            for item in of.snapshots
        ]

    def script(_name: str, spec: Body) -> Ending:
        if spec["job"]["verb"] == "forget_plan":
            result: Body = {"snapshots": [*listed(point), *listed(stranded)], "parts": []}
        else:
            assert sorted(spec["job"]["snapshots"]) == sorted(item.snapshot for item in stranded.snapshots)
            result = {"gone": spec["job"]["snapshots"], "left": []}
        return Ending(0, [{"event": "hello"}, {"event": "result", "result": result}])

    stage.actions.script = script
    (result,) = forget(stage.world, ["pengaduan"])
    assert result.error is None
    assert [item.id for item in stage.ledger.stranded("pengaduan")] == ([kept] if is_held else [])
    assert [item.id for item in stage.ledger.restore_points("pengaduan")] == [point.id]
    assert stage.ledger.marks("pengaduan") == [] or is_held
