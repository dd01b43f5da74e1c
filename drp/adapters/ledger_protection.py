"""Reads what the ledger's projections know of the protection of services: a few index seeks for each, no record."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from drp.domain.backups.record import BackupState, DatasetSize, Proof
from drp.domain.protection.facts import BadCheck, Facts, Held, History, LastCheck, PartRead, Preflight
from drp.domain.values import from_stamp, to_stamp

Read = Callable[[str, tuple[object, ...]], list[Any]]

_LEVELS = ("error", "warning")
_GROWTH_OVER = timedelta(days=7)
_ANY_TIME = ""

_NEWEST = """
SELECT dr_centre, id, sentinel_at, arrived_at, bytes FROM data_times
WHERE service = ? AND site = ? AND is_kept AND sentinel_at >= ? AND arrived_at <= ?
  AND NOT EXISTS (SELECT 1 FROM marks WHERE restore_point = id AND mark = 'distrusted')
ORDER BY sentinel_at DESC LIMIT 1
"""
_FIRST = "SELECT sentinel_at FROM data_times WHERE service = ? AND was_active ORDER BY sentinel_at LIMIT 1"
_LAST = "SELECT sentinel_at FROM data_times WHERE service = ? AND was_active ORDER BY sentinel_at DESC LIMIT 1"
_WORST = "SELECT max(gap_ms), max(loss_ms) FROM data_times WHERE service = ? AND sentinel_at >= ?"
_EARLIER = """
SELECT sentinel_at, bytes FROM data_times WHERE service = ? AND was_active AND sentinel_at <= ?
ORDER BY sentinel_at DESC LIMIT 1
"""
_COPY = """
SELECT dr_centre, restore_point, sentinel_at, arrived_at, bytes FROM copies
WHERE service = ? AND dr_centre = ? AND site = ? AND sentinel_at >= ? AND arrived_at <= ?
ORDER BY sentinel_at DESC LIMIT 1
"""
# Of each repository: its newest check (a bare column beside max() is of the row that has it).
_LAST_CHECKS = """
SELECT service, host, dr_centre, part, parts, max(checked_at), is_good FROM check_parts
GROUP BY service, host, dr_centre
"""
_READS = """
SELECT service, host, dr_centre, parts, count(*), min(checked_at), max(checked_at) FROM check_parts
WHERE is_good GROUP BY service, host, dr_centre, parts
"""
# A bad part stays until a later good check has read the same part, or the whole at once.
_BAD = """
SELECT service, host, dr_centre, part, parts, checked_at, run FROM check_parts AS bad
WHERE NOT is_good AND NOT EXISTS (
  SELECT 1 FROM check_parts AS good
  WHERE good.service = bad.service AND good.host = bad.host AND good.dr_centre = bad.dr_centre AND good.is_good
    AND good.checked_at > bad.checked_at
    AND (bad.parts = 0 OR good.parts = 1 OR (good.parts = bad.parts AND good.part = bad.part)))
"""
_SIZES = """
SELECT service, dataset, restore_point, sentinel_at, bytes, count, unit, usual_bytes, usual_count FROM dataset_sizes
"""


def read_facts(
    read: Read,
    copies_of: Mapping[str, tuple[str, ...]],
    sites: Mapping[str, tuple[str, datetime]],
    states: Mapping[str, BackupState],
    copy_states: Mapping[tuple[str, str], BackupState],
    restore_tests: Mapping[str, BackupState],
    proofs: Iterable[Proof],
    now: datetime,
    since: datetime,
) -> dict[str, Facts]:
    """The facts of the services that `copies_of` names, each with the other DR centres that it is copied to.

    `since` is where the window of the worst gap starts.
    """
    whole = len(copies_of) > 1  # one service's rows are few; of all, the tables are read in one go
    only = "" if whole or not copies_of else next(iter(copies_of))
    last_checks = _by_service(read, _LAST_CHECKS, only)
    reads = _by_service(read, _READS, only)
    bad = _by_service(read, _BAD, only)
    sizes = _by_service(read, _SIZES, only)
    preflights = _by_service(read, "SELECT service, purpose, at, findings FROM preflights", only)
    proved: dict[str, list[Proof]] = defaultdict(list)
    for proof in proofs:
        proved[proof.service].append(proof)
    present, start = to_stamp(now), to_stamp(since)
    found = {}
    for service, centres in copies_of.items():
        site, active_since = sites.get(service, ("primary", None))
        from_then = _ANY_TIME if active_since is None else to_stamp(active_since)
        newest = _held(read(_NEWEST, (service, site, from_then, present)))
        copies = {centre: _held(read(_COPY, (service, centre, site, from_then, present))) for centre in centres}
        attempts = {centre: copy_states.get((service, centre)) for centre in centres}
        found[service] = Facts(
            service=service,
            site=site,
            active_since=active_since,
            newest=newest,
            history=_history(read, service, start),
            earlier=_earlier(read, service, newest),
            copies={centre: held for centre, held in copies.items() if held is not None},
            copy_states={centre: state for centre, state in attempts.items() if state is not None},
            state=states.get(service),
            restore_test=restore_tests.get(service),
            last_checks=tuple(_last_check(*row) for row in last_checks[service]),
            reads=tuple(
                PartRead(host, centre, parts, count, from_stamp(oldest), from_stamp(latest))
                for host, centre, parts, count, oldest, latest in reads[service]
            ),
            bad_checks=tuple(
                BadCheck(host, centre, part, parts, from_stamp(at), run)
                for host, centre, part, parts, at, run in bad[service]
            ),
            proofs=tuple(proved[service]),
            sizes=tuple(_size(*row) for row in sizes[service]),
            preflights=tuple(_preflight(*row) for row in preflights[service]),
        )
    return found


def _by_service(read: Read, statement: str, only: str) -> defaultdict[str, list[Any]]:
    """The rows of a statement by their first column, the service."""
    if only:
        statement, parameters = f"SELECT * FROM ({statement}) WHERE service = ?", (only,)
    else:
        parameters = ()  # type: ignore[assignment]
    rows: defaultdict[str, list[Any]] = defaultdict(list)
    for service, *row in read(statement, parameters):
        rows[service].append(row)
    return rows


def _held(rows: list[Any]) -> Held | None:
    if not rows:
        return None
    centre, point, sentinel_at, arrived_at, size = rows[0]
    return Held(centre, point, from_stamp(sentinel_at), from_stamp(arrived_at), size or 0)


def _history(read: Read, service: str, start: str) -> History | None:
    first = read(_FIRST, (service,))
    if not first:
        return None
    gap, loss = read(_WORST, (service, start))[0]
    last = read(_LAST, (service,))
    return History(from_stamp(first[0][0]), from_stamp(last[0][0]), _duration(gap), _duration(loss))


def _earlier(read: Read, service: str, newest: Held | None) -> tuple[datetime, int] | None:
    if newest is None:
        return None
    rows = read(_EARLIER, (service, to_stamp(newest.sentinel_at - _GROWTH_OVER)))
    return (from_stamp(rows[0][0]), rows[0][1]) if rows else None


def _preflight(purpose: str, at: str, findings: str) -> Preflight:
    problems = [(item["level"], item["text"]) for item in json.loads(findings) if item["level"] in _LEVELS]
    return Preflight(purpose, from_stamp(at), tuple(sorted(problems)))


def _last_check(host: str, centre: str, part: int, parts: int, at: str, good: int) -> LastCheck:
    return LastCheck(host, centre, part, parts, from_stamp(at), bool(good))


def _size(dataset: str, point: str, at: str, *amounts: Any) -> DatasetSize:
    return DatasetSize(dataset, point, from_stamp(at), *amounts)


def _duration(count: int | None) -> timedelta | None:
    return None if count is None else timedelta(milliseconds=count)
