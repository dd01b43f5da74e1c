"""The locations and links as a drawing: by how many lines each location is away from the primary site."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Mapping, Sequence

from drp.domain.forecasts.lines import neighbours
from drp.domain.impact.cuts import residents_of
from drp.domain.impact.impact import Impact
from drp.domain.impact.single_points import SinglePoint
from drp.domain.impact.things import Thing
from drp.domain.inventory import City
from drp.reports.graph_model import Edge, Node, Panel, State, place_state, plain, sites_at

_LONGEST_TITLE = 36


def network_panels(
    city: City,
    impact: Impact | None,
    points: Sequence[SinglePoint] = (),
    *,
    affected_only: bool = False,
) -> list[Panel]:
    """The locations that lines connect with the primary site, then all others, each a panel of its own. With an
    impact and `affected_only`: what is lost and cut off, and the locations beside it."""
    ways = neighbours(city.network)
    start = city.workspace.sites.primary.location
    hops = {} if start is None else _hops(ways, [start])
    others = {} if len(hops) == len(ways) else _hops(ways, _hubs(ways, hops))
    chosen = set(ways) if impact is None or not affected_only else _affected(ways, impact)
    marks = {point.thing: point for point in points}
    panels = []
    for columns, title in ((hops, "Locations and lines"), (others, "Locations without any line to the primary site")):
        names = [name for name in columns if name in chosen]
        if not names:
            continue
        whole = len(names) == len(columns)
        headings = _headings(max(columns.values())) if columns is hops and whole else ()
        nearest = min(columns[name] for name in names)
        nodes = _nodes(city, impact, marks, {name: columns[name] - nearest for name in names}, ranked=columns is hops)
        panels.append(Panel(title, nodes, _edges(city, impact, marks, columns, set(names)), headings, "no line"))
    return panels


def _headings(last: int) -> tuple[str, ...]:
    return ("primary site", *(f"{number} line{'s' if number > 1 else ''} away" for number in range(1, last + 1)))


def _hops(ways: Mapping[str, list[tuple[str, str]]], starts: Sequence[str]) -> dict[str, int]:
    """How many links each location is away from the nearest start that it is connected with; starts that others reach
    first are none."""
    found: dict[str, int] = {}
    for start in starts:
        if start in found:
            continue
        found[start] = 0
        pending = deque([start])
        while pending:
            place = pending.popleft()
            for _, other in ways[place]:
                if other not in found:
                    found[other] = found[place] + 1
                    pending.append(other)
    return found


def _hubs(ways: Mapping[str, list[tuple[str, str]]], known: Collection[str]) -> list[str]:
    """The locations elsewhere, those with the most lines first."""
    return sorted((name for name in ways if name not in known), key=lambda name: (-len(ways[name]), name))


def _affected(ways: Mapping[str, list[tuple[str, str]]], impact: Impact) -> set[str]:
    lost_links = {thing.id for thing in impact.lost if thing.kind == "link"}
    touched = {name for name, links in ways.items() if any(link in lost_links for link, _ in links)}
    touched |= {thing.id for thing in impact.lost if thing.kind == "location"} | set(impact.cut_off)
    touched |= set(impact.hanging)
    return touched | {other for name in touched for _, other in ways[name]}


def _nodes(
    city: City,
    impact: Impact | None,
    marks: Mapping[Thing, SinglePoint],
    columns: Mapping[str, int],
    *,
    ranked: bool,
) -> tuple[Node, ...]:
    residents, sites = residents_of(city), sites_at(city)
    nodes = []
    for name, column in columns.items():
        state, mark = place_state(impact, name)
        thing = Thing("location", name)
        if thing in marks:
            state, mark = "single", f"CUTS OFF {marks[thing].locations}"
        count = len(residents[name])
        agencies = [f"{count} {'agency' if count == 1 else 'agencies'}"] if count else []
        title = plain(city.network.locations[name].title)
        facts = " · ".join([name, *sites.get(name, ()), *agencies])
        rank = column if ranked else None
        nodes.append(Node(thing, plain(title, _LONGEST_TITLE), facts, column, state, mark, title, rank))
    return tuple(nodes)


def _edges(
    city: City,
    impact: Impact | None,
    marks: Mapping[Thing, SinglePoint],
    columns: Mapping[str, int],
    chosen: Collection[str],
) -> tuple[Edge, ...]:
    edges = []
    for name, link in city.network.links.items():
        if link.a in chosen and link.b in chosen:
            near, far = sorted((link.a, link.b), key=lambda place: columns[place])
            state, label = _link_state(impact, marks, Thing("link", name))
            edges.append(Edge(Thing("location", near), Thing("location", far), "link", label, state, name))
    return tuple(edges)


def _link_state(impact: Impact | None, marks: Mapping[Thing, SinglePoint], link: Thing) -> tuple[State, str]:
    if impact is not None and link in impact.lost:
        return "lost", f"✕ {link.id}"
    return ("single", f"! {link.id}") if link in marks else ("", link.id)
