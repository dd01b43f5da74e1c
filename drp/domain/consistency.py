"""What must hold between the files of a workspace: names that exist, hosts that stand in, no circle of dependencies."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from drp.domain.graph import find_cycle
from drp.domain.inventory import AnsibleHost, FilesDataset, PostgresqlDataset, Service, Workspace
from drp.domain.objectives import objectives_of
from drp.domain.values import show_duration

Location = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Inconsistency:
    """A fault between files. `service` None means drp.yaml; `location` is the path of keys in that file."""

    service: str | None
    location: Location
    message: str
    hint: str


def check_city(
    workspace: Workspace,
    hosts: Mapping[str, AnsibleHost],
    services: Mapping[str, Service],
    declared: Collection[str],
) -> list[Inconsistency]:
    """All inconsistencies at once, in the order of the files.

    `declared` names every service that has a file, also one that could not be read: depending on it is no fault.
    """
    found = list(_check_workspace(workspace))
    for service in services.values():
        found += _check_names(service, workspace, declared)
        found += _check_hosts(service, hosts)
        found += _check_objectives(service, workspace)
    found += _check_apart(services, hosts)
    found += _check_overlaps(services)
    cycle = find_cycle({service.id: service.depends_on for service in services.values()})
    if cycle:
        first = cycle[0]
        position = services[first].depends_on.index(cycle[1])
        path = " → ".join(cycle)
        found.append(
            Inconsistency(
                first,
                ("depends_on", position),
                f"dependency cycle: {path}",
                "no service of a circle could be started first; remove one of these dependencies",
            )
        )
    return found


def _check_workspace(workspace: Workspace) -> Iterator[Inconsistency]:
    if workspace.lab and workspace.lab.dr_centre not in workspace.dr_centres:
        yield _unknown(None, ("lab", "dr_centre"), "DR centre", workspace.lab.dr_centre, workspace.dr_centres)


def _check_names(service: Service, workspace: Workspace, declared: Collection[str]) -> Iterator[Inconsistency]:
    if service.agency not in workspace.agencies:
        yield _unknown(service.id, ("agency",), "agency", service.agency, workspace.agencies)
    if service.tier is not None and service.tier not in workspace.tiers:
        yield _unknown(service.id, ("tier",), "tier", service.tier, workspace.tiers)
    if service.backup.dr_centre not in workspace.dr_centres:
        yield _unknown(service.id, ("backup", "dr_centre"), "DR centre", service.backup.dr_centre, workspace.dr_centres)
    for position, dependency in enumerate(service.depends_on):
        if dependency not in declared:
            yield _unknown(service.id, ("depends_on", position), "service", dependency, declared)
    seen: set[str] = set()
    for position, dataset in enumerate(service.datasets):
        if dataset.id in seen:
            yield Inconsistency(
                service.id,
                ("datasets", position, "id"),
                f"two datasets are called {dataset.id!r}",
                "give each dataset of a service a name of its own",
            )
        seen.add(dataset.id)


def _check_hosts(service: Service, hosts: Mapping[str, AnsibleHost]) -> Iterator[Inconsistency]:
    for position, name in enumerate(service.runs_on):
        yield from _check_host(service, ("runs_on", position), name, "primary", hosts)
        if name not in service.recovers_on:
            yield Inconsistency(
                service.id,
                ("recovers_on",),
                f"no recovery host stands in for {name!r}",
                f"add a line under recovers_on: {name}: NAME-OF-A-RECOVERY-HOST",
            )
    for name, stand_in in service.recovers_on.items():
        if name not in service.runs_on:
            yield _unknown(service.id, ("recovers_on", name), "host of runs_on", name, service.runs_on)
        yield from _check_host(service, ("recovers_on", name), stand_in, "recovery", hosts)
    for position, dataset in enumerate(service.datasets):
        if dataset.host not in service.runs_on:
            yield _unknown(service.id, ("datasets", position, "host"), "host of runs_on", dataset.host, service.runs_on)


def _check_host(
    service: Service, location: Location, name: str, site: str, hosts: Mapping[str, AnsibleHost]
) -> Iterator[Inconsistency]:
    host = hosts.get(name)
    if host is None:
        yield Inconsistency(
            service.id,
            location,
            f"host {name!r} is not in the Ansible inventory",
            f"add it to inventories/hosts.yaml, in the group {site}, or correct the name here",
        )
    elif host.site != site:
        yield Inconsistency(
            service.id,
            location,
            f"host {name!r} is not in the group {site!r} of the Ansible inventory",
            f"a service runs on hosts of primary and recovers on hosts of recovery; this one is in {host.site}",
        )


def _check_apart(services: Mapping[str, Service], hosts: Mapping[str, AnsibleHost]) -> Iterator[Inconsistency]:
    """A recovery host with a primary host's address would let a drill write into production."""
    primary = {host.address: host.name for host in hosts.values() if host.site == "primary"}
    for service in services.values():
        for name, stand_in in service.recovers_on.items():
            host = hosts.get(stand_in)
            if host is not None and host.site == "recovery" and host.address in primary:
                yield Inconsistency(
                    service.id,
                    ("recovers_on", name),
                    f"recovery host {stand_in!r} has the address of primary host {primary[host.address]!r}",
                    "correct ansible_host in inventories/hosts.yaml; a drill would touch production",
                )


def _check_overlaps(services: Mapping[str, Service]) -> Iterator[Inconsistency]:
    """Two datasets with the same place on a host, at either site, would overwrite each other in a restore."""
    taken: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for service in services.values():
        for position, dataset in enumerate(service.datasets):
            own = f"{service.id}/{dataset.id}"
            hosts = {dataset.host, service.recovers_on.get(dataset.host, dataset.host)}
            for host in sorted(hosts):
                known = taken.setdefault((host, dataset.type), [])
                for place in _places(dataset):
                    other = next((name for name, there in known if name != own and _nested(place, there)), None)
                    if other is not None:
                        yield Inconsistency(
                            service.id,
                            ("datasets", position),
                            f"{place} on {host} belongs to dataset {other} too",
                            "a restore of one would destroy the other; give each its own place, or its own host",
                        )
                known += [(own, place) for place in _places(dataset)]


def _places(dataset: PostgresqlDataset | FilesDataset) -> list[str]:
    if isinstance(dataset, FilesDataset):
        return list(dataset.paths)
    return [f"port {dataset.port}, database {dataset.database}"]


def _nested(one: str, other: str) -> bool:
    return one == other or one.startswith(other + "/") or other.startswith(one + "/")


def _check_objectives(service: Service, workspace: Workspace) -> Iterator[Inconsistency]:
    if service.tier is not None and service.tier not in workspace.tiers:
        return
    objectives = objectives_of(service, workspace.tiers)
    if objectives is None:
        yield Inconsistency(
            service.id,
            ("tier",),
            "the service has no RTO or no RPO",
            "name a tier of drp.yaml, or write rto: and rpo: here; without them nothing could be judged",
        )
    elif objectives.mtpd is not None and objectives.rto > objectives.mtpd:
        yield Inconsistency(
            service.id,
            ("rto",) if service.rto else ("tier",),
            f"the RTO of {show_duration(objectives.rto)} is over the MTPD of {show_duration(objectives.mtpd)}",
            "recovery must be promised before the disruption becomes intolerable: lower the RTO, or revise the BIA",
        )


def _unknown(service: str | None, location: Location, kind: str, name: str, known: Collection[str]) -> Inconsistency:
    names = ", ".join(sorted(known)[:8]) or "none declared"
    return Inconsistency(service, location, f"unknown {kind} {name!r}", f"known: {names}")
