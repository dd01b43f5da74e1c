"""The locations and links that others hang on: whose loss leaves somebody without any way to the primary site."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

from drp.domain.forecasts.lines import neighbours
from drp.domain.impact.cuts import residents_of
from drp.domain.impact.things import Thing
from drp.domain.inventory import City


@dataclass(frozen=True, slots=True)
class SinglePoint:
    """A location or link, how many other locations and agencies lose their way with it, and which of the recovery
    site and the DR centres do. An agency counts where any of its offices is cut off."""

    thing: Thing
    locations: int
    agencies: int
    sites: tuple[Thing, ...]


def single_points(city: City) -> list[SinglePoint]:
    """All single points between the primary site and the locations that lines connect with it, the worst first. The
    primary site's own location is none of them: without it there is nothing to reach. Nothing where nobody has said
    where that is. One walk over the lines, however large the city is."""
    start = city.workspace.sites.primary.location
    if start is None:
        return []
    walk = _Walk(neighbours(city.network), start)
    residents, sites = residents_of(city), _sites_at(city)
    behind: dict[str, _Behind] = {}
    found: list[SinglePoint] = []
    for place in reversed(walk.order):
        here = _Behind()
        children = sorted(walk.children[place], key=lambda child: walk.lowest[child] < walk.entered[place])
        hanging = [child for child in children if walk.lowest[child] >= walk.entered[place]]
        for child in hanging:
            link = walk.link_to[child]
            if walk.lowest[child] > walk.entered[place]:
                found.append(behind[child].as_point(Thing("link", link)))
        for child in hanging:
            here = here.merged(behind.pop(child))
        if hanging and place != start:
            found.append(here.as_point(Thing("location", place)))
        for child in children[len(hanging) :]:
            here = here.merged(behind.pop(child))
        here.add(residents[place], sites.get(place, ()))
        behind[place] = here
    return sorted(found, key=lambda point: (-point.locations, -point.agencies, point.thing))


def _sites_at(city: City) -> dict[str, list[Thing]]:
    workspace, found = city.workspace, dict[str, list[Thing]]()
    places = [(Thing("site", "recovery"), workspace.sites.recovery.location)]
    places += [(Thing("dr-centre", name), centre.location) for name, centre in workspace.dr_centres.items()]
    for thing, place in places:
        if place is not None:
            found.setdefault(place, []).append(thing)
    return found


@dataclass(slots=True)
class _Behind:
    """What lies behind a location, seen from the primary site."""

    locations: int = 0
    agencies: set[str] = field(default_factory=set)
    sites: set[Thing] = field(default_factory=set)

    def add(self, agencies: Collection[str], sites: Collection[Thing]) -> None:
        self.locations += 1
        self.agencies.update(agencies)
        self.sites.update(sites)

    def merged(self, other: _Behind) -> _Behind:
        """Both together. The smaller is poured into the larger, which keeps a long chain of locations linear."""
        large, small = (self, other) if len(self.agencies) >= len(other.agencies) else (other, self)
        large.locations += small.locations
        large.agencies |= small.agencies
        large.sites |= small.sites
        return large

    def as_point(self, thing: Thing) -> SinglePoint:
        return SinglePoint(thing, self.locations, len(self.agencies), tuple(sorted(self.sites)))


class _Walk:
    """A walk in depth from one location over all that are connected with it (Tarjan's, without recursion).

    `entered` numbers the locations in the order in which they were met; `lowest` is the smallest number that can be
    reached from a location and all behind it without the link that it was met over.
    """

    def __init__(self, ways: Mapping[str, list[tuple[str, str]]], start: str) -> None:
        self.order = [start]
        self.entered = {start: 0}
        self.lowest = {start: 0}
        self.link_to: dict[str, str] = {}
        self.children: dict[str, list[str]] = {start: []}
        pending: list[tuple[str, Iterator[tuple[str, str]]]] = [(start, iter(ways[start]))]
        while pending:
            place, remaining = pending[-1]
            following = next(remaining, None)
            if following is None:
                pending.pop()
                if pending:
                    above = pending[-1][0]
                    self.lowest[above] = min(self.lowest[above], self.lowest[place])
            elif following[1] not in self.entered:
                link, other = following
                self._enter(place, link, other)
                pending.append((other, iter(ways[other])))
            elif following[0] != self.link_to.get(place):
                self.lowest[place] = min(self.lowest[place], self.entered[following[1]])

    def _enter(self, place: str, link: str, other: str) -> None:
        number = len(self.order)
        self.order.append(other)
        self.entered[other] = self.lowest[other] = number
        self.link_to[other] = link
        self.children[place].append(other)
        self.children[other] = []
