"""Whatever works on a repository keeps the others away, and a dead lock is only dead while no action of drp lives."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from drp.errors import BusyError
from drp.ports import NewFile, World
from drp.workflows.naming import action_folder
from drp.workflows.repository import (
    START_LIMIT_SECONDS,
    holding_repositories,
    living_runs,
    reading_lock,
    repository_lock,
    starting_to_read,
)
from drp.workflows.restore import Consent, look, prepare, restore
from drp.workflows.restore_browse import download, list_content
from drp.workflows.restore_request import RestoreRequest
from drp.workflows.restore_test import restore_test
from drp.workflows.retention import prune
from tests.fakes.actions import Ending
from tests.fakes.world import Stage, make_stage


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return make_stage(tmp_path)


def test_repositories_of_other_hosts_and_dr_centres_have_locks_of_their_own(stage: Stage) -> None:
    service = stage.world.city.services["pengaduan"]
    names = {repository_lock(service, host, centre) for host in ("a", "b") for centre in ("", "other")}
    assert len(names) == 4
    assert repository_lock(service, "a") == repository_lock(service, "a", "drc")


def test_all_repositories_are_held_or_none(stage: Stage) -> None:
    service = stage.world.city.services["pengaduan"]
    stage.locks.acquire(repository_lock(service, "b"), "drp prune of pengaduan")
    with (
        pytest.raises(BusyError, match="drp prune of pengaduan"),
        holding_repositories(stage.world, service, ["a", "b"], "drp check of pengaduan"),
    ):
        pytest.fail("one was held by another")
    assert list(stage.locks.held) == [repository_lock(service, "b")]
    with holding_repositories(stage.world, service, ["a", "c"], "drp check of pengaduan"):
        assert len(stage.locks.held) == 3
    assert list(stage.locks.held) == [repository_lock(service, "b")]


def test_a_run_lives_as_long_as_one_of_its_actions_does(stage: Stage) -> None:
    world = stage.world
    service = world.city.services["pengaduan"]
    assert living_runs(world, service) == []
    world.ledger.open_run("prune-1", "prune", "0" * 64, ["pengaduan"], {})
    assert living_runs(world, service) == []
    stage.actions.script = lambda _name, _spec: Ending(running=True)
    folder = action_folder(world, "prune-1", "prune-pengaduan-1")
    stage.actions.start_remote(folder, world.city.hosts["pengaduan-1"], {}, {}, "")
    assert living_runs(world, service) == ["prune-1"]
    assert living_runs(world, world.city.services["identitas"]) == []
    stage.actions.lose(folder)
    assert living_runs(world, service) == []


# -- readers without a lock, and what removes data -------------------------------------------------------------------

WHOLE, SCRATCH = RestoreRequest("pengaduan"), RestoreRequest("pengaduan", scratch="/srv/a/look")


def prune_at_work(stage: Stage) -> Path:
    """A prune that no drp follows any more."""
    stage.ledger.open_run("prune-1", "prune", "0" * 64, ["pengaduan"], {})
    folder = action_folder(stage.world, "prune-1", "prune-pengaduan-1")
    usual, stage.actions.script = stage.actions.script, lambda _name, _spec: Ending(running=True)
    stage.actions.start_remote(folder, stage.world.city.hosts["drc-pengaduan-1"], {}, {}, "")
    stage.actions.script = usual
    return folder


def no_file(_kind: str) -> NewFile:
    pytest.fail("nothing may be read")


def _restore(request: RestoreRequest) -> Callable[[World], object]:
    return lambda world: restore(world, prepare(world, request)[0], Consent("siti", "a deleted file"))


def _test(world: World) -> None:
    (result,) = restore_test(world, ["pengaduan"])
    assert result.error is not None
    raise result.error


READERS: dict[str, Callable[[World], object]] = {
    "restore": _restore(WHOLE),
    "scratch": _restore(SCRATCH),
    "test": _test,
    "look": lambda world: look(world, prepare(world, WHOLE)[0]),
    "list": lambda world: list_content(world, WHOLE, "", recursive=False),
    "download": lambda world: download(world, WHOLE, "/srv/pengaduan/a", no_file),
}


@pytest.mark.parametrize("reader", READERS)
def test_no_reader_begins_while_something_is_removed(stage: Stage, reader: str) -> None:
    """restic's own lock does not keep it away: all restores read without one."""
    stage.reachability.alive = {"drc-pengaduan-1"}
    folder = prune_at_work(stage)
    before = list(stage.actions.started)
    with pytest.raises(BusyError, match="prune-1 removes data") as caught:
        READERS[reader](stage.world)
    assert (caught.value.exit_code, stage.actions.started) == (11, before)
    opened = {row.kind for row in stage.ledger.runs() if row.closed_at is None or row.outcome == "done"}
    assert opened <= {"prune", "backup"}
    assert stage.ledger.backup_states("restore-test") == {}, "having to wait is no failed proof"
    stage.actions.lose(folder)
    with starting_to_read(stage.world, stage.world.city.services["pengaduan"], "drc", "drp"):
        pass  # a prune that is dead keeps nobody away


def test_a_copy_elsewhere_is_read_while_something_is_removed(stage: Stage) -> None:
    """A prune may hang because its DR centre is away, which is when a copy is wanted."""
    prune_at_work(stage)
    with starting_to_read(stage.world, stage.world.city.services["pengaduan"], "kedua", "drp restore"):
        assert stage.locks.held == {}


def test_a_prune_waits_for_a_reader_that_starts_or_is_at_work(stage: Stage) -> None:
    service = stage.world.city.services["pengaduan"]
    with starting_to_read(stage.world, service, "drc", "drp restore"):
        (result,) = prune(stage.world, ["pengaduan"])
    assert isinstance(result.error, BusyError)
    assert result.run == ""
    stage.ledger.open_run("restore-1", "restore", "0" * 64, ["pengaduan"], {})
    stage.actions.script = lambda _name, _spec: Ending(running=True)
    folder = action_folder(stage.world, "restore-1", "restore-drc")
    stage.actions.start_remote(folder, stage.world.city.hosts["drc-pengaduan-1"], {}, {}, "")
    (result,) = prune(stage.world, ["pengaduan"])
    assert isinstance(result.error, BusyError)
    assert "restore-1 has not ended" in str(result.error)


def test_readers_that_start_at_the_same_time_wait_for_each_other_only_so_long(stage: Stage) -> None:
    service = stage.world.city.services["pengaduan"]
    stage.locks.acquire(reading_lock(service), "drp restore")
    began = stage.clock.monotonic()
    with pytest.raises(BusyError, match="drp restore"), starting_to_read(stage.world, service, "drc", "drp"):
        pytest.fail("another one starts")
    assert stage.clock.monotonic() - began >= START_LIMIT_SECONDS
