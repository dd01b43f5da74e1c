"""Ways over the city's lines: from one location to another, and what is left when something is cut."""

from __future__ import annotations

import heapq
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from drp.domain.registers import Network


@dataclass(frozen=True, slots=True)
class Route:
    """The way with the most room between two locations. `capacity` is its narrowest part in bits per second; None
    where some part of it has no declared capacity, so that nobody knows."""

    links: tuple[str, ...]
    capacity: int | None


def neighbours(network: Network, *, without: Collection[str] = ()) -> dict[str, list[tuple[str, str]]]:
    """For each location, the (link, other end) pairs that lead out of it; `without` names links and locations that
    are cut."""
    cut = set(without)
    found: dict[str, list[tuple[str, str]]] = {name: [] for name in network.locations if name not in cut}
    for name, link in network.links.items():
        if name not in cut and link.a not in cut and link.b not in cut:
            found[link.a].append((name, link.b))
            found[link.b].append((name, link.a))
    return found


def widest_route(network: Network, start: str, end: str, *, without: Collection[str] = ()) -> Route | None:
    """The way whose narrowest part is widest, the shortest of these; None where there is none. A link without a
    capacity counts as the narrowest of all, and makes the capacity of a way that needs it unknown."""
    ways = neighbours(network, without=without)
    if start not in ways or end not in ways:
        return None
    reached: set[str] = set()
    queue: list[tuple[int, int, str, tuple[str, ...]]] = [(-_WIDER_THAN_ALL, 0, start, ())]
    while queue:
        width, hops, place, links = heapq.heappop(queue)
        if place in reached:
            continue
        reached.add(place)
        if place == end:
            return Route(links, _narrowest(network, (start, end), links))
        for link, other in ways[place]:
            if other not in reached:
                capacity = network.links[link].capacity or 0
                heapq.heappush(queue, (max(width, -capacity), hops + 1, other, (*links, link)))
    return None


def reachable(ways: Mapping[str, list[tuple[str, str]]], start: str) -> set[str]:
    """All locations that `start` is connected with, itself included; empty where it is cut itself."""
    found: set[str] = set()
    pending = [start] if start in ways else []
    while pending:
        place = pending.pop()
        if place not in found:
            found.add(place)
            pending += [other for _, other in ways[place]]
    return found


_WIDER_THAN_ALL = 1 << 62


def _narrowest(network: Network, ends: tuple[str, str], links: tuple[str, ...]) -> int | None:
    capacities = [network.links[link].capacity for link in links]
    if None in capacities:
        return None
    known = [capacity for capacity in capacities if capacity is not None]
    known += [lan for lan in (network.locations[end].lan for end in ends) if lan is not None]
    return min(known, default=None)
