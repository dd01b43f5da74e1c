"""What must hold between the files of a workspace: names that exist, hosts apart, no circle of dependencies.

Only what no command could work with is a fault; what is merely unwise is `drp.domain.review`'s.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, get_args

from drp.domain.consistency.copies import copy_faults
from drp.domain.consistency.drill_allows import drill_allows_faults
from drp.domain.consistency.places import overlapping_places
from drp.domain.consistency.runbooks import names_in_runbook, runbook_faults
from drp.domain.consistency.traffic import traffic_faults
from drp.domain.findings import (
    ASSETS,
    DOCUMENTS,
    NETWORK,
    PEOPLE,
    RUNBOOK,
    WORKSPACE,
    Finding,
    Location,
    Record,
    Severity,
    listed,
    service_fault,
    service_record,
)
from drp.domain.graph import find_cycle
from drp.domain.inventory import AnsibleHost, Workspace
from drp.domain.objectives import objectives_of
from drp.domain.registers import Assets, Documents, Network, People, Role
from drp.domain.runbooks.model import Runbook
from drp.domain.service import Service
from drp.domain.traffic import HaproxyBackend, TrafficCommand

MOST_NAMES_COMPARED, MOST_GUESSES = 500, 50
"""Comparing names takes long; so many wrong ones in one run are no slips of the pen."""


@dataclass(frozen=True, slots=True)
class Parts:
    """The files of a workspace that could be read; None stands for one that could not, about which nothing is said.

    `declared` names every service that has a file, also one that could not be read: depending on it is no fault.
    `runbooks` are by the names of their files, without the ending; `playbooks` are the names of the workspace's own.
    """

    workspace: Workspace | None
    hosts: Mapping[str, AnsibleHost] | None
    services: Mapping[str, Service]
    declared: Collection[str]
    network: Network | None
    people: People | None
    documents: Documents | None
    assets: Assets | None
    runbooks: Mapping[str, Runbook] = field(default_factory=dict)
    playbooks: Collection[str] | None = None


def faults_of(parts: Parts) -> list[Finding]:
    """All faults between the files at once; as warnings, the loose ends of registers (see `_is_loose`)."""
    found = list(_unknown_names(parts))
    found += _twice_named(parts.services)
    found += _no_objectives(parts)
    if parts.hosts is not None:
        found += _wrong_sites(parts.services, parts.hosts)
        found += _not_apart(parts.services, parts.hosts)
        found += _jumps_in_a_circle(parts.hosts)
        found += _without_restic(parts.services, parts.hosts)
    found += overlapping_places(parts.services)
    found += _circle(parts)
    found += _lines_to_themselves(parts.network)
    found += copy_faults(parts.services, parts.workspace)
    for name, runbook in parts.runbooks.items():
        found += runbook_faults(name, runbook, parts.services, parts.hosts)
    found += traffic_faults(parts.services, parts.hosts)
    found += drill_allows_faults(parts.services, parts.hosts, parts.workspace)
    return found


class _Reference(NamedTuple):
    """A name in a file that must be declared elsewhere."""

    record: Record
    location: Location
    kind: str
    name: str | None


def _unknown_names(parts: Parts) -> Iterator[Finding]:
    workspace, network = parts.workspace, parts.network
    known: dict[str, Collection[str] | None] = {
        "agency": None if workspace is None else workspace.agencies,
        "cluster": None if workspace is None else workspace.clusters,
        "tier": None if workspace is None else workspace.tiers,
        "DR centre": None if workspace is None else workspace.dr_centres,
        "service": parts.declared,
        "host": parts.hosts,
        "location": None if network is None else network.locations,
        "link": None if network is None else network.links,
        "person": None if parts.people is None else parts.people.people,
        "document": None if parts.documents is None else parts.documents.documents,
        "asset": None if parts.assets is None else parts.assets.assets,
        "playbook": parts.playbooks,
        "role or person": None if parts.people is None else {*get_args(Role), *parts.people.people},
    }
    in_order: dict[str, list[str]] = {}
    told = 0
    for references in (
        _of_services(parts.services),
        _of_workspace(workspace),
        _of_registers(parts),
        _of_runbooks(parts.runbooks),
    ):
        for reference in references:
            names = known[reference.kind]
            if reference.name is not None and names is not None and reference.name not in names:
                if reference.kind not in in_order:
                    in_order[reference.kind] = sorted(names)
                told += 1
                yield _unknown(reference, in_order[reference.kind], guess=told <= MOST_GUESSES)


def _unknown(reference: _Reference, names: list[str], *, guess: bool) -> Finding:
    guess = guess and len(names) <= MOST_NAMES_COMPARED
    close = difflib.get_close_matches(str(reference.name), names, n=1) if guess else []
    hint = f"known: {listed(names)}" if names else "none is declared"
    if close:
        hint = f"did you mean {close[0]!r}? {hint}"
    if reference.kind == "playbook":
        hint = f"write playbooks/{reference.name}.yml, or correct the name here; {hint}"
    if reference.kind == "host":
        hint = f"add it to inventories/hosts.yaml, or correct the name here; {hint}"
    message = f"unknown {reference.kind} {reference.name!r}"
    severity: Severity = "warning" if _is_loose(reference) else "fault"
    return Finding(severity, "unknown-name", reference.record, reference.location, message, hint)


def _is_loose(reference: _Reference) -> bool:
    """Whether a name of a register that stands for nothing may be passed over: nobody needs it to back up or to
    recover, so it must not keep anybody from doing so. A line without an end would be no line."""
    return reference.record.kind in (NETWORK, PEOPLE, DOCUMENTS, ASSETS) and reference.location[-1] not in ("a", "b")


def _of_services(services: Mapping[str, Service]) -> Iterator[_Reference]:
    for service in services.values():
        record = service_record(service.id)
        yield _Reference(record, ("agency",), "agency", service.agency)
        yield _Reference(record, ("cluster",), "cluster", service.cluster)
        yield _Reference(record, ("tier",), "tier", service.tier)
        for word, contact in (("owner", service.owner), ("deputy", service.deputy)):
            if contact is not None:
                yield _Reference(record, (word,), "person", contact.person)
        if service.backup is not None:
            yield _Reference(record, ("backup", "dr_centre"), "DR centre", service.backup.dr_centre)
            for position, copy in enumerate(service.backup.copies):
                yield _Reference(record, ("backup", "copies", position, "dr_centre"), "DR centre", copy.dr_centre)
        for position, dependency in enumerate(service.depends_on):
            yield _Reference(record, ("depends_on", position), "service", dependency)
        for position, name in enumerate(service.runs_on):
            yield _Reference(record, ("runs_on", position), "host", name)
        yield from _of_traffic(service)
        for position, dataset in enumerate(service.datasets):
            copied = dataset.copy_of.split("/")[0] if dataset.copy_of else None
            yield _Reference(record, ("datasets", position, "copy_of"), "service", copied)


def _of_traffic(service: Service) -> Iterator[_Reference]:
    record = service_record(service.id)
    for position, way in enumerate(service.traffic or ()):
        if isinstance(way, HaproxyBackend):
            for number, name in enumerate(way.hosts):
                yield _Reference(record, ("traffic", position, "hosts", number), "host", name)
        elif isinstance(way, TrafficCommand):
            yield _Reference(record, ("traffic", position, "host"), "host", way.host)


def _of_workspace(workspace: Workspace | None) -> Iterator[_Reference]:
    if workspace is None:
        return
    record = Record(WORKSPACE)
    for name, agency in workspace.agencies.items():
        yield _Reference(record, ("agencies", name, "head"), "person", agency.head)
        yield _Reference(record, ("agencies", name, "location"), "location", agency.location)
    for site in ("primary", "recovery"):
        yield _Reference(record, ("sites", site, "location"), "location", getattr(workspace.sites, site).location)
    for name, centre in workspace.dr_centres.items():
        yield _Reference(record, ("dr_centres", name, "location"), "location", centre.location)
        for host in centre.host_keys:
            yield _Reference(record, ("dr_centres", name, "host_keys", host), "host", host)
        contact = centre.contract.contact if centre.contract else None
        yield _Reference(record, ("dr_centres", name, "contract", "contact"), "person", contact)
    for tier in workspace.exercise_programme:
        yield _Reference(record, ("exercise_programme", tier), "tier", tier)
    if workspace.lab:
        yield _Reference(record, ("lab", "dr_centre"), "DR centre", workspace.lab.dr_centre)
        for position, name in enumerate(workspace.lab.other_dr_centres):
            yield _Reference(record, ("lab", "other_dr_centres", position), "DR centre", name)
        for position, service in enumerate(workspace.lab.services):
            yield _Reference(record, ("lab", "services", position), "service", service)


def _of_registers(parts: Parts) -> Iterator[_Reference]:
    if parts.network is not None:
        yield from _of_network(parts.network)
    if parts.people is not None:
        yield from _of_people(parts.people)
    for host in (parts.hosts or {}).values():
        yield _Reference(Record("hosts"), ("host", host.name), "location", host.location)
        yield _Reference(Record("hosts"), ("host", host.name), "host", host.jump_host)
    for name, document in (parts.documents.documents if parts.documents else {}).items():
        record = Record(DOCUMENTS)
        yield _Reference(record, ("documents", name, "parent"), "document", document.parent)
        for position, service in enumerate(document.services):
            yield _Reference(record, ("documents", name, "services", position), "service", service)
    for name, asset in (parts.assets.assets if parts.assets else {}).items():
        record, place = Record(ASSETS), ("assets", name)
        yield _Reference(record, (*place, "location"), "location", asset.location)
        if asset.spare is not None:
            yield _Reference(record, (*place, "spare", "location"), "location", asset.spare.location)
        for position, host_name in enumerate(asset.hosts):
            yield _Reference(record, (*place, "hosts", position), "host", host_name)
        for position, link in enumerate(asset.links):
            yield _Reference(record, (*place, "links", position), "link", link)


def _of_runbooks(runbooks: Mapping[str, Runbook]) -> Iterator[_Reference]:
    for name, runbook in runbooks.items():
        for location, kind, meant in names_in_runbook(runbook):
            yield _Reference(Record(RUNBOOK, name), location, kind, meant)


def _of_network(network: Network) -> Iterator[_Reference]:
    record = Record(NETWORK)
    for name, location in network.locations.items():
        for position, agency in enumerate(location.agencies):
            yield _Reference(record, ("locations", name, "agencies", position), "agency", agency)
    for name, link in network.links.items():
        yield _Reference(record, ("links", name, "a"), "location", link.a)
        yield _Reference(record, ("links", name, "b"), "location", link.b)
        yield _Reference(record, ("links", name, "backup_link"), "link", link.backup_link)


def _of_people(people: People) -> Iterator[_Reference]:
    record = Record(PEOPLE)
    for name, person in people.people.items():
        yield _Reference(record, ("people", name, "agency"), "agency", person.agency)
        yield _Reference(record, ("people", name, "deputy"), "person", person.deputy)
    for role, names in people.roles.items():
        for position, name in enumerate(names):
            yield _Reference(record, ("roles", role, position), "person", name)


def _checks_apart(service: Service) -> Iterator[Finding]:
    """Samples are told apart by their check's name, and old content is looked at by the first check alone."""
    seen: set[str] = set()
    for position, check in enumerate(service.checks):
        if check.id in seen:
            text, hint = f"two checks are called {check.id!r}", "give each check of a service a name of its own"
            yield service_fault(service.id, ("checks", position, "id"), "name-twice", text, hint)
        seen.add(check.id)
        if position and check.compares_old_content:
            text = f"check {check.id!r} has same_as_before, and is not the first one"
            hint = "old content is compared by the first check: put the user's path there"
            yield service_fault(service.id, ("checks", position), "old-content-elsewhere", text, hint)


def _twice_named(services: Mapping[str, Service]) -> Iterator[Finding]:
    for service in services.values():
        seen: set[str] = set()
        for position, dataset in enumerate(service.datasets):
            if dataset.id in seen:
                yield service_fault(
                    service.id,
                    ("datasets", position, "id"),
                    "name-twice",
                    f"two datasets are called {dataset.id!r}",
                    "give each dataset of a service a name of its own",
                )
            seen.add(dataset.id)
            if dataset.host not in service.runs_on:
                names = ", ".join(service.runs_on) or "runs_on is empty"
                yield service_fault(
                    service.id,
                    ("datasets", position, "host"),
                    "unknown-name",
                    f"unknown host of runs_on {dataset.host!r}",
                    f"known: {names}",
                )
        yield from _checks_apart(service)
        for position, order in enumerate(service.backup.quiesce if service.backup else ()):
            if order.host not in service.runs_on:
                yield service_fault(
                    service.id,
                    ("backup", "quiesce", position, "host"),
                    "unknown-name",
                    f"unknown host of runs_on {order.host!r}",
                    f"known: {', '.join(service.runs_on) or 'runs_on is empty'}",
                )
        for position, command in enumerate(service.recovery.commands):
            if command.host is not None and command.host not in service.runs_on:
                yield service_fault(
                    service.id,
                    ("recovery", "commands", position, "host"),
                    "unknown-name",
                    f"unknown host of runs_on {command.host!r}",
                    f"known: {', '.join(service.runs_on) or 'runs_on is empty'}",
                )
        for name in service.recovers_on:
            if name not in service.runs_on:
                yield service_fault(
                    service.id,
                    ("recovers_on", name),
                    "unknown-name",
                    f"unknown host of runs_on {name!r}",
                    f"known: {', '.join(service.runs_on) or 'runs_on is empty'}",
                )


def _no_objectives(parts: Parts) -> Iterator[Finding]:
    tiers = parts.workspace.tiers if parts.workspace else None
    for service in parts.services.values():
        if tiers is None or service.backup is None or (service.tier is not None and service.tier not in tiers):
            continue
        if objectives_of(service, tiers) is None:
            yield service_fault(
                service.id,
                ("tier",),
                "no-objectives",
                "the service has no RTO or no RPO",
                "name a tier of drp.yaml, or write rto: and rpo: here; without them nothing could be judged",
            )


def _wrong_sites(services: Mapping[str, Service], hosts: Mapping[str, AnsibleHost]) -> Iterator[Finding]:
    for service in services.values():
        used = [(("runs_on", position), name, "primary") for position, name in enumerate(service.runs_on)]
        wanted: list[tuple[Location, str, str]] = [*used]
        wanted += [(("recovers_on", name), stand_in, "recovery") for name, stand_in in service.recovers_on.items()]
        for location, name, site in wanted:
            host = hosts.get(name)
            if host is not None and host.site != site:
                yield service_fault(
                    service.id,
                    location,
                    "wrong-site",
                    f"host {name!r} is not in the group {site!r} of the Ansible inventory",
                    f"a service runs on hosts of primary and recovers on hosts of recovery; this one is in {host.site}",
                )


def _without_restic(services: Mapping[str, Service], hosts: Mapping[str, AnsibleHost]) -> Iterator[Finding]:
    """Restoring needs restic on the recovery host: there it must not be the control node that has it."""
    for service in services.values():
        for name, stand_in in service.recovers_on.items():
            host = hosts.get(stand_in)
            if service.backup is not None and host is not None and host.restic != "host":
                yield service_fault(
                    service.id,
                    ("recovers_on", name),
                    "no-restic",
                    f"recovery host {stand_in!r} has drp_restic: {host.restic}, so nothing could be restored there",
                    "take it away in inventories/hosts.yaml, and carry a restic there: backups.restic of drp.yaml",
                )


def _not_apart(services: Mapping[str, Service], hosts: Mapping[str, AnsibleHost]) -> Iterator[Finding]:
    """A recovery host with a primary host's address would let a drill write into production."""
    primary = {host.address: host.name for host in hosts.values() if host.site == "primary"}
    for service in services.values():
        for name, stand_in in service.recovers_on.items():
            host = hosts.get(stand_in)
            if host is not None and host.site == "recovery" and host.address in primary:
                yield service_fault(
                    service.id,
                    ("recovers_on", name),
                    "same-address",
                    f"recovery host {stand_in!r} has the address of primary host {primary[host.address]!r}",
                    "correct ansible_host in inventories/hosts.yaml; a drill would touch production",
                )


def _jumps_in_a_circle(hosts: Mapping[str, AnsibleHost]) -> Iterator[Finding]:
    """Each circle once: at the first of the hosts that stand in it."""
    told: set[str] = set()
    for start in hosts.values():
        way = [start.name]
        while (jump := hosts[way[-1]].jump_host) in hosts and jump not in way and jump not in told:
            way.append(str(jump))
        if jump in way:
            circle = way[way.index(str(jump)) :]
            yield Finding(
                "fault",
                "jump-circle",
                Record("hosts"),
                ("host", circle[0]),
                f"jump hosts lead in a circle: {' → '.join([*circle, circle[0]])}",
                "correct drp_jump_host in inventories/hosts.yaml; one of them must be reached directly",
            )
        told.update(way)


def _lines_to_themselves(network: Network | None) -> Iterator[Finding]:
    for name, link in (network.links if network else {}).items():
        if link.a == link.b:
            message = f"link {name!r} leads from {link.a!r} to itself"
            hint = "write the two locations that it connects"
            yield Finding("fault", "line-to-itself", Record(NETWORK), ("links", name, "b"), message, hint)


def _circle(parts: Parts) -> Iterator[Finding]:
    cycle = find_cycle({service.id: service.depends_on for service in parts.services.values()})
    if cycle:
        first = cycle[0]
        position = parts.services[first].depends_on.index(cycle[1])
        shown = cycle if len(cycle) <= 12 else [*cycle[:6], f"… {len(cycle) - 11} more …", *cycle[-5:]]
        yield service_fault(
            first,
            ("depends_on", position),
            "dependency-cycle",
            f"dependency cycle: {' → '.join(shown)}",
            "no service of a circle could be started first; remove one of these dependencies",
        )
