"""What all benchmarks share: how they print, and how they end."""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Sequence
from dataclasses import dataclass

DONE, NOT_MET = 0, 4


@dataclass(frozen=True)
class Figure:
    """One measured figure; `target` is the most it may be, None where it is only told."""

    name: str
    value: float
    unit: str
    target: float | None = None

    @property
    def met(self) -> bool:
        return self.target is None or self.value <= self.target


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


def finish(name: str, figures: Sequence[Figure], *, notes: Sequence[str] = ()) -> None:
    """Print the figures beside their targets, as a table or (`--json`) as one object, and end with 0 or 4."""
    met = all(figure.met for figure in figures)
    if "--json" in sys.argv[1:]:
        print(
            json.dumps(
                {
                    "name": name,
                    "figures": {figure.name: round(figure.value, 4) for figure in figures},
                    "targets": {figure.name: figure.target for figure in figures if figure.target is not None},
                    "met": met,
                }
            )
        )
    else:
        width = max(len(figure.name) for figure in figures)
        print(f"{'figure':<{width}}  {'measured':>12}  {'target':>12}")
        for figure in figures:
            target = "" if figure.target is None else f"≤ {figure.target:g} {figure.unit}"
            verdict = "" if figure.target is None else ("met" if figure.met else "MISSED")
            print(f"{figure.name:<{width}}  {figure.value:>9.2f} {figure.unit:<2}  {target:>12}  {verdict}")
        for note in notes:
            print(note)
    sys.exit(DONE if met else NOT_MET)


def progress(text: str) -> None:
    """A line for whoever waits; on standard error, so that `--json` stays clean."""
    print(text, file=sys.stderr, flush=True)
