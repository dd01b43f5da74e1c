"""Facts of a service's protection, and how they are judged: all as it should be, and changes of that."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from drp.domain.backups.record import BackupState, Proof
from drp.domain.backups.settings import BackupDefaults, Retry
from drp.domain.protection.facts import Facts, Held, History, LastCheck, PartRead
from drp.domain.protection.status import ProtectionStatus, status_of
from drp.domain.schedules.due import Decision, Task, Trigger
from drp.domain.schedules.schedule import parse_schedule
from drp.domain.service import Service
from tests.fakes.city import NOW, make_city, service_record

HOUR, DAY, MINUTE = timedelta(hours=1), timedelta(days=1), timedelta(minutes=1)
TIERS = make_city().workspace.tiers  # penting: RPO 15 m
BLANK = Facts(
    service="pengaduan",
    site="primary",
    active_since=None,
    newest=None,
    history=None,
    earlier=None,
    copies={},
    state=None,
    restore_test=None,
    last_checks=(),
    reads=(),
    bad_checks=(),
    proofs=(),
)


def held(age: timedelta, centre: str = "drc") -> Held:
    return Held(centre, "backup-1", NOW - age, NOW - age + MINUTE, 1000)


def good(**changes: Any) -> Facts:
    """Everything as it should be."""
    facts = replace(
        BLANK,
        newest=held(5 * MINUTE),
        history=History(NOW - 100 * DAY, NOW - 5 * MINUTE, 15 * MINUTE, 16 * MINUTE),
        state=state(),
        last_checks=(LastCheck("pengaduan-1", "drc", 2, 3, NOW - DAY, True),),
        reads=(PartRead("pengaduan-1", "drc", 3, 3, NOW - 20 * DAY, NOW - DAY),),
        proofs=tuple(Proof("pengaduan", name, "drill", "b", NOW - 10 * DAY, "r") for name in ("database", "files")),
    )
    return replace(facts, **changes)


def state(**changes: Any) -> BackupState:
    found = BackupState(
        "pengaduan", "backup-9", NOW - 6 * MINUTE, False, "done", None, NOW, None, 0, NOW - 5 * MINUTE, NOW - HOUR
    )
    return replace(found, **changes)


def decision(**changes: Any) -> Decision:
    schedule = parse_schedule("every 15m")
    task = Task("pengaduan", "backup", Trigger.SCHEDULE, (schedule,), "UTC", timedelta(), (0,), Retry())
    return Decision(task, None, **changes)


def judged(facts: Facts, now: datetime = NOW, *, scheduled: Decision | None = None, **service: Any) -> ProtectionStatus:
    declared = Service.model_validate(service_record(**service))
    return status_of(declared, facts, TIERS, BackupDefaults(), now, scheduled)


def with_copy(**copy: Any) -> dict[str, Any]:
    return {**service_record()["backup"], "copies": [{"dr_centre": "drc-2", **copy}]}
