"""A plan: a scenario compiled for an inventory into a graph of steps (`drp.domain.recovery.compiling` does that), and
how the ledger holds it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal, get_args

from pydantic import TypeAdapter

from drp.domain.backups.restore_point import RestorePoint
from drp.domain.events import hash_of
from drp.domain.objectives import Objectives
from drp.domain.runbooks.steps import AnyStep, RunbookStep
from drp.domain.values import milliseconds

RecoveryKind = Literal["failover", "drill", "switchover", "failback"]
RECOVERY_KINDS: tuple[RecoveryKind, ...] = get_args(RecoveryKind)
Site = Literal["primary", "recovery"]
Stage = Literal[
    "unfence",
    "look",
    "keep",
    "stop",
    "backup",
    "restore",
    "after-restore",
    "activate",
    "after-activate",
    "verify",
    "after-verify",
    "trial",
    "withdraw",
    "rehearse",
    "stopped",
    "fence",
    "cutover",
    "usable",
    "protect",
    "reopen",
    "return",
    "close-again",
    "cleanup",
    "unisolate",
    "runbook",
]
"""What a step is: a stage of a service, in the order in which one passes through them; or a step of the runbook."""
STAGES: tuple[Stage, ...] = tuple(stage for stage in get_args(Stage) if stage != "runbook")
_EXTRA: TypeAdapter[AnyStep] = TypeAdapter(RunbookStep)
WAY_BACK: tuple[Stage, ...] = ("withdraw", "reopen", "return", "close-again")
"""Stages of what has failed: of a planned move, and of a failover in which no restore point proved good."""
BACKUP_STAGES: tuple[Stage, ...] = ("keep", "backup", "protect")
"""Stages that make a restore point, in a run of its own."""


@dataclass(frozen=True, slots=True)
class Step:
    """One stage of one service, or a step of the runbook; and the steps that must have succeeded before it may start.

    Each stage is one Ansible run of the playbook with the stage's name, but for `usable` (waiting for the outside
    probe), `trial` (the same at the recovery host itself, before users come) and `BACKUP_STAGES`. A step of the runbook
    (`extra`) concerns the services `also`; `service` is the one that it belongs to alone, or empty. With `runs_last` it
    runs once everything else has ended, whatever became of that.
    """

    id: str
    service: str
    stage: Stage
    needs: tuple[str, ...]
    extra: AnyStep | None = None
    also: tuple[str, ...] = ()
    runs_last: bool = False

    @property
    def is_clean_up(self) -> bool:
        """Clean-up runs once all other work has ended."""
        return self.stage == "cleanup" or self.runs_last

    @property
    def is_way_back(self) -> bool:
        """Whether it runs only after a failure: it gives users back the site that a planned move was about to leave, or
        stops the last bad copy of a failover, which nobody may use."""
        return self.stage in WAY_BACK


@dataclass(frozen=True, slots=True)
class PlannedService:
    """What a run promises for one service before it starts. `declaration` is the hash of the service's file as it was
    then: a run that was cut off does not go on by another one.

    `hosts` are those that it comes back on, `leaves` those that a planned move takes it away from. A planned move has
    no `restore_point` yet: it makes one after it has stopped the service (`Recovery.point_of`). `older` are the restore
    points that are taken in turn where the data of one proves bad (`drp.domain.recovery.walk`)."""

    service: str
    objectives: Objectives
    declared: Objectives
    restore_point: RestorePoint | None
    hosts: tuple[str, ...]
    address: str
    declaration: str
    leaves: tuple[str, ...] = ()
    older: tuple[RestorePoint, ...] = ()

    @property
    def objectives_relaxed(self) -> bool:
        """Whether this run judges more mildly than the inventory does."""
        return self.objectives.rto > self.declared.rto or self.objectives.rpo > self.declared.rpo


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that a recovery will do, fixed before it starts. Its hash is the genesis of the run's event chain.

    `patience`: how long the user path may fail at the recovery host before the restore point is turned down; None where
    no restore point is tried before users come."""

    kind: RecoveryKind
    runbook: str
    hold: timedelta
    give_up_after: timedelta
    services: dict[str, PlannedService]
    steps: tuple[Step, ...]
    patience: timedelta | None = None

    @property
    def is_planned(self) -> bool:
        """Whether both sites live: the service is stopped at the one before it starts at the other."""
        return self.kind in ("switchover", "failback")

    @property
    def site(self) -> Site:
        """Where the services come back."""
        return "primary" if self.kind == "failback" else "recovery"

    def step(self, name: str) -> Step:
        """A step by its id."""
        return next(step for step in self.steps if step.id == name)

    @property
    def isolates(self) -> bool:
        """Whether its copies are kept from production: a drill's, but for one that an older drp began."""
        return any(step.stage == "unisolate" for step in self.steps)

    @property
    def hosts(self) -> set[str]:
        """All hosts that it changes anything on."""
        return {host for planned in self.services.values() for host in (*planned.hosts, *planned.leaves)}

    @property
    def before_users_go(self) -> set[str]:
        """Everything that the traffic switches wait for, near and far, and they themselves."""
        needs = {step.id: step.needs for step in self.steps}
        found: set[str] = set()
        ahead = [step.id for step in self.steps if step.stage == "cutover"]
        while ahead:
            name = ahead.pop()
            if name not in found:
                found.add(name)
                ahead += needs[name]
        return found

    @property
    def site_left(self) -> Site:
        """Where the services came from."""
        return "recovery" if self.site == "primary" else "primary"

    def record(self) -> dict[str, Any]:
        """The plan as the ledger holds it."""
        return {
            "kind": self.kind,
            "runbook": self.runbook,
            "hold_ms": milliseconds(self.hold),
            "give_up_after_ms": milliseconds(self.give_up_after),
            **({} if self.patience is None else {"patience_ms": milliseconds(self.patience)}),
            "services": {
                name: {
                    "objectives": _objectives_record(planned.objectives),
                    "declared": _objectives_record(planned.declared),
                    "restore_point": None if planned.restore_point is None else planned.restore_point.record(),
                    "hosts": list(planned.hosts),
                    "address": planned.address,
                    "declaration": planned.declaration,
                    **({"leaves": list(planned.leaves)} if planned.leaves else {}),
                    **({"older": [point.record() for point in planned.older]} if planned.older else {}),
                }
                for name, planned in self.services.items()
            },
            "steps": [_step_record(step) for step in self.steps],
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Plan:
        return cls(
            kind=record["kind"],
            runbook=record["runbook"],
            hold=timedelta(milliseconds=record["hold_ms"]),
            give_up_after=timedelta(milliseconds=record["give_up_after_ms"]),
            services={
                name: PlannedService(
                    service=name,
                    objectives=_objectives(planned["objectives"]),
                    declared=_objectives(planned["declared"]),
                    restore_point=None
                    if planned["restore_point"] is None
                    else RestorePoint.from_record(planned["restore_point"]),
                    hosts=tuple(planned["hosts"]),
                    address=planned["address"],
                    declaration=planned["declaration"],
                    leaves=tuple(planned.get("leaves", ())),
                    older=tuple(RestorePoint.from_record(point) for point in planned.get("older", ())),
                )
                for name, planned in record["services"].items()
            },
            steps=tuple(_step_from(step) for step in record["steps"]),
            patience=timedelta(milliseconds=record["patience_ms"]) if "patience_ms" in record else None,
        )

    @property
    def hash(self) -> str:
        return hash_of(self.record())


def _step_record(step: Step) -> dict[str, Any]:
    record: dict[str, Any] = {"id": step.id, "service": step.service, "stage": step.stage, "needs": list(step.needs)}
    if step.extra is not None:
        extra = step.extra.model_dump(mode="json")
        record |= {"extra": extra, "also": list(step.also), "runs_last": step.runs_last}
    elif step.runs_last:
        record["runs_last"] = True
    return record


def _step_from(record: Mapping[str, Any]) -> Step:
    return Step(
        id=record["id"],
        service=record["service"],
        stage=record["stage"],
        needs=tuple(record["needs"]),
        extra=_EXTRA.validate_python(record["extra"]) if "extra" in record else None,
        also=tuple(record.get("also", ())),
        runs_last=record.get("runs_last", False),
    )


def _objectives_record(objectives: Objectives) -> dict[str, Any]:
    return {
        "rto_ms": milliseconds(objectives.rto),
        "rpo_ms": milliseconds(objectives.rpo),
        "mtpd_ms": None if objectives.mtpd is None else milliseconds(objectives.mtpd),
    }


def _objectives(record: Mapping[str, Any]) -> Objectives:
    return Objectives(
        rto=timedelta(milliseconds=record["rto_ms"]),
        rpo=timedelta(milliseconds=record["rpo_ms"]),
        mtpd=None if record["mtpd_ms"] is None else timedelta(milliseconds=record["mtpd_ms"]),
    )
