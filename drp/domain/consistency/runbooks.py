"""What must hold between a runbook and the rest of the workspace: names that exist, and places in a plan."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import get_args

from drp.domain.findings import RUNBOOK, Finding, Location, Record, listed
from drp.domain.graph import find_cycle, with_dependencies
from drp.domain.inventory import AnsibleHost
from drp.domain.recovery.plan import STAGES, WAY_BACK
from drp.domain.runbooks.model import Runbook
from drp.domain.runbooks.placement import PlacedStep, place_steps
from drp.domain.runbooks.steps import (
    END,
    START,
    AnyStep,
    ApprovalStep,
    CommandStep,
    ManualStep,
    PlaybookStep,
    RunKind,
    TrafficStep,
)
from drp.domain.service import Service

_SELECTED = (
    ("agencies", "agency"),
    ("tiers", "tier"),
    ("hosts", "host"),
    ("links", "link"),
    ("locations", "location"),
    ("assets", "asset"),
    ("dr_centres", "DR centre"),
)
_RUN_KINDS: tuple[RunKind, ...] = get_args(RunKind)


def names_in_runbook(runbook: Runbook) -> Iterator[tuple[Location, str, str]]:
    """Every name that must be declared elsewhere: where it stands, what kind of thing it is, the name."""
    for position, service in enumerate(runbook.services):
        yield ("services", position), "service", service
    for key, kind in _SELECTED:
        for position, name in enumerate(getattr(runbook.select, key, ())):
            yield ("select", key, position), kind, name
    for key in ("declared_by", "approved_by"):
        for position, name in enumerate(getattr(runbook, key)):
            yield (key, position), "role or person", name
    for location, step in _located(runbook):
        yield from (((*location, *place), kind, name) for place, kind, name in _names_in_step(step))


def _names_in_step(step: AnyStep) -> Iterator[tuple[Location, str, str]]:
    for key in ("before", "after"):
        for position, anchor in enumerate(getattr(step, key)):
            if "/" in anchor:
                yield (key, position), "service", anchor.partition("/")[0]
    match step:
        case ManualStep() | ApprovalStep():
            for position, name in enumerate(step.who):
                yield ("who", position), "role or person", name
        case PlaybookStep():
            yield ("playbook",), "playbook", step.playbook
            for position, name in enumerate(step.hosts):
                yield ("hosts", position), "host", name
        case CommandStep():
            yield ("host",), "host", step.host
        case TrafficStep():
            for position, name in enumerate(step.services):
                yield ("services", position), "service", name
        case _:
            pass


def _located(runbook: Runbook) -> Iterator[tuple[Location, AnyStep]]:
    for key in ("steps", "clean_up"):
        for position, step in enumerate(getattr(runbook, key)):
            yield (key, position), step


def runbook_faults(
    file: str, runbook: Runbook, services: Mapping[str, Service], hosts: Mapping[str, AnsibleHost] | None
) -> list[Finding]:
    """Steps that have no place in any plan, that wait for each other, or that would touch production in a drill."""
    record = Record(RUNBOOK, file)
    found = [*_nowhere(record, runbook), *_into_production(record, runbook, hosts or {})]
    # A circle can only be looked for where every anchor stands for something.
    return found or list(_circle(record, runbook, services))


def _fault(record: Record, location: Location, code: str, message: str, hint: str) -> Finding:
    return Finding("fault", code, record, location, message, hint)


def _nowhere(record: Record, runbook: Runbook) -> Iterator[Finding]:
    fixed = (*STAGES, START, END)
    # What happens only where a move has failed has no place in the order.
    places = tuple(name for name in fixed if name not in WAY_BACK)
    steps = [step.id for step in runbook.steps]
    for location, step in _located(runbook):
        if step.id in fixed:
            message = f"step {step.id!r} is called like a stage of the plan"
            yield _fault(record, (*location, "id"), "name-twice", message, "give it another id")
        for key in ("before", "after"):
            for position, anchor in enumerate(getattr(step, key)):
                _, slash, stage = anchor.rpartition("/")
                known = places if slash else (*places, *steps)
                if stage not in known or stage == step.id:
                    what = f"step {step.id!r} waits for itself" if stage == step.id else f"unknown place {anchor!r}"
                    hint = f"write a stage ({listed(places[:-2])}), SERVICE/STAGE, start, end, or another step's id"
                    yield _fault(record, (*location, key, position), "unknown-name", what, hint)


def _into_production(record: Record, runbook: Runbook, hosts: Mapping[str, AnsibleHost]) -> Iterator[Finding]:
    """A drill refuses such a step anyway; here it is told before anybody stands there with a stopwatch."""
    for location, step in _located(runbook):
        named: list[tuple[Location, str]] = []
        if isinstance(step, CommandStep):
            named = [((*location, "host"), step.host)]
        elif isinstance(step, PlaybookStep):
            named = [((*location, "hosts", position), name) for position, name in enumerate(step.hosts)]
        for place, name in named:
            if step.happens_in("drill") and name in hosts and hosts[name].site == "primary":
                message = f"step {step.id!r} would touch primary host {name!r} in a drill"
                hint = "write only: [failover, switchover, failback], or name a host of the recovery site"
                yield _fault(record, place, "wrong-site", message, hint)


@dataclass(frozen=True, slots=True)
class _Stage:
    """A stage as a plan has it, of services of which nothing but the dependencies is known."""

    id: str
    service: str
    stage: str
    needs: tuple[str, ...]


def _stages(needs: Mapping[str, Collection[str]], kind: RunKind) -> Iterator[_Stage]:
    """All stages of services, each after the one before it; see `drp.domain.recovery.compiling`."""
    ready = "verify" if kind == "drill" else "cutover"
    for name, needed in needs.items():
        for before, stage in zip((None, *STAGES), STAGES, strict=False):
            own = [f"{name}/{before}"] if before else []
            others = [f"{need}/{ready}" for need in needed] if stage == "activate" else []
            yield _Stage(f"{name}/{stage}", name, stage, (*own, *others))


def _circle(record: Record, runbook: Runbook, services: Mapping[str, Service]) -> Iterator[Finding]:
    """One circle of steps that wait for each other. It is looked for among the services that anchors name, with what
    they depend on, and two made-up ones, of which one depends on the other: a runbook must do for any city."""
    if not any(step.before or step.after for step in runbook.steps):
        return
    named = {
        anchor.partition("/")[0] for step in runbook.steps for anchor in (*step.before, *step.after) if "/" in anchor
    }
    needs = _dependencies(named, services)
    if not named <= services.keys() or find_cycle(needs):
        return  # said elsewhere
    needs |= {"": [], " ": [""]}
    # Kinds with the same steps and the same bonds are one.
    kinds = {(kind == "drill", *(step.happens_in(kind) for step in runbook.steps)): kind for kind in _RUN_KINDS}
    for kind in kinds.values():
        plan = list(_stages(needs, kind))
        placed = place_steps(runbook, kind, plan, STAGES)
        circle = find_cycle(_waits(plan, placed))
        if circle:
            words = [item.id for item in placed if item.id in circle] or circle
            step = next(item.step for item in placed if item.id == words[0])
            position = runbook.steps.index(step)
            what = f"step {step.id!r} must come before something that it waits for itself"
            hint = "correct before and after; where services depend on each other, each_service: true may be meant"
            yield _fault(record, ("steps", position), "step-cycle", what, hint)
            return


def _dependencies(named: Collection[str], services: Mapping[str, Service]) -> dict[str, list[str]]:
    """These services and all that they depend on, each with what it needs; of many services only those that matter."""
    found: dict[str, list[str]] = {}
    pending = list(named)
    while pending:
        name = pending.pop()
        if name in services and name not in found:
            found[name] = [need for need in services[name].depends_on if need in services]
            pending += found[name]
    return {name: found[name] for name in with_dependencies(found, found)}


def _waits(plan: list[_Stage], placed: tuple[PlacedStep, ...]) -> dict[str, list[str]]:
    waits = {step.id: list(step.needs) for step in plan} | {item.id: list(item.needs) for item in placed}
    for item in placed:
        for blocked in item.blocks:
            waits[blocked].append(item.id)
    return waits
