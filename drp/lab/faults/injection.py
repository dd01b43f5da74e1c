"""Strike and mend: one fault at a time, written into the lab's state before anything is broken."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from drp.errors import IntegrityError, UnreachableError, UsageError
from drp.lab.city import names_of_lab, require_state
from drp.lab.faults.base import Fault, Scene, Target
from drp.lab.faults.catalogue import FAULTS
from drp.lab.plan import LabNames, names_of
from drp.lab.state import LabState, hold, load

Say = Callable[[str], None]


def fault_named(name: str) -> Fault:
    """UsageError for a fault that does not exist."""
    if name not in FAULTS:
        raise UsageError(f"no fault is called {name!r}", hint=f"there is: {', '.join(FAULTS)}")
    return FAULTS[name]


def strike(workspace: Path, name: str, targets: Sequence[Target], *, say: Say) -> Target:
    """Break something of the lab, and give the service that it concerns. What was broken before is mended first.

    UsageError where there is no lab, or no service that this fault can strike.
    """
    fault = fault_named(name)
    names = names_of_lab(workspace)
    with hold(names):
        state = require_state(names)
        _mend(names, state, say)
        there = [target for target in targets if _is_in(state, target)]
        target = fault.choose(there)
        if target is None:
            needs = " and ".join(fault.needs) or "services"
            raise UsageError(
                f"no service of this lab can be struck by {name}: it needs {needs}",
                where=str(names.workspace),
                hint="drp drill selftest has a lab of its own, with all that the faults need",
            )
        state.fault = {"name": name, "target": target.record()}
        state.save(names)
        fault.strike(Scene(names, state, target, say))
        say(f"fault {name} of service {target.service}: {fault.title}")
        return target


def mend(workspace: Path, *, say: Say) -> str | None:
    """Undo the fault of a lab, whoever left it; give its name, None where there was none."""
    names = names_of_lab(workspace)
    with hold(names):
        return _mend(names, require_state(names), say)


def mend_what_is_left(workspace: Path, *, say: Say) -> None:
    """Before the lab is built or removed: undo what somebody broke on purpose, as far as that is possible."""
    names = names_of(workspace)
    if not names.directory.exists():
        return
    with hold(names):
        try:
            state = load(names)
            if state is not None:
                _mend(names, state, say)
        except IntegrityError:
            return  # there is no state to know it by
        except UnreachableError as error:
            say(f"what was broken on purpose could not be mended: {error}")


@contextmanager
def injected(workspace: Path, name: str, targets: Sequence[Target], *, say: Say) -> Iterator[Target]:
    """Something is broken meanwhile, and mended whatever happens, Ctrl-C included. What a kill leaves, the next command
    of the lab mends."""
    try:
        yield strike(workspace, name, targets, say=say)
    finally:
        mend(workspace, say=say)


def _is_in(state: LabState, target: Target) -> bool:
    return any(service.id == target.service for service in state.plan.services)


def _mend(names: LabNames, state: LabState, say: Say) -> str | None:
    if state.fault is None:
        return None
    fault = fault_named(state.fault["name"])
    fault.mend(Scene(names, state, Target.from_record(state.fault["target"]), say))
    state.fault = None
    state.save(names)
    say(f"fault {fault.name}: mended")
    return fault.name
