"""Lines that are shared: who slows down whom, and by how much."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drp.domain.forecasts.transfer import Channel, Transfer, channel_between, shared_times
from tests.fakes.city import make_city
from tests.fakes.planned import city_with, link

MEGABIT = 10**6


def channel(*parts: tuple[str, int]) -> Channel:
    return Channel(parts, known=True, exists=True)


def seconds(*transfers: Transfer) -> dict[str, float]:
    return {name: round(time.total_seconds(), 3) for name, time in shared_times(transfers).items()}


LINE = channel(("line", 8 * MEGABIT))  # a megabyte each second


def test_one_transfer_has_the_line_for_itself() -> None:
    assert seconds(Transfer("a", 3 * 10**6, LINE)) == {"a": 3.0}


def test_equal_transfers_end_together_after_all_their_bytes() -> None:
    assert seconds(Transfer("a", 10**6, LINE), Transfer("b", 10**6, LINE)) == {"a": 2.0, "b": 2.0}


def test_a_small_one_delays_a_large_one_only_by_its_own_bytes() -> None:
    assert seconds(Transfer("small", 10**6, LINE), Transfer("large", 4 * 10**6, LINE)) == {"small": 2.0, "large": 5.0}


def test_nothing_takes_no_time() -> None:
    assert seconds(Transfer("empty", 0, LINE), Transfer("a", 10**6, LINE)) == {"empty": 0.0, "a": 1.0}


def test_two_ways_that_share_one_part_share_only_that() -> None:
    storage = ("storage", 8 * MEGABIT)
    one, other = channel(storage, ("west", 100 * MEGABIT)), channel(storage, ("east", 2 * MEGABIT))
    # East's own line lets it use a quarter of the storage; what it leaves is not given to west while it runs.
    assert seconds(Transfer("west", 10**6, one), Transfer("east", 10**6, other)) == {"west": 2.0, "east": 4.0}


@given(st.lists(st.integers(0, 10**12), min_size=1, max_size=60))
def test_the_last_byte_arrives_when_the_line_has_carried_all(sizes: list[int]) -> None:
    ended = shared_times(Transfer(str(number), size, LINE) for number, size in enumerate(sizes))
    assert len(ended) == len(sizes)
    assert max(ended.values()) == pytest.approx(
        timedelta(seconds=sum(sizes) / 10**6), rel=1e-6, abs=timedelta(seconds=1)
    )
    for number, size in enumerate(sizes):
        assert ended[str(number)] >= timedelta(seconds=size / 10**6) - timedelta(microseconds=1)


@pytest.mark.parametrize(
    ("links", "more", "capacity", "exists"),
    [
        ({"l": link("d", "r")}, {}, 100 * MEGABIT, True),
        ({"l": link("d", "b", "50Mbit/s"), "m": link("b", "r")}, {}, 50 * MEGABIT, True),
        ({"slow": link("d", "r", "10Mbit/s"), "l": link("d", "b"), "m": link("b", "r")}, {}, 100 * MEGABIT, True),
        ({"l": link("d", "r", "10Gbit/s")}, {}, 1000 * MEGABIT, True),  # the storage gives no more
        ({"l": link("d", "r")}, {"lan": "20Mbit/s"}, 20 * MEGABIT, True),
        ({"l": link("d", "r", None)}, {}, None, True),
        ({"l": link("d", "b")}, {}, None, False),
        ({}, {}, None, False),
    ],
)
def test_a_way_is_as_wide_as_its_narrowest_part(
    links: dict[str, dict[str, Any]], more: dict[str, Any], capacity: int | None, exists: bool
) -> None:
    found = channel_between(city_with(links, **more), "drc", "recovery")
    assert (found.capacity, found.exists) == (capacity, exists)


def test_without_a_drawn_network_or_a_known_storage_nobody_knows() -> None:
    city = make_city()
    centre = city.workspace.dr_centres["drc"].model_copy(update={"throughput": 5 * MEGABIT})
    workspace = city.workspace.model_copy(update={"dr_centres": {"drc": centre}})
    assert channel_between(city.model_copy(update={"workspace": workspace}), "drc", "recovery").capacity is None
    drawn = city_with({"l": link("d", "r"), "u": link("a", "d")}, throughput=None)
    assert channel_between(drawn, "drc", "recovery").capacity is None
    assert channel_between(drawn, "drc", "primary").capacity == 100 * MEGABIT  # what is read says nothing of writing
