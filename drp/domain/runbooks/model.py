"""runbooks/*.yaml: a scenario for people and for drp alike."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, StrictInt, field_validator, model_validator

from drp.domain.model import Declared, LocalisedText, Model
from drp.domain.registers import SchemaVersion
from drp.domain.runbooks.steps import END, START, AnyStep, RunbookStep, Who, Whoever
from drp.domain.values import Duration, HostName, Identifier, PositiveDuration

ExerciseLevel = Literal["tabletop", "restore-test", "component", "functional", "full"]

Operation = Literal["failover", "switchover", "failback", "none"]
"""What drp does for real in a scenario; `none`: nothing, all of it is people's work."""

RestorePoints = Literal["newest", "before-a-moment", "walk-back"]
"""Which restore point of each service a recovery takes: the `newest` consistent one that has arrived; or, by
`walk-back`, one after the other from the newest to older ones, until the verification passes. `before-a-moment` walks
back too, but begins with the newest from before a moment, which whoever starts a run for real must name."""


class WalkBack(Model):
    """How far a recovery walks back: at most `attempts` restore points of each service are tried. `patience`: how long
    the user path may fail at the recovery host, before users come, until a restore point is turned down."""

    attempts: Annotated[StrictInt, Field(ge=1, le=100)] = 5
    patience: PositiveDuration = timedelta(seconds=60)


class PeopleTimes(Declared):
    """How long people are thought to need in this scenario, before the first machine does anything."""

    detect: Duration | None = None
    decide: Duration
    mobilise: Duration


class Selector(Model):
    """Which services a scenario is about, where it does not name them; `drp.domain.runbooks.services` works it out.

    `sites`, `hosts`, `links`, `locations`, `assets` and `dr_centres` are lost, all at once: it is about every service
    that then goes down or loses a part of its protection. `agencies` and `tiers` keep the services of one of these
    agencies, and of one of these tiers.
    """

    model_config = ConfigDict(json_schema_extra={"minProperties": 1})

    agencies: tuple[Identifier, ...] = ()
    tiers: tuple[Identifier, ...] = ()
    sites: tuple[Literal["primary", "recovery"], ...] = ()
    hosts: tuple[HostName, ...] = ()
    links: tuple[Identifier, ...] = ()
    locations: tuple[Identifier, ...] = ()
    assets: tuple[Identifier, ...] = ()
    dr_centres: tuple[Identifier, ...] = ()

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not any(getattr(self, name) for name in type(self).model_fields):
            raise ValueError(f"it selects nothing; give at least one of {', '.join(type(self).model_fields)}")
        return self


class Runbook(Model):
    """A scenario.

    It is about the services that it names (`services`) or selects (`select`); with neither, about those that whoever
    starts it names, or all. `declared_by`: any one of these may declare it. `approved_by`: each of these must agree
    before a run of `operation` starts (of a role, one who has it or the deputy of one); a drill asks nobody.
    `operation`: the only kind of run that it may bring about for real. `walk_back` counts where `restore_points` walk.
    `preconditions`, `criteria` and `stop_conditions` are for people: they are printed, and the report quotes them.
    `steps` are in the order in which people read them; `clean_up` runs in its order after everything else, whatever
    became of it.
    """

    schema_version: SchemaVersion
    id: Identifier
    title: LocalisedText
    purpose: LocalisedText
    when: LocalisedText | None = None
    kind: ExerciseLevel
    operation: Operation = "failover"
    restore_points: RestorePoints = "newest"
    walk_back: WalkBack = WalkBack()
    services: tuple[Identifier, ...] = ()
    select: Selector | None = None
    hold: PositiveDuration = timedelta(seconds=60)
    give_up_after: PositiveDuration = timedelta(hours=4)
    people: PeopleTimes | None = None
    declared_by: Whoever = ("declares",)
    approved_by: tuple[Who, ...] = ()
    preconditions: tuple[LocalisedText, ...] = ()
    steps: Annotated[tuple[RunbookStep, ...], Field(max_length=200)] = ()
    criteria: tuple[LocalisedText, ...] = ()
    stop_conditions: tuple[LocalisedText, ...] = ()
    clean_up: Annotated[tuple[RunbookStep, ...], Field(max_length=100)] = ()

    @property
    def walks_back(self) -> bool:
        """Whether a restore point whose data proves bad is followed by an older one."""
        return self.restore_points != "newest"

    @property
    def all_steps(self) -> tuple[AnyStep, ...]:
        return (*self.steps, *self.clean_up)

    @model_validator(mode="after")
    def _one_way_to_choose(self) -> Self:
        if self.services and self.select is not None:
            raise ValueError("it names services and selects some; keep services or select")
        return self

    @field_validator("clean_up")
    @classmethod
    def _at_the_end(cls, steps: tuple[AnyStep, ...]) -> tuple[AnyStep, ...]:
        for step in steps:
            if step.before or step.after:
                raise ValueError(f"step {step.id!r}: clean-up comes last, in its order; take away before and after")
        return steps

    @model_validator(mode="after")
    def _told_apart(self) -> Self:
        seen = {START, END}
        for step in self.all_steps:
            if step.id in seen:
                raise ValueError(f"step {step.id!r}: another step, or a fixed point of the plan, has this id")
            seen.add(step.id)
        return self
