"""`./dev bench plan`: what cities of 100, 1 000 and 10 000 services cost to read, to check and to plan.

Each reading is a process of its own: the files into a validated city, every warning about it, and the forecast of its
recovery, with the most memory that the process ever had. Beside it the whole commands as a user runs them, and what
`ansible-inventory --list` needs for the hosts of the largest city.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

from tests.bench.cities import write_city
from tests.bench.common import Figure, finish, median, progress

SIZES = (100, 1_000, 10_000)
RUNS = 3
LONGEST_LISTING = 120
"""Seconds after which ansible-inventory is cut."""

BIN = Path(sys.executable).parent
LARGEST = SIZES[-1]
TARGETS = {f"{LARGEST}: load and validate": 6.0, f"{LARGEST}: plan": 2.0, f"{LARGEST}: memory": 600.0}
MOST_GROWTH = 12.0


def main() -> None:
    if sys.argv[1:2] == ["--measure"]:
        print(json.dumps(measure(Path(sys.argv[2]))))
        return
    with tempfile.TemporaryDirectory(prefix="drp-bench-") as folder:
        figures, notes = _all_figures(Path(folder))
        finish("plan", figures, notes=notes)


def measure(workspace: Path) -> dict[str, float]:
    """Seconds and MB of this process, which has done nothing else yet; the imports are not counted as loading."""
    from drp.adapters.inventory import read_city
    from drp.domain.forecasts.estimates import History
    from drp.domain.forecasts.feasibility import shortfalls_of
    from drp.domain.forecasts.forecast import forecast
    from drp.domain.graph import with_dependencies
    from drp.domain.review import review

    started = time.perf_counter()
    city, files = read_city(workspace, workspace / "runbooks")
    loaded = time.perf_counter()
    files.locate(review(city, date(2026, 11, 20)))
    reviewed = time.perf_counter()
    order = with_dependencies(list(city.services), {name: found.depends_on for name, found in city.services.items()})
    history = History({}, {})
    expected = forecast(city, city.runbooks["site-loss"], "failover", order, history)
    shortfalls_of(city, expected, history)
    planned = time.perf_counter()
    assert len(expected.services) == len(city.services), "a generated city can be recovered as a whole"
    return {
        "load": loaded - started,
        "warnings": reviewed - loaded,
        "plan": planned - reviewed,
        "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6,
    }


def _all_figures(folder: Path) -> tuple[list[Figure], list[str]]:
    figures: list[Figure] = []
    whole: dict[int, float] = {}
    for size in SIZES:
        progress(f"{size} services: writing them, then {RUNS} processes read, check and plan them")
        workspace = folder / str(size)
        write_city(workspace, size)
        measured = [_measured_apart(workspace) for _ in range(RUNS)]
        both = [run["load"] + run["warnings"] for run in measured]
        whole[size] = median(both)
        values = {
            "load and validate": (median(both), "s"),
            "of it the warnings": (median([run["warnings"] for run in measured]), "s"),
            "plan": (median([run["plan"] for run in measured]), "s"),
            "memory": (max(run["memory"] for run in measured), "MB"),
            "drp validate": (_seconds_of(workspace, "validate"), "s"),
            "drp plan --json": (_seconds_of(workspace, "plan", "--json"), "s"),
        }
        for name, (value, unit) in values.items():
            label = f"{size}: {name}"
            figures.append(Figure(label, value, unit, TARGETS.get(label)))
    growth = whole[LARGEST] / whole[LARGEST // 10]
    figures.append(Figure(f"load and validate, {LARGEST // 10} → {LARGEST}", growth, "×", MOST_GROWTH))
    listing, note = _ansible_seconds(folder / str(LARGEST))
    figures.append(listing)
    return figures, [f"Medians of {RUNS} processes; memory is the highest of them. The commands ran once.", *note]


def _measured_apart(workspace: Path) -> dict[str, float]:
    command = [sys.executable, "-m", "tests.bench.plan", "--measure", str(workspace)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"reading {workspace.name} services failed:\n{done.stderr}")
    found: dict[str, float] = json.loads(done.stdout)
    return found


def _seconds_of(workspace: Path, *arguments: str) -> float:
    """Seconds of a whole command, from the start of its process to its end."""
    started = time.perf_counter()
    done = subprocess.run(
        [str(BIN / "drp"), "-w", str(workspace), *arguments], capture_output=True, text=True, check=False
    )
    seconds = time.perf_counter() - started
    if done.returncode not in (0, 4):
        sys.exit(f"drp {' '.join(arguments)} ended with {done.returncode}:\n{done.stderr}")
    return seconds


def _ansible_seconds(workspace: Path) -> tuple[Figure, list[str]]:
    """What Ansible's own reader needs for the same hosts, for comparison."""
    progress(f"ansible-inventory lists the hosts of {LARGEST} services; cut after {LONGEST_LISTING} s")
    command = [str(BIN / "ansible-inventory"), "-i", str(workspace / "inventories" / "hosts.yaml"), "--list"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
    started = time.perf_counter()
    try:
        subprocess.run(command, capture_output=True, env=environment, check=True, timeout=LONGEST_LISTING)
        note = []
    except subprocess.TimeoutExpired:
        note = [f"ansible-inventory was cut after {LONGEST_LISTING} s: it needs more than the figure says."]
    return Figure(f"{LARGEST}: ansible-inventory --list", time.perf_counter() - started, "s"), note


if __name__ == "__main__":
    main()
