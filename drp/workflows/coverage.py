"""Who is protected: what is declared, what has arrived at the DR centre, and what a recovery has proved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from drp.domain.dossiers.exercises import Cadence, Exercise, Standing, cadences_of, standing_of
from drp.domain.objectives import Verdict
from drp.domain.protection.gaps import Gap, gaps_of
from drp.domain.recovery.run import replay
from drp.domain.runbooks.tabletop import replay_tabletop
from drp.domain.service import Hosting
from drp.domain.values import from_stamp, milliseconds, show_duration, to_stamp
from drp.errors import IntegrityError
from drp.ports import RunRow, World
from drp.workflows.status import ServiceStatus, status

MOST_RUNS = 1000


@dataclass(frozen=True, slots=True)
class ServiceCoverage:
    """One service. `exercises` are its newest first; `cadences` are empty where no programme is declared for it."""

    service: str
    title: str
    agency: str
    tier: str | None
    hosting: Hosting
    gaps: tuple[Gap, ...]
    restore_point: str | None
    data_age: timedelta | None
    rpo: timedelta | None
    exercises: tuple[Exercise, ...]
    cadences: tuple[Cadence, ...]
    standing: Standing

    @property
    def last_exercise(self) -> Exercise | None:
        return self.exercises[0] if self.exercises else None

    @property
    def last_proof(self) -> Exercise | None:
        """The newest recovery that met the objectives, or whose exceptions somebody accepted by name."""
        return next((exercise for exercise in self.exercises if exercise.accepted), None)

    @property
    def age_shown(self) -> str:
        """How old the newest data at the DR centre is, in whole seconds; empty where there is none."""
        second = timedelta(seconds=1)
        return "" if self.data_age is None else show_duration(self.data_age // second * second)

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why it is not better covered."""
        match self.standing:
            case Standing.NOT_BACKED_UP:
                return tuple(gap.text for gap in self.gaps)
            case Standing.TOO_OLD:
                rpo = "no RPO is declared" if self.rpo is None else f"RPO {show_duration(self.rpo)}"
                return (f"newest data is {self.age_shown} old, {rpo}",)
            case Standing.NEVER_PROVED:
                last = self.last_exercise
                return ("never exercised",) if last is None else (f"{last.kind} {last.at:%Y-%m-%d}: {last.verdict}",)
            case Standing.EXERCISE_LATE:
                return tuple(f"{cadence.level}: {cadence.state}" for cadence in self.cadences if cadence.late)
        return (str(self.standing),) if self.standing is Standing.NOTHING_STORED else ()

    def record(self) -> dict[str, Any]:
        return {
            "service": self.service,
            "title": self.title,
            "agency": self.agency,
            "tier": self.tier,
            "hosting": self.hosting,
            "standing": str(self.standing),
            "protected": self.standing.protected,
            "reasons": list(self.reasons),
            "gaps": [{"code": gap.code, "text": gap.text} for gap in self.gaps],
            "backup_declared": not self.gaps,
            "restore_point": self.restore_point,
            "data_age_ms": None if self.data_age is None else milliseconds(self.data_age),
            "rpo_ms": None if self.rpo is None else milliseconds(self.rpo),
            "last_exercise": _exercise_record(self.last_exercise),
            "last_proof": _exercise_record(self.last_proof),
            "cadences": [
                {
                    "level": cadence.level,
                    "every_ms": milliseconds(cadence.every),
                    "state": cadence.state,
                    "last": _exercise_record(cadence.last),
                    "due_at": to_stamp(cadence.due_at) if cadence.due_at else None,
                }
                for cadence in self.cadences
            ],
        }


def _exercise_record(exercise: Exercise | None) -> dict[str, Any] | None:
    if exercise is None:
        return None
    return {
        "run": exercise.run,
        "kind": exercise.kind,
        "level": exercise.level,
        "at": to_stamp(exercise.at),
        "verdict": str(exercise.verdict),
        "accepted": exercise.accepted,
    }


@dataclass(frozen=True, slots=True)
class Share:
    """So many `of` so many. Of nothing at all, no share is known."""

    count: int
    of: int

    @property
    def shown(self) -> str:
        return f"{self.count} of {self.of}" if self.of else "none to count"

    def record(self) -> dict[str, int]:
        return {"count": self.count, "of": self.of}


@dataclass(frozen=True, slots=True)
class AgencyCoverage:
    """`best` counts services that are protected and whose recovery was proved."""

    agency: str
    title: str
    services: int
    protected: int
    proved: int
    best: int


@dataclass(frozen=True, slots=True)
class NotCounted:
    """A recovery in the ledger that says nothing, and why."""

    run: str
    reason: str
    tampered: bool = False


@dataclass(frozen=True, slots=True)
class Coverage:
    """All registered services, worst first."""

    at: datetime
    services: tuple[ServiceCoverage, ...]
    agencies: tuple[AgencyCoverage, ...]
    not_counted: tuple[NotCounted, ...]

    @property
    def totals(self) -> dict[str, Share]:
        """How many of all services (of those with an exercise programme, of all agencies) reach what."""
        found, whole = self.services, len(self.services)
        scheduled = [service for service in found if service.cadences]
        return {
            "backup declared": Share(sum(not service.gaps for service in found), whole),
            "restore point at the DR centre": Share(sum(service.restore_point is not None for service in found), whole),
            "protected (data within its RPO)": Share(sum(service.standing.protected for service in found), whole),
            "ever exercised": Share(sum(bool(service.exercises) for service in found), whole),
            "recovery proved": Share(sum(service.last_proof is not None for service in found), whole),
            "exercised in time, of those with a programme": Share(
                sum(not any(cadence.late for cadence in service.cadences) for service in scheduled), len(scheduled)
            ),
            "agencies with a service protected and proved": Share(
                sum(agency.best > 0 for agency in self.agencies), len(self.agencies)
            ),
        }

    @property
    def wanting(self) -> list[ServiceCoverage]:
        """Services at the city's own sites that are not protected, and services whose exercise is late."""
        return [
            service
            for service in self.services
            if (service.hosting == "central" and not service.standing.protected)
            or any(cadence.late for cadence in service.cadences)
        ]

    @property
    def tampered(self) -> bool:
        return any(item.tampered for item in self.not_counted)

    def record(self) -> dict[str, Any]:
        return {
            "at": to_stamp(self.at),
            "services": [service.record() for service in self.services],
            "totals": {name: share.record() for name, share in self.totals.items()},
            "agencies": [
                {
                    "agency": agency.agency,
                    "title": agency.title,
                    "services": agency.services,
                    "protected": agency.protected,
                    "proved": agency.proved,
                    "protected_and_proved": agency.best,
                }
                for agency in self.agencies
            ],
            "not_counted": [{"run": item.run, "reason": item.reason} for item in self.not_counted],
        }


def coverage(world: World) -> Coverage:
    """Every registered service is counted, wherever it is hosted."""
    now = world.clock.now()
    exercises, not_counted = exercises_of(world)
    services = [
        _service(world, row, exercises.get(row.service, ()), now) for row in status(world, sorted(world.city.services))
    ]
    order = list(Standing)
    return Coverage(
        at=now,
        services=tuple(sorted(services, key=lambda service: (order.index(service.standing), service.service))),
        agencies=tuple(_agencies(world, services)),
        not_counted=tuple(not_counted),
    )


def _service(world: World, row: ServiceStatus, exercises: Sequence[Exercise], now: datetime) -> ServiceCoverage:
    workspace, service = world.city.workspace, world.city.services[row.service]
    gaps = tuple(gaps_of(service, "backup", world.city.hosts, workspace.tiers))
    programme = workspace.exercise_programme.get(service.tier, {}) if service.tier else {}
    cadences = cadences_of(programme, exercises, now)
    return ServiceCoverage(
        service=service.id,
        title=service.title.en,
        agency=service.agency,
        tier=service.tier,
        hosting=service.hosting,
        gaps=gaps,
        restore_point=row.restore_point,
        data_age=row.data_age,
        rpo=row.rpo,
        exercises=tuple(exercises),
        cadences=cadences,
        standing=standing_of(gaps, row.restore_point is not None, row.rpo_verdict, exercises, cadences),
    )


def _agencies(world: World, services: Sequence[ServiceCoverage]) -> list[AgencyCoverage]:
    by_agency: dict[str, list[ServiceCoverage]] = {name: [] for name in world.city.workspace.agencies}
    for service in services:
        by_agency[service.agency].append(service)
    return [
        AgencyCoverage(
            agency=name,
            title=world.city.workspace.agencies[name].title,
            services=len(found),
            protected=sum(service.standing.protected for service in found),
            proved=sum(service.last_proof is not None for service in found),
            best=sum(service.standing.protected and service.last_proof is not None for service in found),
        )
        for name, found in by_agency.items()
    ]


def exercises_of(world: World) -> tuple[dict[str, list[Exercise]], list[NotCounted]]:
    """For each service its exercises, newest first, and the recoveries that are no exercise. Nothing is taken from a
    run whose record was changed."""
    found: dict[str, list[Exercise]] = {}
    not_counted: list[NotCounted] = []
    rows = world.ledger.runs(kinds=("failover", "drill", "tabletop"), limit=MOST_RUNS)
    if len(rows) == MOST_RUNS:
        not_counted.append(NotCounted(f"before {rows[-1].run}", f"only the newest {MOST_RUNS} are looked at"))
    for row in rows:
        if row.closed_at is None:
            not_counted.append(NotCounted(row.run, "it has not ended"))
        elif row.outcome == "aborted":
            not_counted.append(NotCounted(row.run, "it was aborted"))
        else:
            try:
                world.ledger.verify(row.run)
            except IntegrityError:
                not_counted.append(NotCounted(row.run, "its record was changed", tampered=True))
                continue
            if skipped := _skipped_in(world, row):
                not_counted.append(NotCounted(row.run, skipped))
                continue
            for name, exercise in _exercises_in(world, row).items():
                found.setdefault(name, []).append(exercise)
    return found, not_counted


def _skipped_in(world: World, row: RunRow) -> str:
    """What a tabletop lacks to be one; empty where every step was walked through."""
    if row.kind != "tabletop":
        return ""
    steps = replay_tabletop(row.run, world.ledger.events(row.run)).steps
    skipped = sum(step.outcome == "skipped" for step in steps)
    return f"{skipped} of its {len(steps)} steps were skipped" if skipped else ""


def _exercises_in(world: World, row: RunRow) -> dict[str, Exercise]:
    if row.kind == "tabletop":
        # At a table nothing is recovered: it counts for its own line of the programme, and proves nothing.
        held = Exercise(row.run, row.kind, "tabletop", from_stamp(row.opened_at), Verdict.NOT_TESTED, accepted=False)
        return dict.fromkeys(row.services, held)
    recovery = replay(row.run, row.genesis, world.ledger.events(row.run))
    runbook = world.city.runbooks.get(recovery.plan.runbook)
    measured = {name: recovery.measurement(name) for name in recovery.plan.services}
    return {
        name: Exercise(
            run=row.run,
            kind=row.kind,
            level=runbook.kind if runbook else None,
            at=from_stamp(row.opened_at),
            verdict=measurement.verdict,
            accepted=measurement.accepted,
        )
        for name, measurement in measured.items()
    }
