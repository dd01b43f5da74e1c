"""What a city declares as a whole: the workspace, its sites, DR centres, objectives, hosts, services and registers."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, StrictBool, StrictInt, StringConstraints, field_validator, model_validator

from drp.domain.backups.settings import BackupDefaults, Metrics, Notifications, Retention
from drp.domain.datasets.base import Command
from drp.domain.drill_allows import DrillAllows
from drp.domain.model import Declared, LocalisedText, Model
from drp.domain.registers import Assets, Documents, Network, People, SchemaVersion
from drp.domain.runbooks.model import ExerciseLevel, Runbook
from drp.domain.secret import SecretReference
from drp.domain.service import Service
from drp.domain.values import (
    AddressRange,
    Day,
    Duration,
    FileName,
    HostAddress,
    HostName,
    Identifier,
    LoginName,
    Percentage,
    PositiveDuration,
    Rate,
    Size,
    Text,
)


def _titled(value: Any) -> Any:
    """A record that says no more than its title may be written as that title alone."""
    return {"title": value} if isinstance(value, str) else value


class Organisation(Model):
    name: Text
    time_zone: Text = "Asia/Jakarta"

    @field_validator("time_zone")
    @classmethod
    def _known(cls, name: str) -> str:
        from zoneinfo import ZoneInfo

        try:
            ZoneInfo(name)
        except (KeyError, ValueError, OSError) as error:
            raise ValueError(f"{name!r} is no time zone; write one such as Asia/Jakarta") from error
        return name


class Agency(Declared):
    """A part of the organisation that owns services. `location` is its office on the network."""

    title: Text
    head: Identifier | None = None
    location: Identifier | None = None


class Certificate(Declared):
    number: Text | None = None
    issuer: Text | None = None
    expires: Day | None = None


class Site(Declared):
    """One of the two sites. Its hosts are the group of the same name in the Ansible inventory.

    `level` is the data centre's, 1 to 4, by its `standard`. `availability` is what that level is said to carry.
    """

    title: Text
    location: Identifier | None = None
    status: Literal["planned", "built", "accepted"] | None = None
    standard: Text | None = None
    level: Annotated[StrictInt, Field(ge=1, le=4)] | None = None
    availability: Percentage | None = None
    certificate: Certificate | None = None


class Sites(Model):
    """The two sites."""

    primary: Annotated[Site, BeforeValidator(_titled, json_schema_input_type=Text | Site)]
    recovery: Annotated[Site, BeforeValidator(_titled, json_schema_input_type=Text | Site)]


class Contract(Declared):
    """What the provider of a DR centre has promised, and on which clock."""

    provider: Text
    number: Text | None = None
    signed: Day | None = None
    expires: Day | None = None
    availability: Percentage | None = None
    rto: Duration | None = None
    rpo: Duration | None = None
    clock_starts: Literal["disruption", "declaration", "ticket"] | None = None
    capacity: Size | None = None
    drills_per_year: Annotated[StrictInt, Field(ge=0, le=1000)] | None = None
    object_lock: Duration | None = None
    country: Text | None = None
    contact: Identifier | None = None


class HostKeys(Model):
    """The pair of keys that one host uses at a DR centre. `user` is whose they are there; usually the host's name."""

    access_key_id: SecretReference
    secret_access_key: SecretReference
    user: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.@+=,-]{1,64}$")] | None = None


class DrCentre(Declared):
    """An S3 storage at a third party, outside both sites. `throughput` is what it gives to all readers together.

    `access_key_id` and `secret_access_key` are the control node's. Hosts use them too unless `host_keys` has pairs:
    then each host that backs up or restores needs one of its own.
    """

    title: Text
    endpoint: Annotated[str, StringConstraints(pattern=r"^https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?$")]
    bucket: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")]
    region: Identifier = "us-east-1"
    ca_certificate: FileName | None = None
    access_key_id: SecretReference
    secret_access_key: SecretReference
    host_keys: dict[HostName, HostKeys] = {}
    location: Identifier | None = None
    throughput: Rate | None = None
    contract: Contract | None = None


class Tier(Declared):
    """Default objectives of the services of a tier."""

    rto: Duration
    rpo: Duration
    mtpd: Duration | None = None
    wrt: Duration | None = None
    retention: Retention | None = None


class Period(Model):
    """From the first to the last day, both included."""

    first: Day
    last: Day

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.last < self.first:
            raise ValueError(f"the period ends on {self.last}, before it starts on {self.first}")
        return self

    def overlaps(self, other: Period) -> bool:
        return self.first <= other.last and other.first <= self.last


class SlaTarget(Declared):
    """An availability that a document promises for a time. Of those that disagree, one must be the approved one."""

    availability: Percentage
    period: Period
    approved: StrictBool = False

    @property
    def yearly_downtime(self) -> timedelta:
        """How long a year may be down in all."""
        share = (Decimal(100) - self.availability) / 100
        return timedelta(milliseconds=int(share * 365 * 86_400_000))


class SshAccess(Model):
    """How the control node reaches hosts. Host keys are pinned: a host that is not in `known_hosts` is refused."""

    private_key: FileName
    known_hosts: FileName


class LabSettings(Model):
    """What `drp lab up` builds: the hosts of these services, or of all where none is named, and these DR centres.

    `disk` is what each host's file systems hold before they are full, 2 GiB if nothing is said; it is memory of the
    machine.
    """

    network: AddressRange
    disk: Size | None = None
    dr_centre: Identifier
    other_dr_centres: tuple[Identifier, ...] = ()
    services: tuple[Identifier, ...] = ()


class StageDefaults(Declared):
    """How long stages are thought to take where neither a run nor the service's own file says it."""

    activate: PositiveDuration | None = None
    verify: PositiveDuration | None = None
    cutover: PositiveDuration | None = None
    usable: PositiveDuration | None = None


class Workspace(Model):
    """drp.yaml. `drill_allows` is what every drill's copies may reach, such as a name server at the recovery site."""

    schema_version: SchemaVersion
    organisation: Organisation
    agencies: dict[Identifier, Annotated[Agency, BeforeValidator(_titled, json_schema_input_type=Text | Agency)]]
    clusters: dict[Identifier, LocalisedText] = {}
    sites: Sites
    dr_centres: dict[Identifier, DrCentre]
    tiers: dict[Identifier, Tier] = {}
    estimates: StageDefaults = StageDefaults()
    sla_targets: dict[Identifier, SlaTarget] = {}
    exercise_programme: dict[Identifier, dict[ExerciseLevel, PositiveDuration]] = {}
    backups: BackupDefaults = BackupDefaults()
    notifications: Notifications | None = None
    metrics: Metrics | None = None
    drill_allows: DrillAllows = ()
    ssh: SshAccess
    lab: LabSettings | None = None


class AnsibleHost(Model):
    """What drp needs of a host of the Ansible inventory. `location` is where it stands, if not at its site's.

    It is reached through `jump_host`, another host of the inventory, if that is given. `restic` is where restic runs
    for its data: on the host, or on the control node for a host that can take no restic.

    `fence_command` runs on the control node where the host itself cannot be told to close: it must make sure that the
    host serves nobody, and end with 0. `fence_check`, where given, must then end with 0 too. `unfence_command` lets it
    come back. Argument lists, which no shell reads; each within `fence_timeout`.
    """

    name: HostName
    site: Literal["primary", "recovery"] | None
    address: HostAddress
    port: Annotated[int, Field(ge=1, le=65535)] = 22
    user: LoginName = "root"
    become: bool = False
    python: FileName = "/usr/bin/python3"
    assumed: bool = False
    location: Identifier | None = None
    jump_host: HostName | None = None
    restic: Literal["host", "control-node"] = "host"
    fence_command: Command | None = None
    fence_check: Command | None = None
    fence_timeout: PositiveDuration = timedelta(seconds=60)
    unfence_command: Command | None = None

    @model_validator(mode="after")
    def _fences_before_it_looks(self) -> Self:
        if self.fence_command is None and (self.fence_check or self.unfence_command):
            raise ValueError("drp_fence_check and drp_unfence_command need drp_fence_command")
        return self


def jumps_to(host: AnsibleHost, hosts: Mapping[str, AnsibleHost]) -> list[AnsibleHost]:
    """The hosts on the way to a host, the nearest to the control node first. ValueError where the way is unknown or
    never ends."""
    way: list[AnsibleHost] = []
    names = [host.name]
    while host.jump_host is not None:
        names.append(host.jump_host)
        if host.jump_host not in hosts:
            raise ValueError(f"unknown jump host: {' → '.join(names)}")
        if host.jump_host in names[:-1]:
            raise ValueError(f"its jump hosts lead in a circle: {' → '.join(names)}")
        host = hosts[host.jump_host]
        way.insert(0, host)
    return way


_NOTHING = {"schema": 1}


class City(Model):
    """Everything a workspace declares, valid as a whole (`drp.domain.consistency` has nothing to say against it)."""

    workspace: Workspace
    hosts: dict[str, AnsibleHost]
    services: dict[str, Service]
    runbooks: dict[str, Runbook]
    network: Network = Network.model_validate(_NOTHING)
    people: People = People.model_validate(_NOTHING)
    documents: Documents = Documents.model_validate(_NOTHING)
    assets: Assets = Assets.model_validate(_NOTHING)
