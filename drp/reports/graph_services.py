"""The services as a drawing: in waves, with whatever takes them down at their left."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from drp.domain.graph import wave_numbers
from drp.domain.impact.impact import LOST_FOR_GOOD, Impact
from drp.domain.impact.things import KIND_WORDS, Thing, title_of
from drp.domain.inventory import City
from drp.reports.graph_model import Edge, Node, Panel, plain, service_state, stakes


def service_panel(city: City, impact: Impact | None, *, affected_only: bool = False) -> Panel:
    """All services, or only those that go down or lose protection; with what was lost, if anything was."""
    names = list(city.services)
    if impact is not None and affected_only:
        names = [name for name in names if name in impact.down or name in impact.unprotected]
    chosen = set(names)
    needs = {name: [need for need in city.services[name].depends_on if need in chosen] for name in names}
    waves = wave_numbers(needs)
    causes: Mapping[Thing, int] = {}
    nodes: list[Node] = []
    edges: list[Edge] = []
    if impact is not None:
        took = _causes(impact)
        causes = _cause_columns(took)
        nodes += [_cause_node(city, impact, thing, column) for thing, column in causes.items()]
        edges += [Edge(above, thing, "takes-down", state="lost") for thing, above in took.items() if above is not None]
        edges += _blows(impact, causes)
    first = 1 + max(causes.values(), default=-1)
    nodes += [_service_node(city, impact, name, first, waves[name]) for name in names]
    edges += [_needs(impact, need, name) for name in names for need in needs[name]]
    headings = ["lost" if number == 0 else "with it" for number in range(first)]
    headings += [f"wave {number}" for number in range(1, 1 + max(waves.values(), default=0))]
    columns = () if affected_only else tuple(headings)
    return Panel(
        _title(city, names), tuple(nodes), tuple(edges), columns, "no dependency declared, in either direction"
    )


def _title(city: City, names: Collection[str]) -> str:
    if len(names) == len(city.services):
        return f"All {len(names)} services, in waves"
    return f"The {len(names)} services of {len(city.services)} that are affected"


def _service_node(city: City, impact: Impact | None, name: str, first: int, wave: int) -> Node:
    state, mark = service_state(impact, name)
    hint = plain(city.services[name].title.en)
    thing, facts = Thing("service", name), " · RTO ".join(stakes(city, name))
    if not city.services[name].states_dependencies:
        facts += " · needs not stated"
    return Node(thing, name, facts, first + wave - 1, state, mark, hint, wave)


def _needs(impact: Impact | None, need: str, name: str) -> Edge:
    falls = impact is not None and need in impact.down and name in impact.down
    return Edge(Thing("service", need), Thing("service", name), "needs", state="down" if falls else "")


def _causes(impact: Impact) -> Mapping[Thing, Thing | None]:
    """What is not a service and takes services down or their protection away, with what took it in turn."""
    found: dict[Thing, Thing | None] = {
        thing: None for thing in impact.named if thing.kind not in ("service", "location", "link")
    }
    direct = [cause for down in impact.down.values() for cause in down.causes if cause.kind != "service"]
    for weaker in impact.unprotected.values():
        direct += [cause for loss in weaker.losses if loss.code in LOST_FOR_GOOD for cause in loss.causes]
    for thing in dict.fromkeys(direct):
        current: Thing | None = thing
        while current is not None and current not in found:
            above = impact.cause_of(current)
            found[current] = above
            current = above
    return found


def _cause_columns(causes: Mapping[Thing, Thing | None]) -> dict[Thing, int]:
    """How many steps each cause is from what was named. Chains are as long as there are kinds of things, no longer."""
    columns: dict[Thing, int] = {}
    for thing in causes:
        column, above = 0, causes[thing]
        while above is not None:
            column, above = column + 1, causes[above]
        columns[thing] = column
    return columns


def _cause_node(city: City, impact: Impact, thing: Thing, column: int) -> Node:
    title = plain(title_of(city, thing), 36)
    facts = f"{KIND_WORDS[thing.kind]} · {title}" if title else KIND_WORDS[thing.kind]
    if thing in impact.lost:
        return Node(thing, thing.id, facts, column, "lost", "LOST", title)
    return Node(thing, thing.id, facts, column, "cut-off", "CUT OFF", title)


def _blows(impact: Impact, causes: Collection[Thing]) -> list[Edge]:
    """From what was lost to the services that it takes down, or whose protection it takes away."""
    edges = [
        Edge(cause, Thing("service", name), "takes-down", state="lost")
        for name, down in impact.down.items()
        for cause in down.causes
        if cause in causes
    ]
    return edges + [
        Edge(cause, Thing("service", name), "protects", state="weaker")
        for name, weaker in impact.unprotected.items()
        for loss in weaker.losses
        for cause in loss.causes
        if cause in causes and loss.code in LOST_FOR_GOOD
    ]
