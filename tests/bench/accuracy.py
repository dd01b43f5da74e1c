"""`./dev bench accuracy`: RTA as drp measures it beside a stopwatch that is not drp's.

Synthetic services go and come back at times that they write down themselves, by clocks of their own process; drp's
probe worker looks at them, and the functions of a recovery tell T0, T5 and RTA from its samples.
"""

from __future__ import annotations

import random
import sys
import tempfile
from pathlib import Path

from tests.bench.common import Figure, finish, median, progress
from tests.fakes.known_outages import TIMEOUT, Case, run_cases

AT_ONCE = 8
INTERVALS = (0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0)
HOWS = ("refused", "waiting", "lost", "failing")
SMALL = 12


def cases() -> list[Case]:
    """Every kind of outage at every interval, with down times, slow answers and relapses that differ."""
    source = random.Random(20261125)  # the same cases each time
    found = []
    for number, (interval, how) in enumerate((interval, how) for interval in INTERVALS for how in HOWS):
        for loaded in (False, True):
            found.append(
                Case(
                    interval=interval,
                    down=round(3 * interval + TIMEOUT + 1.5 + source.uniform(0, 5), 3),
                    how=how,
                    takes=source.choice((0.0, 0.0, 0.05, 0.3, 0.6)),
                    flaps=(number + loaded) % 3 % 2,
                    kinds=source.choice((("http",), ("tcp",), ("http", "tcp"))),
                    phase=round(source.uniform(0, interval), 3),
                    loaded=loaded,
                )
            )
    return found


def main() -> None:
    wanted = cases()
    if "--small" in sys.argv[1:]:
        wanted = wanted[:: len(wanted) // SMALL | 1]
    with tempfile.TemporaryDirectory(prefix="drp-bench-") as folder:
        results = run_cases(Path(folder), wanted, AT_ONCE, progress)
    errors = [abs(result.error) for result in results]
    outside = [result for result in results if not result.is_within]
    worst = max(results, key=lambda result: result.beyond)
    for result in outside:
        progress(f"outside its uncertainty: {result}")
    finish(
        "accuracy",
        [
            Figure("error beyond the probe's interval, worst", max(result.beyond for result in results), "s", 0.2),
            Figure("cases outside the stated uncertainty", 100 * len(outside) / len(results), "%", 0),
            Figure("error, worst", max(errors), "s"),
            Figure("error, median", median(errors), "s"),
            Figure("understated by, worst", max(0.0, *(-result.error for result in results)), "s"),
            Figure("beyond it if starts counted, worst", max(abs(r.by_starts) - r.case.interval for r in results), "s"),
            Figure("beyond it if the end counted, worst", max(abs(r.by_ends) - r.case.interval for r in results), "s"),
            Figure("stated uncertainty, median", median([result.uncertainty for result in results]), "s"),
            Figure("cases", len(results), ""),
            Figure("cases under load", sum(result.case.loaded for result in results), ""),
        ],
        notes=[f"Worst beyond its interval: {worst}"],
    )


if __name__ == "__main__":
    main()
