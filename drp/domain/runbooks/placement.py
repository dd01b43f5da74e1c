"""Where the steps of a runbook hang in the graph of a plan."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from drp.domain.runbooks.model import Runbook
from drp.domain.runbooks.steps import END, START, AnyStep, RunKind, TrafficStep

CLEAN_UP_STAGE = "cleanup"


class StageStep(Protocol):
    """A stage of a service in a plan (`drp.domain.recovery.plan.Step`)."""

    @property
    def id(self) -> str: ...
    @property
    def service(self) -> str: ...
    @property
    def stage(self) -> str: ...
    @property
    def needs(self) -> tuple[str, ...]: ...


@dataclass(frozen=True, slots=True)
class PlacedStep:
    """A step of a runbook in a plan.

    `id` is the step's own, or `service/step` for one of `each_service`; it never is a stage's. It may start when all
    of `needs` have succeeded: ids of stages and of other placed steps. The stages `blocks` must wait for it too: add
    its id to their needs. `services` are those that it concerns. With `is_clean_up` it runs when everything in `needs`
    has ended, whatever became of it, also after an abort.
    """

    id: str
    step: AnyStep
    services: tuple[str, ...]
    needs: tuple[str, ...]
    blocks: tuple[str, ...]
    is_clean_up: bool = False


def place_steps(
    runbook: Runbook, kind: RunKind, plan: Sequence[StageStep], order: Sequence[str]
) -> tuple[PlacedStep, ...]:
    """The steps of a runbook that happen in a run of this kind, each with what it waits for and what waits for it.

    `plan` are the stages of its services, dependencies first; `order` are the names of all stages in the order in which
    a service passes through them. An anchor at a stage that a service does not have in this plan stands for the next
    one after it (`before`) or the last one before it (`after`). A step of which every anchor belongs to services that
    are not in the plan is left out. A step that does not happen in this kind of run hands what it waits for on to the
    steps that wait for it. The order is that of the runbook; there is no circle in it that the runbook does not have
    (`drp.domain.consistency` refuses those).
    """
    placing = _Placing(_Stages(plan, order))
    for step in runbook.steps:
        placing.add(step)
    placed = placing.without(kind)
    ended = [*(step.id for step in plan), *(step.id for step in placed)]
    for step in runbook.clean_up:
        if step.happens_in(kind):
            placed += _clean_up(step, placing.stages.services, tuple(ended))
            ended = [item.id for item in placed if item.step is step]
    return tuple(placed)


def _clean_up(step: AnyStep, services: Sequence[str], needs: tuple[str, ...]) -> list[PlacedStep]:
    if not step.each_service:
        return [PlacedStep(step.id, step, tuple(services), needs, (), is_clean_up=True)]
    return [PlacedStep(f"{name}/{step.id}", step, (name,), needs, (), is_clean_up=True) for name in services]


class _Stages:
    """The stages of a plan, by service."""

    def __init__(self, plan: Sequence[StageStep], order: Sequence[str]) -> None:
        self.order = list(order)
        self.of: dict[str, dict[str, StageStep]] = {}
        for step in plan:
            self.of.setdefault(step.service, {})[step.stage] = step
        self.services = tuple(self.of)

    def before(self, stage: str, service: str) -> str | None:
        """The stage itself, else the next one that the service has; None where none follows but clean-up."""
        if stage == START:
            return self._first(service)
        if stage == END:
            return None
        for name in self.order[self.order.index(stage) :]:
            if name in self.of[service] and (name == stage or name != CLEAN_UP_STAGE):
                return self.of[service][name].id
        return None

    def after(self, stage: str, service: str) -> str | None:
        """The stage itself, else the last one before it that the service has."""
        if stage == START:
            return None
        names = self.order[: self.order.index(stage) + 1] if stage != END else self.order
        for name in reversed(names):
            if name in self.of[service] and (name == stage or name != CLEAN_UP_STAGE):
                return self.of[service][name].id
        return None

    def _first(self, service: str) -> str | None:
        own = {step.id for step in self.of[service].values()}
        return next((step.id for step in self.of[service].values() if own.isdisjoint(step.needs)), None)

    def knows(self, name: str) -> bool:
        return name in (START, END) or name in self.order


@dataclass
class _Position:
    """The anchors of a step; of one that names none, those of the step above it."""

    before: tuple[str, ...]
    after: tuple[str, ...]


@dataclass
class _Placing:
    stages: _Stages
    instances: dict[str, list[PlacedStep]] = field(default_factory=dict)
    waited_for: dict[str, set[str]] = field(default_factory=dict)
    last: AnyStep | None = None
    position: _Position = field(default_factory=lambda: _Position((START,), ()))

    def add(self, step: AnyStep) -> None:
        """Place the instances of a step. Steps that it must come before are told so when all are known."""
        position = _Position(step.before, step.after)
        if not step.before and not step.after:
            follows = (self.last.id,) if self.last is not None else ()
            position = _Position(self.position.before, follows)
            if self.last is not None and not self.instances[self.last.id]:
                self.instances[step.id] = []  # the one above has no place in this plan, so this one has none either
                return
        self.position, self.last = position, step
        services = self._concerned(step)
        if self._has_no_place(position) or (isinstance(step, TrafficStep) and not services):
            self.instances[step.id] = []
            return
        found = []
        for service in services if step.each_service else (None,):
            scope = services if service is None else (service,)
            found.append(
                PlacedStep(
                    id=step.id if service is None else f"{service}/{step.id}",
                    step=step,
                    services=tuple(scope),
                    needs=tuple(dict.fromkeys(self._resolved(position.after, service, before=False))),
                    blocks=tuple(dict.fromkeys(self._resolved(position.before, service, before=True))),
                )
            )
        self.instances[step.id] = found

    def _concerned(self, step: AnyStep) -> tuple[str, ...]:
        if isinstance(step, TrafficStep) and step.services:
            return tuple(name for name in self.stages.services if name in step.services)
        return self.stages.services

    def _has_no_place(self, position: _Position) -> bool:
        anchors = (*position.before, *position.after)
        named = [anchor.partition("/")[0] for anchor in anchors if "/" in anchor]
        return bool(named) and len(named) == len(anchors) and self.stages.of.keys().isdisjoint(named)

    def _resolved(self, anchors: Iterable[str], service: str | None, *, before: bool) -> list[str]:
        """Ids of stages; of another step, `step:ID`, filled in when all steps are known."""
        find = self.stages.before if before else self.stages.after
        found: list[str] = []
        for anchor in anchors:
            named, slash, stage = anchor.partition("/")
            if slash:
                stages = [find(stage, named)] if named in self.stages.of and self.stages.knows(stage) else []
            elif self.stages.knows(anchor):
                scope = self.stages.services if service is None else (service,)
                stages = [find(anchor, name) for name in scope]
            else:
                stages = [f"step:{anchor}"]
            found += [stage for stage in stages if stage is not None]
        return found

    def without(self, kind: RunKind) -> list[PlacedStep]:
        """All that happens in this kind of run."""
        everything = [item for instances in self.instances.values() for item in instances]
        needs = {item.id: dict.fromkeys(self._ids(item, item.needs)) for item in everything}
        blocks = {item.id: [name for name in item.blocks if not name.startswith("step:")] for item in everything}
        for item in everything:
            for name in self._ids(item, item.blocks):
                if name in needs:
                    needs[name][item.id] = None
        for item in everything:
            if not item.step.happens_in(kind):
                self._leave_out(item.id, needs, blocks)
        return [
            replace(item, needs=tuple(needs[item.id]), blocks=tuple(blocks[item.id]))
            for item in everything
            if item.id in needs
        ]

    def _ids(self, item: PlacedStep, names: Collection[str]) -> list[str]:
        """Names with the instances of steps filled in: of one for each service, that of the same service."""
        found = []
        for name in names:
            if not name.startswith("step:"):
                found.append(name)
                continue
            instances = self.instances.get(name.removeprefix("step:"), [])
            same = [other for other in instances if other.step.each_service and other.services == item.services]
            found += [other.id for other in (same if item.step.each_service and same else instances)]
        return found

    @staticmethod
    def _leave_out(gone: str, needs: dict[str, dict[str, None]], blocks: dict[str, list[str]]) -> None:
        """Take one step out. The steps around it keep their order; stages get no bond that they did not have."""
        before, after = needs.pop(gone), blocks.pop(gone)
        for wanted in needs.values():
            if gone in wanted:
                del wanted[gone]
                wanted.update(before)
        for name in before:
            if name in blocks:  # a step, so the stages that waited for the one left out wait for it
                blocks[name] = list(dict.fromkeys([*blocks[name], *after]))
