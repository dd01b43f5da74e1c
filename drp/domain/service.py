"""A service as its file declares it: what it is, where it runs, what it keeps, how it comes back, what proves it."""

from __future__ import annotations

import re
import warnings
from datetime import timedelta
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
    StringConstraints,
    field_validator,
    model_validator,
)

from drp.domain.backups.settings import BackupSettings
from drp.domain.datasets import Dataset
from drp.domain.datasets.base import Command
from drp.domain.model import Declared, LocalisedText, Model
from drp.domain.registers import SchemaVersion
from drp.domain.traffic import Traffic
from drp.domain.values import (
    AbsolutePath,
    AccountName,
    Address,
    Duration,
    FileName,
    HostAddress,
    HostName,
    Identifier,
    PositiveDuration,
    Text,
    UnitName,
)


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


class RecoveryCommand(Model):
    """A command of the service's own, on a host that stands in for one of `runs_on` (the first where none is named):
    after its units were started, or as a part of its verification. It may be run again. No shell reads it."""

    argv: Command
    on: Literal["activate", "verify"]
    host: HostName | None = None
    timeout: PositiveDuration = timedelta(minutes=5)


DRPS_OWN_PLAYBOOKS = ("restore", "activate", "verify", "cutover", "cleanup", "fence", "unfence")


def _not_drps_own(name: str) -> str:
    if name in DRPS_OWN_PLAYBOOKS:
        raise ValueError(f"{name}.yml is drp's own; give the playbook another name")
    return name


PlaybookName = Annotated[
    str,
    StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,63}$"),
    AfterValidator(_not_drps_own),
    Field(json_schema_extra={"not": {"enum": list(DRPS_OWN_PLAYBOOKS)}}),
]
"""The name of a file in the workspace's folder playbooks, without its `.yml`."""


class OwnPlaybooks(Model):
    """Users' own playbooks, each run on the service's recovery hosts once a stage has ended well."""

    after_restore: PlaybookName | None = None
    after_activate: PlaybookName | None = None
    after_verify: PlaybookName | None = None


class RecoverySettings(Model):
    """What `restore`, `activate` and `verify` do besides bringing the datasets back."""

    accounts: tuple[Account, ...] = ()
    start: tuple[UnitName, ...] = ()
    commands: Annotated[tuple[RecoveryCommand, ...], Field(max_length=64)] = ()
    playbooks: OwnPlaybooks = OwnPlaybooks()
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
    traffic: Annotated[tuple[Traffic, ...], Field(min_length=1, max_length=16)] | None = None
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
