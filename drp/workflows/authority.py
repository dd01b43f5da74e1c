"""Who may bring about what a runbook is about, and what a runbook may bring about."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from drp.domain.recovery.plan import RecoveryKind
from drp.domain.runbooks.model import Runbook
from drp.domain.runbooks.services import may_answer, named_for
from drp.errors import UsageError
from drp.ports import World

_COMMANDS = {"failover": "drp failover", "switchover": "drp switchover", "failback": "drp failback"}


@dataclass(frozen=True, slots=True)
class Authority:
    """Who declares a run, who has agreed to it, and whether `by` goes on in their own name without being entitled."""

    by: str
    approved_by: tuple[str, ...] = ()
    accept_unauthorised: bool = False


def refuse_other_operation(runbook: Runbook, kind: RecoveryKind) -> None:
    """UsageError for a runbook of which this kind of run makes nothing: what it describes is brought about by another
    command, or by people alone. A drill rehearses whatever is recovered at the recovery site."""
    operation = runbook.operation
    if operation == kind or (kind == "drill" and operation in ("failover", "switchover")):
        return
    tabletop = f"walk through it: drp drill run --tabletop {runbook.id}"
    text = f"the runbook {runbook.id} is about a {operation}, not a {kind}"
    hint = f"for real: {_COMMANDS.get(operation, '')} --runbook {runbook.id}; or name another runbook: drp runbook list"
    if operation == "none":
        text = f"the runbook {runbook.id} is people's work: drp has nothing to recover in it"
        hint = f"{tabletop}; or print it: drp runbook render {runbook.id}"
    elif kind == "drill":
        text = f"the runbook {runbook.id} is about a {operation}: that cannot be rehearsed while production runs"
        hint = f"{tabletop}; for real: {_COMMANDS[operation]} --runbook {runbook.id}"
    raise UsageError(text, hint=hint)


def authorised(world: World, runbook: Runbook, authority: Authority) -> list[tuple[str, str]]:
    """What keeps a run for real from being plainly MET because of who brought it about, each with the name of who took
    that on. UsageError where somebody is not entitled and has not taken it on in their own name.

    Whoever declares it has agreed to it too, where they may. Where the register of people names nobody for a part, a
    name is all that can be asked for.
    """
    missing: list[tuple[str, str]] = []
    if not may_answer(world.city, runbook.declared_by, authority.by):
        who = _named(world, runbook.declared_by)
        missing.append((f"{authority.by!r} may not declare {runbook.id}", f'one of these may: {who}; --by "NAME"'))
    agreed = [authority.by, *authority.approved_by]
    unknown: list[str] = []
    for part in runbook.approved_by:
        if not named_for(world.city, (part,)):
            unknown.append(f"nobody is registered who could agree to it ({part})")
        elif not any(may_answer(world.city, (part,), name) for name in agreed):
            who = _named(world, (part,))
            text = f"nobody who may has agreed to {runbook.id} ({part})"
            missing.append((text, f'ask one of these: {who}; then add --approved-by "NAME"'))
    if missing and not authority.accept_unauthorised:
        override = "in an emergency, in your own name: --accept-unauthorised"
        text, hint = missing[0]
        raise UsageError(text, hint=f"{hint}. {override[0].upper()}{override[1:]}")
    return [(text, authority.by) for text in (*(text for text, _ in missing), *unknown)]


def _named(world: World, names: Sequence[str]) -> str:
    return ", ".join(named_for(world.city, names))
