"""What is wrong with the protection of a service, in words: what, since when, and what to do next."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from drp.domain.objectives import Verdict
from drp.domain.protection.status import CentreStatus, CheckStatus, ProofStatus, ProtectionStatus
from drp.domain.values import show_size, to_stamp

MOST_SERVICES_NAMED = 5
RPO, FAILED = "rpo", "failed"

_ENDED = {
    RPO: "the breach of its RPO is over",
    "away": "DR centre {about} answers again",
    "gone": "the newest restore point is whole at {about} again",
    "copy-failed": "its copies to {about} no longer fail",
    "copy": "the trouble with its copy at {about} is over",
    "check": "the repository {about} is no longer found bad",
    "size": "dataset {about} is of its usual size again, or its new size was accepted",
    FAILED: "its backups no longer fail",
    "missed": "its schedule is kept again",
    "restore-test": "its test restores no longer fail",
    "unchecked": "the repository {about} is read back in time again",
    "unproved": "it is settled that dataset {about} can be restored",
    "preflight": "nothing that preflight looks at stands in the way any more",
}


_RUN_SHOWN = re.compile(r"drp run show \S+")


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong; `key` names it for as long as it lasts. `since` is None where nobody can know it."""

    service: str
    kind: str
    about: str
    text: str
    since: datetime | None
    hint: str

    @property
    def key(self) -> str:
        return "/".join(filter(None, (self.service, self.kind, self.about)))

    @property
    def is_breach(self) -> bool:
        """Whether data would be lost beyond what was promised."""
        return self.kind == RPO

    def record(self) -> dict[str, str | None]:
        since = None if self.since is None else to_stamp(self.since)
        return {"key": self.key, "text": self.text, "since": since, "next": self.hint}


def problems_of(status: ProtectionStatus) -> list[Problem]:
    """All problems of a service, worst first."""
    return [
        *_rpo(status),
        *_answers(status),
        *_copies(status),
        *_failed_copies(status),
        *_bad_checks(status),
        *_shrunk(status),
        *_attempts(status),
        *_missed(status),
        *_restore_test(status),
        *(problem for check in status.checks for problem in _unchecked(status, check)),
        *(problem for proof in status.proofs for problem in _unproved(status, proof)),
        *_preflight(status),
    ]


@dataclass(frozen=True, slots=True)
class Group:
    """The same problem of one or several services; `first` is that of the first. In the hint of several, SERVICE stands
    for each of them."""

    services: tuple[str, ...]
    text: str
    hint: str
    first: Problem

    @property
    def who(self) -> str:
        if len(self.services) == 1:
            return self.services[0]
        more = ", …" if len(self.services) > MOST_SERVICES_NAMED else ""
        return f"{len(self.services)} services ({', '.join(self.services[:MOST_SERVICES_NAMED])}{more})"


def grouped(problems: Iterable[Problem], apart: Callable[[Problem], object] = lambda _: None) -> list[Group]:
    """Problems that are the same but for the service, together: a city without backups is one line, not forty. Those
    for which `apart` gives different answers stay apart."""
    groups: dict[tuple[object, ...], list[Problem]] = {}
    for problem in problems:
        hint = _RUN_SHOWN.sub("drp run list; then drp run show RUN", problem.hint.replace(problem.service, "SERVICE"))
        groups.setdefault((problem.kind, problem.text, hint, apart(problem)), []).append(problem)
    return [
        Group(
            services=tuple(each.service for each in found),
            text=found[0].text,
            hint=found[0].hint if len(found) == 1 else str(hint),
            first=found[0],
        )
        for (_, _, hint, _), found in groups.items()
    ]


def ended(key: str) -> tuple[str, str]:
    """The service of a problem's key, and what people are told when the problem is no more."""
    service, kind, about = [*key.split("/", 2), "", ""][:3]
    return service, _ENDED.get(kind, "a trouble is over").format(about=about)


def _rpo(status: ProtectionStatus) -> Iterator[Problem]:
    main = status.main
    if main.verdict is Verdict.MET:
        return
    since = None
    if status.rpo is None:
        text = "it has no RPO, so nothing says how old its backups may be"
        hint = f"give it a tier or an RPO in inventories/services/{status.service}.yaml"
    elif main.held is None and status.active_since is not None:
        text = f"nothing has been backed up at the {status.site} site since it became the active one"
        since, hint = status.active_since, f"drp backup run {status.service}"
    elif main.held is None:
        text, hint = "nothing has ever been backed up", f"drp backup run {status.service}"
    elif main.age is not None and main.age < timedelta():
        text = "its newest restore point is of the future: a clock is wrong"
        hint = "compare the clocks of the hosts, the control node and the DR centre"
    else:
        text = f"a disaster now would cost {_age(main)} of data; the RPO is {roughly(status.rpo)}"
        since = main.held.sentinel_at + status.rpo
        hint = f"drp backup run {status.service}; then: drp backup status {status.service}"
    yield Problem(status.service, RPO, "", text, since, hint)


def _answers(status: ProtectionStatus) -> Iterator[Problem]:
    """What the DR centres said when they were asked."""
    for centre in status.centres:
        answer = centre.answer
        if answer is not None and answer.unreachable:
            text = f"{centre.dr_centre} does not answer, so nobody knows what is there: {answer.unreachable}"
            hint = f"drp dr-centre check {centre.dr_centre}"
            yield Problem(status.service, "away", centre.dr_centre, text, None, hint)
        if answer is not None and answer.gone:
            parts = ", ".join(answer.gone)
            text = f"of restore point {answer.restore_point} these are gone at {centre.dr_centre}: {parts}"
            hint = f"drp backup run {status.service}; and ask {centre.dr_centre} who removed them"
            yield Problem(status.service, "gone", centre.dr_centre, text, None, hint)


def _copies(status: ProtectionStatus) -> Iterator[Problem]:
    for centre in status.centres:
        if not centre.is_copy or centre.verdict is Verdict.MET:
            continue
        name = centre.dr_centre
        if centre.held is None:
            text, since = f"no copy has arrived at {name}", status.active_since
        else:
            text, since = f"the copy at {name} is {_age(centre)} old, more than it may be", None
        hint = f"see the last runs: drp run list; and what stands between the DR centres and {name}"
        if centre.state is not None and centre.state.failures:
            hint = f"drp run show {centre.state.last_run}"
        yield Problem(status.service, "copy", name, text, since, hint)


def _failed_copies(status: ProtectionStatus) -> Iterator[Problem]:
    for centre in status.centres:
        state = centre.state
        if state is not None and state.failures:
            times = "the last copy" if state.failures == 1 else f"the last {state.failures} copies"
            text = f"{times} to {centre.dr_centre} failed"
            hint = f"drp run show {state.last_run}"
            yield Problem(status.service, "copy-failed", centre.dr_centre, text, state.closed_at, hint)


def _bad_checks(status: ProtectionStatus) -> Iterator[Problem]:
    for check in status.checks:
        if check.bad:
            parts = ", ".join(
                "the structure" if bad.parts == 0 else f"part {bad.part} of {bad.parts}" for bad in check.bad
            )
            since = min(bad.checked_at for bad in check.bad)
            place = f"{check.host} at {check.dr_centre}"
            text = f"the repository of {place} was found bad: {parts}"
            hint = f"back it up anew elsewhere, keep what is there, and have {check.dr_centre} examine its storage"
            yield Problem(status.service, "check", f"{check.host}@{check.dr_centre}", text, since, hint)


def _shrunk(status: ProtectionStatus) -> Iterator[Problem]:
    for found in status.shrunk:
        size = found.size
        amounts = f"{found.now} {found.unit}, usually {found.usual}"
        if found.unit == "bytes":
            amounts = f"{show_size(found.now)}, usually {show_size(found.usual)}"
        text = f"dataset {size.dataset} is suddenly much smaller in {size.restore_point}: {amounts}"
        hint = (
            f"look at the data itself; if it is lost: drp restore {status.service} --at TIME, from before;"
            f" if it is right: drp backup accept {status.service} --dataset {size.dataset} --reason TEXT"
        )
        yield Problem(status.service, "size", size.dataset, text, size.at, hint)


def _attempts(status: ProtectionStatus) -> Iterator[Problem]:
    attempts = status.attempts
    if attempts.failures:
        times = "the last backup" if attempts.failures == 1 else f"the last {attempts.failures} backups"
        text = f"{times} failed"
        if attempts.next_try is None:
            text += "; no schedule tries again"
        hint = f"drp run show {attempts.run}"
        yield Problem(status.service, FAILED, "", text, attempts.failed_at, hint)


def _missed(status: ProtectionStatus) -> Iterator[Problem]:
    if status.missed_at is not None:
        text, hint = "a backup of its schedule was missed", "does drp run as scheduled? drp schedule show"
        yield Problem(status.service, "missed", "", text, status.missed_at, hint)


def _restore_test(status: ProtectionStatus) -> Iterator[Problem]:
    test = status.restore_test
    if test is not None and test.failures:
        text, hint = "the last test restore failed: its backups may be worthless", f"drp run show {test.last_run}"
        yield Problem(status.service, "restore-test", "", text, test.closed_at, hint)


def _unchecked(status: ProtectionStatus, check: CheckStatus) -> Iterator[Problem]:
    if check.bad or check.verdict is not Verdict.NOT_MET:
        return
    place = f"{check.host} at {check.dr_centre}"
    read = "never whole" if check.covered_since is None else "too long ago"
    text = f"the repository of {place} was read back {read}"
    hint = f"drp backup check {status.service}"
    yield Problem(status.service, "unchecked", f"{check.host}@{check.dr_centre}", text, check.covered_since, hint)


def _unproved(status: ProtectionStatus, proof: ProofStatus) -> Iterator[Problem]:
    if proof.verdict is not Verdict.NOT_MET:
        return
    when = "never" if proof.age is None else f"{roughly(proof.age)} ago, which is too long,"
    text = f"dataset {proof.dataset} was {when} proved to be restorable"
    if proof.outdated is not None:
        text = f"dataset {proof.dataset} was never proved to be restorable since its declaration was changed"
    hint = f"drp restore --test {status.service}"
    yield Problem(status.service, "unproved", proof.dataset, text, None, hint)


def _preflight(status: ProtectionStatus) -> Iterator[Problem]:
    errors = [text for level, text in status.preflight if level == "error"]
    if errors:
        more = f"; and {len(errors) - 1} more" if len(errors) > 1 else ""
        hint = f"drp backup preflight {status.service}"
        yield Problem(status.service, "preflight", "", f"preflight: {errors[0]}{more}", None, hint)


def _age(centre: CentreStatus) -> str:
    return "all" if centre.age is None else roughly(centre.age)


def roughly(duration: timedelta) -> str:
    """A duration for a table, in its two largest units and rounded up: `40 s`, `5 m`, `4 h 12 m`, `12 d 3 h`."""
    seconds = -(-duration // timedelta(seconds=1))
    if seconds < 60:
        return f"{max(seconds, 0)} s"
    minutes = -(-seconds // 60)
    if minutes < 60:
        return f"{minutes} m"
    if minutes < 24 * 60:
        return f"{minutes // 60} h {minutes % 60} m" if minutes % 60 else f"{minutes // 60} h"
    hours = -(-minutes // 60)
    return f"{hours // 24} d {hours % 24} h" if hours % 24 else f"{hours // 24} d"
