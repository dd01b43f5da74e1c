"""The shipped workspaces, changed: what `drp validate` and `drp plan` say then, and did not say before."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from drp.adapters.inventory import HOSTS_FILE, read_city
from drp.adapters.yaml_file import YamlFile, read_yaml
from drp.domain.findings import SERVICE, Finding
from drp.domain.forecasts.estimates import History
from drp.domain.forecasts.feasibility import Shortfall, shortfalls_of
from drp.domain.forecasts.forecast import forecast
from drp.domain.graph import with_dependencies
from drp.domain.review import review
from drp.errors import Fault, InvalidInventoryError

REPOSITORY = Path(__file__).parents[2]
TODAY = date(2026, 11, 23)

Files = dict[str, Any]
"""The parsed content of a workspace's files by name."""


@dataclass(frozen=True)
class Outcome:
    """What drp says about a workspace."""

    faults: tuple[Fault, ...]
    warnings: tuple[Finding, ...]
    shortfalls: tuple[Shortfall, ...]

    def told(self) -> set[tuple[str, str]]:
        """Every finding as (code, service or place), without its words."""
        found = {(fault.code or "fault", fault.file) for fault in self.faults}
        for warning in self.warnings:
            place = ".".join(str(word) for word in warning.location)
            found.add((warning.code, warning.record.name if warning.record.kind == SERVICE else place))
        return found | {(f"plan:{item.code}", name) for item in self.shortfalls for name in item.services}


def read_files(workspace: Path) -> Files:
    """All YAML files that the loader reads, parsed."""
    names = [
        "drp.yaml",
        HOSTS_FILE,
        *(f"inventories/{name}.yaml" for name in ("network", "people", "documents", "assets")),
    ]
    names += [str(path.relative_to(workspace)) for path in sorted(workspace.glob("inventories/services/*.yaml"))]
    names += [str(path.relative_to(workspace)) for path in sorted(workspace.glob("runbooks/*.yaml"))]
    files: Files = {}
    for name in names:
        file = read_yaml(workspace / name, name)
        assert isinstance(file, YamlFile), file
        files[name] = file.value
    return files


def outcome_of(files: Files, folder: Path) -> Outcome:
    """Write the files into an empty folder, and have drp read, review and plan them."""
    for name, value in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(value), encoding="utf-8")  # JSON is YAML
    try:
        city, read = read_city(folder, REPOSITORY / "runbooks")
    except InvalidInventoryError as error:
        return Outcome(error.faults, (), ())
    order = with_dependencies(city.services, {name: service.depends_on for name, service in city.services.items()})
    history = History()
    expected = forecast(city, city.runbooks["site-loss"], "failover", order, history)
    warnings = (*read.loose_ends, *review(city, TODAY))
    return Outcome((), warnings, tuple(shortfalls_of(city, expected, history)))


Change = Callable[[Files], None]
