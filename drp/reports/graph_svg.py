"""A drawing as one SVG file: columns of boxes with smooth lines between them; readable on paper and in the dark.

Nothing is told by colour alone: what is lost, down, cut off or weaker has a border and a word of its own. Nothing is
loaded from elsewhere, and all texts are escaped.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise

from drp.domain.impact.things import Thing
from drp.reports.graph_layout import Box, Layout, Stop, arrange
from drp.reports.graph_model import Edge, EdgeKind, Node, Panel, State, plain
from drp.reports.graph_style import MEANINGS, SIGNS, STYLE

_MARGIN = 28.0
_BOX_GAP = 14.0
_COLUMN_GAP = 92.0
_BULGE = 42.0
_LEAST_WIDTH = 720.0
_NAME, _FACTS, _MARK, _LABEL, _TITLE = 8.9, 6.9, 8.0, 6.7, 11.5
"""Widths of a character in bold 13, 11, bold 11, 11 and bold 18 px, on the generous side: fonts differ."""


def draw(title: str, subtitle: str, panels: Sequence[Panel]) -> str:
    """The drawing as the text of an SVG file."""
    drawn, bottom, width = [], 92.0, _LEAST_WIDTH
    for panel in panels:
        picture = _Picture(panel, bottom)
        drawn += picture.drawn
        bottom, width = picture.bottom + 40, max(width, picture.right + _MARGIN)
    most = int((width - 2 * _MARGIN) / _TITLE)
    heading = [_text(_MARGIN, 40, plain(title, most), "title"), _text(_MARGIN, 64, plain(subtitle, 2 * most), "quiet")]
    legend, bottom = _legend(panels, bottom, width)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="drp-graph" width="{width:.0f}" height="{bottom:.0f}" '
        f'viewBox="0 0 {width:.0f} {bottom:.0f}" role="img" aria-labelledby="drp-graph-title drp-graph-text">\n'
        f'<title id="drp-graph-title">{_escaped(title)}</title>\n'
        f'<desc id="drp-graph-text">{_escaped(subtitle)}</desc>\n'
        f"<style>{STYLE}</style>\n"
        f'<rect class="paper" width="100%" height="100%"/>\n' + "\n".join([*heading, *drawn, *legend]) + "\n</svg>\n"
    )


def _escaped(text: str) -> str:
    return escape(plain(text, 500))


def _text(x: float, y: float, content: str, style: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{style}" text-anchor="{anchor}">{_escaped(content)}</text>'


@dataclass(frozen=True, slots=True)
class _Size:
    width: float
    height: float


def _mark(node: Node) -> str:
    return f"{SIGNS[node.state]} {node.mark}" if node.mark else ""


def _size(node: Node) -> _Size:
    width = max(len(node.name) * _NAME, len(node.facts) * _FACTS, len(_mark(node)) * _MARK)
    return _Size(width + 26, 62 if node.mark else 46)


class _Picture:
    """One panel, drawn from a given height downwards."""

    def __init__(self, panel: Panel, top: float) -> None:
        self.sizes = {node.thing: _size(node) for node in panel.nodes}
        edges = [edge for edge in panel.edges if edge.source != edge.target]
        touched = {thing for edge in edges for thing in (edge.source, edge.target)}
        joined = [node for node in panel.nodes if node.thing in touched]
        alone = [node for node in panel.nodes if node.thing not in touched]
        self.drawn = [_text(_MARGIN, top, panel.title, "panel")]
        self.right, self.bottom = 0.0, top + 12
        if joined:
            self._layers(joined, edges, panel.columns)
        if alone:
            self._grid(alone, panel.alone)

    def _layers(self, nodes: Sequence[Node], edges: Sequence[Edge], headings: Sequence[str]) -> None:
        top = self.bottom + (40 if headings else 18)
        boxes = [Box(node.thing, node.column, self.sizes[node.thing].height + _BOX_GAP) for node in nodes]
        layout = arrange(boxes, [(edge.source, edge.target) for edge in edges])
        columns, right = _columns(nodes, edges, self.sizes, headings)
        middles = {box.key: top + layout.centre(box) for box in boxes}
        self.drawn += [
            _text((column.left + column.right) / 2, top - 14, heading, "heading", "middle")
            for heading, column in zip(headings, columns, strict=False)
        ]
        self.drawn += _Lines(edges, layout, columns, {node.thing: self.sizes[node.thing] for node in nodes}, top).draw()
        for node in nodes:
            column = columns[node.column]
            size = _Size(column.right - column.left, self.sizes[node.thing].height)
            self.drawn.append(_box(node, column.left, middles[node.thing], size))
        self.right, self.bottom = right, top + layout.height

    def _grid(self, nodes: Sequence[Node], heading: str) -> None:
        """Boxes without lines, in rows as wide as the drawing."""
        width = max(self.sizes[node.thing].width for node in nodes)
        height = max(self.sizes[node.thing].height for node in nodes)
        room = max(self.right, _LEAST_WIDTH * 1.6) - _MARGIN
        in_row = max(1, int((room + _BOX_GAP) / (width + _BOX_GAP)))
        top = self.bottom + 44
        self.drawn.append(_text(_MARGIN, top - 14, heading, "heading"))
        for number, node in enumerate(nodes):
            left = _MARGIN + number % in_row * (width + _BOX_GAP)
            middle = top + height / 2 + number // in_row * (height + _BOX_GAP)
            self.drawn.append(_box(node, left, middle, _Size(width, height)))
            self.right = max(self.right, left + width)
        self.bottom = top + -(-len(nodes) // in_row) * (height + _BOX_GAP)


@dataclass(frozen=True, slots=True)
class _Column:
    """Its edges, and how far before it lines already run level, so that their labels have a place of their own."""

    left: float
    right: float
    lead: float


def _columns(
    nodes: Iterable[Node], edges: Iterable[Edge], sizes: Mapping[Thing, _Size], headings: Sequence[str]
) -> tuple[list[_Column], float]:
    """All columns, and where the last one ends with the lines that bulge out of it."""
    widths: dict[int, float] = {number: len(heading) * _FACTS for number, heading in enumerate(headings)}
    for node in nodes:
        widths[node.column] = max(widths.get(node.column, 0.0), sizes[node.thing].width)
    places = {node.thing: node.column for node in nodes}
    leads: dict[int, float] = {}
    for edge in edges:
        number = places[edge.target] + (places[edge.source] == places[edge.target])
        leads[number] = max(leads.get(number, 0.0), len(edge.label) * _LABEL + 14 if edge.label else 0.0)
    columns: list[_Column] = []
    left = _MARGIN
    for number in range(1 + max(widths)):
        lead = leads.get(number, 0.0)
        left += (_COLUMN_GAP + lead) if columns else 0.0
        columns.append(_Column(left, left + widths.get(number, 0.0), lead))
        left = columns[-1].right
    return columns, left + (leads[len(columns)] + _BULGE if len(columns) in leads else 0.0)


class _Lines:
    """The lines of a panel. Segments that several share are drawn once, in the strongest of their states."""

    def __init__(
        self,
        edges: Sequence[Edge],
        layout: Layout,
        columns: Sequence[_Column],
        sizes: Mapping[Thing, _Size],
        top: float,
    ) -> None:
        self.edges, self.layout, self.columns, self.sizes, self.top = edges, layout, columns, sizes, top
        self.ports = self._ports()

    def draw(self) -> list[str]:
        """Pale lines first, so that the others lie over them."""
        segments: dict[str, Edge] = {}
        ends, labels = [], []
        for edge, route, port in zip(self.edges, self.layout.routes, self.ports, strict=True):
            for path in self._paths(route, port):
                known = segments.get(path)
                if known is None or _STRENGTH.index(known.state) < _STRENGTH.index(edge.state):
                    segments[path] = edge
            last, same = self.columns[route[-1].column], route[0].column == route[-1].column
            if edge.kind != "link":
                ends.append((edge, f"M{last.left:.1f} {port:.1f} l-9 -4.5 v9 z"))
            if edge.label and same:
                middle = (self._height(route[0]) + port) / 2 + 4
                labels.append(_text(last.right + _BULGE * 0.8, middle, edge.label, f"label {edge.state}"))
            elif edge.label:
                labels.append(_text(last.left - 8, port - 4, edge.label, f"label {edge.state}", "end"))
        order = sorted(segments.items(), key=lambda item: _STRENGTH.index(item[1].state))
        drawn = [f'<path class="line {edge.kind} {edge.state}" d="{path}"/>' for path, edge in order]
        ends.sort(key=lambda item: _STRENGTH.index(item[0].state))
        return [*drawn, *(f'<path class="end {edge.state}" d="{path}"/>' for edge, path in ends), *labels]

    def _height(self, stop: Stop) -> float:
        return self.top + self.layout.centres[stop]

    def _ports(self) -> list[float]:
        """Where each line meets its last box: spread over the box's side, in the order in which they come."""
        arriving: dict[Thing, list[tuple[float, int]]] = {}
        routes = self.layout.routes
        for number, edge in enumerate(self.edges):
            arriving.setdefault(edge.target, []).append((self._height(routes[number][-2]), number))
        ports = [0.0] * len(routes)
        for thing, found in arriving.items():
            height = self.sizes[thing].height
            for position, (_, number) in enumerate(sorted(found), 1):
                middle = self._height(routes[number][-1])
                ports[number] = middle - height / 2 + height * position / (len(found) + 1)
        return ports

    def _paths(self, route: Sequence[Stop], port: float) -> list[str]:
        """Each segment as a curve, and the straight way of a trunk through its column."""
        if route[0].column == route[-1].column:
            right, start = self.columns[route[0].column].right, self._height(route[0])
            far = right + _BULGE
            return [f"M{right:.1f} {start:.1f} C{far:.1f} {start:.1f} {far:.1f} {port:.1f} {right:.1f} {port:.1f}"]
        paths = []
        for here, there in pairwise(route):
            start = self._height(here)
            end = self._height(there) if there.trunk else port
            left, column = self.columns[here.column].right, self.columns[there.column]
            right = column.left - column.lead
            half = (left + right) / 2
            level = f" H{column.left:.1f}" if column.lead else ""
            paths.append(
                f"M{left:.1f} {start:.1f} C{half:.1f} {start:.1f} {half:.1f} {end:.1f} {right:.1f} {end:.1f}{level}"
            )
            if there.trunk:
                paths.append(f"M{column.left:.1f} {end:.1f} H{column.right:.1f}")
        return paths


_STRENGTH: tuple[State, ...] = ("", "single", "weaker", "cut-off", "down", "lost")


def _box(node: Node, left: float, middle: float, size: _Size) -> str:
    top = middle - size.height / 2
    parts = [f'<g class="node {node.state or "calm"}">']
    if node.hint:
        parts.append(f"<title>{_escaped(node.hint)}</title>")
    parts.append(_rectangle(left, top, size, 6))
    if node.state == "lost":
        parts.append(_rectangle(left + 4, top + 4, _Size(size.width - 8, size.height - 8), 3))
    lines = [(node.name, "name"), (node.facts, "facts"), (_mark(node), "mark")]
    baseline = top + 20 + (0 if node.mark else (size.height - 46) / 2)
    for number, (content, style) in enumerate(lines):
        if content:
            parts.append(_text(left + 13, baseline + 16 * number, content, style))
    return "".join([*parts, "</g>"])


def _rectangle(x: float, y: float, size: _Size, radius: float) -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" width="{size.width:.1f}" height="{size.height:.1f}"'
    return f'<rect class="box" {place} rx="{radius:g}"/>'


def _legend(panels: Sequence[Panel], top: float, width: float) -> tuple[list[str], float]:
    """What the borders and lines mean, as far as they occur; in rows as wide as the drawing."""
    states = {node.state for panel in panels for node in panel.nodes}
    kinds = {(edge.kind, edge.state if edge.kind == "link" else "") for panel in panels for edge in panel.edges}
    drawn, x, y = [f'<path class="rule" d="M{_MARGIN} {top - 18:.1f} H{width - _MARGIN:.1f}"/>'], _MARGIN, top + 8
    entries = [(_sample(state), words) for state, words in MEANINGS.items() if state in states]
    entries += [(_arrow(kind, state), words) for (kind, state), words in _LINES.items() if (kind, state) in kinds]
    for sample, words in entries:
        needed = 44 + len(words) * _FACTS + 20
        if x > _MARGIN and x + needed > width - _MARGIN:
            x, y = _MARGIN, y + 26
        drawn.append(f'<g transform="translate({x:.1f} {y:.1f})">{sample}</g>{_text(x + 38, y + 4, words, "facts")}')
        x += needed
    return drawn, y + 32


_LINES: dict[tuple[EdgeKind, State], str] = {
    ("needs", ""): "leads to what needs it",
    ("takes-down", ""): "takes it down",
    ("protects", ""): "takes its protection away",
    ("link", ""): "a line between two locations",
    ("link", "lost"): "a lost line",
    ("link", "single"): "a line that cuts others off if it is lost",
}


def _sample(state: State) -> str:
    inner = '<rect class="box" x="3" y="-6" width="24" height="12" rx="2"/>' if state == "lost" else ""
    return f'<g class="node {state}"><rect class="box" x="0" y="-9" width="30" height="18" rx="4"/>{inner}</g>'


def _arrow(kind: EdgeKind, state: State) -> str:
    drawn = {"takes-down": "lost", "protects": "weaker"}.get(kind, state)
    head = "" if kind == "link" else f'<path class="end {drawn}" d="M30 0 l-9 -4.5 v9 z"/>'
    return f'<path class="line {kind} {drawn}" d="M0 0 H28"/>{head}'
