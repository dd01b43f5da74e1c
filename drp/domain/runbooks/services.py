"""Which services a runbook is about in a city, and who is meant by a name in it."""

from __future__ import annotations

from collections.abc import Sequence

from drp.domain.impact.impact import impact_of
from drp.domain.inventory import City
from drp.domain.registers import Person
from drp.domain.runbooks.model import Runbook, Selector
from drp.domain.runbooks.steps import Who


def services_of(runbook: Runbook, city: City) -> tuple[str, ...]:
    """The services that a runbook names or selects, in the inventory's order. Without a word in it: all of them.

    Whether each can be recovered at all is not asked here (`drp.domain.protection.gaps`). UsageError where a selector
    names what the city does not have.
    """
    if runbook.services:
        return runbook.services
    if runbook.select is None:
        return tuple(city.services)
    return selected(runbook.select, city)


def selected(selector: Selector, city: City) -> tuple[str, ...]:
    """The services that a selector leaves, in the inventory's order."""
    lost = lost_by(selector)
    chosen = struck_by(city, lost) if lost else tuple(city.services)
    return tuple(
        name
        for name in chosen
        if (not selector.agencies or city.services[name].agency in selector.agencies)
        and (not selector.tiers or city.services[name].tier in selector.tiers)
    )


def lost_by(selector: Selector) -> list[str]:
    """The things that are lost in a scenario, as `drp.domain.impact` calls them."""
    return [
        *(f"site:{name}" for name in selector.sites),
        *(f"host:{name}" for name in selector.hosts),
        *(f"link:{name}" for name in selector.links),
        *(f"location:{name}" for name in selector.locations),
        *(f"asset:{name}" for name in selector.assets),
        *(f"dr-centre:{name}" for name in selector.dr_centres),
    ]


def struck_by(city: City, lost: Sequence[str]) -> tuple[str, ...]:
    """The services that go down where all these things are lost at once (`host:balaikota-db-1`, `link:r12`), and those
    that lose a part of their protection with it, in the inventory's order. UsageError for an unknown thing."""
    impact = impact_of(city, lost)
    return tuple(name for name in city.services if name in impact.down or name in impact.unprotected)


def persons_of(city: City, names: Sequence[Who]) -> tuple[Person, ...]:
    """The people behind roles and names, each once; a role comes before a person of the same name. Who stands in for
    them is `deputy` of each. Roles that nobody has add nobody."""
    return tuple(city.people.people[name] for name in _ids_of(city, names))


def may_answer(city: City, names: Sequence[Who], by: str) -> bool:
    """Whether somebody may answer for one of these roles and persons: who is meant, or the deputy of one.

    `by` is what was typed: a person's id in people.yaml, or the full name there; capitals and spaces don't matter.
    Without any `names`, anybody may. Where the city has no register of people, or nobody in it has the role, a name is
    all that can be asked for: then everybody with a name may, and the report can only say who it was.
    """
    if not _ids_of(city, names):
        return bool(by.strip())
    people = city.people.people
    return any(_folded(by) in (_folded(name), _folded(people[name].name)) for name in _allowed(city, names))


def named_for(city: City, names: Sequence[Who]) -> tuple[str, ...]:
    """The names of those who may answer for one of these roles and persons, with deputies; empty where the register has
    nobody."""
    return tuple(city.people.people[name].name for name in _allowed(city, names))


def _allowed(city: City, names: Sequence[Who]) -> tuple[str, ...]:
    people, holders = city.people.people, _ids_of(city, names)
    deputies = [str(deputy) for name in holders if (deputy := people[name].deputy) in people]
    return tuple(dict.fromkeys((*holders, *deputies)))


def _ids_of(city: City, names: Sequence[Who]) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for name in names:
        holders = {str(role): people for role, people in city.people.roles.items()}.get(name)
        for person in holders if holders is not None else (name,):
            if person in city.people.people:
                found[person] = None
    return tuple(found)


def _folded(text: str) -> str:
    return " ".join(text.split()).casefold()
