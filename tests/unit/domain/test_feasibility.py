"""Each reason why a promise cannot be kept is found, alone, with its cause in numbers."""

from __future__ import annotations

from typing import Any

import pytest

from drp.domain.forecasts.estimates import History
from drp.domain.forecasts.feasibility import Shortfall, shortfalls_of
from drp.domain.forecasts.forecast import Outlook, forecast
from drp.domain.graph import with_dependencies
from drp.domain.inventory import City
from drp.domain.runbooks.model import Runbook
from tests.fakes.planned import ESTIMATES, LINES, city_with, link, runbook, sized_record


def found_in(city: City, scenario: Runbook | None = None) -> list[Shortfall]:
    order = with_dependencies(city.services, {name: service.depends_on for name, service in city.services.items()})
    history = History()
    return shortfalls_of(city, forecast(city, scenario or runbook(), "failover", order, history), history)


def city(*records: dict[str, Any], **more: Any) -> City:
    return city_with(more.pop("links", LINES), *records, estimates=more.pop("estimates", ESTIMATES), **more)


def test_a_backup_that_still_runs_when_the_next_one_starts_falls_behind() -> None:
    # At 02:00 the hourly backup shares the line with 500 GB: eleven hours.
    nightly = backed_up("b", "daily 02:00", rpo="2d")
    nightly["datasets"][0]["daily_change"] = "500GB"
    found = found_in(city(sized_record("a", rpo="1d"), nightly))
    assert [(item.code, item.services) for item in found] == [("slower-than-schedule", ("a",))]
    assert "and the next one starts after 1 h" in found[0].message


def test_a_city_that_keeps_its_promises_has_no_shortfall() -> None:
    assert found_in(city(sized_record("a"), sized_record("b", depends_on=["a"]))) == []


def backed_up(name: str, schedule: str | None, **changes: Any) -> dict[str, Any]:
    record = sized_record(name, **changes)
    record["backup"] = record["backup"] | {"schedule": schedule}
    if schedule is None:
        del record["backup"]["schedule"]
    return record


def changing(name: str, daily: str, **changes: Any) -> dict[str, Any]:
    record = sized_record(name, **changes)
    record["datasets"][0]["daily_change"] = daily
    return record


A_LONG_CHAIN = [
    sized_record("a", "1GB", recovery={"estimates": {"activate": "2h"}}),
    sized_record("b", "1GB", depends_on=["a"], recovery={"estimates": {"activate": "90m"}}),
]
"""Restores of 80 s each, 30 m of people; a is usable after 2 h 35 m, b only after 2 h 5 m more."""


@pytest.mark.parametrize(
    ("whole", "code", "promise", "service", "message"),
    [
        (city(sized_record("a", rto="20m")), "people-too-slow", "rto", "a", "people alone need 30 m"),
        (
            city(sized_record("a", rto="80m")),
            "data-too-large",
            "rto",
            "a",
            "its restore alone takes 1 h (45 GB over link downlink at 100 Mbit/s)",
        ),
        (
            city(sized_record("a", rto="95m")),
            "steps-too-long",
            "rto",
            "a",
            "its own steps take 1 h 09 m: restore 1 h, activate 5 m, verify 2 m, cutover 1 m, usable 1 m",
        ),
        (city(*A_LONG_CHAIN), "critical-path", "rto", "b", "a → b"),
        (
            city(sized_record("a", rto="100m"), sized_record("b")),
            "shared-line",
            "rto",
            "a",
            "2 restores share link downlink, which needs 2 h for 90 GB (largest: a 45 GB, b 45 GB)",
        ),
        (
            city(backed_up("a", "daily 02:00")),
            "schedule-too-rare",
            "rpo",
            "a",
            "RPO 2 h, but the schedule `daily 02:00` leaves up to 1 d",
        ),
        (
            city(changing("a", "1TB")),  # 41.7 GB an hour: 55 m 33 s over 100 Mbit/s
            None,
            "rpo",
            "a",
            "",
        ),
        (
            city(changing("a", "1TB", rpo="110m")),
            "schedule-and-transfer",
            "rpo",
            "a",
            "schedule `hourly` leaves 1 h, and a backup needs 55 m 34 s to arrive",
        ),
        (
            city(changing("a", "500GB", rpo="90m"), changing("b", "500GB")),
            "shared-uplink",
            "rpo",
            "a",
            "41.6 GB of backups that start together, over link uplink at 100 Mbit/s",
        ),
        (
            city(changing("a", "1.2TB", rpo="1d")),
            "uplink-overloaded",
            "capacity",
            "a",
            "link uplink needs 1 d 02 h 40 m for what all backups send over it in a day",
        ),
        (
            city(sized_record("a"), contract={"provider": "X", "capacity": "40GB"}),
            "contract-capacity",
            "capacity",
            "a",
            "one copy of all data is 45 GB; the contract has room for 40 GB",
        ),
        (city(sized_record("a"), links={"downlink": link("d", "r")}), "no-uplink", "rpo", "a", "no backup can arrive"),
        (city(sized_record("a"), links={"uplink": link("a", "d")}), "no-line", "recovery", "a", "no line connects"),
        (city(sized_record("a", checks=[])), "no-check", "recovery", "a", "no check proves that it is usable"),
    ],
)
def test_one_cause_gives_exactly_its_shortfall(
    whole: City, code: str | None, promise: str, service: str, message: str
) -> None:
    found = found_in(whole)
    wanted = [] if code is None else [(code, promise, Outlook.NOT_FEASIBLE, (service,))]
    assert [(item.code, item.promise, item.outlook, item.services) for item in found] == wanted
    assert all(message in item.message for item in found), found


@pytest.mark.parametrize(
    ("whole", "code", "promise"),
    [
        (city(sized_record("a", None)), "step-unknown", "rto"),
        (city(sized_record("a"), estimates={}), "step-unknown", "rto"),
        (city(backed_up("a", None)), "no-schedule", "rpo"),
        (city(sized_record("a"), links=LINES | {"uplink": link("a", "d", None)}), "arrival-unknown", "rpo"),
    ],
)
def test_what_nobody_knows_is_said_and_is_not_called_feasible(whole: City, code: str, promise: str) -> None:
    found = [item for item in found_in(whole) if item.promise == promise]
    assert [(item.code, item.outlook) for item in found] == [(code, Outlook.UNKNOWN)]


def test_a_runbook_without_peoples_time_is_told_once_for_all() -> None:
    silent = runbook().model_copy(update={"people": None})
    found = found_in(city(sized_record("a"), sized_record("b")), silent)
    assert [(item.code, item.services) for item in found] == [("people-time-unknown", ("a", "b"))]


def test_a_dependant_of_what_cannot_be_recovered_is_told_too() -> None:
    found = found_in(city(sized_record("a", checks=[]), sized_record("b", depends_on=["a"])))
    assert [(item.code, item.services) for item in found] == [("no-check", ("a",)), ("needs-unrecoverable", ("b",))]
