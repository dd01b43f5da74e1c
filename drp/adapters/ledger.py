"""The ledger in SQLite: append-only, hash-chained per run, with projections written in the same transaction.

Events are the truth (`drp.domain.events`); the tables of `ledger_projections` only make common questions quick, and can
be rebuilt from the events at any time (`rebuild_projections`).
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from drp.adapters.ledger_projections import SCHEMA, TABLES, VERSION, project
from drp.adapters.ledger_protection import read_facts
from drp.domain.backups.record import (
    Arrival,
    BackupState,
    Copy,
    DataTimes,
    Deferral,
    Mark,
    Notice,
    Proof,
    RepositoryCheck,
)
from drp.domain.backups.restore_point import RestorePoint
from drp.domain.events import Body, Event, canonical_json, event_hash, first_break
from drp.domain.protection.facts import Facts
from drp.domain.values import from_stamp, to_stamp
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
"""
_EVENT_COLUMNS = "run, sequence, at, type, body, previous, hash"
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
            self._bring_projections_up_to_date()
        except (OSError, sqlite3.Error) as error:
            raise _ledger_error(path, error) from error

    def _bring_projections_up_to_date(self) -> None:
        """Another drp may have made the tables otherwise; the events say all that they hold."""
        if self.database.execute("PRAGMA user_version").fetchone()[0] != VERSION:
            self.rebuild_projections()

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

    def append_next(self, run: str, type_: str, body: Body, after: int) -> Event | None:
        """Add an event right behind the one of number `after`; None where another one stands there by now."""
        try:
            return self._append(run, type_, body, None, after)
        except _OvertakenError:
            return None

    def _append(self, run: str, type_: str, body: Body, genesis: str | None, after: int | None = None) -> Event:
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
            elif after is not None and last[0] != after:
                raise _OvertakenError
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
            project(self.database.execute, event)
        return event

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

    def runs(self, *, kinds: tuple[str, ...] = (), limit: int = 1000, only_open: bool = False) -> list[RunRow]:
        """Runs, newest first: all, or those that have not been closed."""
        conditions = [f"kind IN ({', '.join('?' * len(kinds))})"] if kinds else []
        conditions += ["closed_at IS NULL"] if only_open else []
        condition = f"WHERE {' AND '.join(conditions)}" if conditions else ""
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

    def stranded(self, service: str) -> list[RestorePoint]:
        """What failbacks have kept of what lay at the old primary, newest first. Nothing recovers from it by itself."""
        rows = self._read(
            "SELECT record FROM stranded_points WHERE service = ? ORDER BY sentinel_at DESC LIMIT 1000", (service,)
        )
        return [RestorePoint.from_record(json.loads(record)) for (record,) in rows]

    def active_site(self, service: str) -> str:
        """Where a service runs: `primary` until an event says otherwise."""
        rows = self._read("SELECT site FROM active_sites WHERE service = ?", (service,))
        return str(rows[0][0]) if rows else "primary"

    def arrivals(self, service: str = "", since: datetime | None = None) -> list[Arrival]:
        """Restore points in short, oldest first: of one service or of all, with data from `since` on."""
        rows = self._read(
            "SELECT id, service, site, dr_centre, sentinel_at, arrived_at, bytes FROM restore_points"
            " WHERE (? = '' OR service = ?) AND sentinel_at >= ? ORDER BY service, sentinel_at",
            (service, service, "" if since is None else to_stamp(since)),
        )
        return [Arrival(row[0], row[1], row[2], row[3], from_stamp(row[4]), from_stamp(row[5]), row[6]) for row in rows]

    def backup_states(self, kind: str = "backup") -> dict[str, BackupState]:
        """How the backups of each service stand that was ever tried, or its runs of another scheduled kind; for copies,
        see `copy_states`."""
        return {service: state for (service, _), state in self._states(kind).items()}

    def copy_states(self) -> dict[tuple[str, str], BackupState]:
        """How the copies of each service to each DR centre stand."""
        return self._states("copy")

    def _states(self, kind: str) -> dict[tuple[str, str], BackupState]:
        rows = self._read(
            "SELECT service, dr_centre, last_run, opened_at, is_open, outcome, due_at, done_at, done_due_at, failures,"
            " closed_at, done_opened_at FROM backup_states WHERE kind = ?",
            (kind,),
        )
        return {
            (row[0], row[1]): BackupState(
                row[0],
                row[2],
                from_stamp(row[3]),
                bool(row[4]),
                row[5],
                _stamp(row[6]),
                _stamp(row[7]),
                _stamp(row[8]),
                row[9],
                _stamp(row[10]),
                _stamp(row[11]),
            )
            for row in rows
        }

    def deferrals(self) -> list[Deferral]:
        """The tasks of the schedule that were due and could not begin."""
        rows = self._read("SELECT service, kind, dr_centre, moment, at, count, reason FROM deferrals", ())
        return [
            Deferral(row[0], row[1], row[2], from_stamp(row[3]), from_stamp(row[4]), row[5], row[6]) for row in rows
        ]

    def active_sites(self) -> dict[str, tuple[str, datetime]]:
        """Where the services run that were ever moved, and since when."""
        rows = self._read("SELECT service, site, since FROM active_sites", ())
        return {service: (site, from_stamp(since)) for service, site, since in rows}

    def data_times(self) -> list[DataTimes]:
        """From when the data is that services have at their DR centre, by the site that wrote it."""
        rows = self._read(
            "SELECT service, site, min(sentinel_at), max(sentinel_at) FROM restore_points GROUP BY service, site", ()
        )
        return [DataTimes(service, site, from_stamp(old), from_stamp(new)) for service, site, old, new in rows]

    def copies(self, service: str = "") -> list[Copy]:
        """Restore points that have arrived at other DR centres too, oldest first."""
        rows = self._read(
            "SELECT restore_point, service, dr_centre, arrived_at FROM copies WHERE ? = '' OR service = ?"
            " ORDER BY arrived_at",
            (service, service),
        )
        return [Copy(row[0], row[1], row[2], from_stamp(row[3])) for row in rows]

    def proofs(self, service: str = "") -> list[Proof]:
        """The newest proof of each dataset in each way."""
        rows = self._read(
            "SELECT service, dataset, how, restore_point, proved_at, run, declaration FROM proofs"
            " WHERE ? = '' OR service = ? ORDER BY proved_at",
            (service, service),
        )
        return [Proof(row[0], row[1], row[2], row[3], from_stamp(row[4]), row[5], row[6]) for row in rows]

    def checks(self, service: str = "", since: datetime | None = None) -> list[RepositoryCheck]:
        """Checks of repositories, oldest first."""
        rows = self._read(
            "SELECT service, host, dr_centre, checked_at, part, parts, is_good, run FROM checks"
            " WHERE (? = '' OR service = ?) AND checked_at >= ? ORDER BY checked_at",
            (service, service, "" if since is None else to_stamp(since)),
        )
        return [
            RepositoryCheck(row[0], row[1], row[2], from_stamp(row[3]), row[4], row[5], bool(row[6]), row[7])
            for row in rows
        ]

    def notices(self) -> dict[str, Notice]:
        """What people were told of, by key."""
        rows = self._read("SELECT key, state, since, told_at FROM notices", ())
        return {row[0]: Notice(row[0], row[1], from_stamp(row[2]), _stamp(row[3])) for row in rows}

    def marks(self, service: str = "") -> list[Mark]:
        """What holds of restore points, such as a legal hold, oldest first."""
        rows = self._read(
            "SELECT restore_point, service, mark, reason, by, since FROM marks WHERE ? = '' OR service = ?"
            " ORDER BY since, restore_point",
            (service, service),
        )
        return [Mark(row[0], row[1], row[2], row[3], row[4], from_stamp(row[5])) for row in rows]

    def protection(self, copies_of: Mapping[str, tuple[str, ...]], now: datetime, since: datetime) -> dict[str, Facts]:
        """What is known of the protection of these services, each with the other DR centres that it is copied to."""
        only = next(iter(copies_of)) if len(copies_of) == 1 else ""
        states, restore_tests = self.backup_states(), self.backup_states("restore-test")
        sites, proofs = self.active_sites(), self.proofs(only)
        copy_states = self.copy_states() if any(copies_of.values()) else {}
        return read_facts(self._read, copies_of, sites, states, copy_states, restore_tests, proofs, now, since)

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
            for table in TABLES:
                self.database.execute(f"DROP TABLE IF EXISTS {table}")
            for statement in filter(str.strip, SCHEMA.split(";")):
                self.database.execute(statement)
            # One by one: a ledger of years is larger than the memory that drp should take.
            for row in self.database.execute(f"SELECT {_EVENT_COLUMNS} FROM events ORDER BY position"):
                project(self.database.execute, _event(row))
            self.database.execute(f"PRAGMA user_version = {VERSION}")


class _OvertakenError(Exception):
    """Somebody else has added an event first."""


def _event(row: tuple[str, int, str, str, str, str, str]) -> Event:
    run, sequence, at, type_, body, previous, hash_ = row
    return Event(run, sequence, at, type_, json.loads(body), previous, hash_)


def _stamp(text: str | None) -> datetime | None:
    return None if text is None else from_stamp(text)


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
