"""What a city declares: the workspace, its sites, DR centres and services. Frozen, and nothing unknown is let in."""

from __future__ import annotations

import re
from datetime import timedelta
from ipaddress import IPv4Address, IPv4Network
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator, model_validator

from drp.domain.values import (
    AbsolutePath,
    AccountName,
    DatabaseName,
    Duration,
    HostName,
    Identifier,
    PositiveDuration,
    Text,
    UnitName,
)


class Model(BaseModel):
    """The base of everything that is read from a file."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=False)


class SecretReference(Model):
    """Where a secret is found; the secret itself never stands in a workspace file. Exactly one of the four."""

    file: Text | None = None
    env: Annotated[str, StringConstraints(pattern=r"^[A-Z_][A-Z0-9_]*$")] | None = None
    credential: Identifier | None = None
    command: tuple[Text, ...] | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if sum(value is not None for value in (self.file, self.env, self.credential, self.command)) != 1:
            raise ValueError("name exactly one of file, env, credential (systemd's) or command (a list)")
        return self


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


class Sites(Model):
    """The two sites; their hosts are the groups of the same names in the Ansible inventory."""

    primary: Text
    recovery: Text


class DrCentre(Model):
    """An S3 storage at a third party, outside both sites."""

    title: Text
    endpoint: Annotated[str, StringConstraints(pattern=r"^https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?$")]
    bucket: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$")]
    region: Identifier = "us-east-1"
    ca_certificate: Text | None = None
    access_key_id: SecretReference
    secret_access_key: SecretReference


class Tier(Model):
    """Default objectives of the services of a tier."""

    rto: Duration
    rpo: Duration
    mtpd: Duration | None = None


class SshAccess(Model):
    """How the control node reaches hosts. Host keys are pinned: a host that is not in `known_hosts` is refused."""

    private_key: Text
    known_hosts: Text


class LabSettings(Model):
    network: IPv4Network
    dr_centre: Identifier


class Workspace(Model):
    """drp.yaml"""

    schema_version: Literal[1] = Field(alias="schema")
    organisation: Organisation
    agencies: dict[Identifier, Text]
    sites: Sites
    dr_centres: dict[Identifier, DrCentre]
    tiers: dict[Identifier, Tier] = {}
    ssh: SshAccess
    lab: LabSettings | None = None


class LocalisedText(Model):
    en: Text
    id: Text


class Owner(Model):
    name: Text
    contact: Text | None = None


class PostgresqlDataset(Model):
    """One PostgreSQL database with its roles, dumped as a stream by `pg_dump` on the host."""

    type: Literal["postgresql"]
    id: Identifier
    host: HostName
    database: DatabaseName
    run_as: AccountName = "postgres"
    port: Annotated[int, Field(ge=1, le=65535)] = 5432


class FilesDataset(Model):
    """Files and directories of a host, by absolute path. The first one must be a directory: the sentinel goes there."""

    type: Literal["files"]
    id: Identifier
    host: HostName
    paths: Annotated[tuple[AbsolutePath, ...], Field(min_length=1)]
    excludes: tuple[AbsolutePath, ...] = ()


Dataset = Annotated[PostgresqlDataset | FilesDataset, Field(discriminator="type")]


class BackupSettings(Model):
    dr_centre: Identifier
    password: SecretReference
    stall_timeout: PositiveDuration = timedelta(minutes=5)


class Account(Model):
    """An operating-system account that must exist, with this number, before files are restored."""

    name: AccountName
    uid: Annotated[int, Field(ge=100, le=2_000_000)]
    home: AbsolutePath = "/nonexistent"


class RecoverySettings(Model):
    """What `restore` and `activate` do besides bringing the datasets back."""

    accounts: tuple[Account, ...] = ()
    start: tuple[UnitName, ...] = ()


class HttpStep(Model):
    """One request of a user path. `${name}` stands for a captured value, `${random}` for fresh random text."""

    request: Annotated[str, StringConstraints(pattern=r"^(GET|POST|PUT|HEAD) /[^\s]*$")]
    form: dict[Text, str] = {}
    expect_status: Annotated[int, Field(ge=100, le=599)] = 200
    expect_text: Text | None = None
    capture: dict[Identifier, Text] = {}
    same_as_before: bool = False

    @field_validator("capture")
    @classmethod
    def _patterns(cls, capture: dict[str, str]) -> dict[str, str]:
        for pattern in capture.values():
            try:
                groups = re.compile(pattern).groups
            except re.error as error:
                raise ValueError(f"{pattern!r} is no regular expression: {error}") from error
            if groups != 1:
                raise ValueError(f"{pattern!r} needs exactly one group in parentheses: the value to capture")
        return capture


class HttpCheck(Model):
    """A user path over HTTP, tried from outside both sites at a set interval. All steps must succeed in turn."""

    type: Literal["http"]
    id: Identifier
    scheme: Literal["http", "https"] = "http"
    port: Annotated[int, Field(ge=1, le=65535)] | None = None
    host_header: Text | None = None
    ca_certificate: Text | None = None
    interval: PositiveDuration = timedelta(seconds=1)
    timeout: PositiveDuration = timedelta(seconds=2)
    steps: Annotated[tuple[HttpStep, ...], Field(min_length=1)]

    @property
    def largest_gap(self) -> timedelta:
        """The longest silence between two attempts in which still somebody looked: three of the slowest, and a little
        for a busy machine. What lies beyond a longer one is unknown."""
        return 3 * (self.interval + self.timeout) + timedelta(seconds=2)


class Service(Model):
    """inventories/services/*.yaml"""

    schema_version: Literal[1] = Field(alias="schema")
    id: Identifier
    title: LocalisedText
    agency: Identifier
    owner: Owner | None = None
    tier: Identifier | None = None
    rto: Duration | None = None
    rpo: Duration | None = None
    mtpd: Duration | None = None
    depends_on: tuple[Identifier, ...] = ()
    runs_on: Annotated[tuple[HostName, ...], Field(min_length=1)]
    recovers_on: dict[HostName, HostName]
    address: IPv4Address | None = None
    datasets: Annotated[tuple[Dataset, ...], Field(min_length=1)]
    backup: BackupSettings
    recovery: RecoverySettings = RecoverySettings()
    checks: Annotated[tuple[HttpCheck, ...], Field(min_length=1)]

    def stand_in(self, host: str, site: str) -> str:
        """The host that plays the part of `host` at a site."""
        return host if site == "primary" else self.recovers_on[host]


class AnsibleHost(Model):
    """What drp needs of a host of the Ansible inventory."""

    name: HostName
    site: Literal["primary", "recovery"] | None
    address: Text
    port: Annotated[int, Field(ge=1, le=65535)] = 22
    user: Text = "root"
    become: bool = False
    python: Text = "/usr/bin/python3"


class Runbook(Model):
    """runbooks/*.yaml: a scenario."""

    schema_version: Literal[1] = Field(alias="schema")
    id: Identifier
    title: LocalisedText
    purpose: LocalisedText
    kind: Literal["tabletop", "restore-test", "component", "functional", "full"]
    hold: PositiveDuration = timedelta(seconds=60)
    give_up_after: PositiveDuration = timedelta(hours=4)


class City(Model):
    """Everything a workspace declares, valid as a whole (`drp.domain.consistency` has nothing to say against it)."""

    workspace: Workspace
    hosts: dict[str, AnsibleHost]
    services: dict[str, Service]
    runbooks: dict[str, Runbook]
