"""Tables beside the ledger's events that make common questions quick. All of them follow from the events alone, are
written in the same transaction, and are made anew where they are of another version than this drp's."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from drp.adapters.ledger_sizes import SIZES_SCHEMA, accept_size, keep_sizes
from drp.domain.backups.record import SCHEDULED_KINDS
from drp.domain.datasets import read_dataset
from drp.domain.events import Event, canonical_json
from drp.domain.values import from_stamp, milliseconds

VERSION = 11
"""Of the tables below; to be raised with every change of them or of `project`."""

DEFERRALS_SCHEMA = """
CREATE TABLE IF NOT EXISTS deferrals (
    service TEXT NOT NULL, kind TEXT NOT NULL, dr_centre TEXT NOT NULL, moment TEXT NOT NULL, at TEXT NOT NULL,
    count INTEGER NOT NULL, reason TEXT NOT NULL, PRIMARY KEY (service, kind, dr_centre)
) WITHOUT ROWID;
"""
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
CREATE TABLE IF NOT EXISTS stranded_points (
    id TEXT PRIMARY KEY, service TEXT NOT NULL, sentinel_at TEXT NOT NULL, record TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS active_sites (service TEXT PRIMARY KEY, site TEXT NOT NULL, since TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS backup_states (
    kind TEXT NOT NULL, service TEXT NOT NULL, dr_centre TEXT NOT NULL, last_run TEXT NOT NULL, opened_at TEXT NOT NULL,
    is_open INTEGER NOT NULL, outcome TEXT, due_at TEXT, done_at TEXT, done_due_at TEXT, failures INTEGER NOT NULL,
    closed_at TEXT, done_opened_at TEXT, PRIMARY KEY (kind, service, dr_centre)
);
CREATE INDEX IF NOT EXISTS backup_states_by_run ON backup_states (last_run);
CREATE TABLE IF NOT EXISTS copies (
    restore_point TEXT NOT NULL, service TEXT NOT NULL, dr_centre TEXT NOT NULL, arrived_at TEXT NOT NULL,
    site TEXT, sentinel_at TEXT, bytes INTEGER, PRIMARY KEY (restore_point, dr_centre)
);
CREATE INDEX IF NOT EXISTS copies_by_data ON copies (service, dr_centre, sentinel_at);
CREATE TABLE IF NOT EXISTS data_times (
    service TEXT NOT NULL, sentinel_at TEXT NOT NULL, id TEXT NOT NULL, site TEXT NOT NULL, dr_centre TEXT NOT NULL,
    arrived_at TEXT NOT NULL, bytes INTEGER NOT NULL, is_kept INTEGER NOT NULL, was_active INTEGER NOT NULL,
    gap_ms INTEGER, loss_ms INTEGER, PRIMARY KEY (service, sentinel_at, id)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS check_parts (
    service TEXT NOT NULL, host TEXT NOT NULL, dr_centre TEXT NOT NULL, parts INTEGER NOT NULL, part INTEGER NOT NULL,
    is_good INTEGER NOT NULL, checked_at TEXT NOT NULL, run TEXT NOT NULL,
    PRIMARY KEY (service, host, dr_centre, parts, part, is_good)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS proofs (
    service TEXT NOT NULL, dataset TEXT NOT NULL, how TEXT NOT NULL, restore_point TEXT NOT NULL,
    proved_at TEXT NOT NULL, run TEXT NOT NULL, declaration TEXT, PRIMARY KEY (service, dataset, how)
);
CREATE TABLE IF NOT EXISTS checks (
    service TEXT NOT NULL, host TEXT NOT NULL, dr_centre TEXT NOT NULL, checked_at TEXT NOT NULL,
    part INTEGER NOT NULL, parts INTEGER NOT NULL, is_good INTEGER NOT NULL, run TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS checks_by_service ON checks (service, checked_at);
CREATE TABLE IF NOT EXISTS preflights (
    service TEXT NOT NULL, purpose TEXT NOT NULL, at TEXT NOT NULL, run TEXT NOT NULL, findings TEXT NOT NULL,
    PRIMARY KEY (service, purpose)
);
CREATE TABLE IF NOT EXISTS marks (
    restore_point TEXT NOT NULL, service TEXT NOT NULL, mark TEXT NOT NULL, reason TEXT NOT NULL, by TEXT NOT NULL,
    since TEXT NOT NULL, PRIMARY KEY (restore_point, mark)
);
CREATE TABLE IF NOT EXISTS notices (
    key TEXT PRIMARY KEY, state TEXT NOT NULL, since TEXT NOT NULL, told_at TEXT
);
"""
SCHEMA += SIZES_SCHEMA + DEFERRALS_SCHEMA
TABLES = (
    "runs",
    "restore_points",
    "stranded_points",
    "active_sites",
    "backup_states",
    "copies",
    "data_times",
    "dataset_sizes",
    "deferrals",
    "proofs",
    "checks",
    "check_parts",
    "preflights",
    "marks",
    "notices",
)

TABLES_OF_A_SERVICE = (
    *("active_sites", "restore_points", "stranded_points", "data_times", "dataset_sizes"),
    *("backup_states", "deferrals"),
    *("copies", "proofs", "checks", "check_parts", "preflights", "marks"),
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
            _keep_data_time(execute, body)
            keep_sizes(execute, body)
        case "stranded.recorded":
            execute(
                "INSERT OR REPLACE INTO stranded_points (id, service, sentinel_at, record) VALUES (?, ?, ?, ?)",
                (body["id"], body["service"], body["sentinel_at"], canonical_json(body)),
            )
        case "restore_point.forgotten":
            execute(
                "UPDATE data_times SET is_kept = 0 WHERE id = ? AND (service, sentinel_at) ="
                " (SELECT service, sentinel_at FROM restore_points WHERE id = ?)",
                (body["id"], body["id"]),
            )
            execute("DELETE FROM restore_points WHERE id = ?", (body["id"],))
            execute("DELETE FROM stranded_points WHERE id = ?", (body["id"],))
            execute("DELETE FROM copies WHERE restore_point = ?", (body["id"],))
            execute("DELETE FROM marks WHERE restore_point = ?", (body["id"],))
        case "site.activated":
            execute(
                "INSERT INTO active_sites (service, site, since) VALUES (?, ?, ?)"
                " ON CONFLICT (service) DO UPDATE SET site = excluded.site, since = excluded.since",
                (body["service"], body["site"], event.at),
            )
        case "copy.recorded":
            execute(
                "INSERT OR REPLACE INTO copies (restore_point, service, dr_centre, arrived_at, site, sentinel_at,"
                " bytes) SELECT ?, ?, ?, ?, site, sentinel_at, bytes"
                " FROM (SELECT 1) LEFT JOIN restore_points ON id = ?",
                (
                    *(body[name] for name in ("restore_point", "service", "dr_centre", "arrived_at")),
                    body["restore_point"],
                ),
            )
        case "lab.built":
            for service in body["services"]:
                _forget(execute, service)
        case _:
            _project_proof(execute, event)


def _project_proof(execute: Execute, event: Event) -> None:
    """Carry an event into the tables that say how good the backups are, and who was told."""
    body = event.body
    match event.type:
        case "proof.recorded":
            execute(
                "INSERT OR REPLACE INTO proofs (service, dataset, how, restore_point, proved_at, run, declaration)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    *(body[name] for name in ("service", "dataset", "how", "restore_point")),
                    *(event.at, event.run, body.get("declaration") or _declared_then(execute, body)),
                ),
            )
        case "check.recorded":
            _keep_check(execute, event)
        case "restore_point.held" | "restore_point.distrusted":
            execute(
                "INSERT OR REPLACE INTO marks (restore_point, service, mark, reason, by, since)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                (
                    *(body["id"], body["service"], event.type.partition(".")[2], body["reason"]),
                    *(body.get("by", "drp"), event.at),
                ),
            )
        case "task.deferred":
            execute(
                "INSERT INTO deferrals (service, kind, dr_centre, moment, at, count, reason)"
                " VALUES (?, ?, ?, ?, ?, 1, ?) ON CONFLICT (service, kind, dr_centre) DO UPDATE"
                " SET at = excluded.at, reason = excluded.reason, moment = excluded.moment,"
                " count = CASE WHEN moment = excluded.moment THEN count + 1 ELSE 1 END",
                (body["service"], body["kind"], body["dr_centre"], body["moment"], event.at, body["reason"]),
            )
        case "size.accepted":
            accept_size(execute, body)
        case "restore_point.released":
            execute("DELETE FROM marks WHERE restore_point = ? AND mark = 'held'", (body["id"],))
        case "restore_point.trusted":
            execute("DELETE FROM marks WHERE restore_point = ? AND mark = 'distrusted'", (body["id"],))
        case "preflight.recorded":
            execute(
                "INSERT OR REPLACE INTO preflights (service, purpose, at, run, findings) VALUES (?, ?, ?, ?, ?)",
                (body["service"], body["purpose"], event.at, event.run, canonical_json(body["findings"])),
            )
        case "notice.changed":
            execute(
                "INSERT OR REPLACE INTO notices (key, state, since, told_at) VALUES (?, ?, ?, ?)",
                (body["key"], body["state"], body["since"], body["told_at"]),
            )


def _keep_check(execute: Execute, event: Event) -> None:
    body = event.body
    execute(
        "INSERT INTO checks (service, host, dr_centre, checked_at, part, parts, is_good, run)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            *(body[name] for name in ("service", "host", "dr_centre")),
            event.at,
            *(body["part"], body["parts"], int(body["is_good"]), event.run),
        ),
    )
    execute(
        "INSERT OR REPLACE INTO check_parts (service, host, dr_centre, parts, part, is_good, checked_at, run)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (
            *(body[name] for name in ("service", "host", "dr_centre", "parts", "part")),
            *(int(body["is_good"]), event.at, event.run),
        ),
    )


def _declared_then(execute: Execute, proof: dict[str, Any]) -> str | None:
    """What an older drp did not write into its proofs: what the dataset was, as the restore point says it if it was
    still kept."""
    row = execute("SELECT record FROM restore_points WHERE id = ?", (proof["restore_point"],)).fetchone()
    if row is None:
        return None
    try:
        return read_dataset(json.loads(row[0])["datasets"][proof["dataset"]]).declaration()
    except (LookupError, ValueError):
        return None  # of a type or a dataset that this drp does not know


def _keep_data_time(execute: Execute, point: dict[str, Any]) -> None:
    """Remember when a restore point's data is from, also after it is forgotten, and what it left open before: else the
    worst gap of a month would be retention's doing."""
    service, sentinel_at = point["service"], point["sentinel_at"]
    active = execute("SELECT site FROM active_sites WHERE service = ?", (service,)).fetchone()
    was_active = point["site"] == (active[0] if active else "primary")
    before = execute(
        "SELECT sentinel_at FROM data_times WHERE service = ? AND sentinel_at < ? AND was_active"
        " ORDER BY sentinel_at DESC LIMIT 1",
        (service, sentinel_at),
    ).fetchone()
    gap, loss = None, None
    if before is not None and was_active:
        start = from_stamp(before[0])
        gap = milliseconds(from_stamp(sentinel_at) - start)
        loss = milliseconds(from_stamp(point["arrived_at"]) - start)
    execute(
        "INSERT OR REPLACE INTO data_times (service, sentinel_at, id, site, dr_centre, arrived_at, bytes, is_kept,"
        " was_active, gap_ms, loss_ms) VALUES (?, ?, ?, ?, ?, ?, ?, 1, ?, ?, ?)",
        (
            *(service, sentinel_at, point["id"], point["site"], point["dr_centre"], point["arrived_at"]),
            *(sum(snapshot["bytes"] for snapshot in point["snapshots"]), int(was_active), gap, loss),
        ),
    )


def _forget(execute: Execute, service: str) -> None:
    """A new city on this machine: what earlier ones left is gone, and its services start at the primary."""
    for table in TABLES_OF_A_SERVICE:
        execute(f"DELETE FROM {table} WHERE service = ?", (service,))


def _open(execute: Execute, event: Event) -> None:
    body = event.body
    execute(
        "INSERT INTO runs (run, kind, genesis, services, opened_at) VALUES (?, ?, ?, ?, ?)",
        (event.run, body["kind"], body["genesis"], json.dumps(body["services"]), event.at),
    )
    kind = body["kind"]
    if kind not in SCHEDULED_KINDS:
        return
    # A copy is of a DR centre; an older drp made those to all of them in one run.
    centres = body.get("plan", {}).get("dr_centres", [""]) if kind == "copy" else [""]
    for service, centre in ((service, centre) for service in body["services"] for centre in centres):
        execute(
            "DELETE FROM deferrals WHERE service = ? AND kind = ? AND dr_centre = ?",
            (service, kind, centre),
        )
        execute(
            "INSERT INTO backup_states (kind, service, dr_centre, last_run, opened_at, is_open, due_at, failures)"
            " VALUES (?, ?, ?, ?, ?, 1, ?, 0) ON CONFLICT (kind, service, dr_centre) DO UPDATE SET"
            " last_run = excluded.last_run, opened_at = excluded.opened_at, is_open = 1, outcome = NULL,"
            " due_at = excluded.due_at, closed_at = NULL",
            (kind, service, centre, event.run, event.at, body.get("due_at")),
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
