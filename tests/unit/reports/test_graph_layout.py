"""Boxes never lie on each other, keep their order, and lines cross as little as the columns allow."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from drp.reports.graph_layout import Box, arrange, settle


@given(st.lists(st.tuples(st.floats(-1000, 1000), st.floats(1, 100)), min_size=1, max_size=30))
def test_settled_boxes_are_apart_in_order_and_around_what_they_wanted(pairs: list[tuple[float, float]]) -> None:
    wanted, heights = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    centres = settle(wanted, heights)
    for number, (here, there) in enumerate(pairwise(centres)):
        assert there - here >= (heights[number] + heights[number + 1]) / 2 - 1e-6
    assert abs(sum(centres) - sum(wanted)) <= 1e-6 * max(1.0, *(abs(want) for want in wanted)) * len(wanted)


def test_boxes_with_room_stand_where_they_want() -> None:
    assert settle([0, 50, 100], [10, 10, 10]) == [0, 50, 100]
    assert settle([5, 5], [10, 10]) == [0, 10]


def columns_of(edges: list[tuple[int, int]], counts: list[int]) -> tuple[list[Box], list[tuple[int, int]]]:
    boxes, number = [], 0
    for column, count in enumerate(counts):
        for _ in range(count):
            boxes.append(Box(number, column, 40))
            number += 1
    columns = {box.key: box.column for box in boxes}
    kept = [(a % number, b % number) for a, b in edges]
    return boxes, [(a, b) for a, b in kept if columns[a] < columns[b]]


@given(
    st.lists(st.tuples(st.integers(0, 99), st.integers(0, 99)), max_size=40),
    st.lists(st.integers(1, 6), min_size=1, max_size=6),
)
def test_no_two_boxes_of_a_column_overlap_and_all_are_inside(edges: list[tuple[int, int]], counts: list[int]) -> None:
    boxes, lines = columns_of(edges, counts)
    layout = arrange(boxes, lines)
    for column in range(len(counts)):
        centres = sorted(layout.centre(box) for box in boxes if box.column == column)
        assert all(there - here >= 40 - 1e-6 for here, there in pairwise(centres))
    assert min(layout.centre(box) for box in boxes) >= 20 - 1e-6
    assert max(layout.centre(box) for box in boxes) <= layout.height - 20 + 1e-6


def test_lines_that_need_not_cross_do_not() -> None:
    boxes = [Box(name, column, 40) for column, names in enumerate(("abc", "xyz")) for name in names]
    layout = arrange(boxes, [("a", "z"), ("b", "y"), ("c", "x")])
    places = {box.key: layout.centre(box) for box in boxes}
    assert sorted("abc", key=places.__getitem__) == [
        {"x": "c", "y": "b", "z": "a"}[name] for name in sorted("xyz", key=places.__getitem__)
    ]


def test_a_long_line_passes_between_the_boxes_and_long_lines_of_one_box_share_their_way() -> None:
    boxes = [Box("a", 0, 40), *(Box(name, 1, 40) for name in "bcd"), Box("x", 2, 40), Box("y", 3, 40)]
    layout = arrange(boxes, [("a", "b"), ("a", "c"), ("a", "d"), ("a", "x"), ("a", "y")])
    to_x, to_y = layout.routes[3], layout.routes[4]
    assert [stop.trunk for stop in to_y] == [False, True, True, False]
    assert to_x[1] == to_y[1]
    passing = layout.centres[to_x[1]]
    assert all(abs(passing - layout.centre(box)) >= 25 - 1e-6 for box in boxes if box.column == 1)


def test_the_same_graph_is_always_drawn_the_same() -> None:
    boxes, lines = columns_of([(a, b) for a in range(12) for b in range(a, 12, 3)], [4, 4, 4])
    assert arrange(boxes, lines) == arrange(boxes, lines)
