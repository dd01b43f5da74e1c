"""What is closed where, what must stay open for others, and that nothing counts as closed that nobody confirmed."""

from __future__ import annotations

from typing import Any

import pytest

from drp.adapters.ansible_hosts import ansible_hosts, host_record
from drp.domain.events import Body
from drp.domain.inventory import AnsibleHost, City
from drp.domain.recovery.fencing import fences, outcomes, refuse_in_drill, unconfirmed, units_of, variables
from drp.errors import UsageError
from tests.fakes.city import make_city, service_record

DATABASE = {"id": "database", "type": "postgresql", "host": "app-1", "database": "x"}


def record(name: str, *start: str, **changes: Any) -> dict[str, Any]:
    own = {"runs_on": ["app-1"], "recovers_on": {"app-1": "drc-app-1"}, "recovery": {"start": list(start)}}
    return service_record(name, **({"datasets": [DATABASE | {"database": name}]} | own | changes))


def shared_host(**host: Any) -> City:
    """A website and its subdomains on one host, and a service of its own on another one."""
    city = make_city(
        record("website", "website", "nginx", address="192.0.2.80"),
        record("subdomain", "subdomain", "nginx", address="192.0.2.80"),
        service_record("pajak", recovery={"start": ["pajak"]}),
    )
    closed = AnsibleHost(name="app-1", site="primary", address="192.0.2.7", **host)
    return city.model_copy(update={"hosts": city.hosts | {"app-1": closed}})


def test_what_runs_for_a_service() -> None:
    city = shared_host()
    assert units_of(city.services["website"]) == ("postgresql", "website", "nginx")


def test_of_a_host_that_is_left_whole_everything_is_closed() -> None:
    (fence,) = fences(shared_host(), ["website", "subdomain"])
    assert fence.units == {
        "website": ("postgresql", "website", "nginx"),
        "subdomain": ("postgresql", "subdomain", "nginx"),
    }
    assert fence.addresses == {"website": ("192.0.2.80",), "subdomain": ("192.0.2.80",)}
    assert (fence.shared, fence.in_use_by) == ({}, ())


def test_what_others_on_the_host_need_stays_open_and_is_told() -> None:
    (fence,) = fences(shared_host(), ["website"])
    assert fence.units == {"website": ("website",)}
    assert fence.addresses == {"website": ()}, "the other service is reached there too"
    assert fence.shared == {"postgresql": ("subdomain",), "nginx": ("subdomain",)}
    assert fence.in_use_by == ("subdomain",)
    (alone,) = fences(shared_host(), ["website"], away=["subdomain"])
    assert alone.units == {"website": ("postgresql", "website", "nginx")}
    assert alone.in_use_by == ()


def test_each_site_has_its_own_hosts() -> None:
    assert [fence.host for fence in fences(shared_host(), ["website", "pajak"])] == ["app-1", "pajak-1"]
    at_recovery = fences(shared_host(), ["website", "pajak"], site="recovery")
    assert [fence.host for fence in at_recovery] == ["drc-app-1", "drc-pajak-1"]


COMMANDS = {
    "fence_command": ["ipmi", "off"],
    "fence_check": ["ipmi", "is-off"],
    "fence_timeout": "5s",
    "unfence_command": ["ipmi", "on"],
}


def test_a_command_that_takes_others_down_is_not_run() -> None:
    city = shared_host(**COMMANDS)
    note = {"by": "Siti", "at": "2026-11-20T07:00:00.000000Z", "run": "failover-1", "reason": "fire"}
    both = variables(fences(city, ["website", "subdomain"]), city.hosts, **note)["drp_fences"]["app-1"]
    assert both["command"] == ["ipmi", "off"]
    assert (both["check"], both["open_command"], both["timeout_seconds"]) == (["ipmi", "is-off"], ["ipmi", "on"], 5)
    assert both["note"] == note
    one = variables(fences(city, ["website"]), city.hosts, **note)["drp_fences"]["app-1"]
    assert one["command"] == []
    assert one["command_refused"] == (
        "drp_fence_command was not run: it would take subdomain down too, which is not part of this"
    )


def told(host: str, *, confirmed: bool, how: str = "host", reasons: list[str] | None = None) -> Body:
    fence = {"host": host, "confirmed": confirmed, "how": how, "reasons": reasons or [], "details": {}}
    return {"event": "task", "host": host, "result": {"fence": fence}}


def test_nothing_is_confirmed_that_nobody_confirmed() -> None:
    wanted = fences(shared_host(), ["website", "subdomain", "pajak"])
    assert [outcome.confirmed for outcome in outcomes(wanted, [])] == [False, False]
    noise: list[Body] = [{"event": "task", "host": "app-1", "outcome": "ok"}, {"event": "runner.ended", "rc": 0}]
    assert unconfirmed(outcomes(wanted, noise)) == [
        "app-1 could not be closed for certain: the playbook told nothing of it",
        "pajak-1 could not be closed for certain: the playbook told nothing of it",
    ]
    reasons = ["the host cannot be reached: timed out"]
    mixed = outcomes(wanted, [told("app-1", confirmed=True), told("pajak-1", confirmed=False, reasons=reasons)])
    assert unconfirmed(mixed) == [f"pajak-1 could not be closed for certain: {reasons[0]}"]
    assert mixed[0].record() == {
        "host": "app-1",
        "services": ["website", "subdomain"],
        "confirmed": True,
        "how": "host",
        "reasons": [],
        "details": {},
    }


def test_what_stays_open_for_others_is_not_closed() -> None:
    """A web server that others need too may go on serving the service's pages."""
    wanted = fences(shared_host(), ["website"])
    (found,) = outcomes(wanted, [told("app-1", confirmed=True)])
    assert (found.confirmed, found.reasons) == (
        False,
        (
            "postgresql stays open there, subdomain still needs it: what it serves goes on",
            "nginx stays open there, subdomain still needs it: what it serves goes on",
        ),
    )
    (by_command,) = outcomes(wanted, [told("app-1", confirmed=True, how="command")])
    assert by_command.confirmed
    (opened,) = outcomes(wanted, [told("app-1", confirmed=True)], closing=False)
    assert opened.confirmed


def test_a_drill_fences_nothing() -> None:
    with pytest.raises(UsageError, match="a drill fences nothing"):
        refuse_in_drill("drill")
    refuse_in_drill("failover")


def test_the_inventory_says_how_a_host_is_closed() -> None:
    inventory = {
        "primary": {
            "vars": {"drp_fence_timeout": "90s"},
            "hosts": {"app-1": {"drp_fence_command": ["ipmi", "off"], "drp_unfence_command": ["ipmi", "on"]}},
        }
    }
    hosts = {
        name: AnsibleHost.model_validate(host_record(name, values, "primary"))
        for name, (values, _, _) in ansible_hosts(inventory).items()
    }
    assert hosts["app-1"].fence_command == ("ipmi", "off")
    assert hosts["app-1"].fence_timeout.total_seconds() == 90
    with pytest.raises(ValueError, match="need drp_fence_command"):
        AnsibleHost(name="app-1", site="primary", address="192.0.2.7", fence_check=("ipmi",))
