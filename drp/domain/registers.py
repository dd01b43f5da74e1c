"""The city's registers beside its services: who, where, over which lines, on what paper, with which spares."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StrictInt

from drp.domain.model import Declared, Model
from drp.domain.values import Day, Duration, HostName, Identifier, PositiveDuration, Rate, Text

SchemaVersion = Annotated[Literal[1], Field(alias="schema")]


class Person(Declared):
    """Somebody with a part in a recovery. `deputy` names the person who stands in."""

    name: Text
    position: Text | None = None
    agency: Identifier | None = None
    organisation: Text | None = None
    contact: Text | None = None
    deputy: Identifier | None = None


Role = Literal["drill-lead", "declares", "approves", "drc-contact", "network-contact", "observer"]
"""`declares`: may declare a disaster; `approves`: may approve steps; `observer`: watches drills, takes no part."""


class People(Model):
    """inventories/people.yaml"""

    schema_version: SchemaVersion
    people: dict[Identifier, Person] = {}
    roles: dict[Role, tuple[Identifier, ...]] = {}


class Location(Declared):
    """A place that lines connect: an office, a junction of cables, a data centre. `lan` is what a network inside it
    carries between any two machines there."""

    title: Text
    kind: Literal["office", "junction", "data-centre", "dr-centre", "noc", "public"] = "office"
    agencies: tuple[Identifier, ...] = ()
    lan: Rate | None = None


class Link(Declared):
    """A line between two locations. `backup_link` carries the traffic when this one is cut, if that was tested."""

    a: Identifier
    b: Identifier
    medium: Literal["fibre", "radio", "leased", "internet"]
    title: Text | None = None
    route: Text | None = None
    owner: Literal["organisation", "third-party", "shared"] = "organisation"
    capacity: Rate | None = None
    backup_link: Identifier | None = None
    last_failover_test: Day | None = None
    replaces: Text | None = None


class Network(Model):
    """inventories/network.yaml"""

    schema_version: SchemaVersion
    locations: dict[Identifier, Location] = {}
    links: dict[Identifier, Link] = {}


class Document(Declared):
    """A rule or a plan with its version: what was approved when, by whom, and when it must be looked at again."""

    kind: Literal["law", "regulation", "decree", "sop", "bia", "plan", "blueprint", "certificate", "study"]
    title: Text
    number: Text | None = None
    version: Text | None = None
    status: Literal["planned", "draft", "in-force", "superseded"] = "in-force"
    approved: Day | None = None
    approved_by: Text | None = None
    review_due: Day | None = None
    parent: Identifier | None = None
    services: tuple[Identifier, ...] = ()


class Documents(Model):
    """inventories/documents.yaml"""

    schema_version: SchemaVersion
    documents: dict[Identifier, Document] = {}


class Spare(Declared):
    """What replaces a broken asset: how many lie ready, and how long a new one takes to come."""

    stock: Annotated[StrictInt, Field(ge=0, le=100_000)]
    lead_time: PositiveDuration
    location: Identifier | None = None


POWER = ("ups", "generator")
"""Kinds of assets that carry every host of their location where they name none themselves."""


class Asset(Declared):
    """A piece of equipment, software or supply that services stand on, through hosts, links or a location."""

    kind: Literal["server", "storage", "switch", "router", "radio", "ups", "generator", "rack", "licence", "other"]
    title: Text
    location: Identifier | None = None
    hosts: tuple[HostName, ...] = ()
    links: tuple[Identifier, ...] = ()
    quantity: Annotated[StrictInt, Field(ge=1, le=1_000_000)] = 1
    end_of_life: Day | None = None
    last_test: Day | None = None
    runtime: Duration | None = None
    spare: Spare | None = None


class Assets(Model):
    """inventories/assets.yaml"""

    schema_version: SchemaVersion
    assets: dict[Identifier, Asset] = {}
