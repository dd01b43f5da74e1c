"""How an SVG drawing looks: colours for light, dark and paper, a border and a sign for each state."""

from __future__ import annotations

from drp.reports.graph_model import State

SIGNS: dict[State, str] = {"": "", "lost": "✕", "down": "▼", "cut-off": "⊘", "weaker": "△", "single": "◆"}
"""They stand before the words of a mark, so that it is told by shape too."""

MEANINGS: dict[State, str] = {
    "lost": "lost",
    "down": "goes down with it",
    "cut-off": "stands, but cut off from the primary site",
    "weaker": "goes on, with less protection",
    "single": "cuts others off if it is lost",
}

_LIGHT = """
--paper: #ffffff; --ink: #1b1f24; --quiet: #4d565f; --pale: #98a2ac; --box: #f6f7f9;
--bad: #8f1010; --bad-fill: #fbe1e1; --gone-fill: #f3c3c3; --cut: #8a4b00; --cut-fill: #fdebd3;
--weak: #6a5800; --weak-fill: #fdf6cf; --single: #40308f; --single-fill: #e6e2f8;
"""
_DARK = """
--paper: #14181d; --ink: #eceff2; --quiet: #aeb7c0; --pale: #66717c; --box: #20262d;
--bad: #ff9d97; --bad-fill: #4a1d1d; --gone-fill: #6b2222; --cut: #ffb561; --cut-fill: #45300f;
--weak: #ead769; --weak-fill: #3b3610; --single: #b9adff; --single-fill: #2d2657;
"""

STYLE = (
    f".drp-graph {{ {_LIGHT} }}"
    f"@media screen and (prefers-color-scheme: dark) {{ .drp-graph {{ {_DARK} }} }}"
    """
.drp-graph text { font-family: system-ui, "Segoe UI", "Noto Sans", "DejaVu Sans", Arial, sans-serif;
  font-size: 11px; fill: var(--ink); }
.drp-graph .paper { fill: var(--paper); }
.drp-graph .title { font-size: 18px; font-weight: 700; }
.drp-graph .panel { font-size: 14px; font-weight: 700; }
.drp-graph .quiet { font-size: 12px; fill: var(--quiet); }
.drp-graph .heading { font-weight: 700; fill: var(--quiet); letter-spacing: .04em; }
.drp-graph .name { font-size: 13px; font-weight: 700; }
.drp-graph .facts { fill: var(--quiet); }
.drp-graph .mark { font-weight: 700; }
.drp-graph .label { fill: var(--quiet); paint-order: stroke; stroke: var(--paper); stroke-width: 3px; }
.drp-graph .label.lost { fill: var(--bad); font-weight: 700; }
.drp-graph .label.single { fill: var(--single); font-weight: 700; }
.drp-graph .rule { stroke: var(--pale); fill: none; }
.drp-graph .box { fill: var(--box); stroke: var(--quiet); stroke-width: 1; }
.drp-graph .lost .box { fill: var(--gone-fill); stroke: var(--bad); stroke-width: 2; }
.drp-graph .lost .name { text-decoration: line-through; }
.drp-graph .down .box { fill: var(--bad-fill); stroke: var(--bad); stroke-width: 3; }
.drp-graph .lost .mark, .drp-graph .down .mark { fill: var(--bad); }
.drp-graph .cut-off .box { fill: var(--cut-fill); stroke: var(--cut); stroke-width: 2.5; stroke-dasharray: 9 5; }
.drp-graph .cut-off .mark { fill: var(--cut); }
.drp-graph .weaker .box { fill: var(--weak-fill); stroke: var(--weak); stroke-width: 2.5; stroke-dasharray: 2.5 3; }
.drp-graph .weaker .mark { fill: var(--weak); }
.drp-graph .single .box { fill: var(--single-fill); stroke: var(--single); stroke-width: 3; }
.drp-graph .single .mark { fill: var(--single); }
.drp-graph .line { fill: none; stroke: var(--pale); stroke-width: 1.3; }
.drp-graph .line.link { stroke-width: 1.8; }
.drp-graph .line.down, .drp-graph .line.lost { stroke: var(--bad); stroke-width: 1.9; }
.drp-graph .line.link.lost { stroke-dasharray: 10 6; }
.drp-graph .line.weaker { stroke: var(--weak); stroke-width: 2; stroke-dasharray: 2.5 3.5; }
.drp-graph .line.single { stroke: var(--single); stroke-width: 3; }
.drp-graph .end { fill: var(--pale); }
.drp-graph .end.down, .drp-graph .end.lost { fill: var(--bad); }
.drp-graph .end.weaker { fill: var(--weak); }
"""
)
