"""A drawing as Mermaid text, for wikis and Markdown files that draw it themselves.

Ids are numbers of our own. In labels every character that could mean something to Mermaid, Markdown or HTML is written
as its number.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from drp.reports.graph_model import Edge, Node, Panel, State, plain
from drp.reports.graph_style import SIGNS

_NOT_PLAIN = re.compile(r"(?<![^\W_])-|-(?![^\W_])|[^\w\s-]|_")
"""Anything but letters, digits, spaces, and hyphens within words."""

_SHAPES: dict[State, tuple[str, str]] = {
    "": ("[", "]"),
    "lost": ("{{", "}}"),
    "down": ("[[", "]]"),
    "cut-off": ("[/", "/]"),
    "weaker": ("([", "])"),
    "single": ("((", "))"),
}
"""A shape for each state, so that it can be told in print."""

_CLASSES = """\
  classDef lost fill:#f3c3c3,stroke:#8f1010,stroke-width:4px,color:#1b1f24
  classDef down fill:#fbe1e1,stroke:#8f1010,stroke-width:3px,color:#1b1f24
  classDef cutoff fill:#fdebd3,stroke:#8a4b00,stroke-width:3px,stroke-dasharray:9 5,color:#1b1f24
  classDef weaker fill:#fdf6cf,stroke:#6a5800,stroke-width:3px,stroke-dasharray:3 3,color:#1b1f24
  classDef single fill:#e6e2f8,stroke:#40308f,stroke-width:3px,color:#1b1f24"""


def draw(panels: Sequence[Panel]) -> str:
    """A flowchart; each panel is a subgraph where there are several."""
    lines = ["flowchart LR"]
    for number, panel in enumerate(panels):
        ids = {node.thing: f"p{number}n{position}" for position, node in enumerate(panel.nodes)}
        body = [_node(ids[node.thing], node) for node in panel.nodes]
        body += [_edge(ids[edge.source], ids[edge.target], edge) for edge in panel.edges]
        if len(panels) > 1:
            heading = [f'  subgraph p{number}["{label(panel.title)}"]', "    direction LR"]
            body = [*heading, *(f"  {line}" for line in body), "  end"]
        lines += body
    return "\n".join([*lines, _CLASSES]) + "\n"


def label(text: str) -> str:
    """A text that shows as it is, within the quotes of a label."""
    return _NOT_PLAIN.sub(lambda found: f"#{ord(found[0])};", plain(text))


def _node(identifier: str, node: Node) -> str:
    opening, closing = _SHAPES[node.state]
    words = [node.name, node.facts, f"{SIGNS[node.state]} {node.mark}" if node.mark else ""]
    text = "<br/>".join(label(part) for part in words if part)
    style = f":::{node.state.replace('-', '')}" if node.state else ""
    return f'  {identifier}{opening}"{text}"{closing}{style}'


def _edge(source: str, target: str, edge: Edge) -> str:
    line = {"needs": "-->", "takes-down": "==>", "protects": "-.->", "link": "---"}[edge.kind]
    if edge.kind == "link" and edge.state == "lost":
        line = "-.-"
    elif edge.state in ("down", "single"):
        line = "===" if edge.kind == "link" else "==>"
    text = f'|"{label(edge.label)}"|' if edge.label else ""
    return f"  {source} {line}{text} {target}"
