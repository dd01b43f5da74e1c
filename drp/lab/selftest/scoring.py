"""What counts as caught: a drill under a fault must end red and name the cause, one without a fault must end green."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from drp.errors import ExitCode
from drp.lab.faults.base import Fault, Target

LONGEST_CAUSE = 300


@dataclass(frozen=True)
class Told:
    """What a drill's process told: its exit code, the verdict and the causes of its result, and where it gave none, the
    end of what it complained of."""

    exit_code: int
    verdict: str = ""
    causes: tuple[Mapping[str, str], ...] = ()
    complaint: str = ""


@dataclass(frozen=True)
class Score:
    """One drill of the self-test. `fault` is empty for a control; `cause` is what was told; `why` says what is missing
    where it did not pass."""

    fault: str
    exit_code: int
    verdict: str
    cause: str
    passed: bool
    why: str

    @property
    def word(self) -> str:
        if not self.fault:
            return "green" if self.passed else "NOT GREEN"
        return "caught" if self.passed else "MISSED"


def score(fault: Fault | None, target: Target | None, told: Told) -> Score:
    """Judge one drill by what it told, and by nothing else."""
    if fault is None or target is None:
        is_green = told.exit_code == ExitCode.DONE and told.verdict == "MET"
        why = "" if is_green else "it found something wrong where nothing was broken"
        return Score("", told.exit_code, told.verdict, _first(told), is_green, why)
    is_red = told.exit_code == ExitCode.NOT_MET and told.verdict == "NOT_MET"
    named = fault.named_cause(told.causes, target)
    why = "" if is_red else "it did not end red"
    if named is None:
        why = (f"{why}, and " if why else "") + "the cause is not named"
    cause = named["text"][:LONGEST_CAUSE] if named is not None else _first(told)
    return Score(fault.name, told.exit_code, told.verdict, cause, is_red and named is not None, why)


def _first(told: Told) -> str:
    return (told.causes[0]["text"] if told.causes else told.complaint)[:LONGEST_CAUSE]


def summary(scores: Sequence[Score]) -> str:
    """`11 of 11 faults caught, 3 of 3 controls green`"""
    faults, controls = ([item for item in scores if bool(item.fault) is kind] for kind in (True, False))
    caught, green = (sum(item.passed for item in items) for items in (faults, controls))
    return f"{caught} of {len(faults)} faults caught, {green} of {len(controls)} controls green"


def exit_code(scores: Sequence[Score]) -> ExitCode:
    """Done only where every drill passed, and there was one."""
    return ExitCode.DONE if scores and all(item.passed for item in scores) else ExitCode.NOT_MET
