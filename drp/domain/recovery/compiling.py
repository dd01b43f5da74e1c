"""How a scenario and an inventory become a plan: which steps there are, and what each must wait for.

Restoring data needs no other service, so all restores may start at once; activating a service waits until the
services that it depends on are verified, and found where users find them: a drill's hosts are told other names, but
otherwise a service asks for what it needs at its own address, which the traffic switch moves.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta

from drp.domain.backups.restore_point import RestorePoint
from drp.domain.events import hash_of
from drp.domain.inventory import City
from drp.domain.objectives import Objectives
from drp.domain.recovery.cutover import user_place, ways_of, ways_to_rehearse
from drp.domain.recovery.plan import (
    STAGES,
    WAY_BACK,
    Plan,
    PlannedService,
    RecoveryKind,
    Site,
    Stage,
    Step,
)
from drp.domain.recovery.technologies import own_playbooks
from drp.domain.runbooks.model import Runbook
from drp.domain.runbooks.placement import place_steps
from drp.domain.service import Service


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
    fences: bool = False,
    older: Mapping[str, tuple[RestorePoint, ...]] | None = None,
) -> Plan:
    """Compile the recovery of services at the recovery site; `order` has dependencies before what needs them. What a
    service needs beyond them runs there already.

    A failover ends with the traffic switch; a drill leaves traffic alone, looks at the recovery host itself, and
    cleans up what it built. A switchover stops and backs up what still runs at the primary site first, a failback what
    runs at the recovery site; these need no `restore_points`. `older`: those that may be taken after them, where the
    runbook walks back.
    """
    to: Site = "primary" if kind == "failback" else "recovery"
    of: Site = "recovery" if kind == "failback" else "primary"
    is_planned = kind in ("switchover", "failback")
    services = [city.services[name] for name in order]
    planned = {service.id: service for service in services}
    stages = (
        steps_of_move(services, kind)
        if is_planned
        else [
            step
            for service in services
            for step in steps_of(service, kind, planned, fences=fences, tries=runbook.walks_back)
        ]
    )
    if kind == "drill":
        stages += ends_of_isolation(services)
    return Plan(
        kind=kind,
        runbook=runbook.id,
        hold=hold,
        give_up_after=runbook.give_up_after,
        services={
            service.id: PlannedService(
                service=service.id,
                objectives=objectives[service.id],
                declared=declared[service.id],
                restore_point=None if is_planned else restore_points[service.id],
                hosts=hosts_at(service, to),
                address=user_address(city, service, kind),
                declaration=declaration_of(service),
                leaves=hosts_at(service, of) if is_planned else (),
                older=() if is_planned or older is None else older.get(service.id, ()),
            )
            for service in services
        },
        steps=with_runbook(stages, runbook, kind),
        patience=runbook.walk_back.patience if runbook.walks_back and not is_planned else None,
    )


def with_runbook(stages: Sequence[Step], runbook: Runbook, kind: RecoveryKind) -> tuple[Step, ...]:
    """The stages of a plan and the runbook's own steps between them."""
    # A way back is no place in the order: nothing waits for what happens only where a move has failed.
    order = [stage for stage in STAGES if stage not in WAY_BACK]
    placed = place_steps(runbook, kind, [step for step in stages if not step.is_way_back], order)
    awaited: dict[str, list[str]] = {}
    for item in placed:
        for blocked in item.blocks:
            awaited.setdefault(blocked, []).append(item.id)
    return (
        *(replace(step, needs=(*step.needs, *awaited.get(step.id, ()))) for step in stages),
        *(
            Step(
                id=item.id,
                service=item.services[0] if item.step.each_service else "",
                stage="runbook",
                needs=item.needs,
                extra=item.step,
                also=item.services,
                runs_last=item.is_clean_up,
            )
            for item in placed
        ),
    )


def hosts_at(service: Service, site: Site) -> tuple[str, ...]:
    """The hosts that a service runs on at a site, and those that hold its data there."""
    names = dict.fromkeys((*service.runs_on, *(dataset.host for dataset in service.datasets)))
    return tuple(dict.fromkeys(service.stand_in(name, site) for name in names))


def user_address(city: City, service: Service, kind: RecoveryKind) -> str:
    """Where users would find the service: its own address or name, but in a drill the recovery host's, and also where
    it has none of its own."""
    if kind != "drill" and (place := user_place(service)) is not None:
        return place
    site: Site = "primary" if kind == "failback" else "recovery"
    return city.hosts[service.stand_in(service.runs_on[0], site)].address


def declaration_of(service: Service) -> str:
    """The hash of what a service's file declares."""
    return hash_of(service.model_dump(mode="json"))


def steps_of(
    service: Service, kind: RecoveryKind, planned: Mapping[str, Service], *, fences: bool = False, tries: bool = False
) -> list[Step]:
    """The stages of one service of a failover or a drill; it waits for its dependencies, if they are `planned` too.
    `fences`: a failover that closes the primary hosts itself. `tries`: the user path is tried at the recovery host
    before users come, so that a bad restore point can still be turned down; what needs the service waits for that.
    Where none is left, a failover stops what proved bad."""
    name = service.id
    needed = [planned[other] for other in service.depends_on if other in planned]
    ready = [f"{other.id}/{_proof_of(other, kind, tries=tries)}" for other in needed]
    steps = [_step(service, "restore"), *_start_of(service, ready, tries=tries)]
    last = steps[-1].id
    if kind == "failover" and tries:
        # A drill's copy is cleaned away in any case.
        steps.append(_step(service, "withdraw", last))
    if kind == "failover" and fences:
        steps.append(_step(service, "fence"))
    if kind == "failover" and ways_of(service):
        # What still serves at the primary site is closed before users are sent elsewhere.
        steps.append(_step(service, "cutover", last, *([f"{name}/fence"] if fences else [])))
        last = f"{name}/cutover"
    rehearsal = [f"{name}/rehearse"] if kind == "drill" and ways_to_rehearse(service) else []
    if rehearsal:
        # It changes nothing and needs nothing, so that it costs no time; but users would not arrive without it.
        steps.append(_step(service, "rehearse"))
    steps.append(_step(service, "usable", last, *rehearsal))
    if kind == "drill":
        steps.append(_step(service, "cleanup", f"{name}/usable"))
    return steps


def ends_of_isolation(services: Sequence[Service]) -> list[Step]:
    """A drill's last steps: each host is connected again once all of the drill's copies have been cleared away,
    whatever became of that. A host that several services share is the first one's (`hosts_to_connect`)."""
    hosts = hosts_to_connect((service.id, hosts_at(service, "recovery")) for service in services)
    cleaned = tuple(f"{service.id}/cleanup" for service in services)
    return [
        Step(id=f"{name}/unisolate", service=name, stage="unisolate", needs=cleaned, runs_last=True)
        for name in hosts
        if hosts[name]
    ]


def hosts_to_connect(services: Iterable[tuple[str, Sequence[str]]]) -> dict[str, tuple[str, ...]]:
    """For each of a drill's services, given with its hosts and in order, those hosts that no service before it has."""
    found: dict[str, tuple[str, ...]] = {}
    for name, hosts in services:
        before = {host for others in found.values() for host in others}
        found[name] = tuple(host for host in hosts if host not in before)
    return found


def steps_of_move(services: Sequence[Service], kind: RecoveryKind) -> list[Step]:
    """A switchover's or a failback's. What needs a service is stopped before it; users are sent over when all of the
    services run at the other site, so that a move that fails can be taken back as a whole. But a service that others
    need at an address that moves goes over first: they could not be proved without it. Where one of these fails, it
    goes back, and what they need stays where it is by then."""
    planned = {service.id: service for service in services}
    needed_by = {
        name: tuple(service.id for service in services if name in service.depends_on and service.id != name)
        for name in planned
    }
    all_of = _OfAll(
        kept=tuple(f"{service.id}/keep" for service in services) if kind == "failback" else (),
        verified={service.id: _start_of(service, ())[-1].id for service in services},
        stopped=tuple(f"{service.id}/stopped" for service in services),
        over=tuple(f"{service.id}/cutover" for service in services),
    )
    return [step for service in services for step in _move_of(service, kind, planned, needed_by[service.id], all_of)]


@dataclass(frozen=True, slots=True)
class _OfAll:
    """Steps of all services of a planned move that others wait for."""

    kept: tuple[str, ...]
    verified: Mapping[str, str]
    stopped: tuple[str, ...]
    over: tuple[str, ...]


def _move_of(
    service: Service, kind: RecoveryKind, planned: Mapping[str, Service], needed_by: Sequence[str], all_of: _OfAll
) -> list[Step]:
    name = service.id
    steps: list[Step] = []
    if kind == "failback":
        # What lies at the old primary is found and kept while users still work: it costs them nothing.
        steps += [
            _step(service, "unfence"),
            _step(service, "look", f"{name}/unfence"),
            _step(service, "keep", f"{name}/look"),
        ]
    needed = [planned[other] for other in service.depends_on if other in planned]
    ready = [f"{other.id}/{_proof_of(other, kind, tries=False)}" for other in needed]
    is_first = bool(needed_by) and _proof_of(service, kind, tries=False) == "cutover"
    needs_back = tuple(f"{other}/reopen" for other in service.depends_on if other in planned)
    steps += [
        _step(service, "stop", *(f"{other}/stop" for other in needed_by), *all_of.kept),
        _step(service, "backup", f"{name}/stop"),
        _step(service, "restore", f"{name}/backup"),
        *_start_of(service, ready),
        # Whoever started it again meanwhile where it was has made data that is in no backup.
        _step(service, "stopped", *([all_of.verified[name]] if is_first else all_of.verified.values())),
        _step(service, "cutover", *([f"{name}/stopped"] if is_first else all_of.stopped)),
        _step(service, "usable", f"{name}/cutover"),
        # Closed only now: until users are over, it is where they would be sent back.
        *([_step(service, "fence", *all_of.over)] if kind == "switchover" else []),
        _step(service, "protect", f"{name}/usable"),
        _step(service, "reopen", f"{name}/stop", *needs_back),
        _step(service, "return", f"{name}/reopen"),
    ]
    if kind == "failback":
        steps.append(_step(service, "close-again", f"{name}/return"))
    # A failback clears what it has left; a switchover that failed, what it had begun at the other site.
    steps.append(_step(service, "cleanup", f"{name}/protect" if kind == "failback" else f"{name}/reopen"))
    return steps


def _proof_of(service: Service, kind: RecoveryKind, *, tries: bool) -> Stage:
    """The stage after which what needs a service can be started."""
    if kind != "drill" and ways_of(service):
        return "cutover"
    return "trial" if tries else "verify"


def _start_of(service: Service, ready: Sequence[str], *, tries: bool = False) -> list[Step]:
    """From the restored data to a verified service, with the workspace's own playbooks behind the stages that they
    follow. It starts after `ready`: the steps that make what it needs usable."""
    name = service.id
    own = {item.after for item in own_playbooks(service)}
    steps: list[Step] = []
    last = f"{name}/restore"
    chain: tuple[tuple[Stage, Stage | None], ...] = (
        ("after-restore", "restore"),
        ("activate", None),
        ("after-activate", "activate"),
        ("verify", None),
        ("after-verify", "verify"),
    )
    for stage, after in chain:
        if after is None or after in own:
            steps.append(_step(service, stage, last, *(ready if stage == "activate" else ())))
            last = steps[-1].id
    if tries:
        steps.append(_step(service, "trial", last))
    return steps


def _step(service: Service, stage: Stage, *needs: str) -> Step:
    return Step(id=f"{service.id}/{stage}", service=service.id, stage=stage, needs=needs)
