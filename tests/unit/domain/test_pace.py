"""A restore over a thin line looks like any long one; what it spent its time with tells them apart."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from drp.domain.forecasts.transfer import Channel
from drp.domain.recovery.pace import is_slow, measured_restores, rate_of, told, waited_ms
from tests.fakes.city import make_restore_point


def restore(**changes: Any) -> dict[str, Any]:
    body = {
        "service": "pengaduan",
        "dr_centre": "drc",
        "host": "drc-app-1",
        "dataset": "files",
        "part": "files",
        "bytes": 15_000_000,
        "duration_ms": 121_000,
        "computing_ms": 2_000,
        "loading_ms": 0,
        "line_bits_per_second": 1_000_000_000,
        "line": "DR centre drc",
    }
    return body | changes


def test_one_that_mostly_waited_is_slow_and_says_how_fast_the_data_came() -> None:
    assert waited_ms(restore()) == 119_000
    assert is_slow(restore())
    assert rate_of(restore()) == 991_735
    text = told(restore())
    for words in ("slow line or DR centre", "drc-app-1", "15 MB", "991.7 kbit/s", "1 Gbit/s", "waited 119.0 s"):
        assert words in text


@pytest.mark.parametrize(
    "changes",
    [
        {"computing_ms": 100_000},  # compression, decryption: the processor's time
        {"loading_ms": 100_000},  # the database had enough to load
        {"duration_ms": 9_000, "computing_ms": 0},  # too short to say anything
        {"bytes": 953},  # the DR centre was slow to answer, which is no line's speed
        {"bytes": 15_000_000_000},  # as much as the line is declared to carry
        {"computing_ms": 200_000},  # more processors than one
    ],
)
def test_one_that_had_something_else_to_do_is_not(changes: dict[str, Any]) -> None:
    assert not is_slow(restore(**changes))


def test_a_line_that_nobody_declared_is_compared_with_nothing_and_told_all_the_same() -> None:
    found = restore(line_bits_per_second=None, line="")
    assert is_slow(found)
    assert "no line is declared" in told(found)


def test_figures_come_with_what_the_restore_point_and_the_plan_know() -> None:
    point = make_restore_point()
    part = {"dataset": "files", "part": "files", "duration_ms": 5, "computing_ms": 3, "loading_ms": 0}
    older = {"dataset": "database", "part": "database", "duration_ms": 5}  # by a program that did not measure it
    hosts = {"files": "drc-app-1", "database": "drc-app-1"}
    channel = Channel((("link a", 8_000_000), ("DR centre drc", 1_000_000_000)), known=True, exists=True)
    (found,) = measured_restores(point, [part, older], hosts, channel)
    size = next(item.bytes for item in point.snapshots if item.dataset == "files")
    assert (found["bytes"], found["line"], found["line_bits_per_second"]) == (size, "link a", 8_000_000)
    (unknown,) = measured_restores(point, [part], hosts, replace(channel, known=False))
    assert (unknown["line"], unknown["line_bits_per_second"]) == ("", None)
