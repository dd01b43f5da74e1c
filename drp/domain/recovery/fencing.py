"""Fencing: what must be closed where so that a site serves nobody, also when it comes back, and whether it was.

Ansible carries it out (playbooks/fence.yml and unfence.yml, role `fence`). A host that was not heard of is not closed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from drp.domain.events import Body
from drp.domain.inventory import AnsibleHost, City
from drp.domain.recovery.cutover import ways_of
from drp.domain.service import Service
from drp.domain.traffic import FloatingAddress, TrafficSite
from drp.errors import UsageError


@dataclass(frozen=True, slots=True)
class HostFence:
    """What is closed on one host. `units` are by the service that they belong to. `shared` are units that stay open,
    because others on the host need them, and who. `in_use_by` are the services that would go down with the host."""

    host: str
    units: Mapping[str, tuple[str, ...]]
    addresses: Mapping[str, tuple[str, ...]]
    shared: Mapping[str, tuple[str, ...]]
    in_use_by: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class HostFenced:
    """What became of one host. `how`: `host` (it did it itself), `command` (the inventory's), or `nothing`."""

    host: str
    services: tuple[str, ...]
    confirmed: bool
    how: str
    reasons: tuple[str, ...]
    details: Body

    def record(self) -> Body:
        """The body of a `host.fenced` or `host.unfenced` event."""
        return {
            "host": self.host,
            "services": list(self.services),
            "confirmed": self.confirmed,
            "how": self.how,
            "reasons": list(self.reasons),
            "details": self.details,
        }


def units_of(service: Service) -> tuple[str, ...]:
    """Everything that runs for a service, in the order in which it is started: its datasets' servers first."""
    servers = {unit for dataset in service.datasets for unit in dataset.procedure(service.id)["units"]}
    return tuple(dict.fromkeys([*sorted(servers), *service.recovery.start]))


def hosts_at(service: Service, site: TrafficSite) -> list[str]:
    """The hosts that a service uses at a site."""
    return [
        service.stand_in(host, site) for host in service.runs_on if site == "primary" or host in service.recovers_on
    ]


def fences(
    city: City, services: Sequence[str], *, site: TrafficSite = "primary", away: Collection[str] = ()
) -> list[HostFence]:
    """What to close at a site, by host. `away` are services that run at the other site already: what they left there
    is nobody's any more."""
    wanted = [city.services[name] for name in services]
    staying = [other for other in city.services.values() if other.id not in services and other.id not in away]
    found = []
    for host in dict.fromkeys(host for service in wanted for host in hosts_at(service, site)):
        here = [service for service in wanted if host in hosts_at(service, site)]
        others = [other for other in staying if host in hosts_at(other, site)]
        needed_by = {
            unit: tuple(other.id for other in others if unit in units_of(other))
            for service in here
            for unit in units_of(service)
        }
        found.append(
            HostFence(
                host,
                {service.id: tuple(unit for unit in units_of(service) if not needed_by[unit]) for service in here},
                {service.id: _addresses(service, others) for service in here},
                {unit: names for unit, names in needed_by.items() if names},
                tuple(other.id for other in others),
            )
        )
    return found


def _addresses(service: Service, others: Iterable[Service]) -> tuple[str, ...]:
    kept = {str(way.address) for other in others for way in ways_of(other) if isinstance(way, FloatingAddress)}
    own = (str(way.address) for way in ways_of(service) if isinstance(way, FloatingAddress))
    return tuple(address for address in own if address not in kept)


def variables(
    fences_: Sequence[HostFence], hosts: Mapping[str, AnsibleHost], *, by: str, at: str, run: str, reason: str
) -> Body:
    """What the role `fence` needs: of each host what to close, who says so, and the inventory's commands for it."""
    note = {"by": by, "at": at, "run": run, "reason": reason}
    return {
        "drp_fences": {
            fence.host: {
                "services": [
                    {"id": name, "units": list(units), "addresses": list(fence.addresses[name])}
                    for name, units in fence.units.items()
                ],
                "note": note,
                **_commands(hosts[fence.host], fence),
            }
            for fence in fences_
        }
    }


def _commands(host: AnsibleHost, fence: HostFence) -> Body:
    refused = ""
    if host.fence_command and fence.in_use_by:
        names = ", ".join(fence.in_use_by)
        refused = f"drp_fence_command was not run: it would take {names} down too, which is not part of this"
    return {
        "command": list(host.fence_command or ()) if not refused else [],
        "command_refused": refused,
        "check": list(host.fence_check or ()),
        "open_command": list(host.unfence_command or ()),
        "timeout_seconds": host.fence_timeout.total_seconds(),
    }


def outcomes(fences_: Sequence[HostFence], messages: Iterable[Body], *, closing: bool = True) -> list[HostFenced]:
    """What became of each host, from what the playbook told. Never assumed: a host that nothing was told of, or on
    which something of a service stays open for others' sake, is not confirmed."""
    told = {
        message["result"]["fence"]["host"]: message["result"]["fence"]
        for message in messages
        if message.get("event") == "task" and "fence" in message.get("result", {})
    }
    found = []
    for fence in fences_:
        answer = told.get(fence.host)
        if answer is None:
            reasons, confirmed, how, details = ["the playbook told nothing of it"], False, "nothing", {}
        else:
            reasons, confirmed = list(answer["reasons"]), bool(answer["confirmed"])
            how, details = answer["how"], answer["details"]
        if closing and how != "command":
            for unit, names in fence.shared.items():
                confirmed = False
                reasons.append(f"{unit} stays open there, {', '.join(names)} still needs it: what it serves goes on")
        found.append(HostFenced(fence.host, tuple(fence.units), confirmed, how, tuple(reasons), details))
    return found


def unconfirmed(outcomes_: Iterable[HostFenced]) -> list[str]:
    """What a named person has to accept before traffic may be switched, a line for each host."""
    return [
        f"{outcome.host} could not be closed for certain: {'; '.join(outcome.reasons) or 'no reason was told'}"
        for outcome in outcomes_
        if not outcome.confirmed
    ]


def refuse_in_drill(kind: str) -> None:
    """Raise UsageError for a drill: it leaves the primary site alone."""
    if kind == "drill":
        raise UsageError("a drill fences nothing", hint="a drill leaves production as it is; for real: drp failover")
