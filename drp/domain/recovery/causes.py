"""Why a recovery is not good: each cause with the service, the step and the host, in words and as a word for programs.

All of it follows from the run's own events, so a report says the same years later.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from drp.domain.objectives import Verdict
from drp.domain.recovery.pace import is_slow, told
from drp.domain.recovery.plan import Step
from drp.domain.recovery.run import Recovery
from drp.domain.recovery.timeline import Measurement
from drp.domain.values import show_duration


@dataclass(frozen=True, slots=True)
class Cause:
    """One reason. `kind` is one of `drp.domain.trouble`, or one of those below; "" where nobody knows more than the
    text. `step` and `host` are empty where it was none.

    dependency: a service that it needs was not recovered · data, sentinel: what came back is not what was backed up ·
    user_path: it does not work from outside · none_passed: no restore point proved good · slow_line · rto, rpo: an
    objective was missed.
    """

    service: str
    step: str
    host: str
    kind: str
    text: str

    def record(self) -> dict[str, str]:
        return {
            "service": self.service,
            "step": self.step,
            "host": self.host,
            "kind": self.kind,
            "text": self.text,
        }


def causes_of(recovery: Recovery) -> list[Cause]:
    """What kept each service from being recovered within its objectives, first causes first. Empty for a good run."""
    found: list[Cause] = []
    for name in recovery.plan.services:
        measured = recovery.measurement(name)
        if measured.verdict not in (Verdict.MET, Verdict.MET_WITH_EXCEPTION):
            found += _of_service(recovery, name, measured)
    order = {"dependency": 1, "rto": 2, "rpo": 2}
    return sorted(found, key=lambda cause: order.get(cause.kind, 0))


def slow_restores(recovery: Recovery) -> list[Cause]:
    """Restores that waited for the line, also where the objective was met all the same."""
    return [
        Cause(item["service"], f"{item['service']}/restore", item["host"], "slow_line", told(item))
        for item in recovery.restores
        if is_slow(item)
    ]


def _of_service(recovery: Recovery, name: str, measured: Measurement) -> Iterator[Cause]:
    failed = [step for step in recovery.plan.steps if _concerns(step, name) and _outcome(recovery, step) == "failed"]
    for step in failed:
        state = recovery.steps[step.id]
        trouble = state.trouble or {}
        yield Cause(name, step.id, trouble.get("host", ""), trouble.get("kind", ""), state.error)
    withdrawal = recovery.steps.get(f"{name}/withdraw")
    if withdrawal is not None and withdrawal.started_at is not None:
        yield _none_passed(recovery, name)
    if measured.rta is None and not failed:
        yield from _of_dependency(recovery, name)
    if measured.rto_verdict is Verdict.NOT_MET:
        yield from (cause for cause in slow_restores(recovery) if cause.service == name)
    rto, rpo = (getattr(recovery.plan.services[name].objectives, which) for which in ("rto", "rpo"))
    if measured.rto_verdict is Verdict.NOT_MET and measured.rta is not None:
        took = f"it took {show_duration(measured.rta)}, longer than its RTO of {show_duration(rto)}"
        yield Cause(name, "", "", "rto", took + _longest(recovery, name))
    if measured.rpo_verdict is Verdict.NOT_MET and measured.rpa is not None:
        text = f"{show_duration(measured.rpa)} of data is lost, more than its RPO of {show_duration(rpo)}"
        yield Cause(name, "", "", "rpo", text)


def _none_passed(recovery: Recovery, name: str) -> Cause:
    tried = [item.restore_point for item in recovery.turned_down.get(name, ())]
    last = recovery.point_of(name)
    tried += [last.id] if last is not None else []
    hosts = ", ".join(recovery.plan.services[name].hosts)
    text = (
        f"no restore point that could be tried proved good ({', '.join(tried)}); no user was led there, and"
        f" the data of the last one is kept on {hosts}. Next: look into it; choose an older restore point"
        f" (drp backup list); then: drp failover {name} --restore-point ID --replace-existing, which overwrites it"
    )
    return Cause(name, f"{name}/withdraw", "", "none_passed", text)


def _concerns(step: Step, name: str) -> bool:
    return not step.is_clean_up and name in (step.service, *step.also)


def _outcome(recovery: Recovery, step: Step) -> str:
    return recovery.steps[step.id].outcome


def _of_dependency(recovery: Recovery, name: str) -> Iterator[Cause]:
    """The first step of a service that could not start because of another service's."""
    for step in recovery.plan.steps:
        if step.service != name or _outcome(recovery, step) != "skipped" or step.is_clean_up or step.is_way_back:
            continue
        for need in step.needs:
            other = need.split("/")[0]
            if other != name and recovery.steps[need].outcome in ("failed", "skipped"):
                yield Cause(name, step.id, "", "dependency", f"it needs {other}, which was not recovered ({need})")
                return


def _longest(recovery: Recovery, name: str) -> str:
    """The step that took most of the time."""
    steps = [step for step in recovery.plan.steps if step.service == name and not step.is_clean_up]
    times: list[tuple[timedelta, str]] = []
    for step in steps:
        state = recovery.steps[step.id]
        if state.started_at is not None and state.ended_at is not None and step.stage != "usable":
            times.append((state.ended_at - state.started_at, step.id))
    return f"; the longest step was {max(times)[1]} with {show_duration(max(times)[0])}" if times else ""
