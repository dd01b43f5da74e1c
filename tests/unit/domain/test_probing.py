"""When a service went, and when it was really back."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import pytest

from drp.domain.recovery.probing import Sample, last_outage, usable_again
from tests.fakes.city import NOW

TOOK = timedelta(milliseconds=100)


def seconds(amount: float) -> timedelta:
    return timedelta(seconds=amount)


def samples(pattern: str, *, start: float = 0, step: float = 1) -> list[Sample]:
    """One sample a second: `+` succeeded, `-` failed, a blank: nobody looked."""
    return [
        Sample(NOW + seconds(at), NOW + seconds(at) + TOOK, sign == "+", "fine" if sign == "+" else f"refused {at:g}")
        for number, sign in enumerate(pattern)
        if sign != " "
        for at in (start + number * step,)
    ]


@pytest.mark.parametrize("pattern", ["", "+++", "++-+++-+", "-+", "+-"])
def test_a_single_failure_is_no_outage(pattern: str) -> None:
    assert last_outage(samples(pattern)) is None


def test_an_outage_begins_with_its_first_failure_and_is_detected_by_the_second() -> None:
    outage = last_outage(samples("++---"))
    assert outage is not None
    assert outage.disrupted_at == NOW + seconds(2)
    assert outage.detected_at == NOW + seconds(3) + TOOK
    assert outage.last_good_at == NOW + seconds(1) + TOOK
    assert outage.uncertainty == seconds(1) - TOOK
    assert outage.detail == "refused 2"


def test_the_newest_outage_counts_also_when_it_has_ended() -> None:
    outage = last_outage(samples("+--++---++"))
    assert outage is not None
    assert outage.disrupted_at == NOW + seconds(5)


def test_without_a_good_attempt_before_nobody_knows_how_uncertain_the_time_is() -> None:
    outage = last_outage(samples("--"))
    assert outage is not None
    assert outage.last_good_at is None
    assert outage.uncertainty is None


def usable(found: Sequence[Sample], after: float = 0, hold: float = 3) -> float | None:
    again = usable_again(found, after=NOW + seconds(after), hold=seconds(hold), largest_gap=seconds(1.5))
    return None if again is None else (again.usable_at - NOW - TOOK).total_seconds()


@pytest.mark.parametrize(
    ("pattern", "after", "at"),
    [
        ("++++", 0, 0),
        ("+++", 0, None),
        ("--++++", 0, 2),
        ("--+-++++", 0, 4),
        ("--+++-++++", 0, 6),
        ("--+++-+++", 0, None),
        ("+++ ++++", 0, 4),
        ("+++ +++", 0, None),
        ("++++++", 1.5, 2),
        ("++++++", 1.05, 2),  # what began before the moment does not count, also when it ended after it
        ("+++++", 1.5, None),
        ("", 0, None),
        ("----", 0, None),
    ],
)
def test_use_begins_with_the_first_success_that_held(pattern: str, after: float, at: float | None) -> None:
    assert usable(samples(pattern), after) == at


def test_a_failure_before_the_moment_counts_for_nothing() -> None:
    again = usable_again(samples("-+++++"), after=NOW + seconds(1), hold=seconds(3), largest_gap=seconds(2))
    assert again is not None
    assert again.last_failure_at is None
    assert again.uncertainty == TOOK


def test_what_was_found_tells_its_grounds() -> None:
    again = usable_again(samples("--+++++++"), after=NOW, hold=seconds(3), largest_gap=seconds(2))
    assert again is not None
    assert again.held_until == NOW + seconds(5) + TOOK
    assert again.attempts == 4
    assert again.last_failure_at == NOW + seconds(1)
    assert again.uncertainty == seconds(1) + TOOK


def test_a_sample_reads_what_the_probe_wrote() -> None:
    record = {"started_at": "2026-11-20T07:00:00.250000Z", "ended_at": "2026-11-20T14:00:01.250000+07:00"}
    sample = Sample.from_record(record | {"succeeded": False, "detail": "timed out"})
    assert sample == Sample(NOW, NOW + seconds(1), False, "timed out")
