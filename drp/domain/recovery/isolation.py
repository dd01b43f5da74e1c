"""What a drill's recovery hosts may reach, and what leads to the drill's copies instead of production.

Carried out on the hosts by playbooks/module_utils/drp_traffic/isolation.py, which has the rules themselves.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from ipaddress import ip_address, ip_network
from urllib.parse import urlsplit

from drp.domain.drill_allows import Allowed
from drp.domain.events import Body
from drp.domain.inventory import City
from drp.domain.recovery.cutover import ways_of
from drp.domain.recovery.guard import Resolve, addresses_of
from drp.domain.recovery.plan import Plan
from drp.domain.service import Service
from drp.domain.traffic import DnsZone, FloatingAddress
from drp.errors import UsageError

LONGEST_LIST_OF_TRIALS = 3


def production(city: City, resolve: Resolve) -> dict[str, str]:
    """The addresses of all primary hosts and those that users have of services, and whose each is. One that a recovery
    host has too is not among them."""
    found: dict[str, str] = {}
    for host in city.hosts.values():
        if host.site == "primary":
            found |= dict.fromkeys(addresses_of(host.address, resolve), host.name)
    for service in city.services.values():
        for address in user_addresses(service):
            found.setdefault(address, f"users' address of {service.id}")
    for host in city.hosts.values():
        if host.site == "recovery":
            for address in addresses_of(host.address, resolve):
                found.pop(address, None)
    return found


def user_addresses(service: Service) -> list[str]:
    """Where users find a service while it runs at the primary site."""
    found = [str(service.address)] if service.address else []
    for way in ways_of(service):
        if isinstance(way, FloatingAddress):
            found.append(str(way.address))
        elif isinstance(way, DnsZone):
            found += [
                value for record in way.records if record.type != "CNAME" for value in record.values_at("primary")
            ]
    return list(dict.fromkeys(found))


def isolation_jobs(
    city: City, plan: Plan, run: str, hosts: Iterable[str], resolve: Resolve, *, by: str, accepted: bool
) -> dict[str, Body]:
    """What isolates each of these hosts of a drill; see the module's docstring. `accepted`: somebody has taken on that
    the drill runs where a host cannot be isolated.

    UsageError where something that is to be allowed is production after all.
    """
    forbidden = production(city, resolve)
    peers = {name: addresses_of(city.hosts[name].address, resolve) for name in _hosts_of(plan)}
    allowed = _allowed(city, plan, forbidden)
    redirects = _redirects(city, plan, resolve)
    trials = [
        [address, host.port]
        for host in city.hosts.values()
        if host.site == "primary"
        for address in addresses_of(host.address, resolve)
        if address in forbidden
    ]
    return {
        name: {
            "verb": "begin",
            "run": run,
            "host": name,
            "by": by,
            "accepted": accepted,
            "ssh_port": city.hosts[name].port,
            "peers": sorted({address for found in peers.values() for address in found}),
            "endpoints": _endpoints(city, plan, resolve),
            "allowed": [{"network": str(item.to), "ports": list(item.ports)} for item in allowed],
            "production": sorted(forbidden),
            "redirects": redirects,
            "names": _names(city, plan, resolve),
            "trials": trials[:LONGEST_LIST_OF_TRIALS],
            "units": units_on(city, plan, name),
        }
        for name in hosts
    }


def ending_jobs(hosts: Iterable[str], *, run: str = "", force: bool = False) -> dict[str, Body]:
    """What ends the isolation of each of these hosts: that of a run, or of whichever run has left one."""
    return {name: {"verb": "end", "run": run, "host": name, "force": force} for name in hosts}


def units_on(city: City, plan: Plan, host: str) -> list[str]:
    """What a drill starts on a host beside the servers that hold data: stopped before the isolation ends."""
    found: list[str] = []
    for name in plan.services:
        service = city.services[name]
        if host in plan.services[name].hosts:
            servers = {unit for dataset in service.datasets for unit in dataset.procedure(name)["units"]}
            found += [unit for unit in service.recovery.start if unit not in servers]
    return list(dict.fromkeys(found))


def _hosts_of(plan: Plan) -> list[str]:
    return list(dict.fromkeys(host for planned in plan.services.values() for host in planned.hosts))


def _endpoints(city: City, plan: Plan, resolve: Resolve) -> list[Body]:
    """Where the DR centres are found that the plan restores from."""
    points = [point for planned in plan.services.values() if (point := planned.restore_point) is not None]
    urls = [city.workspace.dr_centres[point.dr_centre].endpoint for point in points]
    # A restore point is read where it was written, whatever drp.yaml says by now.
    urls += [url.removeprefix("s3:") for point in points for url in point.repositories.values()]
    places: dict[tuple[str, int], None] = {}
    for url in map(urlsplit, urls):
        places[url.hostname or "", url.port or (443 if url.scheme == "https" else 80)] = None
    return [
        {"name": "" if _is_address(name) else name, "addresses": addresses_of(name, resolve), "port": port}
        for name, port in places
    ]


def _allowed(city: City, plan: Plan, forbidden: Mapping[str, str]) -> list[Allowed]:
    own = [item for name in plan.services for item in city.services[name].recovery.drill_allows]
    found = list(dict.fromkeys([*city.workspace.drill_allows, *own]))
    for item in found:
        for address, whose in forbidden.items():
            if ip_address(address) in ip_network(item.to):
                raise UsageError(
                    f"drill_allows lets a drill reach {item.to}, and {address} in it is {whose}",
                    hint="take it out of drill_allows, in drp.yaml or the service's file",
                )
    return found


def _redirects(city: City, plan: Plan, resolve: Resolve) -> dict[str, str]:
    """Production addresses of what the drill has a copy of, and the copy's. One that would lead to two copies leads to
    none: what is sent there is refused."""
    found: dict[str, set[str]] = {}
    for name in plan.services:
        service = city.services[name]
        first = service.runs_on[0]
        for address in user_addresses(service):
            found.setdefault(address, set()).update(_same_family(address, city, service.recovers_on[first], resolve))
        for host in service.runs_on:
            for address in addresses_of(city.hosts[host].address, resolve):
                copies = _same_family(address, city, service.recovers_on[host], resolve)
                found.setdefault(address, set()).update(copies)
    return {address: next(iter(to)) for address, to in sorted(found.items()) if len(to) == 1}


def _names(city: City, plan: Plan, resolve: Resolve) -> dict[str, str]:
    """Production names of what the drill has a copy of, and the copy's address; none that would lead to two."""
    found: dict[str, set[str]] = {}
    for name in plan.services:
        service = city.services[name]
        names: dict[str, str] = {}
        for host in service.runs_on:
            names |= dict.fromkeys((host, city.hosts[host].address), service.recovers_on[host])
        for way in ways_of(service):
            for record in way.records if isinstance(way, DnsZone) else ():
                aliases = record.values_at("primary") if record.type == "CNAME" else ()
                names |= dict.fromkeys((record.name, *aliases), service.recovers_on[service.runs_on[0]])
        for known, stand_in in names.items():
            copies = addresses_of(city.hosts[stand_in].address, resolve)
            if not _is_address(known) and copies:
                found.setdefault(known.rstrip(".").lower(), set()).add(copies[0])
    own = {name.lower() for name in _hosts_of(plan)}
    return {name: next(iter(to)) for name, to in sorted(found.items()) if len(to) == 1 and name not in own}


def _same_family(address: str, city: City, host: str, resolve: Resolve) -> Sequence[str]:
    version = ip_address(address).version
    own = addresses_of(city.hosts[host].address, resolve)
    return [found for found in own if ip_address(found).version == version][:1]


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def refused_text(item: Sequence[object], whose: Mapping[str, str]) -> str:
    """`3 attempts to reach 192.0.2.30:5432 (balaikota-db-1), refused`, of one line of what a host has counted."""
    address, protocol, port, count = item
    place = f"{address}:{port}" if port else str(address)
    of = f" ({whose[str(address)]})" if str(address) in whose else ""
    kind = "" if protocol == "tcp" else f" by {protocol}"
    return f"{count} attempt{'' if count == 1 else 's'} to reach {place}{of}{kind}, refused"
