"""The datasets of a service are restored in the order in which its file declares them; the ledger keeps none."""

from __future__ import annotations

from pathlib import Path

from drp.domain.datasets.order import restore_order
from drp.workflows.plan import plan
from drp.workflows.recover import RecoveryRequest, recover
from drp.workflows.restore import prepare
from drp.workflows.restore_request import RestoreRequest
from drp.workflows.restore_test import plan_of
from tests.fakes.city import make_city, service_record
from tests.fakes.world import Stage, make_stage

DRILL = RecoveryRequest(kind="drill", services=("pengaduan",), runbook="site-loss", by="siti", reason="rehearsal")


def files_first(folder: Path) -> Stage:
    """The files of the service are declared before its database, against the alphabet."""
    record = service_record("pengaduan")
    return make_stage(folder, make_city(record | {"datasets": record["datasets"][::-1]}))


def test_the_declared_order_holds_and_what_is_no_longer_declared_comes_last() -> None:
    assert restore_order(("mail", "files", "database"), ("zoo", "database", "attic", "files", "mail")) == (
        *("mail", "files", "database"),
        *("attic", "zoo"),
    )
    assert restore_order((), ("b", "a")) == ("a", "b")


def test_recoveries_restores_and_tests_go_by_it_and_the_plan_says_so(tmp_path: Path) -> None:
    stage = files_first(tmp_path)
    recovery = recover(stage.world, DRILL)
    point = recovery.point_of("pengaduan")
    assert point is not None
    assert list(point.datasets) == ["database", "files"], "the ledger sorts them"
    jobs = stage.actions.specs["pengaduan-restore"]["variables"]["drp_jobs"]
    assert [job["datasets"][0]["id"] for job in jobs] == ["files", "database"]
    assert plan(stage.world, ["pengaduan"], "site-loss", "drill").forecast.services["pengaduan"].datasets == (
        "files",
        "database",
    )
    restored, _ = prepare(stage.world, RestoreRequest(service="pengaduan", scratch="/srv/look/apart"))
    tested = plan_of(stage.world.city.services["pengaduan"], point, "x")
    assert [job.datasets for job in (*restored.jobs, *tested.jobs)] == [("files", "database")] * 2
