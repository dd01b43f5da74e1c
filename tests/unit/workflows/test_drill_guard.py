"""A drill's steps are kept from the primaries, and what could not be kept is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from drp.errors import UsageError
from drp.workflows.drill_guard import doubts, kept_from, refuse_touching
from drp.workflows.traffic import connection_variables
from tests.fakes.world import Stage, make_stage


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return make_stage(tmp_path)


def test_only_a_drill_is_kept_from_the_primaries(stage: Stage) -> None:
    city = stage.world.city
    primaries = {host.address for host in city.hosts.values() if host.site == "primary"}
    assert primaries <= set(kept_from(stage.world, "drill"))
    assert kept_from(stage.world, "failover") == []


def test_a_step_that_is_told_of_a_primary_is_refused_before_it_starts(stage: Stage) -> None:
    city = stage.world.city
    recovery = next(name for name, host in city.hosts.items() if host.site == "recovery")
    primary = next(host for host in city.hosts.values() if host.site == "primary")
    variables = connection_variables(stage.world, [recovery])
    refuse_touching(stage.world, "drill", "pengaduan/restore", variables, [recovery])
    with pytest.raises(UsageError, match=f"could touch a primary host: {primary.name}") as caught:
        refuse_touching(stage.world, "drill", "pengaduan/restore", variables | {"x": primary.address}, [recovery])
    assert caught.value.where == "pengaduan/restore"
    refuse_touching(stage.world, "failover", "pengaduan/fence", {}, [primary.name])


def test_what_was_not_kept_and_what_was_tried_is_said() -> None:
    assert doubts([{"event": "guard", "in_force": True}, {"event": "guard.ended", "refused": {}}]) == []
    assert doubts([{"event": "task"}, {"event": "guard", "in_force": False, "reason": "drp does not run as root"}]) == [
        "nothing kept the playbook from the primary hosts but itself: drp does not run as root"
    ]
    assert doubts([{"event": "guard.ended", "refused": {"192.0.2.2": 3, "192.0.2.1": 1}}]) == [
        "the playbook tried to reach the primary site, and was refused: 192.0.2.1 (1 packets), 192.0.2.2 (3 packets)"
    ]
