"""The neutral document: every fact of a report, each with the evidence it comes from.

Facts only, no sentences: a report is verified by computing its facts again, perhaps years later by a newer drp whose
sentences read differently. `drp.reports.narrative` puts facts into words for the renderers that people read.

Units: durations are whole milliseconds (`*_ms`), instants are aware UTC datetimes. None means not measured, never
zero.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from drp.domain.events import Event
from drp.domain.objectives import Verdict

SCHEMA = 2
"""Version of the JSON report. Any change of a field's name, meaning or unit makes a new one."""

LATER_FIELDS = ("isolation", "ended_drills")


@dataclass(frozen=True, slots=True)
class ServiceContext:
    """What the inventory says about a service, for people; it is not part of the event chain."""

    title: str
    agency: str
    owner: str | None


@dataclass(frozen=True, slots=True)
class ReportContext:
    """Names for people, from the workspace. They do not change a figure, and the event chain does not protect them.

    `time_zone` is an IANA name such as Asia/Jakarta; `services` is by service id, `dr_centres` are titles by id.
    """

    organisation: str
    time_zone: str
    services: Mapping[str, ServiceContext]
    runbook_title: str
    runbook_purpose: str
    primary_site: str
    recovery_site: str
    dr_centres: Mapping[str, str]

    def service(self, name: str) -> ServiceContext:
        """The service's names, or its id where the workspace no longer knows it."""
        return self.services.get(name) or ServiceContext(title=name, agency="", owner=None)


@dataclass(frozen=True, slots=True)
class EvidenceFile:
    """A file of the run and its SHA-256; None where the ledger holds no hash of it."""

    path: str
    sha256: str | None


@dataclass(frozen=True, slots=True)
class Evidence:
    """Where a fact comes from: sequence numbers of ledger events, and files whose hash the ledger holds."""

    events: tuple[int, ...] = ()
    files: tuple[EvidenceFile, ...] = ()


@dataclass(frozen=True, slots=True)
class Control:
    """Which report this is, of which run, and the state of the chain that it rests on.

    `plan_hash` is the genesis that the ledger names; `plan_matches` says whether the plan in the first event has it.
    `chain_broken_at` is the first event that is not what was recorded, None for a whole chain.
    """

    report: str
    kind: str
    runbook: str
    generated_at: datetime
    tool_version: str
    opened_at: datetime
    opened_by: str
    reason: str
    closed_at: datetime | None
    outcome: str | None
    last_event_at: datetime
    plan_hash: str
    plan_matches: bool
    head: str
    event_count: int
    chain_broken_at: int | None
    hold_ms: int
    give_up_after_ms: int

    @property
    def chain_whole(self) -> bool:
        return self.chain_broken_at is None and self.plan_matches


@dataclass(frozen=True, slots=True)
class EarlierMark:
    """A value of a mark that a later event replaced."""

    at: datetime
    source: str
    event: int


@dataclass(frozen=True, slots=True)
class MarkLine:
    """One time mark. `at` None: not measured. `replaced` holds earlier values of the same mark, if any."""

    name: str
    at: datetime | None
    source: str | None
    uncertainty_ms: int | None
    note: str
    evidence: Evidence
    replaced: tuple[EarlierMark, ...]


@dataclass(frozen=True, slots=True)
class Part:
    """One of the five parts of RTA, between two marks; shares are in thousandths and sum to 1000."""

    name: str
    start: str
    end: str
    duration_ms: int | None
    share_permille: int | None
    evidence: Evidence


@dataclass(frozen=True, slots=True)
class Figure:
    """A measured time, and the objective that it is held against where there is one.

    `at_least_ms` is a lower bound ("not recovered: ≥ x"). `margin_ms` is objective minus measured: negative means
    exceeded. `uncertainty_ms` is how far the value can be off; None beside a value: not measured.
    """

    name: str
    value_ms: int | None
    at_least_ms: int | None
    uncertainty_ms: int | None
    objective: str | None
    objective_ms: int | None
    declared_ms: int | None
    margin_ms: int | None
    verdict: Verdict | None
    evidence: Evidence


@dataclass(frozen=True, slots=True)
class Override:
    """An objective that this run judged by, other than the one that the inventory declares."""

    objective: str
    declared_ms: int | None
    used_ms: int | None
    milder: bool
    evidence: Evidence


@dataclass(frozen=True, slots=True)
class ReservationLine:
    """What keeps a result from being plainly MET, and the person who accepted it, if anybody did."""

    text: str
    accepted_by: str | None
    evidence: Evidence


@dataclass(frozen=True, slots=True)
class Gap:
    """Something that this run did not test, simulated or did not record. `code` is one of narrative.GAPS."""

    code: str
    subject: str


@dataclass(frozen=True, slots=True)
class TaskLine:
    """One Ansible task on one host."""

    host: str
    task: str
    outcome: str
    changed: bool
    started_at: datetime | None
    duration_ms: int
    evidence: Evidence


@dataclass(frozen=True, slots=True)
class StepLine:
    """One step of the plan; `outcome` is pending, running, ok, failed or skipped."""

    id: str
    stage: str
    needs: tuple[str, ...]
    outcome: str
    started_at: datetime | None
    ended_at: datetime | None
    duration_ms: int | None
    error: str
    tasks: tuple[TaskLine, ...]
    evidence: Evidence


@dataclass(frozen=True, slots=True)
class SnapshotLine:
    """One restic snapshot that the data was restored from."""

    dataset: str
    part: str
    snapshot: str
    files: int
    bytes: int


@dataclass(frozen=True, slots=True)
class RestorePointLine:
    """The restore point that the data comes from: the plan's, or the one that was taken in the end."""

    id: str
    site: str
    dr_centre: str
    sentinel: str
    sentinel_at: datetime
    arrived_at: datetime
    snapshots: tuple[SnapshotLine, ...]
    tools: Mapping[str, str]
    evidence: Evidence


@dataclass(frozen=True, slots=True)
class TriedLine:
    """A restore point that was turned down: by which step, and why. `duration_ms` is from the start of its restore
    until then, a part of RTA; None where it was passed over untried."""

    restore_point: str
    sentinel_at: datetime
    step: str
    reason: str
    started_at: datetime | None
    ended_at: datetime
    duration_ms: int | None
    evidence: Evidence


@dataclass(frozen=True, slots=True)
class AbsenceLine:
    """What was looked for on the recovery hosts before anything was restored, and what was found there."""

    looked_for: tuple[str, ...]
    found: tuple[str, ...]
    evidence: Evidence


@dataclass(frozen=True, slots=True)
class CheckLine:
    """One comparison of recovered data with the restore point."""

    dataset: str
    check: str
    expected: str
    actual: str
    ok: bool
    evidence: Evidence


@dataclass(frozen=True, slots=True)
class ProbeLine:
    """The outside probe that tried the checks, and the file that holds its attempts."""

    address: str
    checks: tuple[str, ...]
    file: EvidenceFile
    evidence: Evidence


@dataclass(frozen=True, slots=True)
class ClockLine:
    """A clock that a time comes from: how far it was ahead of the control node's. `offset_ms` None: not measured."""

    clock: str
    used_for: str
    measured_at: datetime
    offset_ms: int | None
    uncertainty_ms: int | None
    evidence: Evidence


@dataclass(frozen=True, slots=True)
class ServiceReport:
    """All facts of one service.

    `parts_add_up`: True where the five parts sum to RTA, None where that cannot be checked because a mark is missing.
    `disordered` names marks that lie before the mark they should follow.
    """

    service: str
    hosts: tuple[str, ...]
    address: str
    verdict: Verdict
    accepted: bool
    rta: Figure
    rpa: Figure
    mtpd: Figure
    since_declaration: Figure
    technical: Figure
    parts: tuple[Part, ...]
    parts_sum_ms: int | None
    parts_add_up: bool | None
    disordered: tuple[str, ...]
    marks: tuple[MarkLine, ...]
    data_verdict: Verdict
    data_evidence: Evidence
    overrides: tuple[Override, ...]
    reservations: tuple[ReservationLine, ...]
    gaps: tuple[Gap, ...]
    steps: tuple[StepLine, ...]
    restore_point: RestorePointLine | None
    turned_down: tuple[TriedLine, ...]
    absence: AbsenceLine | None
    checks: tuple[CheckLine, ...]
    probe: ProbeLine | None
    clocks: tuple[ClockLine, ...]

    def mark(self, name: str) -> datetime | None:
        """When a mark was, or None if it was not measured."""
        return next((line.at for line in self.marks if line.name == name), None)


@dataclass(frozen=True, slots=True)
class RunbookLine:
    """A step of the runbook that no stage of a service is. `by` answered it, where a person had to."""

    id: str
    kind: str
    title: str
    by_people: bool
    services: tuple[str, ...]
    outcome: str
    started_at: datetime | None
    ended_at: datetime | None
    expected_ms: int | None
    duration_ms: int | None
    answer: str
    by: str
    comment: str
    error: str
    evidence: Evidence


@dataclass(frozen=True, slots=True)
class RunbookSteps:
    """All such steps, and how long the run waited for at least one person."""

    lines: tuple[RunbookLine, ...]
    waited_ms: int


@dataclass(frozen=True, slots=True)
class IsolationLine:
    """What kept a drill's copies on one host from production. `proof` is why it was not in force, where it was not;
    `refused` are the attempts that were refused, a line for each place."""

    host: str
    in_force: bool
    tool: str
    proof: str
    was_gone: bool
    has_ended: bool
    refused: tuple[str, ...]
    led: tuple[str, ...]
    evidence: Evidence


@dataclass(frozen=True, slots=True)
class EndedDrillLine:
    """A drill that a failover has ended to have its hosts, and how long that took: a part of RTA."""

    run: str
    duration_ms: int
    hosts: tuple[str, ...]
    evidence: Evidence


@dataclass(frozen=True, slots=True)
class IndexedFile:
    """A file of evidence, and the events that name it."""

    path: str
    sha256: str | None
    events: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Document:
    """A whole report. `events` and `plan` are the ledger's own, so that everything else can be computed again.

    JSON reports leave `LATER_FIELDS` out where they are empty, as those of an older drp do.
    """

    control: Control
    context: ReportContext
    verdict: Verdict
    accepted: bool
    services: tuple[ServiceReport, ...]
    runbook_steps: RunbookSteps | None
    isolation: tuple[IsolationLine, ...]
    ended_drills: tuple[EndedDrillLine, ...]
    evidence: tuple[IndexedFile, ...]
    plan: Mapping[str, Any]
    events: tuple[Event, ...]
