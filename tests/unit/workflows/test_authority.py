"""What a runbook may bring about, and who may bring it about."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from drp.domain.recovery.run import Recovery
from drp.domain.runbooks.model import Runbook
from drp.errors import UsageError
from drp.workflows.authority import refuse_other_operation
from drp.workflows.planned_move import MoveRequest, move
from drp.workflows.recover import RecoveryRequest, recover
from tests.fakes.city import make_city, runbook_record, service_record
from tests.fakes.world import Stage, make_stage

PEOPLE: dict[str, Any] = {
    "people": {
        "sekda": {"name": "Bambang Wirawan", "deputy": "kadis"},
        "kadis": {"name": "Ratna Kusumah"},
        "sekdis": {"name": "Dedi Suparman", "deputy": "kabid"},
        "kabid": {"name": "Yuli Hendarsyah"},
        "admin": {"name": "Wulan Sari"},
    },
    "roles": {"declares": ["sekda"], "approves": ["sekdis"]},
}
FAILOVER = RecoveryRequest(
    kind="failover", services=("pengaduan",), runbook="site-loss", by="Bambang Wirawan", reason="flood"
)


def stage_of(folder: Path, people: dict[str, Any] | None = None, **runbook: Any) -> Stage:
    registers = {"people": people} if people is not None else {}
    city = make_city(service_record("pengaduan", address="192.0.2.80"), **registers)
    city.runbooks["site-loss"] = Runbook.model_validate(runbook_record() | runbook)
    stage = make_stage(folder, city)
    stage.see_outage("pengaduan")
    return stage


def verdict(recovery: Recovery) -> tuple[str, set[tuple[str, str | None]]]:
    told = recovery.reservations.get("pengaduan", [])
    return str(recovery.verdict()), {(item.text, item.accepted_by) for item in told}


@pytest.mark.parametrize("by", ["Bambang Wirawan", "bambang  wirawan", "sekda", "Ratna Kusumah"])
def test_who_may_declare_and_the_deputy_do_so_by_name_or_id(tmp_path: Path, by: str) -> None:
    assert verdict(recover(stage_of(tmp_path, PEOPLE).world, replace(FAILOVER, by=by))) == ("MET", set())


def test_nobody_else_declares_and_is_told_who_may(tmp_path: Path) -> None:
    stage = stage_of(tmp_path, PEOPLE)
    with pytest.raises(UsageError, match="'Wulan Sari' may not declare site-loss") as caught:
        recover(stage.world, replace(FAILOVER, by="Wulan Sari"))
    assert "Bambang Wirawan, Ratna Kusumah" in caught.value.hint
    assert "--accept-unauthorised" in caught.value.hint
    assert stage.ledger.runs(kinds=("failover",)) == []
    assert stage.locks.held == {}


def test_each_who_must_agree_must_have(tmp_path: Path) -> None:
    stage = stage_of(tmp_path, PEOPLE, approved_by=["approves"])
    with pytest.raises(UsageError, match=r"nobody who may has agreed to site-loss \(approves\)") as caught:
        recover(stage.world, replace(FAILOVER, approved_by=("Wulan Sari",)))
    assert "Dedi Suparman, Yuli Hendarsyah" in caught.value.hint
    recovery = recover(stage.world, replace(FAILOVER, approved_by=("Yuli Hendarsyah",)))
    assert verdict(recovery) == ("MET", set())
    assert recovery.opened.body["approved_by"] == ["Yuli Hendarsyah"]
    assert "agreed by Yuli Hendarsyah" in recovery.marks["pengaduan"]["T2"].evidence


def test_who_declares_has_agreed_too_where_they_may(tmp_path: Path) -> None:
    stage = stage_of(tmp_path, PEOPLE, declared_by=["approves"], approved_by=["approves", "sekdis"])
    assert verdict(recover(stage.world, replace(FAILOVER, by="Dedi Suparman")))[0] == "MET"


def test_in_an_emergency_somebody_answers_for_it_in_their_own_name(tmp_path: Path) -> None:
    stage = stage_of(tmp_path, PEOPLE, approved_by=["approves"])
    request = replace(FAILOVER, by="Wulan Sari", accept_unauthorised=True)
    assert verdict(recover(stage.world, request)) == (
        "MET_WITH_EXCEPTION",
        {
            ("'Wulan Sari' may not declare site-loss", "Wulan Sari"),
            ("nobody who may has agreed to site-loss (approves)", "Wulan Sari"),
        },
    )


def test_a_drill_asks_nobody(tmp_path: Path) -> None:
    stage = stage_of(tmp_path, PEOPLE, approved_by=["approves"])
    assert verdict(recover(stage.world, replace(FAILOVER, kind="drill", by="Wulan Sari"))) == ("MET", set())


def test_without_a_register_a_name_is_all_that_can_be_asked_for(tmp_path: Path) -> None:
    recovery = recover(stage_of(tmp_path, approved_by=["approves"]).world, replace(FAILOVER, by="Wulan Sari"))
    assert verdict(recovery) == (
        "MET_WITH_EXCEPTION",
        {("nobody is registered who could agree to it (approves)", "Wulan Sari")},
    )


def test_a_planned_move_asks_for_the_same(tmp_path: Path) -> None:
    stage = stage_of(tmp_path, PEOPLE, operation="switchover", approved_by=["approves"])
    request = MoveRequest(
        kind="switchover", services=("pengaduan",), runbook="site-loss", by="Wulan Sari", reason="work"
    )
    with pytest.raises(UsageError, match="may not declare"):
        move(stage.world, request)
    with pytest.raises(UsageError, match="has agreed"):
        move(stage.world, replace(request, by="sekda"))
    assert stage.actions.started == []


OPERATIONS = ("failover", "switchover", "failback", "none")
ALLOWED = {
    *(("failover", "failover"), ("switchover", "switchover"), ("failback", "failback")),
    *(("failover", "drill"), ("switchover", "drill")),
}


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("kind", ["failover", "switchover", "failback", "drill"])
def test_a_runbook_brings_about_only_what_it_is_about(operation: str, kind: Any) -> None:
    runbook = Runbook.model_validate(runbook_record() | {"operation": operation})
    if (operation, kind) in ALLOWED:
        refuse_other_operation(runbook, kind)
        return
    with pytest.raises(UsageError) as caught:
        refuse_other_operation(runbook, kind)
    wanted = "drp drill run --tabletop site-loss" if operation == "none" else f"drp {operation} --runbook site-loss"
    assert wanted in caught.value.hint
    assert ("--tabletop" in caught.value.hint) == (operation == "none" or kind == "drill")


def test_what_does_not_fit_is_told_before_anything_else(tmp_path: Path) -> None:
    stage = stage_of(tmp_path, PEOPLE, operation="switchover")
    with pytest.raises(UsageError, match="is about a switchover, not a failover"):
        recover(stage.world, replace(FAILOVER, by="nobody"))
    stage.world.city.runbooks["site-loss"] = Runbook.model_validate(runbook_record())
    request = MoveRequest(kind="failback", services=("pengaduan",), runbook="site-loss", by="sekda", reason="back")
    with pytest.raises(UsageError, match="is about a failover, not a failback"):
        move(stage.world, request)
