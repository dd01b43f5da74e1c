"""How well a service is protected now: each figure beside what it is judged by. What is missing never becomes good.

Verdicts: MET; NOT_MET (a breach); NOT_MEASURED (nothing to judge, or nothing to judge it by); NOT_TESTED (not proved
yet, and the time in which it has to be is not over). Everything but MET and NOT_TESTED ends `drp backup status` with 4.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from drp.domain.backups.record import BackupState, Proof
from drp.domain.backups.settings import BackupDefaults, ProofSettings
from drp.domain.inventory import Tier
from drp.domain.objectives import Verdict, objectives_of, worst
from drp.domain.protection.facts import STRUCTURE_ONLY, Answer, BadCheck, Facts, Held, LastCheck
from drp.domain.protection.proofs import counting
from drp.domain.protection.sizes import Shrunk, shrunk_datasets
from drp.domain.schedules.due import CLOCK_TOLERANCE, Decision
from drp.domain.service import Service

WINDOW = timedelta(days=30)
"""The worst gap is that of so long."""

_WEEK = timedelta(days=7)
_BREACHES = (Verdict.NOT_MET, Verdict.NOT_MEASURED, Verdict.ABORTED)


@dataclass(frozen=True, slots=True)
class CentreStatus:
    """What a DR centre holds of a service. `age` is what a disaster in this moment would cost, if all else were lost;
    it is None where nothing of the active site has arrived there. `state` tells of the last attempts to copy there;
    `answer` is what it said itself, where it was asked. `verdict` is that of the age alone."""

    dr_centre: str
    is_copy: bool
    held: Held | None
    age: timedelta | None
    verdict: Verdict
    state: BackupState | None = None
    answer: Answer | None = None

    @property
    def answer_verdict(self) -> Verdict:
        """Of what is gone, NOT_MET; of what could not be asked, nothing is known. MET where nobody has asked."""
        if self.answer is None:
            return Verdict.MET
        if self.answer.gone:
            return Verdict.NOT_MET
        return Verdict.NOT_MEASURED if self.answer.unreachable else Verdict.MET

    @property
    def overall(self) -> Verdict:
        """Of its age and of its own answer."""
        return worst(self.verdict, self.answer_verdict)


@dataclass(frozen=True, slots=True)
class Gap:
    """The worst of the window: `between` data times, the one that is still open included, and the `loss` that a
    disaster at the worst moment would have brought. `since` is where the window, or what is known of it, starts."""

    between: timedelta
    loss: timedelta
    since: datetime


@dataclass(frozen=True, slots=True)
class CheckStatus:
    """How far a repository was read back. All of its `parts` were found good since `covered_since`; None where some
    never were. `bad` ones stay until they are found good."""

    host: str
    dr_centre: str
    last: LastCheck | None
    parts: int
    good_parts: int
    covered_since: datetime | None
    bad: tuple[BadCheck, ...]
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class ProofStatus:
    """When a dataset was last restored and found right. `outdated` is a proof of what it was before its declaration was
    changed, which counts no more."""

    dataset: str
    proof: Proof | None
    age: timedelta | None
    verdict: Verdict
    outdated: Proof | None = None


@dataclass(frozen=True, slots=True)
class Attempts:
    """`failures` in a row since the last good backup, the last of which ended at `failed_at`. `next_try` is when the
    schedule has the next backup made; None where nothing does."""

    failures: int
    failed_at: datetime | None
    next_try: datetime | None
    running_since: datetime | None
    run: str


@dataclass(frozen=True, slots=True)
class ProtectionStatus:
    """One service, judged `at` a moment. `centres` are the DR centre that it is backed up to, and those that it is
    copied to."""

    service: str
    at: datetime
    tier: str | None
    site: str
    active_since: datetime | None
    rpo: timedelta | None
    centres: tuple[CentreStatus, ...]
    gap: Gap | None
    size: int | None
    growth_per_week: int | None
    checks: tuple[CheckStatus, ...]
    proofs: tuple[ProofStatus, ...]
    attempts: Attempts
    missed_at: datetime | None
    restore_test: BackupState | None
    preflight: tuple[tuple[str, str], ...]
    shrunk: tuple[Shrunk, ...] = ()

    @property
    def main(self) -> CentreStatus:
        return self.centres[0]

    @property
    def check_verdict(self) -> Verdict:
        return worst(*(check.verdict for check in self.checks))

    @property
    def proof_verdict(self) -> Verdict:
        return worst(*(proof.verdict for proof in self.proofs))

    @property
    def verdict(self) -> Verdict:
        """The worst of all."""
        sizes = (Verdict.NOT_MET,) if self.shrunk else ()
        return worst(*(centre.overall for centre in self.centres), self.check_verdict, self.proof_verdict, *sizes)

    @property
    def is_breached(self) -> bool:
        return self.verdict in _BREACHES


def status_of(
    service: Service,
    facts: Facts,
    tiers: Mapping[str, Tier],
    defaults: BackupDefaults,
    now: datetime,
    scheduled: Decision | None = None,
) -> ProtectionStatus:
    """Judge what is known of a service that has backup settings. `scheduled` is what its schedule says of its backups;
    None where it has none."""
    assert service.backup is not None, f"{service.id} has no backup settings"
    objectives = objectives_of(service, tiers)
    rpo = None if objectives is None else objectives.rpo
    centre = facts.newest.dr_centre if facts.newest else service.backup.dr_centre
    centres = [_centre(centre, facts.newest, rpo, now, is_copy=False)]
    centres += [
        replace(
            _centre(copy.dr_centre, facts.copies.get(copy.dr_centre), _copy_limit(copy.when, rpo), now, is_copy=True),
            state=facts.copy_states.get(copy.dr_centre),
        )
        for copy in service.backup.copies
    ]
    return ProtectionStatus(
        service=service.id,
        at=now,
        tier=service.tier,
        site=facts.site,
        active_since=facts.active_since,
        rpo=rpo,
        centres=tuple(centres),
        gap=_gap(facts, now),
        size=facts.newest.bytes if facts.newest else None,
        growth_per_week=_growth(facts),
        checks=_checks(service, facts, defaults.proof, now),
        proofs=_proofs(service, facts, defaults.proof, now),
        attempts=_attempts(facts.state, scheduled, now),
        missed_at=scheduled.missed if scheduled else None,
        restore_test=facts.restore_test,
        preflight=tuple(problem for found in facts.preflights for problem in found.problems),
        shrunk=_shrunk(service, facts, defaults),
    )


def with_answers(status: ProtectionStatus, answers: Mapping[str, Answer]) -> ProtectionStatus:
    """A status with what the DR centres said themselves, by their names."""
    centres = tuple(replace(centre, answer=answers.get(centre.dr_centre)) for centre in status.centres)
    return replace(status, centres=centres)


def _centre(name: str, held: Held | None, limit: timedelta | None, now: datetime, *, is_copy: bool) -> CentreStatus:
    age = None if held is None else now - held.sentinel_at
    if limit is None:
        verdict = Verdict.NOT_MEASURED  # against nothing
    elif age is None or age > limit or age < timedelta():
        verdict = Verdict.NOT_MET  # data of the future is a clock that nobody should trust
    else:
        verdict = Verdict.MET
    return CentreStatus(name, is_copy, held, age, verdict)


def _copy_limit(schedule: object, rpo: timedelta | None) -> timedelta | None:
    """A copy made after each backup is held to the RPO; one with a schedule of its own to that, if it is longer."""
    from drp.domain.schedules.schedule import Schedule

    if rpo is None or not isinstance(schedule, Schedule):
        return rpo
    return rpo + schedule.longest_gap


def _gap(facts: Facts, now: datetime) -> Gap | None:
    """The worst gap; of what was before the first restore point nothing is said but when that was."""
    if facts.history is None:
        return None
    still_open = max(now - facts.history.last, timedelta())
    between = max(still_open, facts.history.worst_gap or timedelta())
    loss = max(still_open, facts.history.worst_loss or timedelta())
    return Gap(between, loss, max(facts.history.first, now - WINDOW))


def _growth(facts: Facts) -> int | None:
    """Bytes per week, from the newest restore point and one that is at least a week older; None until there is one."""
    if facts.newest is None or facts.earlier is None:
        return None
    earlier_at, earlier = facts.earlier
    return int((facts.newest.bytes - earlier) * (_WEEK / (facts.newest.sentinel_at - earlier_at)))


def _shrunk(service: Service, facts: Facts, defaults: BackupDefaults) -> tuple[Shrunk, ...]:
    """Of the datasets that are declared now; one of a site that is left says nothing of today's data."""
    assert service.backup is not None
    own = service.backup.least_size_percent
    declared = {dataset.id for dataset in service.datasets}
    sizes = [size for size in facts.sizes if size.dataset in declared]
    return tuple(shrunk_datasets(sizes, defaults.least_size_percent if own is None else own))


def _checks(service: Service, facts: Facts, settings: ProofSettings, now: datetime) -> tuple[CheckStatus, ...]:
    assert service.backup is not None
    expected = {
        (_host_of(service, dataset.host, facts.site), centre)
        for dataset in service.datasets
        for centre in (service.backup.dr_centre, *(copy.dr_centre for copy in service.backup.copies))
    }
    # A repository that is no longer written to may be needed still: a bad check of it stays in sight.
    others = {(bad.host, bad.dr_centre) for bad in facts.bad_checks} - expected
    return tuple(_check(host, centre, facts, settings, now) for host, centre in [*sorted(expected), *sorted(others)])


def _host_of(service: Service, host: str, site: str) -> str:
    """The host that writes a repository now; the inventory may have changed since the service was moved."""
    return host if site == "primary" else service.recovers_on.get(host, host)


def _check(host: str, centre: str, facts: Facts, settings: ProofSettings, now: datetime) -> CheckStatus:
    mine = (host, centre)
    last = next((check for check in facts.last_checks if (check.host, check.dr_centre) == mine), None)
    bad = tuple(check for check in facts.bad_checks if (check.host, check.dr_centre) == mine)
    reads = [read for read in facts.reads if (read.host, read.dr_centre) == mine and read.parts != STRUCTURE_ONLY]
    # What a clock that was far ahead has dated would count for as long as it was ahead: it counts for nothing.
    believed = now + CLOCK_TOLERANCE
    whole = [read.oldest for read in reads if read.good_parts >= read.parts and read.oldest <= believed]
    covered_since = max(whole, default=None)
    present = max(reads, key=lambda read: read.newest, default=None)
    if bad:
        verdict = Verdict.NOT_MET
    elif covered_since is not None:
        verdict = Verdict.MET if now - covered_since <= settings.everything_within else Verdict.NOT_MET
    else:
        verdict = _not_yet(facts, settings.everything_within, now)
    return CheckStatus(
        host=host,
        dr_centre=centre,
        last=last,
        parts=present.parts if present else 0,
        good_parts=present.good_parts if present else 0,
        covered_since=covered_since,
        bad=bad,
        verdict=verdict,
    )


def _proofs(service: Service, facts: Facts, settings: ProofSettings, now: datetime) -> tuple[ProofStatus, ...]:
    # What a clock dated that was far ahead does not count.
    known = counting(service, (proof for proof in facts.proofs if proof.proved_at <= now + CLOCK_TOLERANCE))
    return tuple(
        _proof(dataset.id, known.newest.get(dataset.id), known.outdated.get(dataset.id), facts, settings, now)
        for dataset in service.datasets
    )


def _proof(
    name: str, proof: Proof | None, outdated: Proof | None, facts: Facts, settings: ProofSettings, now: datetime
) -> ProofStatus:
    if proof is None:
        return ProofStatus(name, None, None, _not_yet(facts, settings.restored_within, now), outdated)
    age = now - proof.proved_at
    return ProofStatus(name, proof, age, Verdict.MET if age <= settings.restored_within else Verdict.NOT_MET)


def _not_yet(facts: Facts, within: timedelta, now: datetime) -> Verdict:
    """Something that was never proved: there is time for it from the first restore point on."""
    if facts.history is None:
        return Verdict.NOT_MEASURED
    return Verdict.NOT_TESTED if now - facts.history.first <= within else Verdict.NOT_MET


def _attempts(state: BackupState | None, scheduled: Decision | None, now: datetime) -> Attempts:
    next_try = None if scheduled is None else now if scheduled.is_due else scheduled.next_at
    if state is None:
        return Attempts(0, None, next_try, None, "")
    failed_at = state.closed_at if state.failures else None
    return Attempts(state.failures, failed_at, next_try, state.opened_at if state.is_open else None, state.last_run)
