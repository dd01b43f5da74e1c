"""Synthetic runs for the tests of reports: small, and each with one thing that matters."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

import pytest

from drp.domain.backups.restore_point import RestorePoint, Snapshot
from drp.domain.events import Event, event_hash
from drp.domain.objectives import Objectives
from drp.domain.recovery.plan import Plan, PlannedService, RecoveryKind, Step
from drp.domain.recovery.run import Recovery, replay
from drp.domain.values import to_stamp
from drp.reports.document import Document, ReportContext, ServiceContext, build

T0 = datetime(2026, 11, 20, 7, 0, 0, 123_000, tzinfo=UTC)
HOSTILE = "<script>alert('x')</script> & \"quoted\" {{ 7*7 }} ]]> --> \u202eTEM\x00"
STAGES = ("absence", "restore", "activate", "verify", "cutover", "usable")


def seconds(amount: float) -> timedelta:
    return timedelta(microseconds=round(amount * 1_000_000))


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


class RunBuilder:
    """Collects events, each chained to the one before. Offsets are seconds from T0."""

    def __init__(
        self,
        *,
        kind: RecoveryKind = "failover",
        services: tuple[str, ...] = ("pengaduan",),
        objectives: Objectives | None = None,
        newest: float = -480,
        stages: tuple[str, ...] = STAGES,
    ) -> None:
        declared = Objectives(rto=timedelta(minutes=5), rpo=timedelta(minutes=15), mtpd=timedelta(hours=4))
        self.plan = Plan(
            kind=kind,
            runbook="site-loss",
            hold=seconds(60),
            give_up_after=timedelta(hours=4),
            services={
                name: PlannedService(
                    service=name,
                    objectives=objectives or declared,
                    declared=declared,
                    restore_point=_restore_point(name, T0 + seconds(newest)),
                    hosts=("drc-app-1",),
                    address="198.18.0.80",
                    declaration=sha256(name),
                )
                for name in services
            },
            steps=tuple(
                Step(f"{name}/{stage}", name, stage, (f"{name}/{stages[number - 1]}",) if number else ())  # type: ignore[arg-type]
                for name in services
                for number, stage in enumerate(stages)
            ),
        )
        self.run = "2026-11-20-site-loss-1"
        self.events: list[Event] = []
        opened = {"kind": kind, "plan": self.plan.record(), "by": "siti", "reason": "power lost at Balai Kota"}
        self.add("run.opened", opened, -1 if kind == "drill" else 40)

    def add(self, event_type: str, body: dict[str, Any], at: float) -> None:
        previous = self.events[-1].hash if self.events else self.plan.hash
        stamp, sequence = to_stamp(T0 + seconds(at)), len(self.events) + 1
        digest = event_hash(previous, self.run, sequence, stamp, event_type, body)
        self.events.append(Event(self.run, sequence, stamp, event_type, body, previous, digest))

    def mark(
        self, name: str, at: float, source: str = "automatic", *, service: str = "pengaduan", off: int = 0
    ) -> None:
        evidence = {"Tb": "the sentinel read back from the recovered data", "T2": "declared by siti"}.get(
            name, f"probes/{service}.jsonl"
        )
        body = {
            "service": service,
            "mark": name,
            "at": to_stamp(T0 + seconds(at)),
            "source": source,
            "evidence": evidence,
            "uncertainty_ms": off,
            "clock": {"boot": "12345678", "ahead_us": 1_700_000_000_000_000},
        }
        self.add("mark", body, max(at, 41))

    def step(
        self,
        stage: str,
        start: float,
        end: float,
        *,
        outcome: str = "ok",
        error: str = "",
        tasks: int = 2,
        service: str = "pengaduan",
    ) -> None:
        step = f"{service}/{stage}"
        folder = f"actions/{service}-{stage}"
        self.add("step.started", {"step": step, "action": folder}, start)
        body: dict[str, Any]
        for number in range(tasks):
            body = {
                "step": step,
                "host": "drc-app-1",
                "task": f"{stage} : task {number + 1}",
                "outcome": "failed" if outcome == "failed" and number == tasks - 1 else "ok",
                "started_at": to_stamp(T0 + seconds(start)),
                "duration_ms": int((end - start) * 1000 / tasks),
                "changed": number % 2 == 0,
            }
            self.add("task.ended", body, end)
        evidence = [{"path": f"{folder}/events.jsonl", "sha256": sha256(step)}]
        if stage == "usable":
            evidence.append({"path": f"probes/{service}.jsonl", "sha256": sha256("probe" + service)})
        body = {
            "step": step,
            "outcome": outcome,
            "error": error,
            "duration_ms": int((end - start) * 1000),
            "evidence": evidence,
        }
        self.add("step.ended", body, end)

    def probe(self, service: str = "pengaduan") -> None:
        file = f"probes/{service}.jsonl"
        body = {"service": service, "address": "198.18.0.80", "checks": ["web", "database"], "file": file}
        self.add("probe.started", body, 41)

    def absence(self, found: tuple[str, ...] = (), service: str = "pengaduan") -> None:
        looked_for = ["database pengaduan", "/srv/pengaduan"]
        self.add("absence.proved", {"service": service, "looked_for": looked_for, "found": list(found)}, 44)

    def data(self, *, good: bool = True, service: str = "pengaduan") -> None:
        for dataset, check, expected in (
            ("database", "sentinel", "drp-9f3c"),
            ("database", "content", "public.complaints 1482 (1482 rows)"),
            ("files", "sentinel", "drp-9f3c"),
            ("files", "content", "214 files, 391002 bytes"),
        ):
            actual = expected if good or check != "content" else "not counted"
            body = {"service": service, "dataset": dataset, "check": check, "expected": expected, "actual": actual}
            self.add("data.verified", {**body, "ok": actual == expected}, 180)

    def steps_until(self, usable: float) -> None:
        ends = (44.0, 130.0, 152.0, 160.0, 168.0, usable)
        start = 43.0
        for stage, end in zip(STAGES, ends, strict=True):
            self.step(stage, start, max(end, start + 0.2), tasks=0 if stage in ("absence", "usable") else 2)
            start = max(end, start + 0.2)

    def close(self, at: float, verdict: str, outcome: str = "done") -> Recovery:
        self.add("run.closed", {"outcome": outcome, "exit_code": 0, "verdict": verdict}, at)
        return self.recovery()

    def recovery(self) -> Recovery:
        return replay(self.run, self.plan.hash, self.events)


def _restore_point(service: str, newest: datetime) -> RestorePoint:
    return RestorePoint(
        id="20261120T065200Z",
        service=service,
        site="primary",
        sentinel="drp-9f3c",
        sentinel_at=newest,
        arrived_at=newest + seconds(42),
        dr_centre="drc",
        repositories={"balaikota-app-1": "s3:drc/pengaduan"},
        snapshots=(
            Snapshot("database", "dump", sha256("d"), 1, 14_236_117, 8_200),
            Snapshot("files", "tree", sha256("f"), 214, 391_002, 3_000),
        ),
        tools={"restic": "0.18.0", "pg_dump": "15.6"},
        content={"database": {"rows": {"public.complaints": 1_482}}, "files": {}},
        datasets={name: {"host": "balaikota-app-1"} for name in ("database", "files")},
        clocks={"balaikota-app-1": {"offset_ms": 0, "uncertainty_ms": 20}},
    )


def _marks(builder: RunBuilder, **offsets: float) -> None:
    for name, at in offsets.items():
        builder.mark(name, at, "human" if name == "T2" else "automatic", off=500 if name in ("T0", "T5") else 0)


def met() -> Recovery:
    builder = RunBuilder()
    builder.probe()
    _marks(builder, Tb=-480, T0=0, T1=1.2, T2=41.0, T3=43.0)
    builder.absence()
    builder.steps_until(229.5)
    builder.data()
    _marks(builder, T4=168.25, T5=170.4004)
    return builder.close(240, "MET")


def missed() -> Recovery:
    builder = RunBuilder(newest=-1200)
    builder.probe()
    _marks(builder, Tb=-1200, T0=0, T1=1.2, T2=241.0, T3=243.0)
    builder.absence()
    builder.data()
    _marks(builder, T4=368.0, T5=370.4)
    return builder.close(440, "NOT_MET")


def not_recovered() -> Recovery:
    builder = RunBuilder()
    builder.probe()
    _marks(builder, Tb=-480, T0=0, T1=1.2, T2=41.0, T3=43.0)
    builder.absence(found=("/srv/pengaduan",))
    builder.step("absence", 43, 44, tasks=0)
    builder.step("restore", 44, 130, outcome="failed", error="restic: repository is locked", tasks=2)
    return builder.close(1800, "NOT_MET", "failed")


def drill() -> Recovery:
    builder = RunBuilder(kind="drill", stages=("absence", "restore", "activate", "verify", "usable", "cleanup"))
    builder.probe()
    for name, at in (("Tb", -480), ("T0", 0.0), ("T1", 0.0), ("T2", 0.0), ("T3", 0.4)):
        builder.mark(name, at, "simulated" if name in ("T0", "T1", "T2") else "automatic")
    builder.add(
        "reservation", {"service": "pengaduan", "text": "T0 is simulated", "accepted_by": "Budi, Inspektorat"}, 42
    )
    builder.add("reservation", {"service": "pengaduan", "text": "no line to the office", "accepted_by": None}, 42)
    builder.absence()
    for stage, start, end in (("absence", 0.4, 1.2), ("restore", 1.2, 18), ("activate", 18, 26), ("verify", 26, 29)):
        builder.step(stage, start, end)
    builder.step("usable", 29, 91, tasks=0)
    builder.data()
    _marks(builder, T4=29.0, T5=30.5)
    builder.step("cleanup", 91, 400)
    return builder.close(401, "MET_WITH_EXCEPTION")


def same_instant() -> Recovery:
    builder = RunBuilder()
    _marks(builder, Tb=0, T0=0, T1=0, T2=0, T3=0, T4=0, T5=0)
    builder.data()
    return builder.close(60, "MET")


def within_a_second() -> Recovery:
    builder = RunBuilder(newest=-43_200)
    _marks(builder, Tb=-43_200, T0=0, T1=0.3, T2=0.5, T3=0.9, T4=29.8, T5=30.0)
    builder.absence()
    builder.data(good=False)
    return builder.close(100, "NOT_MET")


def overridden() -> Recovery:
    used = Objectives(rto=timedelta(hours=2), rpo=timedelta(minutes=10), mtpd=timedelta(hours=4))
    builder = RunBuilder(objectives=used)
    _marks(builder, Tb=-480, T0=0, T1=2, T2=240, T3=250, T4=500, T5=600)
    builder.data()
    return builder.close(700, "MET")


def nothing_measured() -> Recovery:
    return RunBuilder().recovery()


def aborted() -> Recovery:
    builder = RunBuilder()
    _marks(builder, T0=0, T1=1, T2=41)
    return builder.close(50, "ABORTED", "aborted")


def hostile() -> Recovery:
    builder = RunBuilder()
    _marks(builder, Tb=-480, T0=0, T1=1.2, T2=41.0, T3=43.0)
    builder.add("reservation", {"service": "pengaduan", "text": HOSTILE, "accepted_by": HOSTILE}, 42)
    builder.step("restore", 44, 130, outcome="failed", error=HOSTILE, tasks=0)
    body: dict[str, Any] = {"step": "pengaduan/restore", "host": HOSTILE, "task": HOSTILE, "outcome": HOSTILE}
    builder.add("task.ended", {**body, "started_at": to_stamp(T0), "duration_ms": 1, "changed": True}, 131)
    body = {"service": "pengaduan", "dataset": HOSTILE, "check": HOSTILE, "expected": HOSTILE, "actual": HOSTILE}
    builder.add("data.verified", {**body, "ok": False}, 132)
    builder.add("absence.proved", {"service": "pengaduan", "looked_for": [HOSTILE], "found": [HOSTILE]}, 133)
    evidence = [{"path": HOSTILE, "sha256": HOSTILE}]
    body = {"step": "pengaduan/verify", "outcome": "failed", "error": HOSTILE, "duration_ms": 1, "evidence": evidence}
    builder.add("step.ended", body, 134)
    builder.add("probe.started", {"service": "pengaduan", "address": HOSTILE, "file": HOSTILE}, 135)
    return builder.close(140, "NOT_MET", HOSTILE)


def two_services() -> Recovery:
    builder = RunBuilder(services=("identitas", "pengaduan"))
    for name, delay in (("identitas", 0.0), ("pengaduan", 60.0)):
        builder.probe(name)
        for mark, at in (("Tb", -480), ("T0", 0), ("T1", 1), ("T2", 41), ("T3", 43), ("T4", 90), ("T5", 92)):
            builder.mark(mark, at + (delay if at > 50 else 0), service=name)
        builder.absence(service=name)
        builder.data(service=name)
    return builder.close(240, "MET")


SCENARIOS: dict[str, Callable[[], Recovery]] = {
    function.__name__: function
    for function in (
        met,
        missed,
        not_recovered,
        drill,
        same_instant,
        within_a_second,
        overridden,
        nothing_measured,
        aborted,
        hostile,
        two_services,
    )
}


def context_of(name: str) -> ReportContext:
    if name == "hostile":
        service = ServiceContext(HOSTILE, HOSTILE, HOSTILE)
        return ReportContext(
            HOSTILE, "Asia/Jakarta", {"pengaduan": service}, HOSTILE, HOSTILE, HOSTILE, HOSTILE, {"drc": HOSTILE}
        )
    return ReportContext(
        organisation="Pemerintah Kota Bogor",
        time_zone="Asia/Jakarta",
        services={
            "pengaduan": ServiceContext(
                "Public complaints", "Sekretariat Daerah, Bagian Hubungan Masyarakat", "Kepala Bagian Humas"
            ),
            "identitas": ServiceContext("Sign-in", "Dinas Komunikasi dan Informatika", None),
        },
        runbook_title="Loss of the city hall data centre",
        runbook_purpose="Find out whether the public complaints service comes back at the DR centre in time.",
        primary_site="Pusat data Balai Kota",
        recovery_site="Disaster recovery centre (third party)",
        dr_centres={"drc": "Object storage of the third-party disaster recovery centre"},
    )


@cache
def document_of(name: str) -> Document:
    """The document of a scenario; it is frozen, so all tests may share it."""
    return build(
        SCENARIOS[name](),
        context_of(name),
        generated_at=datetime(2026, 11, 20, 9, 30, tzinfo=UTC),
        tool_version="0.1.0",
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that asks for `scenario` runs with every one of them."""
    if "scenario" in metafunc.fixturenames:
        metafunc.parametrize("scenario", list(SCENARIOS))


@pytest.fixture(scope="session")
def document() -> Callable[[str], Document]:
    """Builds the document of a scenario by its name."""
    return document_of


@pytest.fixture(scope="session")
def run_builder() -> type[RunBuilder]:
    return RunBuilder


@pytest.fixture(scope="session")
def hostile_text() -> str:
    return HOSTILE
