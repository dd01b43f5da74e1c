"""Everything that a city's files say about one service, resolved, with what they leave unsaid."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo

from cronsim import CronSim

from drp.domain.datasets import Dataset
from drp.domain.dossiers.assumptions import EVERYTHING, assumptions_of
from drp.domain.dossiers.dossier import Dossier, Row, Section
from drp.domain.findings import HOSTS, Record, service_record
from drp.domain.graph import with_dependencies
from drp.domain.inventory import City
from drp.domain.people import person_of
from drp.domain.protection.gaps import gaps_of
from drp.domain.registers import Person
from drp.domain.schedules.schedule import Schedule
from drp.domain.service import Contact, Service
from drp.domain.values import milliseconds, show_duration, show_size, to_stamp

_RUNS_SHOWN = 2
HOSTED = {"central": "", "agency": "its agency itself", "third-party": "a third party", "national": "the state"}
"""Who runs a service that does not run at the sites of the workspace."""


@dataclass(frozen=True, slots=True)
class Objective:
    """One objective and where it comes from: `own`, `tier …`, or `not declared`."""

    word: str
    value: timedelta | None
    origin: str

    @property
    def shown(self) -> str:
        return self.origin if self.value is None else f"{show_duration(self.value)} ({self.origin})"


def objectives_with_origin(city: City, service: Service) -> list[Objective]:
    """The four times that a service promises; its own first, else its tier's."""
    tier = city.workspace.tiers.get(service.tier) if service.tier else None
    found = []
    for word in ("rto", "rpo", "mtpd", "wrt"):
        own: timedelta | None = getattr(service, word)
        inherited: timedelta | None = None if tier is None else getattr(tier, word)
        if own is not None:
            found.append(Objective(word, own, "its own"))
        elif inherited is not None:
            found.append(Objective(word, inherited, f"from tier {service.tier}"))
        else:
            found.append(Objective(word, None, "not declared"))
    return found


@dataclass(frozen=True, slots=True)
class DataSize:
    """The size of a service's datasets together; `unknown` of the `datasets` have no declared size."""

    size: int
    datasets: int
    unknown: int

    @property
    def shown(self) -> str:
        if not self.datasets:
            return "no dataset"
        if self.unknown == self.datasets:
            return "size unknown"
        return f"at least {show_size(self.size)}" if self.unknown else show_size(self.size)


def data_size(service: Service) -> DataSize:
    sizes = [dataset.size for dataset in service.datasets]
    return DataSize(sum(size or 0 for size in sizes), len(sizes), sizes.count(None))


def next_runs(schedule: Schedule, now: datetime, time_zone: str, count: int = _RUNS_SHOWN) -> list[datetime]:
    """When a schedule is due next, in the organisation's time."""
    return list(islice(CronSim(schedule.cron, now.astimezone(ZoneInfo(time_zone))), count))


def service_dossier(city: City, name: str, now: datetime) -> Dossier:
    """What is known about a service."""
    service = city.services[name]
    gaps = gaps_of(service, "recovery", city.hosts, city.workspace.tiers)
    assumed = _assumed(city, service)
    reach = _Reach.of(city, name)
    sections = (
        Section("", tuple(_identity(city, service))),
        Section("Objectives", tuple(_objectives(city, service))),
        Section("Runs on", tuple(_hosts(city, service))),
        Section("Data", tuple(_datasets(service))),
        Section("Backup", tuple(_backup(city, service, now))),
        Section("Dependencies", tuple(reach.rows(service))),
        Section("Proof and paper", tuple(_proof(city, service))),
        Section("Assumed", tuple((words, (keys,)) for words, keys in assumed) or _nothing("nothing is marked")),
        Section(
            "Missing", tuple((gap.code, (gap.text,)) for gap in gaps) or _nothing("nothing to back it up or recover it")
        ),
    )
    details = _details(city, service, now, reach) | {
        "gaps": [{"code": gap.code, "text": gap.text} for gap in gaps],
        "assumed": [{"record": words, "keys": keys} for words, keys in assumed],
    }
    return Dossier("service", name, service.title.en, service_record(name), (), sections, details)


def _nothing(text: str) -> tuple[Row, ...]:
    return (("", (text,)),)


def _identity(city: City, service: Service) -> Iterator[Row]:
    workspace = city.workspace
    yield "title (id)", (service.title.id,)
    if service.description:
        yield "description", (service.description,)
    yield "agency", (f"{service.agency}: {workspace.agencies[service.agency].title}",)
    if service.cluster:
        yield "cluster", (f"{service.cluster}: {workspace.clusters[service.cluster].en}",)
    for word, contact in (("owner", service.owner), ("deputy", service.deputy)):
        yield word, (person_shown(contact, person_of(city, contact)),)
    yield (
        "hosting",
        ("central" if service.hosting == "central" else f"{service.hosting}: run by {HOSTED[service.hosting]}",),
    )
    for word, text in (("audience", ", ".join(service.audience)), ("stage", service.stage), ("source", service.source)):
        if text:
            yield word, (text,)
    if service.notes:
        yield "notes", tuple(service.notes.splitlines())


def _objectives(city: City, service: Service) -> Iterator[Row]:
    for item in objectives_with_origin(city, service):
        yield item.word.upper(), (item.shown,)
    yield "MBCO", (service.mbco or "not declared",)


def person_shown(contact: Contact | None, person: Person | None) -> str:
    """A person in one line: name, position, organisation, how to reach them."""
    if person is None:
        return "nobody is named"
    reference = f"{contact.person}: " if contact is not None and contact.person else ""
    known = (person.name, person.position, person.agency or person.organisation, person.contact or "no contact known")
    return reference + ", ".join(text for text in known if text)


def _hosts(city: City, service: Service) -> Iterator[Row]:
    if not service.runs_on:
        yield "", ("no host is declared",)
    for name in service.runs_on:
        stand_in = service.recovers_on.get(name)
        recovery = f"recovers on {_with_address(city, stand_in)}" if stand_in else "no host stands in for it"
        yield _with_address(city, name), (recovery,)
    if service.address:
        yield "address", (f"{service.address}, where its users reach it",)
    for way in service.traffic or ():
        yield "traffic", (f"switched by {way.type}: {way.label}",)


def _with_address(city: City, name: str) -> str:
    host = city.hosts.get(name)
    if host is None:
        return f"{name} (not in the Ansible inventory)"
    port = "" if host.port == 22 else f":{host.port}"
    return f"{name} ({host.address}{port})"


def _datasets(service: Service) -> Iterator[Row]:
    for dataset in service.datasets:
        lines = [f"{dataset.type} on {dataset.host}, {_size(dataset)}"]
        known = []
        if dataset.classification is not None:
            level = dataset.classification
            known.append(f"C {level.confidentiality}, I {level.integrity}, A {level.availability}")
        if dataset.personal_data is not None:
            known.append("personal data" if dataset.personal_data else "no personal data")
        else:
            known.append("personal data: not stated")
        if dataset.copy_of:
            known.append(f"a copy of {dataset.copy_of}")
        yield dataset.id, (*lines, " · ".join(known))
    if not service.datasets:
        yield "", ("no dataset is declared",)
    elif len(service.datasets) > 1:
        yield "together", (data_size(service).shown,)


def _size(dataset: Dataset) -> str:
    size = "size unknown" if dataset.size is None else show_size(dataset.size)
    return size if dataset.daily_change is None else f"{size}, {show_size(dataset.daily_change)} a day to the DR centre"


def _backup(city: City, service: Service, now: datetime) -> Iterator[Row]:
    backup = service.backup
    if backup is None:
        yield "", ("no backup is declared",)
        return
    yield "to", (f"{backup.dr_centre}: {city.workspace.dr_centres[backup.dr_centre].title}",)
    schedule = backup.when
    if schedule is None:
        yield "schedule", ("none: it is backed up only when somebody does it",)
        return
    zone = city.workspace.organisation.time_zone
    yield "schedule", (schedule.text,)
    yield "next runs", tuple(f"{moment:%a %Y-%m-%d %H:%M} ({zone})" for moment in next_runs(schedule, now, zone))
    yield "longest gap", (show_duration(schedule.longest_gap),)


@dataclass(frozen=True, slots=True)
class _Reach:
    """What a service needs and what needs it, directly (`needs`, `needed_by`) and in all."""

    needs: tuple[str, ...]
    needs_in_all: int
    needed_by: tuple[str, ...]
    needed_by_in_all: int

    @classmethod
    def of(cls, city: City, name: str) -> _Reach:
        edges = {service.id: service.depends_on for service in city.services.values()}
        reverse: dict[str, list[str]] = {service: [] for service in edges}
        for service, needed in edges.items():
            for other in dict.fromkeys(needed):
                reverse[other].append(service)
        return cls(
            needs=edges[name],
            needs_in_all=len(with_dependencies([name], edges)) - 1,
            needed_by=tuple(reverse[name]),
            needed_by_in_all=len(with_dependencies([name], reverse)) - 1,
        )

    def rows(self, service: Service) -> Iterator[Row]:
        unsaid = "nothing" if service.states_dependencies else "nobody has said"
        yield "depends on", (_counted(self.needs, self.needs_in_all) or unsaid,)
        yield "needed by", (_counted(self.needed_by, self.needed_by_in_all) or "no other service says so",)


def _counted(names: Sequence[str], in_all: int) -> str:
    listed = ", ".join(names)
    return f"{listed} ({in_all} in all, with what follows)" if in_all > len(names) else listed


def _proof(city: City, service: Service) -> Iterator[Row]:
    for check in service.checks:
        yield f"check {check.id}", (f"{check.type} every {show_duration(check.interval)}: {check.asks}",)
    if not service.checks:
        yield "checks", ("none: nothing proves that it is usable",)
    documents = _documents(city, service.id)
    for name in documents:
        document = city.documents.documents[name]
        version = f", version {document.version}" if document.version else ""
        due = f", review due {document.review_due}" if document.review_due else ""
        yield f"document {name}", (f"{document.title} ({document.kind}, {document.status}{version}{due})",)
    if not documents:
        yield "documents", ("none names it",)
    fallback = service.manual_fallback
    if fallback is None:
        yield "without it", ("nobody has said how people go on",)
    else:
        limit = f" (for {show_duration(fallback.workable_for)})" if fallback.workable_for else ""
        yield "without it", (f"{fallback.procedure}{limit}",)


def _documents(city: City, name: str) -> list[str]:
    return [key for key, document in city.documents.documents.items() if name in document.services]


def _assumed(city: City, service: Service) -> list[tuple[str, str]]:
    """What is assumed in the service's file, and about the hosts that it uses."""
    hosts = {*service.runs_on, *service.recovers_on.values()}
    found = []
    for item in assumptions_of(city):
        own = item.record == service_record(service.id)
        if own or (item.record == Record(HOSTS) and item.path[0] in hosts):
            keys = "everything" if item.keys == (EVERYTHING,) else ", ".join(item.keys)
            found.append((" ".join(item.path) if own else f"host {item.path[0]}", keys))
    return [(words or "the service", keys) for words, keys in found]


def _details(city: City, service: Service, now: datetime, reach: _Reach) -> dict[str, Any]:
    zone = city.workspace.organisation.time_zone
    schedule = service.backup.when if service.backup else None
    people = {
        word: person_of(city, contact) for word, contact in (("owner", service.owner), ("deputy", service.deputy))
    }
    return {
        "title": service.title.model_dump(),
        "agency": {"id": service.agency, "title": city.workspace.agencies[service.agency].title},
        "cluster": service.cluster,
        "tier": service.tier,
        "hosting": service.hosting,
        **{
            word: None if person is None else person.model_dump(mode="json", include=set(_PERSON))
            for word, person in people.items()
        },
        "objectives": {
            item.word: {"ms": None if item.value is None else milliseconds(item.value), "origin": item.origin}
            for item in objectives_with_origin(city, service)
        },
        "hosts": [_host_details(city, service, name) for name in service.runs_on],
        "address": str(service.address) if service.address else None,
        "traffic": [{"type": way.type, "label": way.label} for way in service.traffic or ()],
        "datasets": [
            {
                "id": dataset.id,
                "type": dataset.type,
                "host": dataset.host,
                "bytes": dataset.size,
                "daily_change_bytes": dataset.daily_change,
                "classification": dataset.classification.model_dump() if dataset.classification else None,
                "personal_data": dataset.personal_data,
                "copy_of": dataset.copy_of,
            }
            for dataset in service.datasets
        ],
        "backup": None
        if service.backup is None
        else {
            "dr_centre": service.backup.dr_centre,
            "schedule": service.backup.schedule,
            "next_runs": [to_stamp(moment) for moment in next_runs(schedule, now, zone)] if schedule else [],
            "longest_gap_ms": milliseconds(schedule.longest_gap) if schedule else None,
        },
        "depends_on": list(reach.needs),
        "depends_on_stated": service.states_dependencies,
        "depends_on_in_all": reach.needs_in_all,
        "needed_by": list(reach.needed_by),
        "needed_by_in_all": reach.needed_by_in_all,
        "checks": [check.id for check in service.checks],
        "documents": _documents(city, service.id),
    }


_PERSON = ("name", "position", "agency", "organisation", "contact")


def _host_details(city: City, service: Service, name: str) -> dict[str, Any]:
    stand_in = service.recovers_on.get(name)
    addresses = {host: city.hosts[host].address if host in city.hosts else None for host in (name, stand_in) if host}
    return {
        "name": name,
        "address": addresses[name],
        "recovers_on": stand_in,
        "recovery_address": addresses[stand_in] if stand_in else None,
    }
