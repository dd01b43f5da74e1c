"""The time line of one service's recovery as inline SVG: marks, parts, limits and steps on one time axis.

Left of T0 stands the lost data on a scale of its own: hours of lost data beside seconds of recovery would leave
nothing to see. Nothing is told by colour alone, so that it can be read in print and in grey.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from html import escape

from drp.domain.values import milliseconds
from drp.reports.model import ServiceReport, StepLine
from drp.reports.narrative import figure_text
from drp.reports.wording import LocalTime, spell, spell_measured, visible

WIDTH = 1000
LEFT, RIGHT = 236, 984
"""The recovery axis runs between these two; left of it are the lost data and the names of the steps."""

LOSS_LEFT, LOSS_RIGHT = 20, 196
CHARACTER = 7.6
"""Width of a character at 14 px, on the generous side: fonts differ between machines."""

_TICKS_MS = [
    *(100, 200, 500, 1_000, 2_000, 5_000, 10_000, 15_000, 30_000),
    *(60_000, 120_000, 300_000, 600_000, 900_000, 1_800_000),
    *(3_600_000, 7_200_000, 10_800_000, 21_600_000, 43_200_000, 86_400_000, 172_800_000, 604_800_000),
]
_FILLS = ("#d9d9d9", "#9fb7d6", "#f0c98a", "#4a7ab0", "#a8d5ba")
"""One for each part; neighbours differ in brightness too."""

_LABEL_WIDTH = 100
_BAR_TOP, _BAR_HEIGHT = 108, 30
_LEGEND_TOP, _STEPS_TOP = _BAR_TOP + 124, _BAR_TOP + 212
_ROW = 24


@dataclass(frozen=True, slots=True)
class Axis:
    """A linear scale: offsets from T0 in milliseconds to horizontal positions."""

    first_ms: int
    last_ms: int
    left: float = LEFT
    right: float = RIGHT

    def x(self, offset_ms: int) -> float:
        """The position of an offset, kept within the axis."""
        span = max(self.last_ms - self.first_ms, 1)
        share = (min(max(offset_ms, self.first_ms), self.last_ms) - self.first_ms) / span
        return round(self.left + share * (self.right - self.left), 1)

    def shows(self, offset_ms: int) -> bool:
        return self.first_ms <= offset_ms <= self.last_ms


def draw(service: ServiceReport, title: str, local: LocalTime, *, identifier: str, last_event_at: datetime) -> str:
    """The picture as one `<svg>` element, safe to put into HTML; a note in its place where T0 is missing.

    Args:
        service: whose recovery.
        title: its name for people; escaped here.
        local: the time zone of the printed times.
        identifier: unique within the page.
        last_event_at: how far an unrecovered service's outage is known to reach.
    """
    zero = service.mark("T0")
    if zero is None:
        return '<p class="note">No time line can be drawn: T0 was not measured.</p>'
    axis = _axis(service, zero, last_event_at)
    steps = [step for step in service.steps if step.started_at is not None]
    height = _STEPS_TOP + _ROW * max(len(steps), 1) + 14
    body = [
        *_loss(service),
        *_grid(axis, height),
        *_parts(service, zero, axis),
        *_outage(service, zero, last_event_at, axis),
        *_limit(service, axis, height),
        *_marks(service, zero, axis, local),
        *_legend(service),
        *_steps(steps, zero, axis),
    ]
    description = (
        f"RTA {figure_text(service.rta)}, RPA {figure_text(service.rpa)}. All numbers are in the tables below."
    )
    return (
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" class="picture" '
        f'aria-labelledby="{identifier}-title {identifier}-text">'
        f'<title id="{identifier}-title">Time line of the recovery of {escape(visible(title))}</title>'
        f'<desc id="{identifier}-text">{escape(description)}</desc>'
        f"{''.join(body)}</svg>"
    )


def spread(positions: Sequence[float], width: float, left: float, right: float) -> list[float]:
    """Centres for labels of equal width, in order, near their positions but never over each other.

    They fit only if `len(positions) * width <= right - left`; else they are packed from the right edge.
    """
    centres: list[float] = []
    for position in positions:
        lowest = centres[-1] + width if centres else left + width / 2
        centres.append(max(position, lowest))
    highest = right - width / 2
    for number in range(len(centres) - 1, -1, -1):
        centres[number] = min(centres[number], highest)
        highest = centres[number] - width
    return centres


def _offset(zero: datetime, at: datetime) -> int:
    return milliseconds(at - zero)


def _axis(service: ServiceReport, zero: datetime, last_event_at: datetime) -> Axis:
    """From T0 (or what came before it, except Tb) to the end of the recovery; the RTO only where it is not too far."""
    offsets = [_offset(zero, line.at) for line in service.marks if line.at is not None and line.name != "Tb"]
    if service.mark("T5") is None:
        offsets.append(_offset(zero, last_event_at))
    first, last = min(0, *offsets), max(1000, *offsets)
    span = last - first
    if service.rta.objective_ms is not None and service.rta.objective_ms <= 3 * span:
        last = max(last, service.rta.objective_ms)
    ends = [_offset(zero, step.ended_at) for step in service.steps if step.ended_at is not None]
    # Clean-up after T5 may take long and is not part of RTA: it must not squeeze what matters.
    last = max([last, *(end for end in ends if end <= first + span * 3 // 2)])
    return Axis(first, last + max((last - first) // 50, 1))


def _text(x: float, y: float, content: str, *, anchor: str = "start", css: str = "") -> str:
    attributes = f' class="{css}"' if css else ""
    return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}"{attributes}>{escape(visible(content))}</text>'


def _line(x1: float, y1: float, x2: float, y2: float, css: str) -> str:
    return f'<line x1="{x1:g}" y1="{y1:g}" x2="{x2:g}" y2="{y2:g}" class="{css}"/>'


def _rectangle(x: float, y: float, width: float, height: float, fill: str) -> str:
    return (
        f'<rect x="{x:g}" y="{y:g}" width="{max(width, 0):g}" height="{height:g}" fill="{fill}" '
        'stroke="#222" stroke-width="1"/>'
    )


def _loss(service: ServiceReport) -> list[str]:
    """The lost data, Tb to T0, and the RPO, both counted back from T0 on their own scale."""
    rpa, rpo = service.rpa.value_ms, service.rpa.objective_ms or 0
    drawn = [_text(LOSS_LEFT, 20, "Lost data", css="strong"), _text(LOSS_LEFT, 38, "(a scale of its own)", css="small")]
    if rpa is None or rpa < 0:
        drawn.append(_text(LOSS_LEFT, _BAR_TOP + 20, "not measured" if rpa is None else "Tb lies after T0"))
        return drawn
    longest = max(rpa, rpo, 1)
    scale = (LOSS_RIGHT - LOSS_LEFT) / longest
    loss_left, window_left = LOSS_RIGHT - rpa * scale, LOSS_RIGHT - rpo * scale
    window_y = _BAR_TOP + _BAR_HEIGHT + 26
    drawn += [
        _text(LOSS_LEFT, _BAR_TOP - 30, "Tb → T0", css="small"),
        _text(LOSS_LEFT, _BAR_TOP - 10, f"RPA {spell_measured(rpa)}", css="strong"),
        f'<rect x="{loss_left:g}" y="{_BAR_TOP}" width="{rpa * scale:g}" height="{_BAR_HEIGHT}" class="loss"/>',
        _line(loss_left, _BAR_TOP - 4, loss_left, _BAR_TOP + _BAR_HEIGHT + 4, "mark"),
        _line(LOSS_RIGHT, _BAR_TOP - 4, LOSS_RIGHT, _BAR_TOP + _BAR_HEIGHT + 4, "mark"),
        _line(window_left, window_y - 12, LOSS_RIGHT, window_y - 12, "limit"),
        _line(window_left, window_y - 18, window_left, window_y - 6, "limit-end"),
        _line(LOSS_RIGHT, window_y - 18, LOSS_RIGHT, window_y - 6, "limit-end"),
        _text(LOSS_LEFT, window_y + 10, f"RPO {spell(rpo)}"),
        # Two slashes: the axis is broken here.
        _text((LOSS_RIGHT + LEFT) / 2, _BAR_TOP + 21, "//", anchor="middle", css="strong"),
    ]
    return drawn


def _grid(axis: Axis, height: int) -> list[str]:
    span = axis.last_ms - axis.first_ms
    step = next((tick for tick in _TICKS_MS if span / tick <= 7), _TICKS_MS[-1] * (span // _TICKS_MS[-1] // 6 + 1))
    y = _BAR_TOP + _BAR_HEIGHT + 50
    drawn = [_line(axis.left, y - 16, axis.right, y - 16, "axis")]
    first = -(-axis.first_ms // step) * step
    for tick in range(first, axis.last_ms + 1, step):
        x = axis.x(tick)
        drawn.append(_line(x, y - 22, x, y - 10, "axis"))
        drawn.append(_line(x, _STEPS_TOP - 16, x, height - 8, "grid"))
        # The last label would stand out of the picture.
        text = "T0" if tick == 0 else f"{'+' if tick > 0 else ''}{spell(tick)}"
        anchor = "end" if x + len(text) * CHARACTER / 2 > WIDTH - 4 else "middle"
        drawn.append(_text(x, y, text, anchor=anchor, css="small halo"))
    return drawn


def _parts(service: ServiceReport, zero: datetime, axis: Axis) -> list[str]:
    drawn = []
    for number, (part, fill) in enumerate(zip(service.parts, _FILLS, strict=True), start=1):
        start, end = service.mark(part.start), service.mark(part.end)
        if start is None or end is None or end < start:
            continue
        left, right = axis.x(_offset(zero, start)), axis.x(_offset(zero, end))
        drawn.append(_rectangle(left, _BAR_TOP, right - left, _BAR_HEIGHT, fill))
        if right - left > 16:
            css = "strong inverse" if fill == "#4a7ab0" else "strong"
            drawn.append(_text((left + right) / 2, _BAR_TOP + 20, str(number), anchor="middle", css=css))
    return drawn


def _outage(service: ServiceReport, zero: datetime, last_event_at: datetime, axis: Axis) -> list[str]:
    """A heavy line over the time without service, with its length."""
    usable = service.mark("T5")
    end = axis.x(_offset(zero, usable or last_event_at))
    y, start = _BAR_TOP + _BAR_HEIGHT + 12, axis.x(0)
    drawn = [_line(start, y, end, y, "outage")]
    if usable is None:
        drawn.append(f'<path d="M{end - 9:g} {y - 6} L{end:g} {y} L{end - 9:g} {y + 6} Z" class="arrow"/>')
    return drawn


def _limit(service: ServiceReport, axis: Axis, height: int) -> list[str]:
    """RTO as a limit line, or a note at the right edge where it lies far beyond the picture."""
    rto = service.rta.objective_ms or 0
    outage = "Heavy line: not usable, RTA " + figure_text(service.rta)
    if not axis.shows(rto):
        label = f"limit: RTO {spell(rto)}, far beyond this picture →"
        return [_text(RIGHT, 20, label, anchor="end", css="limit-text"), _text(LEFT, 20, outage, css="strong")]
    x = axis.x(rto)
    label = f"limit: RTO {spell(rto)}"
    # Under the axis: above the bar, the line would cross the marks' labels.
    room_right = x + len(label) * CHARACTER / 2 <= WIDTH
    anchor, position = ("middle", x) if room_right else ("end", WIDTH - 4)
    limit = _text(position, _BAR_TOP + _BAR_HEIGHT + 68, label, anchor=anchor, css="limit-text")
    return [
        _text(LEFT, 20, outage, css="strong"),
        _line(x, _BAR_TOP - 12, x, _BAR_TOP + _BAR_HEIGHT + 38, "limit"),
        _line(x, _STEPS_TOP - 16, x, height - 8, "limit"),
        limit,
    ]


def _marks(service: ServiceReport, zero: datetime, axis: Axis, local: LocalTime) -> list[str]:
    """Marks over the bar. Labels of one width are spread, each with a line to its moment."""
    lines = sorted(
        ((line.at, line.name) for line in service.marks if line.at is not None and line.name != "Tb"),
        key=lambda item: (item[0], item[1]),
    )
    positions = [axis.x(_offset(zero, at)) for at, _ in lines]
    drawn = []
    centres = spread(positions, _LABEL_WIDTH, LEFT - 14, WIDTH - 2)
    for (at, name), x, centre in zip(lines, positions, centres, strict=True):
        drawn += [
            f'<path d="M{centre:g} 88 L{x:g} {_BAR_TOP - 4} L{x:g} {_BAR_TOP + _BAR_HEIGHT + 4}" class="mark"/>',
            _text(centre, 66, name, anchor="middle", css="strong halo"),
            _text(centre, 84, local.clock(at), anchor="middle", css="small halo"),
        ]
    return drawn


def _legend(service: ServiceReport) -> list[str]:
    """The five parts in fixed columns, so that labels cannot meet however short a part is."""
    top = _LEGEND_TOP
    column = (RIGHT - LEFT) / len(service.parts)
    drawn = [_text(LOSS_LEFT, top + 14, "Parts of RTA", css="strong")]
    for number, (part, fill) in enumerate(zip(service.parts, _FILLS, strict=True), start=1):
        x = LEFT + (number - 1) * column
        duration = "not measured" if part.duration_ms is None else spell(part.duration_ms)
        drawn += [
            _rectangle(x, top, 20, 20, fill),
            _text(x + 10, top + 15, str(number), anchor="middle", css="inverse" if fill == "#4a7ab0" else ""),
            _text(x + 27, top + 10, part.name, css="strong"),
            _text(x + 27, top + 28, duration),
        ]
    missing = [line.name for line in service.marks if line.at is None]
    if missing:
        drawn.append(_text(LEFT, top + 54, f"Not measured: {', '.join(missing)}", css="limit-text"))
    drawn.append(_text(LOSS_LEFT, top + 54, "Steps", css="strong"))
    return drawn


def _steps(steps: list[StepLine], zero: datetime, axis: Axis) -> list[str]:
    if not steps:
        return [_text(LOSS_LEFT, _STEPS_TOP + 4, "no step was started")]
    drawn = []
    for row, step in enumerate(steps):
        y = _STEPS_TOP - 12 + row * _ROW
        drawn.append(_text(LOSS_LEFT, y + 13, step.stage))
        assert step.started_at is not None
        start = _offset(zero, step.started_at)
        end = axis.last_ms if step.ended_at is None else _offset(zero, step.ended_at)
        left, right = axis.x(start), axis.x(end)
        fill = {"ok": "#7f8c99", "failed": "#ffffff"}.get(step.outcome, "#e8e8e8")
        drawn.append(_rectangle(left, y, max(right - left, 2), 16, fill))
        drawn.append(_step_label(step, left, right, y, clipped=not axis.shows(end) or not axis.shows(start)))
    return drawn


def _step_label(step: StepLine, left: float, right: float, y: float, *, clipped: bool) -> str:
    words = "not ended" if step.duration_ms is None else spell(step.duration_ms)
    if step.outcome != "ok":
        words = f"{step.outcome.upper()}, {words}"
    if clipped:
        words += " (goes beyond the picture)"
    width = len(words) * CHARACTER
    if right + 6 + width <= WIDTH:
        return _text(right + 6, y + 13, words, css="halo")
    if left - 6 - width >= LEFT:
        return _text(left - 6, y + 13, words, anchor="end", css="halo")
    return _text((left + right) / 2, y + 13, words, anchor="middle", css="halo")
