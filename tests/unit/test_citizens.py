"""The comparison of what citizens were told with what drp says is lost finds each way in which they can disagree."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.e2e.citizens import Comparison, Write

START = datetime(2026, 11, 20, 10, tzinfo=UTC)


def second(number: float) -> datetime:
    return START + timedelta(seconds=number)


WRITES = [Write(str(number), f"{number:064x}", second(number)) for number in range(0, 61, 3)]
"""One every three seconds, the last one at the moment of the disaster."""


def compared(lost: list[Write], **changes: Any) -> Comparison:
    """Backed up between the seconds 30 and 34, lost at 60, seen at 62."""
    said: dict[str, Any] = {
        "tb": second(30),
        "t0": second(62),
        "t0_uncertainty": timedelta(seconds=15),
        "until_dumped": timedelta(seconds=4),
    }
    return Comparison("pajak", second(60), WRITES, lost, **(said | changes))


def test_what_agrees_has_no_faults() -> None:
    found = compared(WRITES[12:])
    assert found.faults == []
    assert (found.true_loss, found.rpa, found.pause) == (
        timedelta(seconds=24),
        timedelta(seconds=32),
        second(3) - START,
    )
    assert (found.overstated, found.allowance) == (timedelta(seconds=8), timedelta(seconds=9))


@pytest.mark.parametrize(
    ("found", "fault"),
    [
        (compared(WRITES[10:]), "1 lost writes are older than Tb"),
        (compared(WRITES[3:4] + WRITES[12:]), "1 lost writes are older than Tb"),
        (compared([*WRITES[12:], Write("x", "x", second(70))]), "1 writes of after the disaster are lost"),
        (compared(WRITES[12:], t0=second(50)), "is less than the true loss"),
        (compared(WRITES[14:]), "exceeds the true loss"),
        (compared([]), "exceeds the true loss"),
        (compared(WRITES[12:], t0=second(80)), "T0 is 0:00:20 late"),
        (compared(WRITES, tb=second(-1)), "nothing was written before Tb"),
    ],
)
def test_each_way_to_disagree_is_told(found: Comparison, fault: str) -> None:
    assert any(fault in text for text in found.faults), found.faults
