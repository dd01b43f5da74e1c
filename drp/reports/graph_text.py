"""The graphs of services and of the network as text for a terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from drp.domain.graph import wave_numbers
from drp.domain.impact.single_points import SinglePoint
from drp.domain.impact.things import Thing, title_of
from drp.domain.inventory import City
from drp.reports.graph_model import Panel, plain, sites_at, stakes
from drp.reports.text_table import capital, counted, joined, table, wrapped


def waves(city: City) -> str:
    """All services by wave, each with what it needs and how many need it."""
    numbers = _waves_of(city)
    needed = Counter(need for service in city.services.values() for need in service.depends_on)
    members: dict[int, list[str]] = {}
    for name in sorted(numbers):
        members.setdefault(numbers[name], []).append(name)
    lines = [about_waves(city)]
    for number in sorted(members):
        lines += ["", f"Wave {number}: {counted(len(members[number]), 'service')}"]
        lines += table(
            [
                [name, tier, f"RTO {rto}", f"needed by {needed[name]}" if needed[name] else "", _needs(city, name)]
                for name in members[number]
                for tier, rto in (stakes(city, name),)
            ]
        )
    return joined(lines)


def about_waves(city: City) -> str:
    """One line over the graph of services."""
    last = max(_waves_of(city).values(), default=0)
    counts = f"{counted(len(city.services), 'service')} in {counted(last, 'wave')}."
    return f"{counts} A service can start when those that it needs are up: they are in earlier waves."


def _waves_of(city: City) -> dict[str, int]:
    return wave_numbers({service.id: service.depends_on for service in city.services.values()})


def _needs(city: City, name: str) -> str:
    service = city.services[name]
    if service.depends_on:
        return f"needs {', '.join(service.depends_on)}"
    return "" if service.states_dependencies else "needs: not stated"


def network(city: City, panels: Sequence[Panel]) -> str:
    """All locations by how far they are from the primary site, each with the lines that lead there from nearer by."""
    arriving: dict[Thing, list[str]] = {}
    for panel in panels:
        for edge in panel.edges:
            medium = city.network.links[edge.link].medium
            arriving.setdefault(edge.target, []).append(f"{edge.link} ({medium}) from {edge.source.id}")
    sites = sites_at(city)
    lines = [about_network(city)]
    for panel in panels:
        groups = [
            (heading, [node for node in panel.nodes if node.column == number])
            for number, heading in enumerate(panel.columns)
        ]
        for heading, nodes in groups or [(panel.title, list(panel.nodes))]:
            lines += ["", f"{capital(heading)}: {counted(len(nodes), 'location')}"]
            lines += table(
                [
                    [
                        node.thing.id,
                        node.name,
                        ", ".join(sites.get(node.thing.id, ())),
                        "; ".join(arriving.get(node.thing, ())),
                    ]
                    for node in nodes
                ]
            )
    return joined(lines)


def about_network(city: City) -> str:
    """One line over the network."""
    counts = f"{counted(len(city.network.locations), 'location')} and {counted(len(city.network.links), 'link')}"
    primary = city.workspace.sites.primary.location
    if primary is None:
        return f"{counts}. Nobody has said at which location the primary site is."
    return f"{counts}, by how many lines are between them and the primary site at {primary}."


def points(city: City, found: Sequence[SinglePoint]) -> str:
    """The locations and links that others hang on, the worst first; then what might be none, if it were tested."""
    lines = [about_points(city, found)]
    rows = [["single point", "title", "cuts off", "agencies there", "and"]]
    worst = [point for point in found if point.locations > 1 or point.sites]
    for point in worst:
        sites = ", ".join(str(thing) for thing in point.sites)
        title = plain(title_of(city, point.thing), 60)
        rows.append([point.thing.key, title, counted(point.locations, "location"), str(point.agencies), sites])
    if worst:
        lines += ["", *table(rows)]
    others = [point.thing.key for point in found if point not in worst]
    if others:
        lines += ["", f"Those that cut off one location each: {len(others)}", *wrapped(", ".join(others))]
    untested = [
        name
        for name, link in sorted(city.network.links.items())
        if link.backup_link is not None and link.last_failover_test is None
    ]
    if untested:
        text = "These links have a backup line, and nobody has tested that it takes over"
        lines += ["", f"{text}: {len(untested)}", *wrapped(", ".join(untested))]
    return joined(lines)


def about_points(city: City, found: Sequence[SinglePoint]) -> str:
    """One line over the single points."""
    start = city.workspace.sites.primary.location
    if start is None:
        return "Not known: nobody has said at which location the primary site is (sites.primary.location in drp.yaml)."
    if not found:
        return f"No location and no link cuts another location off from the primary site at {start} by itself."
    links = sum(point.thing.kind == "link" for point in found)
    counts = f"{counted(len(found) - links, 'location')} and {counted(links, 'link')}"
    return f"{capital(counts)} that cut others off from the primary site at {start} when they alone are lost."
