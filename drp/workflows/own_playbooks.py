"""A user's own playbook, run after a stage of a service as that stage was: on the same hosts, an action of its own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from drp.domain.recovery.technologies import OwnPlaybook
from drp.ports import World
from drp.workflows.traffic import connection_variables


def start_own_playbook(
    world: World,
    folder: Path,
    service: str,
    own: OwnPlaybook,
    hosts: Sequence[str],
    *,
    run: str,
    kind: str,
    kept_from: Sequence[str] = (),
) -> None:
    """Start it. It gets to know drp_hosts, drp_service, drp_run, drp_kind (`drill` in a rehearsal) and
    drp_after; no secret."""
    variables = {
        **connection_variables(world, hosts),
        "drp_run": run,
        "drp_kind": kind,
        "drp_service": service,
        "drp_after": own.after,
    }
    world.actions.start_playbook(folder, own.playbook, hosts, variables, {}, "", kept_from=kept_from)
