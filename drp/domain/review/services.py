"""Warnings about single services: what protects them, what they need, whose data they copy, who answers for them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from drp.domain.findings import Advice, Finding, service_record
from drp.domain.inventory import AnsibleHost, City
from drp.domain.protection.gaps import Gap, gaps_of, is_elsewhere
from drp.domain.service import Service
from drp.domain.traffic import DnsZone, HaproxyBackend, TrafficCommand

NO_BACKUP = Advice(
    "no-backup", "declare its datasets and their backup, or have its owner accept in writing that all of it may be lost"
)
ELSEWHERE = Advice(
    "no-backup-elsewhere", "agree in writing who backs it up and who proves that it comes back, or back it up here too"
)
NO_DATASET = Advice("no-dataset", "name its databases and folders in datasets; without them nothing is backed up")
NO_SCHEDULE = Advice("no-schedule", "say when it is due in backup.schedule, such as `daily 02:00`")
NO_HOST = Advice(
    "no-host", "name the hosts that it runs on in runs_on, and those that stand in for them in recovers_on"
)
NO_RECOVERY_HOST = Advice(
    "no-recovery-host", "name a host of the recovery site in recovers_on; without one it cannot be recovered"
)
RECOVERY_HOST_MISSING = Advice(
    "recovery-host-missing", "add the host to the group recovery of inventories/hosts.yaml, or correct its name"
)
NO_CHECK = Advice("no-check", "declare in checks what a user does first; without it nobody can prove that it is back")
DEPENDENCIES_UNSTATED = Advice(
    "dependencies-unstated", "ask who runs it, and write depends_on; `depends_on: []` says that it needs nothing"
)
DEPENDS_ON_UNRECOVERABLE = Advice(
    "depends-on-unrecoverable",
    "make the other service recoverable, or say in manual_fallback how users go on without it",
)
NO_OWNER = Advice(
    "no-owner", "write `owner: NAME` with a name of inventories/people.yaml, or `owner: {name: …, contact: …}`"
)
COPY_OF_UNKNOWN = Advice("copy-of-unknown", "write SERVICE/DATASET with the names that stand in the other file")
COPY_OF_UNPROTECTED = Advice(
    "copy-of-unprotected", "back the original up: a copy holds only what had reached it, and its errors too"
)
SWITCH_AT_PRIMARY = Advice(
    "switch-at-primary",
    "have something outside the primary site lead users: it is lost with the site, just when it is needed",
)

_OF_GAPS = {
    "no-dataset": NO_DATASET,
    "no-host": NO_HOST,
    "no-recovery-host": NO_RECOVERY_HOST,
    "recovery-host-missing": RECOVERY_HOST_MISSING,
    "no-check": NO_CHECK,
}
_SAID_WITH_NO_BACKUP = ("no-dataset", "no-host", "no-check", "no-objectives")
"""What a service that is only registered lacks beside its backup: one thing to do, so one warning."""


def review_services(city: City) -> Iterator[Finding]:
    tiers = city.workspace.tiers
    gaps = {name: gaps_of(service, "recovery", city.hosts, tiers) for name, service in city.services.items()}
    for service in city.services.values():
        yield from _protection(city, service, gaps[service.id])
        yield from _dependencies(city, service, gaps)
        yield from _copies(service, city.services)
        yield from _traffic(city, service)
        if service.owner is None:
            yield _at(NO_OWNER, service, "owner", "nobody is named as its owner")


def _at(advice: Advice, service: Service, key: str, message: str) -> Finding:
    return advice.at(service_record(service.id), (key,), message, [service.id])


def _protection(city: City, service: Service, gaps: list[Gap]) -> Iterator[Finding]:
    if service.backup is None and service.hosting != "central":
        yield _at(ELSEWHERE, service, "hosting", f"{_who_answers(city, service)}; no backup is declared here")
        return
    if service.backup is None:
        also = [gap.text for gap in gaps if gap.code in _SAID_WITH_NO_BACKUP]
        yield _at(NO_BACKUP, service, "backup", "; ".join(["no backup is declared", *also]))
    elif service.backup.schedule is None:
        yield _at(NO_SCHEDULE, service, "backup", "its backup has no schedule: it is made only when somebody asks")
    for gap in gaps:
        advice = _OF_GAPS.get(gap.code)
        if advice is not None and not (service.backup is None and gap.code in _SAID_WITH_NO_BACKUP):
            yield advice.at(service_record(service.id), gap.location, gap.text, [service.id])


def _who_answers(city: City, service: Service) -> str:
    if service.hosting == "agency":
        agency = city.workspace.agencies[service.agency].title
        return f"hosted by its agency itself: {agency} must answer for its data"
    if service.hosting == "third-party":
        return "hosted by a third party: the provider must answer for its data, by contract"
    return "run nationally: the institution that runs it must answer for its data"


def _dependencies(city: City, service: Service, gaps: Mapping[str, list[Gap]]) -> Iterator[Finding]:
    if not service.states_dependencies:
        message = "nobody has said which other services it needs"
        yield _at(DEPENDENCIES_UNSTATED, service, "depends_on", message)
    if service.hosting != "central" or service.backup is None:
        return  # it would not come back itself, which is told already
    for position, name in enumerate(service.depends_on):
        if gaps[name] and not is_elsewhere(city.services[name], city.hosts):
            message = f"it needs {name!r}, which cannot be recovered: {gaps[name][0].text}"
            location = ("depends_on", position)
            yield DEPENDS_ON_UNRECOVERABLE.at(service_record(service.id), location, message, [service.id])


def _traffic(city: City, service: Service) -> Iterator[Finding]:
    """What would have to switch traffic and stands at the site that was lost."""
    by_address = {host.address: host for host in city.hosts.values()}
    for position, way in enumerate(service.traffic or ()):
        led_by: list[AnsibleHost | None] = []
        if isinstance(way, DnsZone):
            led_by = [by_address.get(way.server)]
        elif isinstance(way, HaproxyBackend):
            led_by = [city.hosts.get(name) for name in way.hosts]
        elif isinstance(way, TrafficCommand) and way.host is not None:
            led_by = [city.hosts.get(way.host)]
        for host in led_by:
            if host is not None and host.site == "primary":
                message = f"{way.label} is switched by {host.name}, at the primary site"
                yield SWITCH_AT_PRIMARY.at(service_record(service.id), ("traffic", position), message, [service.id])


def _copies(service: Service, services: Mapping[str, Service]) -> Iterator[Finding]:
    for position, dataset in enumerate(service.datasets):
        if dataset.copy_of is None:
            continue
        record, location = service_record(service.id), ("datasets", position, "copy_of")
        original_service, original = dataset.copy_of.split("/")
        holder = services[original_service]
        if dataset.copy_of == f"{service.id}/{dataset.id}":
            yield COPY_OF_UNKNOWN.at(record, location, f"{dataset.copy_of!r} is this dataset itself", [service.id])
        elif all(other.id != original for other in holder.datasets):
            message = f"service {original_service!r} has no dataset {original!r}"
            yield COPY_OF_UNKNOWN.at(record, location, message, [service.id])
        elif holder.backup is None:
            message = f"the original {dataset.copy_of!r} is not backed up"
            yield COPY_OF_UNPROTECTED.at(record, location, message, [service.id, holder.id])
