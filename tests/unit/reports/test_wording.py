"""Durations, sizes and times as people read them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drp.errors import UsageError
from drp.reports.wording import LocalTime, byte_size, exact, percent, spell, utc_text


@pytest.mark.parametrize(
    ("milliseconds", "words"),
    [
        (0, "0 s"),
        (7, "7 ms"),
        (999, "999 ms"),
        (1_000, "1 s"),
        (12_499, "12.4 s"),
        (60_000, "1 m"),
        (300_400, "5 m 00.4 s"),
        (312_000, "5 m 12 s"),
        (3_600_000, "1 h"),
        (15_125_999, "4 h 12 m 05 s"),
        (3_605_000, "1 h 00 m 05 s"),
        (86_400_000, "1 d"),
        (183_600_000, "2 d 03 h"),
        (-70_400, "−1 m 10.4 s"),
    ],
)
def test_durations(milliseconds: int, words: str) -> None:
    assert spell(milliseconds) == words


@given(st.integers(-(10**12), 10**12))
def test_the_exact_form_can_be_read_back(milliseconds: int) -> None:
    text = exact(milliseconds).removesuffix(" s").replace("−", "-").replace(".", "")
    assert int(text) == milliseconds
    assert spell(milliseconds)


def test_sizes_and_shares() -> None:
    assert [byte_size(count) for count in (0, 999, 1_000, 14_236_117, 5 * 10**12)] == [
        "0 B",
        "999 B",
        "1.0 kB",
        "14.2 MB",
        "5.0 TB",
    ]
    assert (percent(417), percent(1000), percent(-5)) == ("41.7 %", "100.0 %", "−0.5 %")


def test_local_times_name_their_zone() -> None:
    moment = datetime(2026, 11, 20, 18, 30, 0, 123_999, tzinfo=UTC)
    assert LocalTime("Asia/Jakarta").full(moment) == "21 November 2026, 01:30:00.123 WIB"
    assert LocalTime("Asia/Jakarta").zone(moment) == "WIB, UTC+07:00"
    assert LocalTime("America/Sao_Paulo").short_zone(moment) == "UTC-03:00"
    assert LocalTime("UTC").zone(moment) == "UTC"
    assert utc_text(moment) == "2026-11-20 18:30:00.123 UTC"


@pytest.mark.parametrize("name", ["", "Asia", "Mars/Olympus", "../../etc/passwd", "/etc/passwd"])
def test_an_unknown_time_zone_is_refused(name: str) -> None:
    with pytest.raises(UsageError):
        LocalTime(name)
