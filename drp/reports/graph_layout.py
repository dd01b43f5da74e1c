"""Where the boxes of a layered drawing stand, and how its lines run: columns from left to right, few crossings.

Boxes keep the column that they were given. Within a column they are ordered by the middle of their neighbours, over
several sweeps, and the order with the fewest crossings is kept; then each moves as near to its neighbours as its column
lets it. A line over several columns runs between the boxes; all long lines from one box share one trunk.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

_SWEEPS = 12
_ALIGNMENTS = 16
_TRUNK_HEIGHT = 10.0


@dataclass(frozen=True, slots=True)
class Box:
    """A box before it has a place: its column, and its height with the gap to the next one."""

    key: Hashable
    column: int
    height: float


@dataclass(frozen=True, slots=True)
class Stop:
    """One end of a segment: a box, or the trunk of a box as it passes a column."""

    key: Hashable
    column: int
    trunk: bool


@dataclass(frozen=True, slots=True)
class Layout:
    """The vertical centre of each stop, and for each line, by its position in the input, the stops that it passes."""

    centres: Mapping[Stop, float]
    routes: tuple[tuple[Stop, ...], ...]
    height: float

    def centre(self, box: Box) -> float:
        return self.centres[Stop(box.key, box.column, trunk=False)]


def arrange(boxes: Sequence[Box], lines: Sequence[tuple[Hashable, Hashable]]) -> Layout:
    """Find places for all boxes. Lines must lead to the right, or stay in their column."""
    columns = {box.key: box.column for box in boxes}
    routes = tuple(_route(columns, source, target) for source, target in lines)
    heights = {Stop(box.key, box.column, trunk=False): box.height for box in boxes}
    heights |= {stop: _TRUNK_HEIGHT for route in routes for stop in route if stop.trunk}
    segments = {(here, there) for route in routes for here, there in pairwise(route)}
    layers: list[list[Stop]] = [[] for _ in range(1 + max(columns.values(), default=0))]
    for stop in heights:
        layers[stop.column].append(stop)
    ordered = _Ordering(layers, [pair for pair in segments if pair[0].column != pair[1].column]).best()
    centres = _align(ordered, heights)
    return Layout(centres, routes, max((centres[stop] + heights[stop] / 2 for stop in centres), default=0.0))


def _route(columns: Mapping[Hashable, int], source: Hashable, target: Hashable) -> tuple[Stop, ...]:
    first, last = columns[source], columns[target]
    between = (Stop(source, column, trunk=True) for column in range(first + 1, last))
    return (Stop(source, first, trunk=False), *between, Stop(target, last, trunk=False))


@dataclass(frozen=True, slots=True)
class _Ordered:
    layers: list[list[Stop]]
    before: Mapping[Stop, list[Stop]]
    after: Mapping[Stop, list[Stop]]


class _Ordering:
    """Sweeps over the columns, forth and back."""

    def __init__(self, layers: list[list[Stop]], segments: Sequence[tuple[Stop, Stop]]) -> None:
        self.layers = layers
        self.before: dict[Stop, list[Stop]] = {stop: [] for layer in layers for stop in layer}
        self.after: dict[Stop, list[Stop]] = {stop: [] for layer in layers for stop in layer}
        place = {stop: number for number, stop in enumerate(self.before)}
        for here, there in sorted(segments, key=lambda pair: (place[pair[0]], place[pair[1]])):
            self.after[here].append(there)
            self.before[there].append(here)

    def best(self) -> _Ordered:
        layers = [list(layer) for layer in self.layers]
        best, fewest = layers, self._crossings(layers)
        for sweep in range(_SWEEPS):
            forth = sweep % 2 == 0
            layers = [list(layer) for layer in layers]
            numbers = range(1, len(layers)) if forth else range(len(layers) - 2, -1, -1)
            for number in numbers:
                beside = layers[number - 1 if forth else number + 1]
                layers[number] = _by_middle(layers[number], beside, self.before if forth else self.after)
            crossings = self._crossings(layers)
            if crossings < fewest:
                best, fewest = layers, crossings
        return _Ordered(best, self.before, self.after)

    def _crossings(self, layers: Sequence[Sequence[Stop]]) -> int:
        """How many pairs of segments cross: those whose ends are in opposite orders."""
        count = 0
        for layer, following in pairwise(layers):
            place = {stop: number for number, stop in enumerate(following)}
            seen: list[int] = []
            for stop in layer:
                ends = sorted(place[other] for other in self.after[stop])
                count += sum(len(seen) - bisect_right(seen, end) for end in ends)
                for end in ends:
                    insort(seen, end)
        return count


def _by_middle(layer: Sequence[Stop], beside: Sequence[Stop], neighbours: Mapping[Stop, Sequence[Stop]]) -> list[Stop]:
    """The stops of a column by the middle of their neighbours; one without neighbours stays where it is."""
    place = {stop: number for number, stop in enumerate(beside)}
    scale = len(beside) / max(len(layer), 1)
    middles = {}
    for number, stop in enumerate(layer):
        places = [place[other] for other in neighbours[stop]]
        middles[stop] = sum(places) / len(places) if places else number * scale
    return sorted(layer, key=middles.__getitem__)


def _align(ordered: _Ordered, heights: Mapping[Stop, float]) -> dict[Stop, float]:
    """Centres for all stops: near the middle of their neighbours, never over each other."""
    centres: dict[Stop, float] = {}
    for layer in ordered.layers:
        centres.update(zip(layer, _stacked(layer, heights), strict=True))
    for turn in range(_ALIGNMENTS):
        layers = ordered.layers if turn % 2 == 0 else ordered.layers[::-1]
        for layer in layers:
            wanted = []
            for stop in layer:
                others = [*ordered.before[stop], *ordered.after[stop]]
                wanted.append(sum(centres[other] for other in others) / len(others) if others else centres[stop])
            centres.update(zip(layer, settle(wanted, [heights[stop] for stop in layer]), strict=True))
    top = min((centres[stop] - heights[stop] / 2 for stop in centres), default=0.0)
    return {stop: centre - top for stop, centre in centres.items()}


def _stacked(layer: Sequence[Stop], heights: Mapping[Stop, float]) -> list[float]:
    centres, top = [], 0.0
    for stop in layer:
        centres.append(top + heights[stop] / 2)
        top += heights[stop]
    return centres


def settle(wanted: Sequence[float], heights: Sequence[float]) -> list[float]:
    """Centres in the given order, as near to the wanted ones as heights allow: the least sum of squares.

    Boxes that would lie on each other are stacked, and the stack moves to the mean of what its boxes want.
    """
    stacks: list[tuple[float, int]] = []  # the mean of the wanted tops of the first box, and how many boxes
    offset, offsets = 0.0, []
    for number, (centre, height) in enumerate(zip(wanted, heights, strict=True)):
        if number:
            offset += (heights[number - 1] + height) / 2
        offsets.append(offset)
        mean, count = centre - offset, 1
        while stacks and stacks[-1][0] > mean:
            above, size = stacks.pop()
            mean, count = (above * size + mean * count) / (size + count), size + count
        stacks.append((mean, count))
    starts = [mean for mean, count in stacks for _ in range(count)]
    return [start + offset for start, offset in zip(starts, offsets, strict=True)]
