"""The steps of a runbook beyond the stages that the inventory implies, and what carrying out each kind means.

The engine carries them out; `drp.domain.runbooks.placement` says where each hangs in a plan. What holds for all kinds:
- A step has succeeded, or it has not; what waits for it starts only once it has. Its start and its end are events, with
  the time and, where a person did it, the name.
- `expected` is what the forecast counts, and what stands beside the measured time. It is no limit.
- `rerun: false`: the step must not be begun twice by itself. A run that was cut off while it was at work asks a person
  whether it is done, to be done again, or to be skipped; a skipped step makes the verdict at best MET_WITH_EXCEPTION.
- Time that a step waits for people is told apart from machine time. No clock stops for it.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, StrictBool, StringConstraints, model_validator

from drp.domain.datasets.base import Command
from drp.domain.model import LocalisedText, Model
from drp.domain.values import HostName, Identifier, PositiveDuration

RunKind = Literal["drill", "failover", "switchover", "failback"]
"""The kinds of runs that a step can be limited to."""

START = "start"
"""The anchor before everything: before the first stage of every service."""

END = "end"
"""The anchor after everything but clean-up."""


def _several(value: object) -> object:
    return [value] if isinstance(value, str) else value


Anchor = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,47}(/[a-z][a-z0-9-]{0,47})?$")]
Anchors = Annotated[tuple[Anchor, ...], BeforeValidator(_several, json_schema_input_type=Anchor | list[Anchor])]
"""A stage of every service (`verify`), of one (`pengaduan/verify`), another step's id, `start` or `end`."""

Who = Identifier
"""A role of inventories/people.yaml (`declares`, `approves`, `drill-lead`, …), or a person of it by name."""

Whoever = Annotated[tuple[Who, ...], BeforeValidator(_several, json_schema_input_type=Who | list[Who])]
"""Several: any one of them will do."""

PlaybookName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$")]


class StepBase(Model):
    """What every step says of itself.

    `before` and `after` say where it belongs (see `Anchors`). A step with neither follows the one above it in the list
    and takes its place: what waits for that one waits for this one too. The first one of the list stands at the start.
    `only` limits it to kinds of runs; left out means all. With `each_service` it is a step of every service, which
    waits for that service's stages alone; else it is one step, which waits for the stages of all.
    """

    id: Identifier
    title: LocalisedText
    before: Anchors = ()
    after: Anchors = ()
    only: Annotated[tuple[RunKind, ...], BeforeValidator(_several, json_schema_input_type=RunKind | list[RunKind])] = ()
    each_service: StrictBool = False
    rerun: StrictBool = True
    expected: PositiveDuration | None = None

    def happens_in(self, kind: RunKind) -> bool:
        return not self.only or kind in self.only


class ManualStep(StepBase):
    """People do something that drp cannot do.

    The engine shows title and instructions, and to whom; it waits until one of `who` (anyone, where nobody is named)
    says that it is done (`drp run approve RUN STEP --by NAME`), or that it failed. It goes on with other steps
    meanwhile.
    """

    kind: Literal["manual"]
    instructions: LocalisedText
    who: Whoever = ()
    expected: PositiveDuration


class ApprovalStep(StepBase):
    """Somebody decides whether the run goes on.

    The engine waits for a yes or a no from one of `who`, or from the deputy of one, with a name and a comment; whoever
    else answers is refused. A no ends the run as ABORTED, with that name. It may be given in advance, elsewhere, hours
    later; waiting survives a restart.
    """

    kind: Literal["approval"]
    question: LocalisedText
    who: Annotated[Whoever, Field(min_length=1)]


class WaitStep(StepBase):
    """Nothing happens for a while, counted from the step's first start by the wall clock: a restart of drp does not
    begin it anew."""

    kind: Literal["wait"]
    duration: PositiveDuration


class PlaybookStep(StepBase):
    """A playbook of the workspace, `playbooks/NAME.yml`, as one Ansible run limited to `hosts`; without them, to the
    hosts on which the services are recovered in this run.

    It gets the variables that the stages get. The engine ends it after `timeout`, and then it has failed. In a drill a
    host of the primary site is refused, named here or not.
    """

    kind: Literal["playbook"]
    playbook: PlaybookName
    hosts: tuple[HostName, ...] = ()
    timeout: PositiveDuration


class CommandStep(StepBase):
    """An argument list that is run on one host as the inventory's user; no shell reads it. It has succeeded when it
    ends with 0 within `timeout`. In a drill a host of the primary site is refused."""

    kind: Literal["command"]
    host: HostName
    argv: Command
    timeout: PositiveDuration


class NotificationStep(StepBase):
    """A text is sent to the receivers of `notifications` in drp.yaml, in the organisation's language, once.

    What could not be sent is an event and a warning in the report; it never stops a recovery. The engine takes it as
    `rerun: false` and does not ask: a second message does less harm than none.
    """

    kind: Literal["notification"]
    text: LocalisedText


class TrafficStep(StepBase):
    """Users' traffic of `services` (without them: of all in the run) goes to a site, by each service's own switch.

    It never happens in a drill. It is needed only where traffic must move at another time than the stage `cutover`
    moves it, or back again.
    """

    kind: Literal["traffic"]
    services: tuple[Identifier, ...] = ()
    to: Literal["primary", "recovery"]

    @model_validator(mode="after")
    def _never_in_drills(self) -> Self:
        if self.happens_in("drill"):
            raise ValueError("a drill leaves users' traffic alone; write only: [failover, switchover, failback]")
        return self


RunbookStep = Annotated[
    ManualStep | ApprovalStep | WaitStep | PlaybookStep | CommandStep | NotificationStep | TrafficStep,
    Field(discriminator="kind"),
]
AnyStep = ManualStep | ApprovalStep | WaitStep | PlaybookStep | CommandStep | NotificationStep | TrafficStep
