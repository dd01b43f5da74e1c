"""The graphs of a city and what a loss does to them, in whichever form is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from drp.domain.impact.impact import Impact, impact_of
from drp.domain.impact.single_points import SinglePoint, single_points
from drp.domain.inventory import City
from drp.errors import UsageError
from drp.reports import graph_json, graph_mermaid, graph_svg, graph_text, impact_text
from drp.reports.graph_model import Panel, listed, plain
from drp.reports.graph_network import network_panels
from drp.reports.graph_services import service_panel

Form = Literal["text", "mermaid", "svg", "json"]

MOST_DRAWN = 400
"""More boxes than this nobody can read in one picture."""

_MOST_LINES = 1500


def draw_services(city: City, form: Form) -> str:
    """What depends on what."""
    if form == "text":
        return graph_text.waves(city)
    title = f"{_name(city)}: what depends on what"
    return _drawn(city, form, [service_panel(city, None)], title, graph_text.about_waves(city))


def draw_network(city: City, form: Form) -> str:
    """Which lines connect the locations."""
    panels = network_panels(city, None)
    if form == "text":
        return graph_text.network(city, panels)
    return _drawn(city, form, panels, f"{_name(city)}: locations and lines", graph_text.about_network(city))


def draw_impact(city: City, form: Form, things: Sequence[str], *, network: bool = False) -> str:
    """What is lost with these things; the drawn forms show the services, the network, or both, as they are affected.
    With `network` they show the network alone. UsageError where a thing is unknown."""
    impact = impact_of(city, things)
    if form == "text":
        return impact_text.impact(city, impact)
    panels = _affected_panels(city, impact, network=network, whole=form == "json")
    title = f"What goes down with {listed(city, impact.named)}"
    return _drawn(city, form, panels, title, impact_text.summary(city, impact), impact=impact)


def draw_single_points(city: City, form: Form) -> str:
    """Where the network hangs on one location or one link."""
    points = single_points(city)
    if form == "text":
        return graph_text.points(city, points)
    title, panels = f"{_name(city)}: single points of the network", network_panels(city, None, points)
    return _drawn(city, form, panels, title, graph_text.about_points(city, points), points=points)


def _name(city: City) -> str:
    return plain(city.workspace.organisation.name, 80)


def _affected_panels(city: City, impact: Impact, *, network: bool, whole: bool) -> list[Panel]:
    """All of each graph that the loss concerns; of a large one only what is affected, unless it must be `whole`."""
    in_network = any(thing.kind in ("location", "link") for thing in impact.lost)
    elsewhere = any(thing.kind not in ("location", "link") for thing in impact.named)
    panels: list[Panel] = []
    if not network and (impact.down or impact.unprotected or elsewhere):
        small = whole or len(city.services) <= MOST_DRAWN
        panels.append(service_panel(city, impact, affected_only=not small))
    if network or in_network:
        small = whole or len(city.network.locations) <= MOST_DRAWN
        panels += network_panels(city, impact, affected_only=not small)
    return panels


def _drawn(
    city: City,
    form: Form,
    panels: Sequence[Panel],
    title: str,
    subtitle: str,
    *,
    impact: Impact | None = None,
    points: Sequence[SinglePoint] | None = None,
) -> str:
    if form == "json":
        return graph_json.draw(city, panels, impact, points)
    if form == "mermaid":
        return graph_mermaid.draw(panels)
    boxes, lines = sum(len(panel.nodes) for panel in panels), sum(len(panel.edges) for panel in panels)
    if boxes > MOST_DRAWN or lines > _MOST_LINES:
        hint = "take --format text, mermaid or json"
        if impact is None:
            hint = f"name a thing, to draw only what goes down with it: drp graph THING --format svg; or {hint}"
        raise UsageError(f"{boxes} boxes and {lines} lines are too many for one picture", hint=hint)
    return graph_svg.draw(title, subtitle, panels)
