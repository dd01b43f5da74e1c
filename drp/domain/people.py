"""Who stands behind a service."""

from __future__ import annotations

from drp.domain.inventory import City
from drp.domain.registers import Person
from drp.domain.service import Contact, Service


def person_of(city: City, contact: Contact | None) -> Person | None:
    """The person of the register, or one made of what the service's file says itself; None where nobody is named, or
    where the register could not be read."""
    if contact is None:
        return None
    if contact.person is not None:
        return city.people.people.get(contact.person)
    assert contact.name is not None
    return Person(name=contact.name, contact=contact.contact)


def owner_name(city: City, service: Service) -> str | None:
    person = person_of(city, service.owner)
    return None if person is None else person.name
