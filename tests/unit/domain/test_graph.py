"""The dependency graph: circles are found, and dependencies come first."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drp.domain.graph import find_cycle, wave_numbers, with_dependencies


@pytest.mark.parametrize(
    ("edges", "cycle"),
    [
        ({}, None),
        ({"a": []}, None),
        ({"a": ["a"]}, ["a", "a"]),
        ({"a": ["b"], "b": ["a"]}, ["a", "b", "a"]),
        ({"a": ["b"], "b": ["c"], "c": ["b"]}, ["b", "c", "b"]),
        ({"a": ["b", "c"], "b": ["d"], "c": ["d"], "d": []}, None),
        ({"a": ["gone"]}, None),
    ],
)
def test_a_circle_is_told_as_a_closed_path(edges: dict[str, list[str]], cycle: list[str] | None) -> None:
    assert find_cycle(edges) == cycle


def test_a_chain_of_ten_thousand_services_needs_no_deep_stack() -> None:
    edges = {str(number): [str(number + 1)] for number in range(10_000)}
    assert find_cycle(edges) is None
    cycle = find_cycle(edges | {"9999": ["0"]})
    assert cycle is not None
    assert len(cycle) == 10_001


NAMES = st.sampled_from("abcdefg")


@given(st.dictionaries(NAMES, st.lists(NAMES, unique=True)))
def test_what_is_called_a_circle_is_one_and_without_one_dependencies_come_first(edges: dict[str, list[str]]) -> None:
    cycle = find_cycle(edges)
    if cycle is not None:
        assert cycle[0] == cycle[-1]
        assert all(after in edges[before] for before, after in pairwise(cycle))
        return
    whole = edges | {name: [] for known in edges.values() for name in known if name not in edges}
    order = with_dependencies(list(whole), whole)
    assert sorted(order) == sorted(whole)
    assert all(order.index(need) < order.index(name) for name in whole for need in whole[name])


def test_only_what_is_wanted_and_its_dependencies_come() -> None:
    edges = {"a": ["b"], "b": [], "c": ["a"]}
    assert with_dependencies(["a"], edges) == ["b", "a"]


def test_each_wave_needs_only_earlier_ones_and_comes_as_early_as_it_can() -> None:
    edges = {"a": [], "b": ["a"], "c": ["a", "b"], "d": ["a"], "e": ["gone"]}
    assert wave_numbers(edges) == {"a": 1, "b": 2, "c": 3, "d": 2, "e": 1}
    assert wave_numbers({str(number): [str(number + 1)] for number in range(10_000)})["0"] == 10_000
