"""The ledger: nothing can be changed or lost, and whoever tries is seen."""

from __future__ import annotations

import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from drp.adapters.ledger import SqliteLedger
from drp.domain.events import hash_of
from drp.errors import BusyError, DrpError, IntegrityError, UsageError
from tests.fakes.city import make_restore_point
from tests.fakes.clock import FakeClock

GENESIS = hash_of({"plan": 1})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "var" / "ledger.sqlite3"


@pytest.fixture
def ledger(path: Path) -> Iterator[SqliteLedger]:
    found = SqliteLedger(path, FakeClock().now)
    yield found
    found.close()


def fill(ledger: SqliteLedger) -> None:
    for run, kind in (("backup-1", "backup"), ("failover-1", "failover"), ("backup-2", "backup")):
        ledger.open_run(run, kind, GENESIS, ["pengaduan"], {"plan": {"x": "é"}})
    ledger.append("backup-1", "restore_point.recorded", make_restore_point().record())
    ledger.append("backup-1", "run.closed", {"outcome": "done", "exit_code": 0})
    ledger.append("failover-1", "site.activated", {"service": "pengaduan", "site": "recovery"})
    ledger.append("failover-1", "run.closed", {"outcome": "done", "exit_code": 4, "verdict": "NOT_MET"})


def projections(ledger: SqliteLedger) -> list[object]:
    tables = ("runs", "restore_points", "active_sites")
    return [ledger.database.execute(f"SELECT * FROM {table} ORDER BY 1").fetchall() for table in tables]


def test_events_read_back_in_order_and_their_chain_is_whole(ledger: SqliteLedger) -> None:
    fill(ledger)
    events = ledger.events("failover-1")
    assert [(event.sequence, event.type) for event in events] == [
        (1, "run.opened"),
        (2, "site.activated"),
        (3, "run.closed"),
    ]
    assert events[0].body["plan"] == {"x": "é"}
    assert ledger.events("failover-1", after=2) == events[2:]
    for run in ("backup-1", "failover-1", "backup-2"):
        ledger.verify(run)


def test_what_is_quick_to_read_says_what_the_events_say(ledger: SqliteLedger) -> None:
    fill(ledger)
    assert [row.run for row in ledger.runs()] == ["backup-2", "failover-1", "backup-1"]
    assert [row.run for row in ledger.runs(kinds=("failover", "drill"))] == ["failover-1"]
    assert [row.run for row in ledger.runs(limit=1)] == ["backup-2"]
    row = ledger.run("failover-1")
    assert (row.outcome, row.verdict, row.exit_code, row.services) == ("done", "NOT_MET", 4, ("pengaduan",))
    assert ledger.run("backup-2").closed_at is None
    assert ledger.restore_points("pengaduan") == [make_restore_point()]
    assert (ledger.active_site("pengaduan"), ledger.active_site("identitas")) == ("recovery", "primary")


def test_projections_made_again_are_the_same(ledger: SqliteLedger) -> None:
    fill(ledger)
    before = projections(ledger)
    for table in ("runs", "restore_points", "active_sites"):
        ledger.database.execute(f"DELETE FROM {table}")
    ledger.rebuild_projections()
    assert projections(ledger) == before
    assert all(before)


def test_a_new_lab_forgets_what_the_old_one_backed_up(ledger: SqliteLedger) -> None:
    fill(ledger)
    ledger.open_run("lab-1", "lab", GENESIS, ["pengaduan"], {})
    ledger.append("lab-1", "lab.built", {"services": ["pengaduan"]})
    assert ledger.restore_points("pengaduan") == []
    assert ledger.active_site("pengaduan") == "primary"


@pytest.mark.parametrize(
    "statement", ["UPDATE events SET body = '{}'", "DELETE FROM events", "UPDATE events SET hash = ''"]
)
def test_nothing_can_be_changed_or_removed(ledger: SqliteLedger, path: Path, statement: str) -> None:
    fill(ledger)
    with closing(sqlite3.connect(path)) as other, pytest.raises(sqlite3.IntegrityError, match="append-only"):
        other.execute(statement)


def tamper(path: Path, *statements: str) -> None:
    """Do what somebody with the file and enough knowledge would do."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("DROP TRIGGER events_never_change")
        other.execute("DROP TRIGGER events_never_go")
        for statement in statements:
            other.execute(statement)


@pytest.mark.parametrize(
    ("statement", "at"),
    [
        ("UPDATE events SET body = replace(body, 'recovery', 'primary') WHERE run = 'failover-1' AND sequence = 2", 2),
        ("UPDATE events SET body = '{\"a\":1.5}' WHERE run = 'failover-1' AND sequence = 2", 2),
        ("UPDATE events SET body = 'no json' WHERE run = 'failover-1' AND sequence = 2", None),
        ("UPDATE events SET at = '2026-01-01T00:00:00.000000Z' WHERE run = 'failover-1' AND sequence = 3", 3),
        ("UPDATE events SET type = 'mark' WHERE run = 'failover-1' AND sequence = 3", 3),
        ("DELETE FROM events WHERE run = 'failover-1' AND sequence = 2", 2),
        ("DELETE FROM events WHERE run = 'failover-1' AND sequence = 1", 1),
        ("UPDATE runs SET genesis = 'zz' WHERE run = 'failover-1'", 1),
    ],
)
def test_a_row_edited_behind_its_back_is_found(
    ledger: SqliteLedger, path: Path, statement: str, at: int | None
) -> None:
    fill(ledger)
    tamper(path, statement)
    with pytest.raises(IntegrityError) as caught:
        ledger.verify("failover-1")
    assert at is None or f"at event {at}" in str(caught.value)
    ledger.verify("backup-1")


def test_a_closed_run_takes_nothing_more(ledger: SqliteLedger) -> None:
    fill(ledger)
    with pytest.raises(UsageError, match="closed"):
        ledger.append("backup-1", "mark", {})
    assert len(ledger.events("backup-1")) == 3


def test_a_run_that_does_not_exist_is_told(ledger: SqliteLedger) -> None:
    for call in (lambda: ledger.append("gone", "mark", {}), lambda: ledger.run("gone"), lambda: ledger.verify("gone")):
        with pytest.raises(UsageError, match="no run gone"):
            call()


def test_a_run_is_opened_once(ledger: SqliteLedger) -> None:
    fill(ledger)
    with pytest.raises(BusyError):
        ledger.open_run("backup-1", "backup", GENESIS, [], {})


def test_an_event_that_cannot_be_hashed_leaves_no_trace(ledger: SqliteLedger) -> None:
    fill(ledger)
    with pytest.raises(TypeError):
        ledger.append("backup-2", "mark", {"seconds": 1.5})
    assert len(ledger.events("backup-2")) == 1
    ledger.append("backup-2", "mark", {"ms": 1500})
    ledger.verify("backup-2")


def test_a_restore_point_recorded_again_after_a_crash_is_one_restore_point(ledger: SqliteLedger) -> None:
    fill(ledger)
    ledger.append("backup-2", "restore_point.recorded", make_restore_point().record())
    assert ledger.restore_points("pengaduan") == [make_restore_point()]


WRITER = """\
import sys
from datetime import UTC, datetime
from pathlib import Path
from drp.adapters.ledger import SqliteLedger
ledger = SqliteLedger(Path(sys.argv[1]), lambda: datetime.now(UTC))
ledger.open_run(sys.argv[2], "backup", "0" * 64, [], {})
print("open", flush=True)
sys.stdin.readline()
for number in range(40):
    ledger.append(sys.argv[2], "mark", {"number": number})
"""


def test_two_processes_that_write_at_once_lose_nothing(path: Path) -> None:
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, path, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for name in ("run-1", "run-2")
    ]
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"open\n"
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write(b"\n")
        writer.stdin.flush()
    for writer in writers:
        writer.communicate(timeout=60)
        assert writer.returncode == 0
    with closing(SqliteLedger(path, FakeClock().now)) as ledger:
        for name in ("run-1", "run-2"):
            ledger.verify(name)
            assert [event.body.get("number") for event in ledger.events(name)[1:]] == list(range(40))


def test_the_file_is_for_its_user_alone(ledger: SqliteLedger, path: Path) -> None:
    fill(ledger)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    for beside in path.parent.iterdir():
        assert stat.S_IMODE(beside.stat().st_mode) == 0o600, beside


def test_a_file_that_is_no_ledger_is_damage_and_no_traceback(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"This is no database at all. " * 200)
    with pytest.raises(IntegrityError, match="damaged"):
        SqliteLedger(path, FakeClock().now)


def test_a_file_damaged_in_its_middle_is_damage_and_no_traceback(path: Path) -> None:
    with closing(SqliteLedger(path, FakeClock().now)) as ledger:
        ledger.open_run("run-1", "backup", GENESIS, [], {})
        for number in range(300):
            ledger.append("run-1", "mark", {"text": "x" * 200, "number": number})
    content = bytearray(path.read_bytes())
    for start in range(40 * 4096, len(content) - 4096, 4096):  # behind the list of tables
        content[start : start + 4096] = b"\xff" * 4096
    path.write_bytes(content)
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    with closing(SqliteLedger(path, FakeClock().now)) as ledger:
        for call in (lambda: ledger.events("run-1"), lambda: ledger.verify("run-1")):
            with pytest.raises(IntegrityError, match="damaged"):
                call()


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "var").write_text("a file where a folder should be")
    with pytest.raises(DrpError, match="cannot be used"):
        SqliteLedger(tmp_path / "var" / "ledger.sqlite3", FakeClock().now)
