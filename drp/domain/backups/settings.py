"""How a service is backed up, kept, copied and proved; and what holds for all backups of a workspace."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, StrictInt, StringConstraints, WithJsonSchema, model_validator

from drp.domain.model import Model
from drp.domain.schedules.schedule import SCHEDULE_HINT, SCHEDULE_PATTERN, Schedule, parse_schedule
from drp.domain.secret import SecretReference
from drp.domain.values import Duration, FileName, HostName, Identifier, PositiveDuration, Rate, Text


def _schedule(text: Any) -> Any:
    if not isinstance(text, str):
        raise ValueError(f"{text!r} is not a schedule; put quotes around it")
    parse_schedule(text)
    return text


_SCHEDULE_SCHEMA = {"type": "string", "maxLength": 100, "pattern": SCHEDULE_PATTERN, "description": SCHEDULE_HINT}
ScheduleText = Annotated[str, BeforeValidator(_schedule), WithJsonSchema(_SCHEDULE_SCHEMA)]

TimeOfDay = Annotated[str, StringConstraints(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")]
"""Of the organisation's time zone, such as 07:30."""

Days = Annotated[
    tuple[Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"], ...],
    Field(min_length=1),
]
Command = Annotated[tuple[Text, ...], Field(min_length=1)]
"""A program and its arguments; never a shell's text."""

Share = Annotated[StrictInt, Field(ge=0, le=99)]
"""A part of something, in percent."""

Count = Annotated[StrictInt, Field(ge=1, le=10_000)]


class Retention(Model):
    """Which restore points are kept; whatever the policy says, `minimum_points` and those younger than `minimum_age`
    stay. Restore points with one of `keep_tags` are on legal hold. `stranded` is how long what a failback has kept of
    the old primary stays; for ever where nobody says so."""

    keep_within: PositiveDuration | None = None
    last: Count | None = None
    hourly: Count | None = None
    daily: Count | None = None
    weekly: Count | None = None
    monthly: Count | None = None
    yearly: Count | None = None
    keep_tags: tuple[Identifier, ...] = ()
    minimum_points: Count = 3
    minimum_age: Duration = timedelta(days=7)
    stranded: PositiveDuration | None = None

    @model_validator(mode="after")
    def _keeps_something(self) -> Self:
        names = ("keep_within", "last", "hourly", "daily", "weekly", "monthly", "yearly")
        if all(getattr(self, name) is None for name in names):
            raise ValueError(f"a retention that keeps nothing: write at least one of {', '.join(names)}")
        return self


class Quiesce(Model):
    """Commands on a host around its part of a backup. The second ones run whatever happens to the first or to drp."""

    host: HostName
    before: Annotated[tuple[Command, ...], Field(min_length=1)]
    after: Annotated[tuple[Command, ...], Field(min_length=1)]
    limit: PositiveDuration = timedelta(minutes=10)


class CopySettings(Model):
    """A copy of the service's repositories at another DR centre, made after each backup or on a schedule of its own.
    `rate` is what it may take of the control node's line."""

    dr_centre: Identifier
    schedule: ScheduleText | None = None
    rate: Rate | None = None

    @property
    def when(self) -> Schedule | None:
        return None if self.schedule is None else parse_schedule(self.schedule)


class BackupSettings(Model):
    """`estimate` is how long a backup is thought to take to arrive at the DR centre, until one has been measured.
    `least_size_percent` stands for that of drp.yaml, for a service whose data comes and goes."""

    dr_centre: Identifier
    password: SecretReference
    schedule: ScheduleText | None = None
    estimate: PositiveDuration | None = None
    stall_timeout: PositiveDuration = timedelta(minutes=5)
    retention: Retention | None = None
    quiesce: tuple[Quiesce, ...] = ()
    copies: tuple[CopySettings, ...] = ()
    tags: tuple[Identifier, ...] = ()
    least_size_percent: Share | None = None

    @property
    def when(self) -> Schedule | None:
        return None if self.schedule is None else parse_schedule(self.schedule)


class Window(Model):
    """A part of the day in which something holds; over midnight where it ends before it starts."""

    start: TimeOfDay
    end: TimeOfDay
    days: Days = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")


class Blackout(Window):
    """No scheduled backup starts in this window; of all services, or of those named."""

    services: tuple[Identifier, ...] = ()


class Bandwidth(Window):
    """What all backups together may send in this window; from all hosts, or from those of one site."""

    rate: Rate
    site: Literal["primary", "recovery"] | None = None


class Limits(Model):
    """How many backups may run at once."""

    at_once: Count = 8
    per_site: Count = 8
    per_host: Count = 2
    bandwidth: tuple[Bandwidth, ...] = ()


class Retry(Model):
    """A failed backup is tried again after `first`, then after twice as long each time up to `longest`."""

    first: PositiveDuration = timedelta(minutes=2)
    longest: PositiveDuration = timedelta(hours=1)


class ProofSettings(Model):
    """How often repositories are checked and restores are proved; `preflight` looks at both sites whether the next
    backup and a recovery would find what they need."""

    check: ScheduleText = "daily 03:30"
    everything_within: PositiveDuration = timedelta(days=30)
    restore_test: ScheduleText = "weekly sunday 05:00"
    restored_within: PositiveDuration = timedelta(days=90)
    prune: ScheduleText = "weekly saturday 22:00"
    preflight: ScheduleText = "daily 06:00"


class ResticProgram(Model):
    """A restic that drp carries along for hosts that have none, or too old a one; for all of them with `prefer:
    carried`. `sha256` is of the file."""

    file: FileName
    sha256: Annotated[str, StringConstraints(pattern=re.compile(r"^[0-9a-f]{64}$").pattern)]
    prefer: Literal["host", "carried"] = "host"


class BackupDefaults(Model):
    """drp.yaml, `backups:`: what holds for all backups. A dataset that brings less than `least_size_percent` of what it
    used to bring is a problem until a person accepts it, or it has been so for long; 0: never."""

    limits: Limits = Limits()
    retry: Retry = Retry()
    blackouts: tuple[Blackout, ...] = ()
    proof: ProofSettings = ProofSettings()
    retention: Retention | None = None
    restic: ResticProgram | None = None
    least_size_percent: Share = 50


class Notifications(Model):
    """drp.yaml, `notifications:`. Each of `urls` is a secret that holds one apprise address per line.

    In the `quiet` window only a breach of the RPO of a service of the most critical tier is told; the rest is held back
    until it is over. The `digest` comes once a day at its time.
    """

    urls: Annotated[tuple[SecretReference, ...], Field(min_length=1)]
    quiet: Window | None = None
    digest: TimeOfDay | None = None


class Metrics(Model):
    """drp.yaml, `metrics:`: where Prometheus finds drp's figures. Everybody on the machine may read the `textfile`
    (mode 0644): node_exporter runs as a user of its own, and there is no secret in it."""

    textfile: FileName | None = None
    push_gateway: Annotated[str, StringConstraints(pattern=r"^https?://[A-Za-z0-9.:/_-]{1,200}$")] | None = None
