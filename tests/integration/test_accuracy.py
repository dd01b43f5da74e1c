"""RTA as drp measures it beside a stopwatch that is not drp's; `./dev bench accuracy` does the same at length."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.fakes.known_outages import Case, run_cases

pytestmark = pytest.mark.integration

CASES = [
    Case(interval=0.2, down=3.1, how="refused"),
    Case(interval=0.2, down=3.4, how="waiting", phase=0.13),
    Case(interval=0.3, down=3.7, how="lost", takes=0.6, phase=0.2),
    Case(interval=0.5, down=4.3, how="failing", takes=0.3, kinds=("tcp",), phase=0.1),
    Case(interval=0.5, down=3.1, how="refused", flaps=1, kinds=("http", "tcp"), phase=0.4),
    Case(interval=0.5, down=4.1, how="waiting", takes=0.3, phase=0.25),
    Case(interval=0.75, down=4.2, how="lost", kinds=("http", "tcp"), phase=0.6),
    Case(interval=0.2, down=3.3, how="failing", phase=0.05),
    Case(interval=0.3, down=4.0, how="waiting", phase=0.15),
    Case(interval=0.5, down=3.6, how="refused", takes=0.6, phase=0.3),
]


def test_the_measured_recovery_time_is_true(tmp_path: Path) -> None:
    """All of them at once, beside twice as many busy processes as there are cores."""
    under_load = [replace(case, loaded=True) for case in CASES]
    results = run_cases(tmp_path, under_load, at_once=len(CASES), tell=lambda _: None)
    assert len(results) == len(CASES)
    assert [result for result in results if result.beyond > 0.2] == []
    assert [result for result in results if not result.is_within] == []
