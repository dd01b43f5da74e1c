"""Finds what people mean when they write a name in their own words: by id, by title, by what stands in brackets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import chain

from drp.domain.importing.columns import in_brackets, in_words, outside_brackets
from drp.domain.inventory import City


class KnownNames:
    """What a city declares, by the words that people write for it."""

    def __init__(self, city: City) -> None:
        self.city = city
        workspace = city.workspace
        self.agencies = index_of((name, agency.title) for name, agency in workspace.agencies.items())
        self.people = index_of((name, person.name) for name, person in city.people.people.items())
        self.clusters = index_of(
            (name, title) for name, titles in workspace.clusters.items() for title in (titles.en, titles.id)
        )
        self.tiers = index_of((name, name) for name in workspace.tiers)
        primary = [host for host in city.hosts.values() if host.site == "primary"]
        self.hosts = {host.address: host.name for host in primary}
        self.hosts |= {host.name.casefold(): host.name for host in primary}

    def services_and(self, others: Iterable[tuple[str, str]]) -> dict[str, str]:
        """The index of the declared services and of others, as (id, title)."""
        declared = (
            (service.id, title)
            for service in self.city.services.values()
            for title in (service.title.id, service.title.en)
        )
        return index_of(chain(declared, others))


def index_of(titles: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Ids by their own words, by their title's, and by what the title has in and outside brackets. Words that stand
    for two are nobody's."""
    found: dict[str, str] = {}
    names: dict[str, str] = {}
    twice: set[str] = set()
    for name, title in titles:
        names[in_words(name)] = name
        for words in _ways_to_write(title):
            if found.setdefault(words, name) != name:
                twice.add(words)
    for words in twice:
        del found[words]
    return found | names


def look_up(index: Mapping[str, str], text: str) -> str | None:
    """The one that a text means; None where it means nothing known, or two different ones."""
    exact = index.get(in_words(text))
    found = {index[words] for words in _ways_to_write(text) if words in index}
    return exact or (found.pop() if len(found) == 1 else None)


def _ways_to_write(title: str) -> set[str]:
    return {in_words(title), in_words(outside_brackets(title)), *map(in_words, in_brackets(title))} - {""}
