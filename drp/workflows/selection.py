"""Which services a command means, and why some cannot be meant."""

from __future__ import annotations

from collections.abc import Sequence

from drp.domain.graph import with_dependencies
from drp.domain.protection.gaps import Purpose, gaps_of
from drp.domain.runbooks.model import Runbook
from drp.errors import UsageError
from drp.ports import World

_VERBS = {"show": "shown", "backup": "backed up", "watch": "watched", "recovery": "recovered"}
MOST_NAMES_SAID = 5


def services_for(world: World, names: Sequence[str], purpose: Purpose) -> tuple[str, ...]:
    """The services meant: those named, or all that are fit for the purpose; of the others it is said why not.

    UsageError for a name that is not declared, and for one that is not fit.
    """
    for name in names:
        if name not in world.city.services:
            known = sorted(world.city.services)
            listed = ", ".join(known[:20]) + (f" … ({len(known)} in all)" if len(known) > 20 else "")
            raise UsageError(f"no service {name!r}", hint=f"known: {listed}")
        reasons = reasons_against(world, name, purpose)
        if reasons:
            raise UsageError(
                f"it cannot be {_VERBS[purpose]}: {'; '.join(reasons)}",
                where=name,
                hint=f"complete inventories/services/{name}.yaml",
            )
    if names:
        return tuple(dict.fromkeys(names))
    fit = tuple(name for name in world.city.services if not reasons_against(world, name, purpose))
    chosen = set(fit)
    unfit = [name for name in world.city.services if name not in chosen]
    for name in unfit[:MOST_NAMES_SAID]:
        world.say(f"{name}: cannot be {_VERBS[purpose]}: {'; '.join(reasons_against(world, name, purpose))}")
    if len(unfit) > MOST_NAMES_SAID:
        world.say(f"… and {len(unfit) - MOST_NAMES_SAID} more services; all of them: drp inventory coverage")
    if not fit:
        raise UsageError(f"no service can be {_VERBS[purpose]}", hint="run: drp inventory coverage")
    return fit


def reasons_against(world: World, name: str, purpose: Purpose) -> list[str]:
    """Why a service is not fit for a purpose; empty where it is."""
    if purpose == "show":
        return []
    gaps = gaps_of(world.city.services[name], purpose, world.city.hosts, world.city.workspace.tiers)
    return [gap.text for gap in gaps]


def recovery_order(world: World, names: Sequence[str]) -> list[str]:
    """The services to recover, dependencies first: those named, and what they need that is not there already."""
    edges = {name: service.depends_on for name, service in world.city.services.items()}
    asked = set(names)
    return [
        name for name in with_dependencies(names, edges) if name in asked or world.ledger.active_site(name) == "primary"
    ]


def runbook_of(world: World, name: str) -> Runbook:
    """A scenario by its name; UsageError where there is none."""
    runbook = world.city.runbooks.get(name)
    if runbook is None:
        raise UsageError(f"no runbook {name!r}", hint=f"known: {', '.join(sorted(world.city.runbooks))}")
    return runbook
