"""Whatever works on a repository keeps the others away, and a dead lock is only dead while no action of drp lives."""

from __future__ import annotations

from pathlib import Path

import pytest

from drp.errors import BusyError
from drp.workflows.naming import action_folder
from drp.workflows.repository import holding_repositories, living_runs, repository_lock
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
