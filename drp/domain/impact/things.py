"""The things of a city that can be lost, and how people name them."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from drp.domain.inventory import City
from drp.errors import UsageError

Kind = Literal["service", "host", "link", "location", "site", "dr-centre", "agency", "asset"]
KINDS: tuple[Kind, ...] = get_args(Kind)

KIND_WORDS: Mapping[Kind, str] = {kind: kind for kind in KINDS} | {"dr-centre": "DR centre"}

_MOST_NAMES_COMPARED = 5_000
_MOST_SHOWN = 5


@dataclass(frozen=True, slots=True, order=True)
class Thing:
    """One thing of the inventory. Ids are unique within their kind only."""

    kind: Kind
    id: str

    @property
    def key(self) -> str:
        """`link:r09`: how it is named without doubt, on the command line and in JSON."""
        return f"{self.kind}:{self.id}"

    def __str__(self) -> str:
        return f"{KIND_WORDS[self.kind]} {self.id}"


def title_of(city: City, thing: Thing) -> str:
    """What people call a thing; empty where its id is all there is."""
    return next(iter(_titles(city, thing)), "")


def find_things(city: City, names: Sequence[str]) -> tuple[Thing, ...]:
    """The things that these names mean, each once. A name is an id, a title, or `kind:` and either; capitals and
    spaces don't matter. UsageError where a name means nothing, or several things."""
    directory = _Directory(city)
    return tuple(dict.fromkeys(directory.find(name) for name in names))


def _all_things(city: City) -> Iterator[Thing]:
    workspace = city.workspace
    registers: tuple[tuple[Kind, Mapping[str, object]], ...] = (
        ("service", city.services),
        ("host", city.hosts),
        ("link", city.network.links),
        ("location", city.network.locations),
        ("site", {"primary": None, "recovery": None}),
        ("dr-centre", workspace.dr_centres),
        ("agency", workspace.agencies),
        ("asset", city.assets.assets),
    )
    for kind, names in registers:
        for name in names:
            yield Thing(kind, name)


def _titles(city: City, thing: Thing) -> list[str]:
    workspace, name = city.workspace, thing.id
    match thing.kind:
        case "service":
            return [city.services[name].title.en, city.services[name].title.id]
        case "host":
            return []
        case "link":
            link = city.network.links[name]
            ends = f"{city.network.locations[link.a].title} – {city.network.locations[link.b].title}"
            return [*([link.title] if link.title else []), ends, *([f"route {link.route}"] if link.route else [])]
        case "location":
            return [city.network.locations[name].title]
        case "site":
            return [workspace.sites.primary.title if name == "primary" else workspace.sites.recovery.title]
        case "dr-centre":
            return [workspace.dr_centres[name].title]
        case "agency":
            return [workspace.agencies[name].title]
        case "asset":
            return [city.assets.assets[name].title]


class _Directory:
    """All names of a city, folded, with the things that they mean."""

    def __init__(self, city: City) -> None:
        self.ids: dict[str, list[Thing]] = {}
        self.folded_ids: dict[str, list[Thing]] = {}
        self.titles: dict[str, list[Thing]] = {}
        for thing in _all_things(city):
            self.ids.setdefault(thing.id, []).append(thing)
            self.folded_ids.setdefault(_fold(thing.id), []).append(thing)
            for title in dict.fromkeys(_fold(title) for title in _titles(city, thing)):
                self.titles.setdefault(title, []).append(thing)

    def find(self, name: str) -> Thing:
        kind, bare = _split(name)
        for register, wanted in ((self.ids, bare), (self.folded_ids, _fold(bare)), (self.titles, _fold(bare))):
            found = [thing for thing in register.get(wanted, []) if kind in (None, thing.kind)]
            if len(found) > 1:
                listed = " or ".join(thing.key for thing in found[:_MOST_SHOWN])
                raise UsageError(f"{name!r} may mean several things", hint=f"write {listed}")
            if found:
                return found[0]
        close = self._close(kind, _fold(bare))
        known = "name a service, host, link, location, site (primary, recovery), DR centre, agency or asset"
        hint = f"{known}, by its id or its title"
        if close:
            hint = f"did you mean {' or '.join(thing.key for thing in close)}? Else {hint}"
        raise UsageError(f"nothing is called {name!r}", hint=hint)

    def _close(self, kind: Kind | None, folded: str) -> list[Thing]:
        """Things whose name holds the words that were written, else those with a name much like it."""
        names = [
            name
            for register in (self.folded_ids, self.titles)
            for name, things in register.items()
            if kind is None or any(thing.kind == kind for thing in things)
        ]
        alike = [name for name in names if folded and folded in name]
        if not alike and len(names) <= _MOST_NAMES_COMPARED:
            alike = difflib.get_close_matches(folded, names, n=_MOST_SHOWN)
        things = [
            thing
            for name in alike
            for thing in (*self.folded_ids.get(name, ()), *self.titles.get(name, ()))
            if kind in (None, thing.kind)
        ]
        # A link's title names its two ends: whoever writes half a name rather means one of these.
        return sorted(dict.fromkeys(things), key=lambda thing: thing.kind == "link")[:_MOST_SHOWN]


def _split(name: str) -> tuple[Kind | None, str]:
    """`link:r09` into its kind and the rest; a title may hold a colon of its own."""
    word, colon, rest = name.partition(":")
    kind = next((kind for kind in KINDS if kind == _fold(word)), None)
    return (kind, rest) if colon and kind is not None else (None, name)


def _fold(text: str) -> str:
    return " ".join(text.split()).casefold()
