"""What a person may say of a step that waits for one, and who may say it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

from drp.domain.inventory import City
from drp.domain.registers import Person
from drp.domain.runbooks.services import persons_of
from drp.domain.runbooks.steps import AnyStep, ApprovalStep, ManualStep, Who
from drp.errors import UsageError

Answer = Literal["yes", "no", "done", "failed", "again", "skip"]
ANSWERS: tuple[Answer, ...] = get_args(Answer)


def answers_to(step: AnyStep, *, was_cut_off: bool) -> tuple[Answer, ...]:
    """What may be said of a step; nothing of one that needs nobody. The first is what a plain yes means.

    `was_cut_off`: it must not be begun again by itself (`rerun: false`), and was lost while it was at work.
    """
    if isinstance(step, ApprovalStep):
        return ("yes", "no")
    if isinstance(step, ManualStep):
        return ("done", "failed", "skip")
    return ("done", "again", "skip") if was_cut_off else ()


def refuse_stranger(city: City, step: AnyStep, by: str) -> bool:
    """UsageError where somebody may not answer. Whether they are known to be the one who may: where the register names
    nobody for a role, anybody may answer, and the report says so."""
    who: Sequence[Who] = step.who if isinstance(step, ApprovalStep | ManualStep) else ()
    if not who:
        return True
    known = _with_deputies(city, persons_of(city, who))
    if not known:
        return False
    ids = {name for name, person in city.people.people.items() if person in known}
    if by in ids or by.casefold() in {person.name.casefold() for person in known}:
        return True
    names = ", ".join(person.name for person in known)
    raise UsageError(f"{by!r} may not answer for it", where=step.id, hint=f'one of these may: {names}; --by "NAME"')


def waits_for(city: City, step: AnyStep) -> str:
    """Whom a step waits for, for people."""
    who: Sequence[Who] = step.who if isinstance(step, ApprovalStep | ManualStep) else ()
    people = persons_of(city, who)
    told = [f"{person.name} ({person.contact})" if person.contact else person.name for person in people]
    return ", ".join(told) or ", ".join(who) or "anybody"


def _with_deputies(city: City, people: Sequence[Person]) -> list[Person]:
    found = list(people)
    for person in people:
        deputy = city.people.people.get(person.deputy or "")
        if deputy is not None and deputy not in found:
            found.append(deputy)
    return found
