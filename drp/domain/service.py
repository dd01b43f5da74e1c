"""A service as its file declares it: what it is, where it runs, what it keeps, how it comes back, what proves it."""

from __future__ import annotations

import re
import warnings
from datetime import timedelta
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
    StringConstraints,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from drp.domain.model import Declared, LocalisedText, Model
from drp.domain.registers import SchemaVersion
from drp.domain.schedule import SCHEDULE_HINT, SCHEDULE_PATTERN, Schedule, parse_schedule
from drp.domain.values import (
    AbsolutePath,
    AccountName,
    Address,
    DatabaseName,
    Duration,
    FileName,
    HostAddress,
    HostName,
    Identifier,
    PositiveDuration,
    Size,
    Text,
    UnitName,
)


class SecretReference(Model):
    """Where a secret is found; the secret itself never stands in a workspace file. Exactly one of the four."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1, "maxProperties": 1})

    file: FileName | None = None
    env: Annotated[str, StringConstraints(pattern=r"^[A-Z_][A-Z0-9_]{0,127}$")] | None = None
    credential: Identifier | None = None
    command: tuple[Text, ...] | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if sum(value is not None for value in (self.file, self.env, self.credential, self.command)) != 1:
            raise ValueError("name exactly one of file, env, credential (systemd's) or command (a list)")
        return self


def _person(value: Any) -> Any:
    return {"person": value} if isinstance(value, str) else value


class Contact(Declared):
    """A person of the register (`owner: kabid-aptika`), or somebody named here: {name: …, contact: …}."""

    model_config = ConfigDict(json_schema_extra={"oneOf": [{"required": ["person"]}, {"required": ["name"]}]})

    person: Identifier | None = None
    name: Text | None = None
    contact: Text | None = None

    @model_validator(mode="after")
    def _somebody(self) -> Self:
        if (self.person is None) == (self.name is None):
            raise ValueError("name a person of inventories/people.yaml, or write {name: …, contact: …}")
        return self


ContactReference = Annotated[Contact, BeforeValidator(_person, json_schema_input_type=Identifier | Contact)]

Level = Literal["low", "medium", "high"]


class Classification(Model):
    """How much confidentiality, integrity and availability of a dataset matter."""

    confidentiality: Level
    integrity: Level
    availability: Level


class DatasetFacts(Declared):
    """What is known about any dataset. None of it changes how the dataset is backed up or restored.

    `daily_change` is how many bytes a day's backups carry to the DR centre. A dataset that is a copy of another one
    (`copy_of: service/dataset`) is not authoritative.
    """

    id: Identifier
    host: HostName
    size: Size | None = None
    daily_change: Size | None = None
    classification: Classification | None = None
    personal_data: StrictBool | None = None
    copy_of: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,47}/[a-z][a-z0-9-]{0,47}$")] | None = None

    def mechanics(self) -> dict[str, Any]:
        """Only what decides how it is backed up and restored."""
        return self.model_dump(mode="json", exclude=set(DatasetFacts.model_fields) - {"id", "host"})


class PostgresqlDataset(DatasetFacts):
    """One PostgreSQL database with its roles, dumped as a stream by `pg_dump` on the host."""

    type: Literal["postgresql"]
    database: DatabaseName
    run_as: AccountName = "postgres"
    port: Annotated[StrictInt, Field(ge=1, le=65535)] = 5432


class FilesDataset(DatasetFacts):
    """Files and directories of a host, by absolute path. The first one must be a directory: the sentinel goes there."""

    type: Literal["files"]
    paths: Annotated[tuple[AbsolutePath, ...], Field(min_length=1)]
    excludes: tuple[AbsolutePath, ...] = ()


Dataset = Annotated[PostgresqlDataset | FilesDataset, Field(discriminator="type")]


def _schedule(text: Any) -> Any:
    if not isinstance(text, str):
        raise ValueError(f"{text!r} is not a schedule; put quotes around it")
    parse_schedule(text)
    return text


_SCHEDULE_SCHEMA = {"type": "string", "maxLength": 100, "pattern": SCHEDULE_PATTERN, "description": SCHEDULE_HINT}


class BackupSettings(Model):
    """`estimate` is how long a backup is thought to take to arrive at the DR centre, until one has been measured."""

    dr_centre: Identifier
    password: SecretReference
    schedule: Annotated[str, BeforeValidator(_schedule), WithJsonSchema(_SCHEDULE_SCHEMA)] | None = None
    estimate: PositiveDuration | None = None
    stall_timeout: PositiveDuration = timedelta(minutes=5)

    @property
    def when(self) -> Schedule | None:
        return None if self.schedule is None else parse_schedule(self.schedule)


class Account(Model):
    """An operating-system account that must exist, with this number, before files are restored."""

    name: AccountName
    uid: Annotated[StrictInt, Field(ge=100, le=2_000_000)]
    home: AbsolutePath = "/nonexistent"


class StageEstimates(Model):
    """How long each stage of a recovery is thought to take, until a run has measured it."""

    restore: PositiveDuration | None = None
    activate: PositiveDuration | None = None
    verify: PositiveDuration | None = None
    cutover: PositiveDuration | None = None
    usable: PositiveDuration | None = None


class RecoverySettings(Model):
    """What `restore` and `activate` do besides bringing the datasets back."""

    accounts: tuple[Account, ...] = ()
    start: tuple[UnitName, ...] = ()
    estimates: StageEstimates = StageEstimates()


_NEEDS_LARGE_TABLES = re.compile(r"[^\x00-\x7f]|(?<!\\)(?:\\\\)*\\[uUN]")


def _groups_of(pattern: str) -> int:
    """How many groups a regular expression has. What takes Python long, or makes it stumble, is refused."""
    if _NEEDS_LARGE_TABLES.search(pattern):
        raise ValueError(f"{pattern!r} holds more than ASCII; write . for such a character")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            return re.compile(pattern).groups
    except (re.error, OverflowError, RecursionError, Warning) as error:
        raise ValueError(f"{pattern!r} is no regular expression: {error}") from error


class HttpStep(Model):
    """One request of a user path. `${name}` stands for a captured value, `${random}` for fresh random text."""

    request: Annotated[str, StringConstraints(pattern=r"^(GET|POST|PUT|HEAD) /[!-~]{0,2000}$")]
    form: dict[Text, str] = Field(default_factory=dict)
    expect_status: Annotated[StrictInt, Field(ge=100, le=599)] = 200
    expect_text: Text | None = None
    capture: dict[Identifier, Text] = Field(default_factory=dict)
    same_as_before: StrictBool = False

    @field_validator("capture")
    @classmethod
    def _patterns(cls, capture: dict[str, str]) -> dict[str, str]:
        for pattern in capture.values():
            if _groups_of(pattern) != 1:
                raise ValueError(f"{pattern!r} needs exactly one group in parentheses: the value to capture")
        return capture


class HttpCheck(Model):
    """A user path over HTTP, tried from outside both sites at a set interval. All steps must succeed in turn."""

    type: Literal["http"]
    id: Identifier
    scheme: Literal["http", "https"] = "http"
    port: Annotated[StrictInt, Field(ge=1, le=65535)] | None = None
    host_header: HostAddress | None = None
    ca_certificate: FileName | None = None
    interval: PositiveDuration = timedelta(seconds=1)
    timeout: PositiveDuration = timedelta(seconds=2)
    steps: Annotated[tuple[HttpStep, ...], Field(min_length=1)]

    @property
    def largest_gap(self) -> timedelta:
        """The longest silence between two attempts in which still somebody looked: three of the slowest, and a little
        for a busy machine. What lies beyond a longer one is unknown."""
        return 3 * (self.interval + self.timeout) + timedelta(seconds=2)


class ManualFallback(Declared):
    """How people go on without the system, and for how long they can."""

    procedure: Text
    workable_for: Duration | None = None


Hosting = Literal["central", "agency", "third-party", "national"]
"""`central`: at the sites of this workspace. Elsewhere others run it: the agency itself, a provider, the state."""


class Service(Declared):
    """inventories/services/*.yaml

    A service that is only registered (no datasets, no backup, no checks) is valid, and stands out as unprotected.
    """

    schema_version: SchemaVersion
    id: Identifier
    title: LocalisedText
    description: Text | None = None
    agency: Identifier
    cluster: Identifier | None = None
    audience: tuple[Literal["citizens", "business", "government", "employees"], ...] = ()
    stage: Literal["information", "interaction", "transaction", "integration"] | None = None
    owner: ContactReference | None = None
    deputy: ContactReference | None = None
    tier: Identifier | None = None
    rto: Duration | None = None
    rpo: Duration | None = None
    mtpd: Duration | None = None
    wrt: Duration | None = None
    mbco: Text | None = None
    hosting: Hosting = "central"
    depends_on: tuple[Identifier, ...] = ()
    runs_on: tuple[HostName, ...] = ()
    recovers_on: dict[HostName, HostName] = {}
    address: Address | None = None
    datasets: tuple[Dataset, ...] = ()
    backup: BackupSettings | None = None
    recovery: RecoverySettings = RecoverySettings()
    checks: tuple[HttpCheck, ...] = ()
    manual_fallback: ManualFallback | None = None
    notes: Text | None = None

    @property
    def states_dependencies(self) -> bool:
        """Whether somebody has said what it depends on; `depends_on: []` says nothing at all."""
        return "depends_on" in self.model_fields_set

    def stand_in(self, host: str, site: str) -> str:
        """The host that plays the part of `host` at a site."""
        return host if site == "primary" else self.recovers_on[host]
