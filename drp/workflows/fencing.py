"""Close the hosts of a site for services, or open them again: one Ansible run of fence.yml or unfence.yml."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from drp.domain.events import Body
from drp.domain.recovery import fencing
from drp.domain.recovery.fencing import HostFence, HostFenced
from drp.domain.traffic import TrafficSite
from drp.domain.values import to_stamp
from drp.ports import World
from drp.workflows.traffic import connection_variables

Record = Callable[[str, Body], None]


def plan_fences(world: World, services: Sequence[str], *, site: TrafficSite = "primary") -> list[HostFence]:
    """What would be closed at a site. Services that run elsewhere by now need nothing there."""
    away = {name for name in world.city.services if world.ledger.active_site(name) != site}
    return fencing.fences(world.city, services, site=site, away=away - set(services))


def start_fence(
    world: World, folder: Path, fences: Sequence[HostFence], *, by: str, run: str, kind: str, reason: str
) -> None:
    """Start closing hosts. UsageError for a drill."""
    _start(world, folder, "fence", fences, by=by, run=run, kind=kind, reason=reason)


def start_unfence(
    world: World, folder: Path, fences: Sequence[HostFence], *, by: str, run: str, kind: str, reason: str
) -> None:
    """Start opening hosts again. UsageError for a drill."""
    _start(world, folder, "unfence", fences, by=by, run=run, kind=kind, reason=reason)


def _start(
    world: World, folder: Path, playbook: str, fences: Sequence[HostFence], *, by: str, run: str, kind: str, reason: str
) -> None:
    fencing.refuse_in_drill(kind)
    hosts = [fence.host for fence in fences]
    at = to_stamp(world.clock.now())
    variables = {
        **connection_variables(world, hosts),
        "drp_run": run,
        "drp_kind": kind,
        **fencing.variables(fences, world.city.hosts, by=by, at=at, run=run, reason=reason),
    }
    world.actions.start_playbook(folder, playbook, hosts, variables, {}, "")


def finish_fence(fences: Sequence[HostFence], messages: Collection[Body], record: Record) -> list[HostFenced]:
    """Take down what became of each host; who goes on although one is not confirmed does so in their name."""
    found = fencing.outcomes(fences, messages)
    for outcome in found:
        record("host.fenced", outcome.record())
    return found


def finish_unfence(fences: Sequence[HostFence], messages: Collection[Body], record: Record) -> list[HostFenced]:
    """Take down which hosts may serve again."""
    found = fencing.outcomes(fences, messages, closing=False)
    for outcome in found:
        record("host.unfenced", outcome.record())
    return found
