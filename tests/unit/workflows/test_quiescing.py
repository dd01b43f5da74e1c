"""What holds a service still during its backup reaches the right host, and what came of it is recorded and told."""

from __future__ import annotations

from pathlib import Path

import pytest

from drp.domain.events import Body
from drp.workflows.backup import back_up
from tests.fakes.actions import Ending
from tests.fakes.city import make_city, service_record
from tests.fakes.world import Stage, make_stage
from tests.unit.workflows.test_backup import good, trouble

ORDER = {"host": "pengaduan-1", "before": [["systemctl", "stop", "app"]], "after": [["systemctl", "start", "app"]]}
STARTED: Body = {"event": "quiesce.started"}
RESUMED: Body = {"event": "quiesce.resumed", "why": "asked", "failed": [], "quiet_ms": 40}
FAILED: Body = {"event": "quiesce.resume_failed", "why": "asked", "failed": ["systemctl ended with 5"], "quiet_ms": 40}


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    record = service_record("pengaduan")
    record["backup"] |= {"quiesce": [ORDER]}
    return make_stage(tmp_path, make_city(record), restore_points=False)


def telling(stage: Stage, *messages: Body, then: Ending | None = None) -> None:
    def script(name: str, spec: Body) -> Ending:
        ending = then or good(name, spec)
        return Ending(ending.exit_code, [*ending.messages[:1], *messages, *ending.messages])

    stage.actions.script = script


def recorded(stage: Stage, run: str) -> list[tuple[str, str]]:
    events = stage.ledger.events(run)
    return [(event.type, event.body["host"]) for event in events if event.type.startswith("quiesce.")]


def test_the_host_gets_its_commands_and_what_it_tells_is_recorded(stage: Stage) -> None:
    telling(stage, STARTED, RESUMED)
    (result,) = back_up(stage.world, ["pengaduan"])
    assert stage.actions.specs["pengaduan-1"]["job"]["quiesce"] == [
        {"before": ORDER["before"], "after": ORDER["after"], "limit_seconds": 600}
    ]
    assert (result.error, result.restore_point is not None) == (None, True)
    assert recorded(stage, result.run) == [("quiesce.started", "pengaduan-1"), ("quiesce.resumed", "pengaduan-1")]


def test_a_failed_backup_is_recorded_with_them(stage: Stage) -> None:
    telling(stage, STARTED, RESUMED, then=trouble("dump"))
    (result,) = back_up(stage.world, ["pengaduan"])
    assert result.restore_point is None
    assert [name for name, _ in recorded(stage, result.run)] == ["quiesce.started", "quiesce.resumed"]


def test_a_service_that_does_not_go_on_is_an_error_beside_the_restore_point(stage: Stage) -> None:
    telling(stage, STARTED, FAILED)
    (result,) = back_up(stage.world, ["pengaduan"])
    assert result.restore_point is not None
    assert result.error is not None
    assert "pengaduan-1: systemctl ended with 5" in str(result.error)
    assert "after, on the host now" in result.error.hint
