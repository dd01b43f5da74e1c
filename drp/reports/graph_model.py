"""What a drawing of the city shows, whatever it is drawn with: panels of nodes and edges, with what happened to them.

Built from the inventory alone. Titles come from people's files and may hold anything: `plain` makes them one line of
visible characters, and whoever draws them escapes them.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal

from drp.domain.impact.impact import LOST_FOR_GOOD, Impact, Unprotected
from drp.domain.impact.things import Thing, title_of
from drp.domain.inventory import City
from drp.domain.objectives import objectives_of
from drp.domain.values import show_duration
from drp.reports.wording import visible

State = Literal["", "lost", "down", "cut-off", "weaker", "single"]
"""`weaker`: it loses protection; `single`: others hang on it."""

EdgeKind = Literal["needs", "takes-down", "protects", "link"]

_NO_CHARACTERS = {0xFFFE: "\N{REPLACEMENT CHARACTER}", 0xFFFF: "\N{REPLACEMENT CHARACTER}"}


@dataclass(frozen=True, slots=True)
class Node:
    """One box. `name` is written large, `facts` small, `mark` in capitals where something happened to it; `hint` is
    what a mouse over it shows. `rank` is a service's wave, or how many lines a location is from the primary site."""

    thing: Thing
    name: str
    facts: str
    column: int
    state: State = ""
    mark: str = ""
    hint: str = ""
    rank: int | None = None


@dataclass(frozen=True, slots=True)
class Edge:
    """From what is needed to what needs it; a link goes both ways. `label` is written beside it; `link` is its id."""

    source: Thing
    target: Thing
    kind: EdgeKind
    label: str = ""
    state: State = ""
    link: str = ""


@dataclass(frozen=True, slots=True)
class Panel:
    """One graph of a drawing. `columns` are the headings over its columns, where these mean something; `alone` is the
    heading over the nodes that no edge touches."""

    title: str
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    columns: tuple[str, ...] = ()
    alone: str = ""


def plain(text: str, most: int = 200) -> str:
    """One line of visible characters, cut where it is longer than `most`."""
    line = " ".join(visible(text).translate(_NO_CHARACTERS).split())
    return line if len(line) <= most else line[: most - 1] + "…"


def called(city: City, thing: Thing) -> str:
    """A thing with its title, for a heading: `location mainhole-jalan-baru (Mainhole Jalan Baru)`."""
    title = plain(title_of(city, thing), 60)
    return f"{thing} ({title})" if title and title.casefold() != thing.id.casefold() else str(thing)


def listed(city: City, things: Collection[Thing], most: int = 3) -> str:
    """Several things for a heading: all of them, or the first few and how many more."""
    shown = [called(city, thing) for thing in list(things)[:most]]
    if len(things) > most:
        shown.append(f"{len(things) - most} more")
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"


def stakes(city: City, name: str) -> tuple[str, str]:
    """A service's tier and RTO; what is not declared is said so."""
    objectives = objectives_of(city.services[name], city.workspace.tiers)
    return city.services[name].tier or "no tier", show_duration(objectives.rto) if objectives else "none"


def service_state(impact: Impact | None, name: str) -> tuple[State, str]:
    """What happened to a service, and the words for it."""
    if impact is None:
        return "", ""
    weaker = impact.unprotected.get(name)
    if name in impact.down:
        state: State = "lost" if Thing("service", name) in impact.lost else "down"
        mark = "LOST" if state == "lost" else "DOWN"
        return state, f"{mark}, {_weaker(weaker)}" if weaker else mark
    return ("weaker", _weaker(weaker)) if weaker else ("", "")


def _weaker(found: Unprotected) -> str:
    codes = {loss.code for loss in found.losses}
    if codes & LOST_FOR_GOOD:
        return "NO RECOVERY"
    return "BACKUPS STOP" if codes == {"backups-cut-off"} else "RECOVERY CUT OFF"


def place_state(impact: Impact | None, name: str) -> tuple[State, str]:
    """What happened to a location, and the words for it."""
    if impact is None:
        return "", ""
    if Thing("location", name) in impact.lost:
        return "lost", "LOST"
    if name in impact.cut_off:
        return "cut-off", "CUT OFF"
    return ("weaker", "BACKUP LINE UNTESTED") if name in impact.hanging else ("", "")


def sites_at(city: City) -> Mapping[str, list[str]]:
    """What stands at each location beside offices, in words."""
    workspace, found = city.workspace, dict[str, list[str]]()
    places = [("primary site", workspace.sites.primary.location), ("recovery site", workspace.sites.recovery.location)]
    places += [(f"DR centre {name}", centre.location) for name, centre in workspace.dr_centres.items()]
    for words, place in places:
        if place is not None:
            found.setdefault(place, []).append(words)
    return found
