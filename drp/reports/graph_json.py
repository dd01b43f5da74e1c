"""A drawing and an impact as plain JSON values. Things are named `kind:id`; durations are whole milliseconds."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from drp.domain.impact.impact import Impact
from drp.domain.impact.single_points import SinglePoint
from drp.domain.impact.things import title_of
from drp.domain.inventory import City
from drp.domain.objectives import Objectives
from drp.domain.values import milliseconds
from drp.reports.graph_model import Node, Panel

SCHEMA = 1

_DEEPEST = 2
_ENCODE = json.JSONEncoder(ensure_ascii=False).encode


def draw(city: City, panels: Sequence[Panel], impact: Impact | None, points: Sequence[SinglePoint] | None) -> str:
    """The whole as text, a node, an edge or another part to a line. `impact` and `single_points` are null where nobody
    asked for them."""
    return _lines(_record(city, panels, impact, points)) + "\n"


def _lines(value: Any, indent: str = "") -> str:
    """JSON with the parts of the two outer levels on lines of their own: much faster than indenting all of it."""
    inner = indent + " "
    if isinstance(value, dict) and len(inner) <= _DEEPEST:
        parts = [f"{_ENCODE(key)}: {_lines(item, inner)}" for key, item in value.items()]
        return "{\n" + ",\n".join(inner + part for part in parts) + f"\n{indent}}}"
    if isinstance(value, list) and value:
        parts = [inner + _ENCODE(item) for item in value]
        return "[\n" + ",\n".join(parts) + f"\n{indent}]"
    return _ENCODE(value)


def _record(
    city: City, panels: Sequence[Panel], impact: Impact | None, points: Sequence[SinglePoint] | None
) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "nodes": [_node(city, node) for panel in panels for node in panel.nodes],
        "edges": [
            {
                "from": edge.source.key,
                "to": edge.target.key,
                "kind": edge.kind,
                "link": edge.link or None,
                "state": edge.state or None,
            }
            for panel in panels
            for edge in panel.edges
        ],
        "impact": None if impact is None else _impact(city, impact),
        "single_points": None if points is None else [_point(point) for point in points],
    }


def _node(city: City, node: Node) -> dict[str, Any]:
    return {
        "key": node.thing.key,
        "kind": node.thing.kind,
        "id": node.thing.id,
        "title": title_of(city, node.thing),
        **({"wave": node.rank} if node.thing.kind == "service" else {}),
        **({"lines_away": node.rank} if node.thing.kind == "location" else {}),
        "state": node.state or None,
    }


def _objectives(found: Objectives | None) -> dict[str, int | None]:
    return {
        "rto_ms": milliseconds(found.rto) if found else None,
        "rpo_ms": milliseconds(found.rpo) if found else None,
        "mtpd_ms": milliseconds(found.mtpd) if found and found.mtpd is not None else None,
    }


def _impact(city: City, impact: Impact) -> dict[str, Any]:
    return {
        "named": [thing.key for thing in impact.named],
        "lost": [
            {"thing": thing.key, "because": None if cause is None else cause.key}
            for thing, cause in impact.lost.items()
        ],
        "unreachable": [{"thing": thing.key, "because": cause.key} for thing, cause in impact.unreachable.items()],
        "down": [
            {
                "service": name,
                "agency": city.services[name].agency,
                "tier": city.services[name].tier,
                **_objectives(down.objectives),
                "causes": [cause.key for cause in down.causes],
                "recovers_on": list(down.recovers_on),
                "obstacle": down.obstacle,
            }
            for name, down in impact.down.items()
        ],
        "cut_off": [
            {
                "location": cut.location,
                "because": cut.because.key,
                "agencies": list(cut.agencies),
                "reaches_recovery_site": cut.reaches_recovery,
            }
            for cut in impact.cut_off.values()
        ],
        "agencies": [
            {"agency": cut.agency, "locations": list(cut.offices), "wholly": cut.wholly} for cut in impact.agencies
        ],
        "apart": [thing.key for thing in impact.apart],
        "unprotected": [
            {
                "service": name,
                "tier": city.services[name].tier,
                **_objectives(weaker.objectives),
                "losses": [
                    {"code": loss.code, "causes": [cause.key for cause in loss.causes]} for loss in weaker.losses
                ],
            }
            for name, weaker in impact.unprotected.items()
        ],
        "backup_lines": [
            {
                "link": line.link,
                "backup": line.backup,
                "last_failover_test": None if line.last_test is None else line.last_test.isoformat(),
            }
            for line in impact.backup_lines
        ],
        "untested_way_only": list(impact.hanging),
        "notes": [{"code": note.code, "text": note.text, "things": list(note.things)} for note in impact.notes],
    }


def _point(point: SinglePoint) -> dict[str, Any]:
    return {
        "thing": point.thing.key,
        "locations": point.locations,
        "agencies": point.agencies,
        "sites": [thing.key for thing in point.sites],
    }
