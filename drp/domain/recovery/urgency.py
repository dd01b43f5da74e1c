"""Which of the steps that may start comes first, where not all of them can at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from drp.domain.recovery.plan import BACKUP_STAGES, Plan, Step

Urgency = Mapping[str, tuple[int, float, int]]
"""For each step a key to sort by."""


def to_start(ready: Iterable[Step], running: Iterable[Step], at_once: int, urgency: Urgency) -> list[Step]:
    """The steps to start now. Of those that run a playbook only so many run `at_once`, the most urgent first."""
    free = at_once - sum(runs_playbook(step) for step in running)
    chosen = []
    for step in sorted(ready, key=lambda step: urgency[step.id]):
        if runs_playbook(step):
            if free <= 0:
                continue
            free -= 1
        chosen.append(step)
    return chosen


def runs_playbook(step: Step) -> bool:
    """Whether a step is one of those of which only so many run at once."""
    return step.extra is None and step.stage != "usable" and step.stage not in BACKUP_STAGES


def urgency_of(plan: Plan) -> Urgency:
    """The urgency of each step: first those with the longest chain of steps behind them, as they decide when the
    last service is back; of equal ones, those whose service has the shortest RTO; then the plan's own order."""
    behind: dict[str, list[str]] = {step.id: [] for step in plan.steps}
    for step in plan.steps:
        for need in step.needs:
            behind[need].append(step.id)
    length: dict[str, int] = {}
    for start in behind:
        # Depth first without recursion: a city's chains may be longer than Python's stack.
        ahead = [start]
        while ahead:
            name = ahead[-1]
            missing = [item for item in behind[name] if item not in length]
            if name in length or not missing:
                length.setdefault(name, 1 + max((length[item] for item in behind[name]), default=0))
                ahead.pop()
            else:
                ahead += missing
    return {
        step.id: (
            -length[step.id],
            plan.services[step.service].objectives.rto.total_seconds() if step.service in plan.services else 0.0,
            number,
        )
        for number, step in enumerate(plan.steps)
    }
