"""Warnings about people: parts that nobody has, that only one person has, and observers who are not independent."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from drp.domain.findings import PEOPLE, Advice, Finding, Record, listed, service_record
from drp.domain.inventory import City
from drp.domain.registers import People, Role

NO_DEPUTY = Advice(
    "no-deputy", "name somebody who can decide when the owner cannot be reached: deputy, of the person or the service"
)
ROLE_EMPTY = Advice("role-empty", "name at least one person for the role, under roles")
OBSERVER_NOT_INDEPENDENT = Advice(
    "observer-not-independent", "name an observer from elsewhere, such as the Inspektorat: nobody audits their own work"
)
KEY_PERSON = Advice("key-person", "name a second person for the role, or a deputy of this one")

_NEEDED: dict[Role, str] = {
    "drill-lead": "leads drills",
    "declares": "may declare a disaster",
    "drc-contact": "speaks with the DR centre",
    "observer": "observes drills",
}
_PEOPLE = Record(PEOPLE)


def review_people(city: City) -> Iterator[Finding]:
    yield from _owners(city)
    people = city.people
    if people.people:
        for role, does in _NEEDED.items():
            if not people.roles.get(role):
                yield ROLE_EMPTY.at(_PEOPLE, ("roles", role), f"nobody {does} (role {role})")
        yield from _observers(people)
        yield from _key_persons(people)


def _has_deputy(people: People, name: str) -> bool:
    return people.people[name].deputy not in (None, name)


def _owners(city: City) -> Iterator[Finding]:
    """Owners whom nobody can stand in for: one of the register once, with all services that wait for this person."""
    alone = defaultdict(list)
    for service in city.services.values():
        owner = service.owner
        if owner is None or (service.deputy is not None and service.deputy != owner):
            continue
        if owner.person is None:
            message = f"its owner {owner.name} has no deputy"
            yield NO_DEPUTY.at(service_record(service.id), ("owner",), message, [service.id])
        elif not _has_deputy(city.people, owner.person):
            alone[owner.person].append(service.id)
    for name, services in alone.items():
        message = f"{city.people.people[name].name} has no deputy, and owns {listed(services)}"
        yield NO_DEPUTY.at(_PEOPLE, ("people", name), message, services)


def _observers(people: People) -> Iterator[Finding]:
    leads = people.roles.get("drill-lead", ())
    led_from = {people.people[lead].agency: people.people[lead].name for lead in reversed(leads)}
    for position, name in enumerate(people.roles.get("observer", ())):
        person, place = people.people[name], ("roles", "observer", position)
        if name in leads:
            yield OBSERVER_NOT_INDEPENDENT.at(_PEOPLE, place, f"{person.name} observes drills and leads them")
        elif person.agency is not None and person.agency in led_from:
            message = (
                f"{person.name} observes drills and is of {person.agency!r}, as {led_from[person.agency]} who leads"
            )
            yield OBSERVER_NOT_INDEPENDENT.at(_PEOPLE, place, message)


def _key_persons(people: People) -> Iterator[Finding]:
    for role, names in people.roles.items():
        if len(set(names)) == 1 and not _has_deputy(people, names[0]):
            message = f"only {people.people[names[0]].name} has the role {role}, and has no deputy"
            yield KEY_PERSON.at(_PEOPLE, ("roles", role, 0), message)
