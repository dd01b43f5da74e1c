"""Tables beside the ledger's events that make common questions quick. All of them follow from the events alone, are
written in the same transaction, and are made anew where they are of another version than this drp's."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from drp.domain.events import Event, canonical_json

VERSION = 3
"""Of the tables below; to be raised with every change of them or of `project`."""

SCHEMA = """
CREATE TABLE IF NOT EXISTS runs (
    run TEXT PRIMARY KEY, kind TEXT NOT NULL, genesis TEXT NOT NULL, services TEXT NOT NULL,
    opened_at TEXT NOT NULL, closed_at TEXT, outcome TEXT, verdict TEXT, exit_code INTEGER
);
CREATE INDEX IF NOT EXISTS runs_by_time ON runs (opened_at);
CREATE INDEX IF NOT EXISTS runs_by_kind ON runs (kind, opened_at);
CREATE INDEX IF NOT EXISTS runs_open ON runs (kind) WHERE closed_at IS NULL;
CREATE TABLE IF NOT EXISTS restore_points (
    id TEXT PRIMARY KEY, service TEXT NOT NULL, site TEXT NOT NULL, dr_centre TEXT NOT NULL,
    sentinel_at TEXT NOT NULL, arrived_at TEXT NOT NULL, bytes INTEGER NOT NULL, record TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS restore_points_by_service ON restore_points (service, sentinel_at);
CREATE INDEX IF NOT EXISTS restore_points_by_site ON restore_points (service, site, sentinel_at);
CREATE TABLE IF NOT EXISTS active_sites (service TEXT PRIMARY KEY, site TEXT NOT NULL, since TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS backup_states (
    kind TEXT NOT NULL, service TEXT NOT NULL, last_run TEXT NOT NULL, opened_at TEXT NOT NULL,
    is_open INTEGER NOT NULL, outcome TEXT, due_at TEXT, done_at TEXT, done_due_at TEXT, failures INTEGER NOT NULL,
    closed_at TEXT, done_opened_at TEXT, PRIMARY KEY (kind, service)
);
CREATE INDEX IF NOT EXISTS backup_states_by_run ON backup_states (last_run);
CREATE TABLE IF NOT EXISTS copies (
    restore_point TEXT NOT NULL, service TEXT NOT NULL, dr_centre TEXT NOT NULL, arrived_at TEXT NOT NULL,
    PRIMARY KEY (restore_point, dr_centre)
);
CREATE TABLE IF NOT EXISTS proofs (
    service TEXT NOT NULL, dataset TEXT NOT NULL, how TEXT NOT NULL, restore_point TEXT NOT NULL,
    proved_at TEXT NOT NULL, run TEXT NOT NULL, PRIMARY KEY (service, dataset, how)
);
CREATE TABLE IF NOT EXISTS checks (
    service TEXT NOT NULL, host TEXT NOT NULL, dr_centre TEXT NOT NULL, checked_at TEXT NOT NULL,
    part INTEGER NOT NULL, parts INTEGER NOT NULL, is_good INTEGER NOT NULL, run TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS checks_by_service ON checks (service, checked_at);
CREATE TABLE IF NOT EXISTS notices (
    key TEXT PRIMARY KEY, state TEXT NOT NULL, since TEXT NOT NULL, told_at TEXT
);
"""
SCHEDULED_KINDS = ("backup", "copy", "forget", "check", "restore-test", "prune")
"""The kinds of runs whose state is kept for each service: the schedule asks for it."""

TABLES = (
    "runs",
    "restore_points",
    "active_sites",
    "backup_states",
    "copies",
    "proofs",
    "checks",
    "notices",
)

Execute = Callable[[str, tuple[Any, ...]], Any]


def project(execute: Execute, event: Event) -> None:
    """Carry one event into the tables."""
    body = event.body
    match event.type:
        case "run.opened":
            _open(execute, event)
        case "run.closed":
            _close(execute, event)
        case "restore_point.recorded":
            execute(
                "INSERT OR REPLACE INTO restore_points (id, service, site, dr_centre, sentinel_at, arrived_at, bytes,"
                " record) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    *(body[name] for name in ("id", "service", "site", "dr_centre", "sentinel_at", "arrived_at")),
                    sum(snapshot["bytes"] for snapshot in body["snapshots"]),
                    canonical_json(body),
                ),
            )
        case "restore_point.forgotten":
            execute("DELETE FROM restore_points WHERE id = ?", (body["id"],))
            execute("DELETE FROM copies WHERE restore_point = ?", (body["id"],))
        case "site.activated":
            execute(
                "INSERT INTO active_sites (service, site, since) VALUES (?, ?, ?)"
                " ON CONFLICT (service) DO UPDATE SET site = excluded.site, since = excluded.since",
                (body["service"], body["site"], event.at),
            )
        case "copy.recorded":
            execute(
                "INSERT OR REPLACE INTO copies (restore_point, service, dr_centre, arrived_at) VALUES (?, ?, ?, ?)",
                (body["restore_point"], body["service"], body["dr_centre"], body["arrived_at"]),
            )
        case "proof.recorded":
            execute(
                "INSERT OR REPLACE INTO proofs (service, dataset, how, restore_point, proved_at, run)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                (body["service"], body["dataset"], body["how"], body["restore_point"], event.at, event.run),
            )
        case "check.recorded":
            execute(
                "INSERT INTO checks (service, host, dr_centre, checked_at, part, parts, is_good, run)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    *(body[name] for name in ("service", "host", "dr_centre")),
                    event.at,
                    *(body["part"], body["parts"], int(body["is_good"]), event.run),
                ),
            )
        case "notice.changed":
            execute(
                "INSERT OR REPLACE INTO notices (key, state, since, told_at) VALUES (?, ?, ?, ?)",
                (body["key"], body["state"], body["since"], body["told_at"]),
            )
        case "lab.built":
            for service in body["services"]:
                _forget(execute, service)


def _forget(execute: Execute, service: str) -> None:
    """A new city on this machine: what earlier ones left is gone, and its services start at the primary."""
    for table in ("active_sites", "restore_points", "backup_states", "copies", "proofs", "checks"):
        execute(f"DELETE FROM {table} WHERE service = ?", (service,))


def _open(execute: Execute, event: Event) -> None:
    body = event.body
    execute(
        "INSERT INTO runs (run, kind, genesis, services, opened_at) VALUES (?, ?, ?, ?, ?)",
        (event.run, body["kind"], body["genesis"], json.dumps(body["services"]), event.at),
    )
    for service in body["services"] if body["kind"] in SCHEDULED_KINDS else ():
        execute(
            "INSERT INTO backup_states (kind, service, last_run, opened_at, is_open, due_at, failures)"
            " VALUES (?, ?, ?, ?, 1, ?, 0) ON CONFLICT (kind, service) DO UPDATE SET last_run = excluded.last_run,"
            " opened_at = excluded.opened_at, is_open = 1, outcome = NULL, due_at = excluded.due_at, closed_at = NULL",
            (body["kind"], service, event.run, event.at, body.get("due_at")),
        )


def _close(execute: Execute, event: Event) -> None:
    body = event.body
    execute(
        "UPDATE runs SET closed_at = ?, outcome = ?, verdict = ?, exit_code = ? WHERE run = ?",
        (event.at, body["outcome"], body.get("verdict"), body["exit_code"], event.run),
    )
    if body["outcome"] == "done":
        execute(
            "UPDATE backup_states SET is_open = 0, outcome = 'done', closed_at = ?, done_at = ?, done_due_at = due_at,"
            " done_opened_at = opened_at, failures = 0 WHERE last_run = ?",
            (event.at, event.at, event.run),
        )
    else:
        execute(
            "UPDATE backup_states SET is_open = 0, outcome = ?, closed_at = ?, failures = failures + 1"
            " WHERE last_run = ?",
            (body["outcome"], event.at, event.run),
        )
