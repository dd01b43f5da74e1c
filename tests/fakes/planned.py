"""A city whose sites, lines, sizes and schedules are declared, so that its recovery can be reckoned by hand.

The primary site is at location `a`, the DR centre at `d`, the recovery site at `r`.
"""

from __future__ import annotations

from typing import Any

from drp.domain.inventory import City, Workspace
from drp.domain.registers import Network
from drp.domain.runbooks.model import Runbook
from tests.fakes.city import make_city, runbook_record, service_record


def link(a: str, b: str, capacity: str | None = "100Mbit/s") -> dict[str, Any]:
    return {"a": a, "b": b, "medium": "fibre", **({"capacity": capacity} if capacity else {})}


def city_with(
    links: dict[str, dict[str, Any]],
    *records: dict[str, Any],
    throughput: str | None = "1Gbit/s",
    lan: str | None = None,
    estimates: dict[str, str] | None = None,
    contract: dict[str, Any] | None = None,
) -> City:
    city = make_city(*records)
    places = {name: {"title": name, **({"lan": lan} if lan else {})} for name in "abdr"}
    sites = {site: {"title": site, "location": place} for site, place in (("primary", "a"), ("recovery", "r"))}
    centre = city.workspace.dr_centres["drc"].model_dump(mode="json", exclude_none=True) | {"location": "d"}
    centre |= {"throughput": throughput, "contract": contract}
    record = city.workspace.model_dump(mode="json", by_alias=True)
    record |= {"sites": sites, "dr_centres": {"drc": centre}, "estimates": estimates or {}}
    network = Network.model_validate({"schema": 1, "locations": places, "links": links})
    return city.model_copy(update={"workspace": Workspace.model_validate(record), "network": network})


def sized_record(name: str, size: str | None = "45GB", **changes: Any) -> dict[str, Any]:
    """A service with one dataset of this size, an RTO of 4 h, an RPO of 2 h, and a backup every hour."""
    dataset = {"id": "files", "type": "files", "host": f"{name}-1", "paths": [f"/srv/{name}"]}
    if size is not None:
        dataset |= {"size": size, "daily_change": "2.4GB"}
    backup = {"dr_centre": "drc", "password": {"env": "DRP_TEST_PASSWORD"}, "schedule": "hourly"}
    record = service_record(name, datasets=[dataset], backup=backup, address="192.0.2.80", rto="4h", rpo="2h")
    return record | changes


def runbook(**people: str | None) -> Runbook:
    """A scenario in which people need half an hour, unless told otherwise; None leaves a word out."""
    times = {"detect": "5m", "decide": "15m", "mobilise": "10m"} | people
    told = {name: time for name, time in times.items() if time is not None}
    return Runbook.model_validate(runbook_record() | {"people": told})


ESTIMATES = {"activate": "5m", "verify": "2m", "cutover": "1m", "usable": "1m"}
"""Nine minutes from the end of a restore until users are back."""

LINES = {"uplink": link("a", "d"), "downlink": link("d", "r")}
"""Each 100 Mbit/s: 45 GB take an hour."""
