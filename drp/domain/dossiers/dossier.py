"""Everything that a city's files say about one of its records, resolved: names become people, hosts and addresses."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from pydantic import BaseModel

from drp.domain.findings import (
    ASSETS,
    DOCUMENTS,
    HOSTS,
    NETWORK,
    PEOPLE,
    RUNBOOK,
    WORKSPACE,
    Location,
    Record,
)
from drp.domain.importing.reconcile import uses_of
from drp.domain.inventory import City
from drp.domain.model import LocalisedText
from drp.domain.runbooks.steps import StepBase
from drp.domain.values import Rate, Size, show_duration, show_rate, show_size
from drp.errors import UsageError

Lines = tuple[str, ...]
Row = tuple[str, Lines]


@dataclass(frozen=True, slots=True)
class Section:
    """Rows of a label and what belongs to it, a line each. The first section of a dossier has no title."""

    title: str
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Dossier:
    """A record and its relations: `sections` for people, `details` for programs. `record` and `location` say where it
    is declared."""

    kind: str
    name: str
    title: str
    record: Record
    location: Location
    sections: tuple[Section, ...]
    details: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Kind:
    """How records of one kind are found, and what else names them."""

    records: Callable[[City], Mapping[str, BaseModel]]
    place: Callable[[str], tuple[Record, Location]]
    relations: Callable[[City, str], dict[str, list[str]]]


def find_record(city: City, name: str) -> tuple[str, str]:
    """The kind and the id of the record that is meant: an id, a title, or `kind:` and either, where capitals don't
    matter. UsageError where it is none, or several."""
    word, colon, rest = name.partition(":")
    kind, bare = (word, rest.strip()) if colon and word in KINDS else (None, name)
    known = [item for item in _all_records(city) if kind in (None, item[0])]
    for wanted, position in ((bare, 1), (bare.casefold(), 2)):
        found = list(dict.fromkeys(item[:2] for item in known if item[position] == wanted))
        if len(found) > 1:
            raise UsageError(f"{name!r} may mean several things", hint=f"write {_either(found)}")
        if found:
            return found[0]
    folded = bare.casefold()
    alike = [item[:2] for item in known if folded and (folded in item[1].casefold() or folded in item[2])]
    if not alike and len(known) <= _MOST_COMPARED:
        close = difflib.get_close_matches(folded, [item[1] for item in known], n=_MOST_PROPOSED)
        alike = [item[:2] for item in known if item[1] in close]
    hint = f"name one by id or title; kinds: {', '.join(KINDS)}"
    proposed = list(dict.fromkeys(alike))[:_MOST_PROPOSED]
    raise UsageError(f"nothing is called {name!r}", hint=f"did you mean {_either(proposed)}?" if proposed else hint)


_MOST_COMPARED = 5000
_MOST_PROPOSED = 5


def _either(records: Iterable[tuple[str, str]]) -> str:
    return " or ".join(f"{kind}:{name}" for kind, name in records)


def _all_records(city: City) -> Iterator[tuple[str, str, str]]:
    """Kind, id and a title without capitals of everything that has a name; one that has two titles comes twice."""
    for service in city.services.values():
        for title in (service.title.en, service.title.id):
            yield "service", service.id, title.casefold()
    for kind, how in _KINDS.items():
        for name, model in how.records(city).items():
            yield kind, name, _title_of(model, name).casefold()


def _title_of(model: BaseModel, name: str) -> str:
    title = getattr(model, "title", None) or getattr(model, "name", name)
    return str(getattr(title, "en", title))


def dossier_of(city: City, kind: str, name: str) -> Dossier:
    """What is known about a record of one of the `KINDS`; services have `drp.domain.dossiers.service_dossier`."""
    how = _KINDS[kind]
    model = how.records(city)[name]
    relations = {label: found for label, found in how.relations(city, name).items() if found}
    record, location = how.place(name)
    related = tuple((label, (", ".join(found),)) for label, found in relations.items())
    return Dossier(
        kind=kind,
        name=name,
        title=_title_of(model, name),
        record=record,
        location=location,
        sections=(Section("", _facts(model)), Section("Related", related or (("", ("nothing refers to it",)),))),
        details={
            "declared": model.model_dump(mode="json", by_alias=True, exclude_unset=True, exclude=_UNTOLD),
            "related": relations,
        },
    )


_UNTOLD = {"schema_version", "access_key_id", "secret_access_key"}


def _facts(model: BaseModel, before: str = "") -> tuple[Row, ...]:
    """The keys of a record in words, where they come from at the end. Keys that say nothing are left out."""
    rows: list[Row] = []
    fields = type(model).model_fields
    for name in sorted(fields, key=lambda name: name in ("source", "assumed")):
        value = getattr(model, name)
        if name in _UNTOLD or value is None or value in ((), {}) or (name == "assumed" and not value):
            continue
        label = f"{before}{name.replace('_', ' ')}"
        if isinstance(value, BaseModel):
            rows += _facts(value, f"{label}, ")
        elif name == "assumed" and value is True:
            rows.append((label, ("everything",)))
        else:
            rows.append((label, _shown(value, fields[name].annotation)))
    return tuple(rows)


def _shown(value: Any, annotation: Any) -> Lines:
    if isinstance(value, bool):
        return ("yes" if value else "no",)
    if isinstance(value, timedelta):
        return (show_duration(value),)
    if isinstance(value, Decimal):
        return (f"{value}%",)
    if isinstance(value, int) and annotation in (Rate, Rate | None):
        return (show_rate(value),)
    if isinstance(value, int) and annotation in (Size, Size | None):
        return (show_size(value),)
    if isinstance(value, date):
        return (value.isoformat(),)
    if isinstance(value, Mapping):
        return tuple(f"{key}: {', '.join(_shown(item, None))}" for key, item in value.items())
    if isinstance(value, tuple) and value and isinstance(value[0], LocalisedText | StepBase):
        # A runbook's sentences and steps, a line each; all that steps say is printed by drp runbook render.
        texts = [item.title if isinstance(item, StepBase) else item for item in value]
        return tuple(f"{text.en} / {text.id}" for text in texts)
    if isinstance(value, tuple):
        return (", ".join("everything" if item == "*" else str(item) for item in value),)
    return (str(value),)


def _in_workspace(key: str) -> Callable[[str], tuple[Record, Location]]:
    return lambda name: (Record(WORKSPACE), (key, name))


def _in_register(kind: str, key: str) -> Callable[[str], tuple[Record, Location]]:
    return lambda name: (Record(kind), (key, name))


def _named(pairs: Iterable[tuple[str, bool]]) -> list[str]:
    return [name for name, related in pairs if related]


def _about_host(city: City, name: str) -> dict[str, list[str]]:
    use = uses_of(city)[name]
    return {
        "services that run here": list(use.runs),
        "services that recover here": list(use.recovers),
        "agencies": list(use.agencies),
        "datasets": [
            f"{service.id}/{dataset.id}"
            for service in city.services.values()
            for dataset in service.datasets
            if dataset.host == name
        ],
        "equipment": _named((key, name in asset.hosts) for key, asset in city.assets.assets.items()),
    }


def _about_link(city: City, name: str) -> dict[str, list[str]]:
    link, network = city.network.links[name], city.network
    return {
        "ends": [f"{end} ({network.locations[end].title})" for end in (link.a, link.b)],
        "backup for": _named((key, other.backup_link == name) for key, other in network.links.items()),
        "equipment": _named((key, name in asset.links) for key, asset in city.assets.assets.items()),
    }


def _about_location(city: City, name: str) -> dict[str, list[str]]:
    workspace = city.workspace
    here = {site: getattr(workspace.sites, site).location for site in ("primary", "recovery")}
    return {
        "sites": _named((site, place == name) for site, place in here.items()),
        "hosts": _named(
            (key, (host.location or here.get(host.site or "")) == name) for key, host in city.hosts.items()
        ),
        "DR centres": _named((key, centre.location == name) for key, centre in workspace.dr_centres.items()),
        "agencies with their office here": _named(
            (key, agency.location == name) for key, agency in workspace.agencies.items()
        ),
        "links": _named((key, name in (link.a, link.b)) for key, link in city.network.links.items()),
        "equipment": _named((key, asset.location == name) for key, asset in city.assets.assets.items()),
    }


def _about_person(city: City, name: str) -> dict[str, list[str]]:
    services, people = city.services.values(), city.people
    centres = city.workspace.dr_centres.items()
    return {
        "owns": _named((service.id, bool(service.owner and service.owner.person == name)) for service in services),
        "stands in for the owner of": _named(
            (service.id, bool(service.deputy and service.deputy.person == name)) for service in services
        ),
        "roles": _named((role, name in names) for role, names in people.roles.items()),
        "stands in for": _named((key, person.deputy == name) for key, person in people.people.items()),
        "heads": _named((key, agency.head == name) for key, agency in city.workspace.agencies.items()),
        "contact of DR centres": _named(
            (key, bool(centre.contract and centre.contract.contact == name)) for key, centre in centres
        ),
    }


def _about_agency(city: City, name: str) -> dict[str, list[str]]:
    return {
        "services": _named((service.id, service.agency == name) for service in city.services.values()),
        "people": _named((key, person.agency == name) for key, person in city.people.people.items()),
        "locations": _named((key, name in place.agencies) for key, place in city.network.locations.items()),
    }


def _about_centre(city: City, name: str) -> dict[str, list[str]]:
    return {
        "services that back up there": _named(
            (service.id, service.backup is not None and service.backup.dr_centre == name)
            for service in city.services.values()
        )
    }


def _about_tier(city: City, name: str) -> dict[str, list[str]]:
    programme = city.workspace.exercise_programme.get(name, {})
    return {
        "services": _named((service.id, service.tier == name) for service in city.services.values()),
        "to be exercised": [f"{level} every {show_duration(every)}" for level, every in programme.items()],
    }


def _about_site(city: City, name: str) -> dict[str, list[str]]:
    return {"hosts": _named((key, host.site == name) for key, host in city.hosts.items())}


def _about_document(city: City, name: str) -> dict[str, list[str]]:
    return {"belongs to it": _named((key, other.parent == name) for key, other in city.documents.documents.items())}


def _about_cluster(city: City, name: str) -> dict[str, list[str]]:
    return {"services": _named((service.id, service.cluster == name) for service in city.services.values())}


def _about_nothing(_city: City, _name: str) -> dict[str, list[str]]:
    return {}


def _sites(city: City) -> Mapping[str, BaseModel]:
    return {"primary": city.workspace.sites.primary, "recovery": city.workspace.sites.recovery}


_KINDS: dict[str, _Kind] = {
    "host": _Kind(lambda city: city.hosts, lambda name: (Record(HOSTS), ("host", name)), _about_host),
    "link": _Kind(lambda city: city.network.links, _in_register(NETWORK, "links"), _about_link),
    "location": _Kind(lambda city: city.network.locations, _in_register(NETWORK, "locations"), _about_location),
    "person": _Kind(lambda city: city.people.people, _in_register(PEOPLE, "people"), _about_person),
    "agency": _Kind(lambda city: city.workspace.agencies, _in_workspace("agencies"), _about_agency),
    "cluster": _Kind(lambda city: city.workspace.clusters, _in_workspace("clusters"), _about_cluster),
    "tier": _Kind(lambda city: city.workspace.tiers, _in_workspace("tiers"), _about_tier),
    "site": _Kind(_sites, _in_workspace("sites"), _about_site),
    "dr-centre": _Kind(lambda city: city.workspace.dr_centres, _in_workspace("dr_centres"), _about_centre),
    "sla-target": _Kind(lambda city: city.workspace.sla_targets, _in_workspace("sla_targets"), _about_nothing),
    "document": _Kind(lambda city: city.documents.documents, _in_register(DOCUMENTS, "documents"), _about_document),
    "asset": _Kind(lambda city: city.assets.assets, _in_register(ASSETS, "assets"), _about_nothing),
    "runbook": _Kind(lambda city: city.runbooks, lambda name: (Record(RUNBOOK, name), ()), _about_nothing),
}

KINDS = ("service", *_KINDS)
"""What `drp inventory show` can show."""
