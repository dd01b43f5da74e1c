"""The ledger in SQLite: append-only, hash-chained per run, with projections written in the same transaction.

Events are the truth (`drp.domain.events`); the tables `runs`, `restore_points` and `active_sites` only make common
questions quick, and can be rebuilt from the events at any time (`rebuild_projections`).
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from drp.domain.events import Body, Event, canonical_json, event_hash, first_break
from drp.domain.restore_point import RestorePoint
from drp.domain.values import to_stamp
from drp.errors import BusyError, DrpError, IntegrityError, UsageError
from drp.ports import RunRow

_SCHEMA = """
CREATE TABLE IF NOT EXISTS events (
    position INTEGER PRIMARY KEY AUTOINCREMENT,
    run TEXT NOT NULL, sequence INTEGER NOT NULL, at TEXT NOT NULL, type TEXT NOT NULL, body TEXT NOT NULL,
    previous TEXT NOT NULL, hash TEXT NOT NULL, UNIQUE (run, sequence)
);
CREATE TRIGGER IF NOT EXISTS events_never_change BEFORE UPDATE ON events
    BEGIN SELECT raise(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER IF NOT EXISTS events_never_go BEFORE DELETE ON events
    BEGIN SELECT raise(ABORT, 'the ledger is append-only'); END;
CREATE TABLE IF NOT EXISTS runs (
    run TEXT PRIMARY KEY, kind TEXT NOT NULL, genesis TEXT NOT NULL, services TEXT NOT NULL,
    opened_at TEXT NOT NULL, closed_at TEXT, outcome TEXT, verdict TEXT, exit_code INTEGER
);
CREATE INDEX IF NOT EXISTS runs_by_time ON runs (opened_at);
CREATE TABLE IF NOT EXISTS restore_points (
    id TEXT PRIMARY KEY, service TEXT NOT NULL, sentinel_at TEXT NOT NULL, arrived_at TEXT NOT NULL,
    record TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS restore_points_by_service ON restore_points (service, sentinel_at);
CREATE TABLE IF NOT EXISTS active_sites (service TEXT PRIMARY KEY, site TEXT NOT NULL, since TEXT NOT NULL);
"""
_EVENT_COLUMNS = "run, sequence, at, type, body, previous, hash"
_PROJECTIONS = ("runs", "restore_points", "active_sites")
_WAIT_FOR_WRITER_SECONDS = 20


class SqliteLedger:
    """Implements `drp.ports.Ledger`. Several processes may use one file at once."""

    def __init__(self, path: Path, now: Callable[[], datetime]) -> None:
        self.path, self.now = path, now
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not path.exists():
                os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
            self.database = sqlite3.connect(path, timeout=_WAIT_FOR_WRITER_SECONDS, isolation_level=None)
            self.database.execute("PRAGMA journal_mode = WAL")
            self.database.execute("PRAGMA synchronous = FULL")
            self.database.executescript(_SCHEMA)
        except (OSError, sqlite3.Error) as error:
            raise _ledger_error(path, error) from error

    def close(self) -> None:
        self.database.close()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        try:
            self.database.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self.database.execute("ROLLBACK")
                raise
            self.database.execute("COMMIT")
        except sqlite3.Error as error:
            raise _ledger_error(self.path, error) from error

    # -- writing ---------------------------------------------------------------------------------------------------

    def open_run(self, run: str, kind: str, genesis: str, services: list[str], body: Body) -> Event:
        """Start a run's chain at its genesis; BusyError if a run of this name exists."""
        return self._append(
            run, "run.opened", {**body, "kind": kind, "services": services, "genesis": genesis}, genesis
        )

    def append(self, run: str, type_: str, body: Body) -> Event:
        """Add an event to a run. Refused once the run is closed."""
        return self._append(run, type_, body, None)

    def _append(self, run: str, type_: str, body: Body, genesis: str | None) -> Event:
        with self._transaction():
            last = self.database.execute(
                "SELECT sequence, hash, type FROM events WHERE run = ? ORDER BY sequence DESC LIMIT 1", (run,)
            ).fetchone()
            if genesis is not None:
                if last is not None:
                    raise BusyError(f"a run {run} exists already", hint="start again; each run gets a name of its own")
                sequence, previous = 1, genesis
            elif last is None:
                raise UsageError(f"no run {run}", hint="list them with: drp run list")
            elif last[2] == "run.closed":
                raise UsageError(f"run {run} is closed; nothing can be added to it", hint="start a new run")
            else:
                sequence, previous = last[0] + 1, last[1]
            at = to_stamp(self.now())
            event = Event(
                run=run,
                sequence=sequence,
                at=at,
                type=type_,
                body=body,
                previous=previous,
                hash=event_hash(previous, run, sequence, at, type_, body),
            )
            self.database.execute(
                f"INSERT INTO events ({_EVENT_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)",
                (run, sequence, at, type_, canonical_json(body), previous, event.hash),
            )
            self._project(event)
        return event

    def _project(self, event: Event) -> None:
        body, execute = event.body, self.database.execute
        match event.type:
            case "run.opened":
                execute(
                    "INSERT INTO runs (run, kind, genesis, services, opened_at) VALUES (?, ?, ?, ?, ?)",
                    (event.run, body["kind"], body["genesis"], json.dumps(body["services"]), event.at),
                )
            case "run.closed":
                execute(
                    "UPDATE runs SET closed_at = ?, outcome = ?, verdict = ?, exit_code = ? WHERE run = ?",
                    (event.at, body["outcome"], body.get("verdict"), body["exit_code"], event.run),
                )
            case "restore_point.recorded":
                execute(
                    "INSERT OR REPLACE INTO restore_points (id, service, sentinel_at, arrived_at, record)"
                    " VALUES (?, ?, ?, ?, ?)",
                    (body["id"], body["service"], body["sentinel_at"], body["arrived_at"], canonical_json(body)),
                )
            case "site.activated":
                execute(
                    "INSERT INTO active_sites (service, site, since) VALUES (?, ?, ?)"
                    " ON CONFLICT (service) DO UPDATE SET site = excluded.site, since = excluded.since",
                    (body["service"], body["site"], event.at),
                )
            case "lab.built":
                # A new city on this machine: what earlier ones left is gone, and its services start at the primary.
                for service in body["services"]:
                    execute("DELETE FROM active_sites WHERE service = ?", (service,))
                    execute("DELETE FROM restore_points WHERE service = ?", (service,))

    # -- reading ---------------------------------------------------------------------------------------------------

    def _read(self, statement: str, parameters: tuple[object, ...]) -> list[Any]:
        try:
            return self.database.execute(statement, parameters).fetchall()
        except sqlite3.Error as error:
            raise _ledger_error(self.path, error) from error

    def events(self, run: str, after: int = 0) -> list[Event]:
        """A run's events in order, from the one after sequence number `after` on."""
        rows = self._read(
            f"SELECT {_EVENT_COLUMNS} FROM events WHERE run = ? AND sequence > ? ORDER BY sequence", (run, after)
        )
        try:
            return [_event(row) for row in rows]
        except ValueError as error:
            text = f"the ledger of run {run} holds an event that cannot be read"
            raise IntegrityError(text, where=str(self.path), hint="restore it from a copy; do not repair it") from error

    def runs(self, *, kinds: tuple[str, ...] = (), limit: int = 1000) -> list[RunRow]:
        """Runs, newest first."""
        condition = f"WHERE kind IN ({', '.join('?' * len(kinds))})" if kinds else ""
        rows = self._read(
            "SELECT run, kind, genesis, services, opened_at, closed_at, outcome, verdict, exit_code FROM runs"
            f" {condition} ORDER BY opened_at DESC, run DESC LIMIT ?",
            (*kinds, limit),
        )
        return [_run_row(row) for row in rows]

    def run(self, run: str) -> RunRow:
        """One run; UsageError where there is none of that name."""
        rows = self._read(
            "SELECT run, kind, genesis, services, opened_at, closed_at, outcome, verdict, exit_code FROM runs"
            " WHERE run = ?",
            (run,),
        )
        if not rows:
            raise UsageError(f"no run {run}", hint="list them with: drp run list")
        return _run_row(rows[0])

    def restore_points(self, service: str, limit: int = 1000) -> list[RestorePoint]:
        """Restore points of a service, newest first."""
        rows = self._read(
            "SELECT record FROM restore_points WHERE service = ? ORDER BY sentinel_at DESC LIMIT ?", (service, limit)
        )
        return [RestorePoint.from_record(json.loads(record)) for (record,) in rows]

    def active_site(self, service: str) -> str:
        """Where a service runs: `primary` until an event says otherwise."""
        rows = self._read("SELECT site FROM active_sites WHERE service = ?", (service,))
        return str(rows[0][0]) if rows else "primary"

    # -- proof -----------------------------------------------------------------------------------------------------

    def verify(self, run: str) -> None:
        """Recompute a run's chain. IntegrityError names the first event that is not what was recorded."""
        row = self.run(run)
        broken = first_break(row.genesis, self.events(run))
        if broken is not None:
            raise IntegrityError(
                f"the ledger of run {run} was changed at event {broken}",
                where=str(self.path),
                hint="do not trust this run's figures; compare with a report printed earlier",
            )

    def rebuild_projections(self) -> None:
        """Throw the projections away and make them again from the events."""
        with self._transaction():
            for table in _PROJECTIONS:
                self.database.execute(f"DELETE FROM {table}")  # the names are this module's own
            for row in self.database.execute(f"SELECT {_EVENT_COLUMNS} FROM events ORDER BY position").fetchall():
                self._project(_event(row))


def _event(row: tuple[str, int, str, str, str, str, str]) -> Event:
    run, sequence, at, type_, body, previous, hash_ = row
    return Event(run, sequence, at, type_, json.loads(body), previous, hash_)


def _run_row(row: tuple[str, str, str, str, str, str | None, str | None, str | None, int | None]) -> RunRow:
    run, kind, genesis, services, opened_at, closed_at, outcome, verdict, exit_code = row
    return RunRow(run, kind, genesis, tuple(json.loads(services)), opened_at, closed_at, outcome, verdict, exit_code)


def _ledger_error(path: Path, error: Exception) -> DrpError:
    text = str(error)
    if "locked" in text:
        return BusyError("the ledger is being written by others", where=str(path), hint="try again in a minute")
    if "malformed" in text or "not a database" in text:
        return IntegrityError("the ledger is damaged", where=str(path), hint="restore it from a copy; do not repair it")
    return DrpError(f"the ledger cannot be used: {text}", where=str(path), hint="check the disk and the permissions")
