"""A plan: a scenario compiled for an inventory into a graph of steps.

Restoring data needs no other service, so all restores may start at once; activating a service waits until the
services that it depends on are verified.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal, get_args

from drp.domain.backups.restore_point import RestorePoint
from drp.domain.events import hash_of
from drp.domain.inventory import City, Runbook
from drp.domain.objectives import Objectives
from drp.domain.recovery.cutover import user_place, ways_of
from drp.domain.service import Service
from drp.domain.values import milliseconds

RecoveryKind = Literal["failover", "drill"]
Stage = Literal["restore", "activate", "verify", "cutover", "usable", "cleanup"]
STAGES: tuple[Stage, ...] = get_args(Stage)


@dataclass(frozen=True, slots=True)
class Step:
    """One stage of one service, and the steps that must have succeeded before it may start.

    Each stage but `usable` (waiting for the outside probe) is one Ansible run of the playbook with the stage's name.
    """

    id: str
    service: str
    stage: Stage
    needs: tuple[str, ...]

    @property
    def is_clean_up(self) -> bool:
        """Clean-up runs whatever became of the steps before it."""
        return self.stage == "cleanup"


@dataclass(frozen=True, slots=True)
class PlannedService:
    """What a run promises for one service before it starts. `declaration` is the hash of the service's file as it was
    then: a run that was cut off does not go on by another one."""

    service: str
    objectives: Objectives
    declared: Objectives
    restore_point: RestorePoint
    hosts: tuple[str, ...]
    address: str
    declaration: str

    @property
    def objectives_relaxed(self) -> bool:
        """Whether this run judges more mildly than the inventory does."""
        return self.objectives.rto > self.declared.rto or self.objectives.rpo > self.declared.rpo


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that a recovery will do, fixed before it starts. Its hash is the genesis of the run's event chain."""

    kind: RecoveryKind
    runbook: str
    hold: timedelta
    give_up_after: timedelta
    services: dict[str, PlannedService]
    steps: tuple[Step, ...]

    def record(self) -> dict[str, Any]:
        """The plan as the ledger holds it."""
        return {
            "kind": self.kind,
            "runbook": self.runbook,
            "hold_ms": milliseconds(self.hold),
            "give_up_after_ms": milliseconds(self.give_up_after),
            "services": {
                name: {
                    "objectives": _objectives_record(planned.objectives),
                    "declared": _objectives_record(planned.declared),
                    "restore_point": planned.restore_point.record(),
                    "hosts": list(planned.hosts),
                    "address": planned.address,
                    "declaration": planned.declaration,
                }
                for name, planned in self.services.items()
            },
            "steps": [
                {"id": step.id, "service": step.service, "stage": step.stage, "needs": list(step.needs)}
                for step in self.steps
            ],
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
                    restore_point=RestorePoint.from_record(planned["restore_point"]),
                    hosts=tuple(planned["hosts"]),
                    address=planned["address"],
                    declaration=planned["declaration"],
                )
                for name, planned in record["services"].items()
            },
            steps=tuple(
                Step(id=step["id"], service=step["service"], stage=step["stage"], needs=tuple(step["needs"]))
                for step in record["steps"]
            ),
        )

    @property
    def hash(self) -> str:
        return hash_of(self.record())


def compile_recovery(
    city: City,
    kind: RecoveryKind,
    order: Sequence[str],
    runbook: Runbook,
    *,
    restore_points: Mapping[str, RestorePoint],
    declared: Mapping[str, Objectives],
    objectives: Mapping[str, Objectives],
    hold: timedelta,
) -> Plan:
    """Compile the recovery of services at the recovery site; `order` has dependencies before what needs them. What a
    service needs beyond them runs there already.

    A failover ends with the traffic switch; a drill leaves traffic alone, looks at the recovery host itself, and
    cleans up what it built.
    """
    planned = set(order)
    steps = [step for name in order for step in steps_of(city.services[name], kind, planned)]
    return Plan(
        kind=kind,
        runbook=runbook.id,
        hold=hold,
        give_up_after=runbook.give_up_after,
        services={
            name: PlannedService(
                service=name,
                objectives=objectives[name],
                declared=declared[name],
                restore_point=restore_points[name],
                hosts=tuple(city.services[name].recovers_on[host] for host in city.services[name].runs_on),
                address=user_address(city, city.services[name], kind),
                declaration=declaration_of(city.services[name]),
            )
            for name in order
        },
        steps=tuple(steps),
    )


def user_address(city: City, service: Service, kind: RecoveryKind) -> str:
    """Where users would find the service: its own address or name after a failover, the recovery host's in a drill."""
    if kind == "failover" and (place := user_place(service)) is not None:
        return place
    return city.hosts[service.recovers_on[service.runs_on[0]]].address


def declaration_of(service: Service) -> str:
    """The hash of what a service's file declares."""
    return hash_of(service.model_dump(mode="json"))


def steps_of(service: Service, kind: RecoveryKind, planned: Collection[str]) -> list[Step]:
    """The stages of one service; it waits for those of its dependencies that are planned too."""

    def step(stage: Stage, *needs: str) -> Step:
        return Step(id=f"{service.id}/{stage}", service=service.id, stage=stage, needs=needs)

    name = service.id
    verified = tuple(f"{dependency}/verify" for dependency in service.depends_on if dependency in planned)
    steps = [
        step("restore"),
        step("activate", f"{name}/restore", *verified),
        step("verify", f"{name}/activate"),
    ]
    last = "verify"
    if kind == "failover" and ways_of(service):
        steps.append(step("cutover", f"{name}/verify"))
        last = "cutover"
    steps.append(step("usable", f"{name}/{last}"))
    if kind == "drill":
        steps.append(step("cleanup", f"{name}/usable"))
    return steps


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
