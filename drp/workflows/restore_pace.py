"""What a restore stage told of its speed, written into the ledger beside what the plan's line promises."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from drp.domain.backups.restore_point import RestorePoint
from drp.domain.datasets import read_dataset
from drp.domain.forecasts.transfer import channel_between
from drp.domain.recovery.pace import is_slow, measured_restores, told
from drp.domain.recovery.run import Recovery
from drp.ports import World
from drp.workflows.traffic import Record


def recovery_hosts(world: World, recovery: Recovery, point: RestorePoint) -> dict[str, str]:
    """The host that each dataset of a restore point comes back on."""
    service = world.city.services[point.service]
    declared = {name: read_dataset(dataset) for name, dataset in point.datasets.items()}
    return {name: service.stand_in(dataset.host, recovery.plan.site) for name, dataset in declared.items()}


def record_pace(
    world: World, recovery: Recovery, point: RestorePoint, parts: Sequence[Mapping[str, Any]], record: Record
) -> None:
    """Take down how long each part of a restore took, and with what; say which ones waited for the line."""
    is_known = point.dr_centre in world.city.workspace.dr_centres
    channel = channel_between(world.city, point.dr_centre, recovery.plan.site) if is_known else None
    for body in measured_restores(point, parts, recovery_hosts(world, recovery, point), channel):
        record("restore.measured", body)
        if is_slow(body):
            world.say(f"{point.service}: {told(body)}")
