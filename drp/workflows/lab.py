"""The lab's own entry in the ledger."""

from __future__ import annotations

from collections.abc import Sequence

from drp.domain.events import hash_of
from drp.errors import ExitCode
from drp.ports import World
from drp.workflows.naming import new_run


def note_new_city(world: World, services: Sequence[str]) -> None:
    """Write down that the lab built services anew: they run at the primary site again, and earlier restore points of
    this machine's lab are not theirs."""
    run = new_run("lab", world.clock.now())
    plan = {"services": list(services)}
    world.ledger.open_run(run, "lab", hash_of(plan), list(services), {"plan": plan, "by": world.operator})
    world.ledger.append(run, "lab.built", plan)
    for service in services:
        world.watch.forget(service)
    world.ledger.append(run, "run.closed", {"outcome": "done", "exit_code": int(ExitCode.DONE)})
