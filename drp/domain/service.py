"""A service as its file declares it: what it is, where it runs, what it keeps, how it comes back, what proves it."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictInt,
    StringConstraints,
    model_validator,
)

from drp.domain.backups.settings import BackupSettings
from drp.domain.checks import Check
from drp.domain.datasets import Dataset
from drp.domain.datasets.base import Command
from drp.domain.drill_allows import DrillAllows
from drp.domain.model import Declared, LocalisedText, Model
from drp.domain.registers import SchemaVersion
from drp.domain.traffic import Traffic
from drp.domain.values import (
    AbsolutePath,
    AccountName,
    Address,
    Duration,
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


DRPS_OWN_PLAYBOOKS = ("restore", "activate", "verify", "cutover", "cleanup", "fence", "unfence", "unisolate")


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


class StageTimeouts(Model):
    """How long a stage of a recovery may take before drp ends it; `playbooks` is for each of the service's own.

    `host_away` is how long drp waits for a host that it has lost in the middle of a stage. It then begins the stage
    again."""

    restore: PositiveDuration | None = None
    activate: PositiveDuration | None = None
    verify: PositiveDuration | None = None
    cutover: PositiveDuration | None = None
    playbooks: PositiveDuration | None = None
    host_away: PositiveDuration | None = None


class RecoverySettings(Model):
    """What `restore`, `activate` and `verify` do besides bringing the datasets back; and what the service's copy may
    reach in a drill, beyond the drill's own hosts and the DR centre (`drill_allows`)."""

    accounts: tuple[Account, ...] = ()
    start: tuple[UnitName, ...] = ()
    commands: Annotated[tuple[RecoveryCommand, ...], Field(max_length=64)] = ()
    playbooks: OwnPlaybooks = OwnPlaybooks()
    estimates: StageEstimates = StageEstimates()
    timeouts: StageTimeouts = StageTimeouts()
    drill_allows: DrillAllows = ()


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
    checks: tuple[Check, ...] = ()
    manual_fallback: ManualFallback | None = None
    notes: Text | None = None

    @property
    def states_dependencies(self) -> bool:
        """Whether somebody has said what it depends on; `depends_on: []` says nothing at all."""
        return "depends_on" in self.model_fields_set

    @property
    def check_gaps(self) -> dict[str, timedelta]:
        """Its checks by name, the user path first: the longest silence of each in which still somebody looked."""
        return {check.id: check.largest_gap for check in self.checks}

    def stand_in(self, host: str, site: str) -> str:
        """The host that plays the part of `host` at a site."""
        return host if site == "primary" else self.recovers_on[host]
