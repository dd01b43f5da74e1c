"""Databases that are dated by a query for their newest transaction, in the place of drp's own record in them."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from drp.domain.backups.restore_point import RestorePoint
from drp.domain.datasets import DatasetType, Scratch, read_dataset
from drp.domain.recovery.verification import check_restored, newest_transaction
from drp.domain.values import from_stamp
from tests.e2e.workbench import free_port
from tests.fakes.city import make_restore_point
from tests.integration.dataset_bench import HOST, Bench, JobFailed, mariadb, postgresql, s3_server

pytestmark = pytest.mark.integration

NEWEST = "2026-11-20T07:00:00.250000Z"


class Database:
    """A server with a database `shop`, and how it is asked."""

    def __init__(self, type_: str, options: dict[str, object], client: list[str]) -> None:
        self.type, self.options, self.client = type_, options, client

    def dataset(self, freshness: str) -> DatasetType:
        declared = {"type": self.type, "id": "database", "host": HOST, "database": "shop", "freshness": freshness}
        return read_dataset(declared | self.options)

    def ask(self, statement: str, database: str = "shop") -> str:
        done = subprocess.run([*self.client, database], input=statement, capture_output=True, text=True, check=True)
        return done.stdout.strip()


@pytest.fixture(scope="module", params=["postgresql", "mariadb"])
def database(request: pytest.FixtureRequest) -> Iterator[Database]:
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        Path(name).chmod(0o755)
        if request.param == "postgresql":
            port = free_port()
            client = [
                "runuser",
                "-u",
                "postgres",
                "--",
                "psql",
                "-XqAt",
                "-v",
                "ON_ERROR_STOP=1",
                "-p",
                str(port),
                "-d",
            ]
            with postgresql(Path(name) / "postgresql", port):
                found = Database("postgresql", {"port": port}, client)
                found.ask("CREATE DATABASE shop", "postgres")
                found.ask("CREATE TABLE sales (at timestamptz, here timestamp)")
                yield found
            return
        with mariadb(Path(name)) as socket:
            found = Database("mariadb", {"socket": str(socket)}, ["mariadb", "--no-defaults", f"--socket={socket}"])
            found.ask("CREATE DATABASE shop", "mysql")
            found.ask("CREATE TABLE sales (at TIMESTAMP(6) NULL, here DATETIME(6))")
            yield found


@pytest.fixture
def bench(database: Database) -> Iterator[Bench]:
    stamp = "2026-11-20 07:00:00.25" + ("+00" if database.type == "postgresql" else "")
    zone = "" if database.type == "postgresql" else "SET time_zone = '+00:00'; "
    database.ask("DELETE FROM sales")
    database.ask(f"{zone}INSERT INTO sales VALUES ('{stamp}', NOW() + INTERVAL {in_seven_hours(database)})")
    with tempfile.TemporaryDirectory(dir="/var/tmp", prefix="drp-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "programs").mkdir()
        restic = Path(shutil.which("restic") or "")
        (folder / "programs/restic").symlink_to(restic)
        with s3_server(folder / "data") as address:
            yield Bench(folder, restic, f"s3:{address}/drp/{folder.name}")


def in_seven_hours(database: Database) -> str:
    return "'7 hours'" if database.type == "postgresql" else "7 HOUR"


@pytest.mark.parametrize("scratch", [None, "drp_scratch_1"])
def test_the_newest_transaction_dates_the_data_and_nothing_is_written_into_it(
    database: Database, bench: Bench, scratch: str | None
) -> None:
    dataset = database.dataset("SELECT max(at) FROM sales")
    place = Scratch(scratch, str(bench.folder / "scratch")) if scratch else None
    result = bench.back_up(dataset)
    assert result["content"]["database"]["newest_at"] == NEWEST
    # What comes after the backup is lost, and does not date what was recovered.
    database.ask("INSERT INTO sales VALUES (NOW(), NULL)")
    found = bench.restore(dataset, place)
    assert found["sentinel"] == {"newest_at": NEWEST}
    point = as_point(dataset, result)
    restored = {"parts": result["parts"], "datasets": {"database": found}}
    checks = check_restored(point, ["database"], restored | {"parts": []})
    assert [(check.check, check.ok) for check in checks if check.check == "freshness"] == [("freshness", True)]
    assert newest_transaction(point, restored) == from_stamp(NEWEST)
    assert "sentinel" not in database.ask(
        "SELECT table_name FROM information_schema.tables WHERE table_name LIKE '%sentinel%'"
    )
    if place:
        bench.remove(dataset, place)


def as_point(dataset: DatasetType, result: dict[str, object]) -> RestorePoint:
    record = make_restore_point().record()
    content = result["content"]
    clocks = {HOST: {"offset_ms": 0, "uncertainty_ms": 20}}
    return RestorePoint.from_record(
        record | {"datasets": {"database": dataset.mechanics()}, "content": content, "clocks": clocks, "snapshots": []}
    )


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("SELECT max(at) FROM sales WHERE at IS NULL", "which is no ISO 8601 time"),
        ("SELECT 'yesterday'", "which is no ISO 8601 time|does not exist"),
        ("SELECT max(at) FROM nothing", "nothing"),
        ("SELECT max(here) FROM sales", "timestamp without time zone|is not in UTC"),
    ],
)
def test_what_tells_no_time_fails_the_backup(database: Database, bench: Bench, query: str, says: str) -> None:
    """Also a time without its zone, that would make the data look newer than it is."""
    with pytest.raises(JobFailed, match=says):
        bench.back_up(database.dataset(query))
