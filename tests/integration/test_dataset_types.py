"""Each dataset type with its real server and both restics: backed up, destroyed, restored, compared; restored into a
scratch place beside the original; and a dump that fails leaves no snapshot."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from drp.domain.datasets import (
    CommandDataset,
    FilesDataset,
    GitDataset,
    MariadbDataset,
    OpenldapDataset,
    PostgresqlClusterDataset,
    PostgresqlDataset,
    RedisDataset,
    Scratch,
    SqliteDataset,
)
from tests.e2e.workbench import eventually, free_port
from tests.integration.dataset_bench import (
    HOST,
    Bench,
    JobFailed,
    Stoppable,
    mariadb,
    postgresql,
    s3_server,
    succeeds,
)
from tests.integration.test_restic_versions import fetch

pytestmark = pytest.mark.integration


def run(*argv: str | Path, stdin: str = "") -> str:
    done = subprocess.run(argv, input=stdin, check=False, capture_output=True, text=True, errors="surrogateescape")
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module", params=["0.14", "0.18"])
def restic(request: pytest.FixtureRequest) -> Iterator[Path]:
    """Debian 12's restic, and Debian 13's."""
    if request.param == "0.14":
        found = Path(shutil.which("restic") or "")
        if not run(found, "version").startswith("restic 0.14"):
            pytest.skip("this machine's restic is another one")
        yield found
        return
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        try:
            (Path(folder) / "restic").write_bytes(fetch(Path(folder)))
        except (OSError, subprocess.SubprocessError) as error:
            pytest.skip(f"Debian 13's restic cannot be had here: {type(error).__name__}")
        (Path(folder) / "restic").chmod(0o755)
        yield Path(folder) / "restic"


@pytest.fixture(scope="module")
def s3(restic: Path) -> Iterator[str]:
    del restic  # a server of its own for each
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder, s3_server(Path(folder) / "data") as address:
        yield address


@pytest.fixture
def folder() -> Iterator[Path]:
    """Not in pytest's own: it is below folders that other accounts cannot enter."""
    with tempfile.TemporaryDirectory(dir="/var/tmp", prefix="drp-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture
def bench(folder: Path, restic: Path, s3: str) -> Bench:
    (folder / "programs").mkdir()
    (folder / "programs/restic").symlink_to(restic)
    return Bench(folder, restic, f"s3:{s3}/drp/{folder.name}")


# -- PostgreSQL ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def database_port() -> Iterator[int]:
    port = free_port()
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        Path(name).chmod(0o755)
        with postgresql(Path(name) / "postgresql", port):
            yield port


def psql(port: int, statement: str, database: str = "postgres") -> str:
    options = ["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-p", str(port), "-d", database]
    return run("runuser", "-u", "postgres", "--", "psql", *options, stdin=statement)


def roles(port: int) -> str:
    return psql(
        port,
        "SELECT rolname, rolsuper, rolcanlogin, rolconnlimit, rolpassword, rolvaliduntil,"
        " shobj_description(oid, 'pg_authid') FROM pg_authid WHERE rolname !~ '^pg_' ORDER BY 1;"
        "SELECT roleid::regrole, member::regrole, admin_option FROM pg_auth_members ORDER BY 1, 2;"
        "SELECT setrole::regrole, setconfig FROM pg_db_role_setting WHERE setdatabase = 0 ORDER BY 1;",
    )


DATABASE = """
CREATE ROLE "the owner'$drp$" LOGIN PASSWORD 'first' CONNECTION LIMIT 7 VALID UNTIL '2031-01-01';
CREATE ROLE readers;
CREATE ROLE clerk LOGIN PASSWORD 'clerk' IN ROLE readers;
CREATE ROLE stranger LOGIN PASSWORD 'stranger';
GRANT pg_read_all_stats TO clerk WITH ADMIN OPTION;
ALTER ROLE clerk SET search_path = 'first, second', public;
CREATE DATABASE shop OWNER "the owner'$drp$";
\\c shop
CREATE TABLE complaints (id serial PRIMARY KEY, text text);
ALTER TABLE complaints OWNER TO "the owner'$drp$";
INSERT INTO complaints (text) SELECT repeat('keluhan ' || n, 50) FROM generate_series(1, 2000) AS n;
CREATE TABLE "naïve table" (at timestamptz DEFAULT now()); INSERT INTO "naïve table" DEFAULT VALUES;
ALTER TABLE complaints ENABLE ROW LEVEL SECURITY;
CREATE POLICY mine ON complaints TO readers USING (true);
GRANT SELECT ON complaints TO readers;
SELECT lo_from_bytea(4711, 'a large object');
"""


def forget_database(port: int) -> None:
    psql(
        port,
        "DROP DATABASE IF EXISTS shop WITH (FORCE);\nDROP DATABASE IF EXISTS drp_scratch_1 WITH (FORCE);\n"
        'DROP ROLE IF EXISTS "the owner\'$drp$", clerk, readers, stranger, keeper;',
    )


@pytest.fixture
def shop(database_port: int) -> Iterator[int]:
    psql(database_port, DATABASE)
    yield database_port
    forget_database(database_port)


def dump_of(port: int, database: str) -> str:
    argv = ["runuser", "-u", "postgres", "--", "pg_dump", "-p", str(port), "-d", database]
    lines = run(*argv).splitlines()
    return "\n".join(line for line in lines if not line.startswith(("\\restrict", "\\unrestrict")))


def test_a_postgresql_database_comes_back_with_its_roles(bench: Bench, shop: int) -> None:
    dataset = PostgresqlDataset(type="postgresql", id="database", host=HOST, database="shop", port=shop)
    result = bench.back_up(dataset)
    assert result["content"]["database"]["rows"] == {"public.complaints": 2000, "public.naïve table": 1}
    assert result["tools"]["server of database"].startswith("15")
    before, roles_before = dump_of(shop, "shop"), roles(shop)
    forget_database(shop)
    psql(shop, "CREATE ROLE clerk LOGIN PASSWORD 'of the recovery site'")
    kept = psql(shop, "SELECT rolpassword FROM pg_authid WHERE rolname = 'clerk'")
    bench.restore(dataset)
    assert dump_of(shop, "shop") == before
    now = roles(shop)
    assert [line for line in roles_before.splitlines() if not line.startswith(("stranger", "clerk|f"))] == [
        line for line in now.splitlines() if not line.startswith("clerk|f")
    ]
    assert psql(shop, "SELECT rolpassword FROM pg_authid WHERE rolname = 'clerk'") == kept, "it keeps its password"
    assert bench.remove(dataset) == []
    bench.restore_by_hand(dataset)
    assert dump_of(shop, "shop") == before


def test_a_postgresql_database_is_restored_beside_itself(bench: Bench, shop: int) -> None:
    dataset = PostgresqlDataset(type="postgresql", id="database", host=HOST, database="shop", port=shop)
    scratch = Scratch("drp_scratch_1", str(bench.folder / "scratch"))
    bench.back_up(dataset)
    original = dump_of(shop, "shop")
    psql(shop, "REVOKE readers FROM clerk; ALTER ROLE clerk NOLOGIN PASSWORD 'changed'")
    before = roles(shop)
    bench.restore(dataset, scratch)
    assert dump_of(shop, "drp_scratch_1") == original
    assert (dump_of(shop, "shop"), roles(shop)) == (original, before)
    assert bench.found(dataset, scratch) != []
    assert bench.remove(dataset, scratch) == []
    assert (dump_of(shop, "shop"), roles(shop)) == (original, before)
    # Where the roles are not here, they are made for the time of the test, and nobody can use them.
    forget_database(shop)
    psql(shop, "CREATE ROLE keeper")
    before = roles(shop)
    bench.restore(dataset, scratch)
    assert "the owner'$drp$|f|f|-1|||drp scratch drp_scratch_1" in roles(shop)
    assert bench.remove(dataset, scratch) == []
    assert roles(shop) == before
    # A recovery that finds such a role makes it whole.
    bench.restore(dataset, scratch)
    bench.restore(dataset)
    assert "the owner'$drp$|f|t|7|SCRAM" in roles(shop)
    assert "drp scratch" not in roles(shop)


@pytest.mark.parametrize(
    ("program", "script", "says"),
    [
        ("pg_dump", '/usr/bin/pg_dump "$@" | head -c 20000; echo "pg_dump: error: canceled" >&2; exit 1', "canceled"),
        ("pg_dump", '/usr/bin/pg_dump "$@" | head -c 20000; kill -9 $$', "ended with"),
        ("psql", 'case "$*" in *pg_auth_members*) echo "DO 1;"; exit 0;; esac; exec /usr/bin/psql "$@"', "end of its"),
    ],
)
def test_a_dump_of_postgresql_that_fails_leaves_no_snapshot(
    bench: Bench, shop: int, program: str, script: str, says: str
) -> None:
    dataset = PostgresqlDataset(type="postgresql", id="database", host=HOST, database="shop", port=shop)
    bench.back_up(dataset)
    with bench.program(program, f"#!/bin/sh\n{script}\n"):
        bench.fails(dataset, "dump", says)
    bench.back_up(dataset)
    bench.restore(dataset)


def test_a_postgresql_that_is_down_is_told(bench: Bench) -> None:
    dataset = PostgresqlDataset(type="postgresql", id="database", host=HOST, database="shop", port=free_port())
    with pytest.raises(JobFailed, match="Is the server running"):
        bench.back_up(dataset)


# -- files -----------------------------------------------------------------------------------------------------------


LONG = "berkas-" + "x" * 240 + ".txt"


def make_tree(root: Path) -> None:
    """All that makes files hard to bring back."""
    (root / "a [b] *? \\c").mkdir(parents=True)
    (root / "a [b] *? \\c/inner").write_text("inner")
    (root / LONG).write_text("long")
    (root / "naïve – 漢字.txt").write_text("unicode")
    Path(os.fsdecode(os.fsencode(root) + b"/latin-\xe9.txt")).write_text("bytes that are no UTF-8")
    deep = root.joinpath(*(f"folder-{n}" for n in range(60)))
    deep.mkdir(parents=True)
    (deep / "file").write_text("deep")
    with (root / "sparse").open("wb") as file:
        file.truncate(50_000_000)
        file.seek(40_000_000)
        file.write(b"island")
    (root / "one").write_text("linked")
    os.link(root / "one", root / "two")
    (root / "dangling").symlink_to("/no/such/place")
    os.mkfifo(root / "pipe")
    (root / "owned").write_text("owned")
    os.chown(root / "owned", 1234, 4321)
    (root / "owned").chmod(0o4750)
    run("setfacl", "-m", "u:1234:rwx,g:4321:r", root / "owned")
    run("setfacl", "-d", "-m", "u:1234:rx", root / "a [b] *? \\c")
    run("setfattr", "-n", "user.origin", "-v", "city hall", root / "owned")
    os.utime(root / "owned", ns=(1_000_000_000_123_456_789, 1_000_000_000_123_456_789))


def described(root: Path) -> str:
    """Names, kinds, modes, owners, times, links, contents, ACLs and attributes of a tree."""
    listing = run("sh", "-c", 'cd "$1" && find . -printf "%p|%y|%m|%U|%G|%s|%T@|%l|%n\\n" | LC_ALL=C sort', "sh", root)
    sums = run("sh", "-c", 'cd "$1" && find . -type f -exec sha256sum {} + | LC_ALL=C sort', "sh", root)
    lists = run("sh", "-c", 'cd "$1" && find . -print0 | LC_ALL=C sort -z | xargs -0 getfacl -npP', "sh", root)
    attributes = run("sh", "-c", 'cd "$1" && getfattr -R -P -h -d -m ^user .', "sh", root)
    return f"{listing}\n{sums}\n{lists}\n{attributes}"


@pytest.fixture
def tree(folder: Path) -> Path:
    root = folder / "data [1] ä\\*"
    make_tree(root)
    (folder / "data 1 ä").mkdir()
    (folder / "data 1 ä/other").write_text("not this dataset's, though a pattern would match it")
    return root


def test_files_come_back_as_they_were(bench: Bench, tree: Path) -> None:
    dataset = FilesDataset(type="files", id="files", host=HOST, paths=(str(tree), str(bench.folder / "single ?")))
    (bench.folder / "single ?").write_text("a single file")
    bench.back_up(dataset)
    before = described(tree)
    (tree / "later").write_text("what came after the restore point must not survive")
    (tree / "owned").write_text("changed")
    (bench.folder / "single ?").write_text("changed")
    bench.restore(dataset)
    assert described(tree) == before
    assert (bench.folder / "single ?").read_text() == "a single file"
    if "0.14" not in bench.points[-1]["tools"]["restic"]:
        assert (tree / "sparse").stat().st_blocks * 512 < 20_000_000, "the holes were filled"
    (tree / "later").write_text("what came after the restore point must not survive")
    bench.restore_by_hand(dataset)
    assert described(tree) == before
    assert (bench.folder / "single ?").read_text() == "a single file"
    assert bench.remove(dataset) == []
    assert (bench.folder / "data 1 ä/other").exists()


def test_files_are_restored_beside_themselves(bench: Bench, tree: Path) -> None:
    dataset = FilesDataset(type="files", id="files", host=HOST, paths=(str(tree),))
    scratch = Scratch("drp_scratch_1", str(bench.folder / "scratch [x]/1"))
    bench.back_up(dataset)
    original = described(tree)
    (tree / "later").write_text("later")
    changed = described(tree)
    for _ in range(2):  # a second test restore begins anew
        bench.restore(dataset, scratch)
        assert described(Path(scratch.folder + str(tree))) == original
    assert described(tree) == changed
    assert bench.remove(dataset, scratch) == []
    assert not Path(scratch.folder).exists()
    assert described(tree) == changed


def test_excluded_files_stay_behind(bench: Bench, tree: Path) -> None:
    plain = bench.folder / "plain"
    (plain / "cache/deep").mkdir(parents=True)
    (plain / "cache/deep/x").write_text("x")
    (plain / "kept").write_text("kept")
    dataset = FilesDataset(type="files", id="files", host=HOST, paths=(str(plain),), excludes=(str(plain / "cache/*"),))
    bench.back_up(dataset)
    (plain / "kept").write_text("changed")
    bench.restore(dataset)
    assert (plain / "kept").read_text() == "kept"
    assert (plain / "cache/deep/x").read_text() == "x", "what backups leave out stays where it is"
    shutil.rmtree(plain)
    bench.restore(dataset)
    assert (plain / "kept").read_text() == "kept"
    assert list((plain / "cache").iterdir()) == [], "and is in no snapshot"


def test_a_file_that_vanishes_meanwhile_is_counted_and_does_not_spoil_the_rest(bench: Bench) -> None:
    root = bench.folder / "busy"
    root.mkdir()
    for number in range(12):
        (root / f"large-{number}").write_bytes(os.urandom(20_000_000))
    (root / "vanishes").write_text("soon gone")
    (root / "vanishes-too").write_text("soon gone")
    dataset = FilesDataset(type="files", id="files", host=HOST, paths=(str(root),))
    procedure = dataset.procedure("example", "token-1")

    def remove(event: dict[str, object]) -> None:
        # The folder has been listed by then, and its last files wait behind the large ones.
        if event["event"] == "part.progress" and event["bytes"]:
            for path in root.glob("vanishes*"):
                path.unlink()

    result = bench.carry_out(bench.job("backup", [procedure]), during=remove)
    (part,) = result["parts"]
    if "0.14" in result["tools"]["restic"]:
        assert (result["content"]["files"], part["files"]) == ({"vanished": 2}, 13)
    else:  # restic 0.18 may have read them before, or pass over what is gone by itself
        assert 13 <= part["files"] <= 15
    assert len(bench.snapshots()) == 1


# -- MariaDB ---------------------------------------------------------------------------------------------------------

KIOSK = """
CREATE DATABASE kiosk CHARACTER SET latin1 COLLATE latin1_german1_ci; USE kiosk;
CREATE TABLE queue (id INT AUTO_INCREMENT PRIMARY KEY, name VARCHAR(100) CHARACTER SET utf8mb4, photo BLOB);
INSERT INTO queue (name, photo) SELECT CONCAT('Warga 漢 ', seq), UNHEX('00ff27225c0a') FROM seq_1_to_3000;
CREATE TABLE archive LIKE queue;
CREATE VIEW names AS SELECT name FROM queue;
CREATE TRIGGER copies AFTER DELETE ON queue FOR EACH ROW INSERT INTO archive VALUES (OLD.id, OLD.name, OLD.photo);
CREATE FUNCTION twice(n INT) RETURNS INT DETERMINISTIC RETURN n * 2;
CREATE EVENT nightly ON SCHEDULE EVERY 1 DAY DO DELETE FROM archive;
CREATE USER clerk@localhost IDENTIFIED BY 'it''s secret'; GRANT SELECT, INSERT ON kiosk.* TO clerk@localhost;
CREATE USER reader@'10.%' IDENTIFIED BY 'x'; GRANT SELECT (name), UPDATE ON kiosk.queue TO reader@'10.%';
CREATE USER stranger@localhost IDENTIFIED BY 'x';
"""


@pytest.fixture(scope="module")
def mariadb_socket() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        Path(name).chmod(0o755)
        with mariadb(Path(name)) as found:
            yield found


def sql(socket: Path, statement: str) -> str:
    return run("mariadb", f"--socket={socket}", "--batch", "--raw", "--skip-column-names", stdin=statement)


def forget_kiosk(socket: Path) -> None:
    sql(
        socket,
        "DROP DATABASE IF EXISTS kiosk; DROP DATABASE IF EXISTS drp; DROP DATABASE IF EXISTS `other ``one``, ä`;"
        "DROP USER IF EXISTS clerk@localhost, reader@'10.%', stranger@localhost;",
    )


@pytest.fixture
def kiosk(mariadb_socket: Path) -> Iterator[Path]:
    sql(mariadb_socket, KIOSK)
    yield mariadb_socket
    forget_kiosk(mariadb_socket)


def mariadb_dump(socket: Path, database: str) -> str:
    options = ["--routines", "--triggers", "--events", "--skip-dump-date", "--hex-blob"]
    text = run("mariadb-dump", f"--socket={socket}", *options, database)
    character_set = f"SELECT DEFAULT_COLLATION_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = '{database}'"
    lines = [line for line in text.splitlines() if not line.startswith("-- Host:")]
    return "\n".join([*lines, sql(socket, character_set)])


def accounts(socket: Path) -> str:
    return sql(
        socket,
        "SHOW GRANTS FOR clerk@localhost; SHOW GRANTS FOR reader@'10.%';"
        "SELECT User, Host, plugin, authentication_string FROM mysql.user WHERE User IN ('clerk', 'reader') ORDER BY 1",
    )


def test_a_mariadb_database_comes_back(bench: Bench, kiosk: Path) -> None:
    dataset = MariadbDataset(type="mariadb", id="kiosk", host=HOST, database="kiosk", socket=str(kiosk))
    result = bench.back_up(dataset)
    assert "MariaDB" in result["tools"]["server of kiosk"]
    before, rights = mariadb_dump(kiosk, "kiosk"), accounts(kiosk)
    forget_kiosk(kiosk)
    sql(kiosk, "CREATE DATABASE kiosk; CREATE TABLE kiosk.later (x INT)")
    found = bench.restore(dataset)
    assert found["checks"] == ["every table is sound"]
    assert mariadb_dump(kiosk, "kiosk") == before
    assert accounts(kiosk) == rights
    assert sql(kiosk, "SELECT User FROM mysql.user WHERE User = 'stranger'") == ""
    assert bench.remove(dataset) == []
    bench.restore_by_hand(dataset)
    assert mariadb_dump(kiosk, "kiosk") == before


def test_a_mariadb_database_is_restored_beside_itself(bench: Bench, kiosk: Path) -> None:
    dataset = MariadbDataset(type="mariadb", id="kiosk", host=HOST, database="kiosk", socket=str(kiosk))
    scratch = Scratch("drp_scratch_1", str(bench.folder / "scratch"))
    bench.back_up(dataset)
    original = mariadb_dump(kiosk, "kiosk")
    sql(kiosk, "DELETE FROM kiosk.queue WHERE id = 1; DROP USER clerk@localhost;")
    changed = mariadb_dump(kiosk, "kiosk")
    bench.restore(dataset, scratch)
    assert mariadb_dump(kiosk, "drp_scratch_1").replace("drp_scratch_1", "kiosk") == original
    assert bench.found(dataset, scratch) != []
    assert bench.remove(dataset, scratch) == []
    assert mariadb_dump(kiosk, "kiosk") == changed
    assert sql(kiosk, "SELECT User FROM mysql.user WHERE User = 'clerk'") == ""


def test_a_whole_mariadb_comes_back_and_is_restored_beside_itself(bench: Bench, kiosk: Path) -> None:
    other = "other `one`, ä"
    sql(kiosk, "CREATE DATABASE `other ``one``, ä`; CREATE TABLE `other ``one``, ä`.t AS SELECT 1 AS x;")
    dataset = MariadbDataset(type="mariadb", id="all", host=HOST, socket=str(kiosk))
    result = bench.back_up(dataset)
    assert len(result["parts"]) == 4
    before, rights = [mariadb_dump(kiosk, name) for name in ("kiosk", other)], accounts(kiosk)
    scratch = Scratch("drp_scratch_1", str(bench.folder / "scratch"))
    bench.restore(dataset, scratch)
    own = Path(scratch.folder) / "server.sock"
    as_server = ["runuser", "-u", "mysql", "--", "mariadb", f"--socket={own}", "-N", "-e"]
    assert run(*as_server, "SELECT COUNT(*) FROM kiosk.queue").strip() == "3000"
    assert "clerk" in run(*as_server, "SHOW GRANTS FOR clerk@localhost")
    assert bench.remove(dataset, scratch) == []
    eventually(lambda: not succeeds("pgrep", "-f", scratch.folder), "the scratch server has ended")
    forget_kiosk(kiosk)
    sql(kiosk, "CREATE DATABASE later")
    bench.restore(dataset)
    assert [mariadb_dump(kiosk, name) for name in ("kiosk", other)] == before
    assert accounts(kiosk) == rights
    assert "later" not in sql(kiosk, "SHOW DATABASES")
    sql(kiosk, "CREATE DATABASE later; DROP DATABASE kiosk")
    bench.restore_by_hand(dataset)
    assert [mariadb_dump(kiosk, name) for name in ("kiosk", other)] == before
    assert "later" not in sql(kiosk, "SHOW DATABASES")
    assert bench.remove(dataset) == []


@pytest.mark.parametrize(
    ("script", "says"),
    [
        ('/usr/bin/mariadb-dump "$@" | head -c 50000', "the end of its dump is missing"),
        ('/usr/bin/mariadb-dump "$@" | head -c 50000; echo "Got error: 2013" >&2; exit 3', "Got error: 2013"),
        ("exit 0", "the end of its dump is missing"),
    ],
)
def test_a_dump_of_mariadb_that_fails_leaves_no_snapshot(bench: Bench, kiosk: Path, script: str, says: str) -> None:
    dataset = MariadbDataset(type="mariadb", id="kiosk", host=HOST, database="kiosk", socket=str(kiosk))
    bench.back_up(dataset)
    with bench.program("mariadb-dump", f"#!/bin/sh\n{script}\n"):
        bench.fails(dataset, "dump", says)
    bench.restore(dataset)


# -- SQLite ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("journal", ["wal", "delete"])
def test_an_sqlite_database_comes_back(bench: Bench, journal: str) -> None:
    path = bench.folder / "app ?#%é's/data.db"
    path.parent.mkdir()
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute(f"PRAGMA journal_mode = {journal}")
        database.execute("CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT, blob BLOB)")
        database.execute('CREATE TABLE "odd ""name""" (x)')
        database.executemany("INSERT INTO notes (text, blob) VALUES (?, ?)", [(f"n{n}", bytes(n)) for n in range(2000)])
        os.chown(path, 1234, 4321)
        path.chmod(0o640)
        dataset = SqliteDataset(type="sqlite", id="notes", host=HOST, path=str(path))
        # Somebody who writes on does not spoil the copy.
        database.execute("BEGIN" if journal == "wal" else "SELECT 1")
        bench.back_up(dataset)
        if journal == "wal":
            database.execute("ROLLBACK")
        before = list(database.iterdump())
    left = sorted(item.name for item in path.parent.iterdir())
    assert left == ["data.db"], "the copy was left behind"
    scratch = Scratch("drp_scratch_1", str(bench.folder / "scratch"))
    path.write_bytes(b"destroyed")
    found = bench.restore(dataset, scratch)
    assert found["rows"] == {"notes": 2000, 'odd "name"': 0}
    assert path.read_bytes() == b"destroyed"
    assert bench.remove(dataset, scratch) == []
    bench.restore(dataset)
    with contextlib.closing(sqlite3.connect(path)) as database:
        assert list(database.iterdump()) == before
        assert database.execute("PRAGMA journal_mode").fetchone()[0] == journal
    assert (path.stat().st_uid, path.stat().st_gid, path.stat().st_mode & 0o7777) == (1234, 4321, 0o640)
    assert bench.remove(dataset) == []
    bench.restore_by_hand(dataset)
    with contextlib.closing(sqlite3.connect(path)) as database:
        assert list(database.iterdump()) == before
        assert database.execute("PRAGMA journal_mode").fetchone()[0] == journal
    assert (path.stat().st_uid, path.stat().st_gid, path.stat().st_mode & 0o7777) == (1234, 4321, 0o640)


def test_an_sqlite_database_that_is_damaged_or_missing_leaves_no_snapshot(bench: Bench) -> None:
    path = bench.folder / "data.db"
    dataset = SqliteDataset(type="sqlite", id="notes", host=HOST, path=str(path))
    with pytest.raises(JobFailed, match="unable to open"):
        bench.back_up(dataset)
    assert not path.exists()
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("CREATE TABLE notes (text)")
        database.executemany("INSERT INTO notes VALUES (?)", [("x" * 500,)] * 2000)
    bench.back_up(dataset)
    content = bytearray(path.read_bytes())
    content[100_000:300_000] = bytes(200_000)
    path.write_bytes(content)
    bench.fails(dataset, "dump", "malformed")


def test_an_sqlite_database_without_room_for_its_copy_is_left_alone(bench: Bench) -> None:
    """The copy lies beside it. Nothing is begun: no sentinel, no dump."""
    disk = bench.folder / "disk"
    disk.mkdir()
    run("mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", disk)
    try:
        path = disk / "data.db"
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as database:
            database.execute("CREATE TABLE notes (text)")
            database.executemany("INSERT INTO notes VALUES (?)", [("x" * 1000,)] * 2500)
        before = path.read_bytes()
        dataset = SqliteDataset(type="sqlite", id="notes", host=HOST, path=str(path))
        bench.fails(dataset, "little_space", f"{disk} for a copy for dataset notes: 2.")
        assert path.read_bytes() == before
        run("mount", "-o", "remount,size=8m", disk)
        bench.back_up(dataset)
        assert [item.name for item in disk.iterdir()] == ["data.db"]
    finally:
        run("umount", disk)


# -- Git -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def repository(folder: Path) -> Path:
    work, bare = folder / "work", folder / "site.git"
    run("git", "init", "--quiet", "-b", "trunk", work)
    author: list[str | Path] = ["-c", "user.name=A", "-c", "user.email=a@example", "-C", work]
    for number in range(5):
        (work / f"file-{number}").write_text(f"{number}\n" * 1000)
        run("git", *author, "add", ".")
        run("git", *author, "commit", "--quiet", "-m", f"Change {number}")
    run("git", *author, "tag", "-a", "-m", "first", "v1", "HEAD~2")
    run("git", *author, "branch", "naïve/branch", "HEAD~1")
    run("git", "clone", "--quiet", "--mirror", work, bare)
    run("git", "--git-dir", bare, "pack-refs", "--all")
    run("git", "--git-dir", bare, "config", "receive.denyDeletes", "true")
    (bare / "hooks").mkdir(exist_ok=True)
    (bare / "hooks/post-receive").write_text("#!/bin/sh\nexit 0\n")
    (bare / "hooks/post-receive").chmod(0o755)
    (bare / "description").write_text("The city's site")
    return bare


def refs(repository: Path) -> str:
    safe = ["-c", "safe.directory=*", "--git-dir"]
    return run("git", *safe, repository, "show-ref") + run("git", *safe, repository, "symbolic-ref", "HEAD")


def test_a_git_repository_comes_back(bench: Bench, repository: Path) -> None:
    run("chown", "-R", "nobody", repository)
    dataset = GitDataset(type="git", id="site", host=HOST, path=str(repository), run_as="nobody")
    bench.back_up(dataset)
    bench.back_up(dataset)  # a sentinel is there already
    before = refs(repository)
    settings = {name: (repository / name).read_bytes() for name in ("config", "description", "hooks/post-receive")}
    scratch = Scratch("drp_scratch_1", str(bench.folder / "scratch"))
    (repository / "config").write_text("[core]\n\tbare = true\n")
    found = bench.restore(dataset, scratch)
    assert found["checks"] == ["every object is sound"]
    assert refs(Path(scratch.folder) / "repository.git") == before
    assert (repository / "config").read_text() == "[core]\n\tbare = true\n"
    assert bench.remove(dataset, scratch) == []
    shutil.rmtree(repository)
    bench.restore(dataset)
    assert refs(repository) == before
    assert {name: (repository / name).read_bytes() for name in settings} == settings
    assert (repository / "hooks/post-receive").stat().st_mode & 0o777 == 0o755
    assert {path.owner() for path in repository.rglob("*")} == {"nobody"}
    assert bench.remove(dataset) == []
    bench.restore_by_hand(dataset)
    assert refs(repository) == before
    assert {name: (repository / name).read_bytes() for name in settings} == settings


def test_a_git_repository_without_commits_comes_back_and_a_damaged_one_leaves_no_snapshot(
    bench: Bench, repository: Path
) -> None:
    empty = bench.folder / "empty.git"
    run("git", "init", "--quiet", "--bare", empty)
    dataset = GitDataset(type="git", id="site", host=HOST, path=str(empty), run_as="root")
    bench.back_up(dataset)
    shutil.rmtree(empty)
    bench.restore(dataset)
    damaged = GitDataset(type="git", id="site", host=HOST, path=str(repository), run_as="root")
    run("git", "--git-dir", repository, "repack", "-a", "-d", "-q")
    for pack in repository.glob("objects/pack/*.pack"):
        pack.chmod(0o644)
        pack.write_bytes(pack.read_bytes()[:200])
    with pytest.raises(JobFailed):
        bench.back_up(damaged)
    assert len(bench.snapshots()) == 2


# -- Redis -----------------------------------------------------------------------------------------------------------


@pytest.fixture(params=["file", "append-only log"])
def redis(request: pytest.FixtureRequest, folder: Path) -> Iterator[RedisDataset]:
    place = folder / "redis"
    place.mkdir()
    port = free_port()
    appends = "yes" if request.param == "append-only log" else "no"
    (folder / "redis-password").write_text("sandi\n")
    configuration = (
        f"port {port}\nbind 127.0.0.1\ndir {place}\nappendonly {appends}\ndaemonize yes\nrequirepass sandi\n"
        f"pidfile {place}/server.pid\nlogfile {place}/redis.log\n"
    )
    (place / "redis.conf").write_text(configuration)
    server = Stoppable(place, "redis", ["runuser", "-u", "redis", "--", "redis-server", str(place / "redis.conf")])
    server.start()
    dataset = RedisDataset(
        type="redis",
        id="cache",
        host=HOST,
        port=port,
        password_file=str(folder / "redis-password"),
        stop=(str(server.control), "stop"),
        start=(str(server.control), "start"),
    )
    try:
        eventually(lambda: ask_redis(dataset, "PING") == "PONG", "Redis answers")
        yield dataset
    finally:
        server.stop()


def ask_redis(dataset: RedisDataset, *words: str) -> str:
    argv = ["redis-cli", "-p", str(dataset.port), "-a", "sandi", "--no-auth-warning", *words]
    return subprocess.run(argv, capture_output=True, check=False, text=True).stdout.strip()


def fill_redis(dataset: RedisDataset) -> None:
    commands = [f"SET key:{n} {'v' * 100}{n}" for n in range(2000)]
    commands += ["HSET person name Siti", "ZADD board 3 a 1 b", "LPUSH list x y z", "SELECT 3", "SET third 3"]
    run("redis-cli", "-p", str(dataset.port), "-a", "sandi", "--no-auth-warning", stdin="\n".join(commands) + "\n")


def digest(dataset: RedisDataset) -> str:
    keys = ask_redis(dataset, "DBSIZE"), ask_redis(dataset, "-n", "3", "GET", "third")
    values = ask_redis(dataset, "HGETALL", "person"), ask_redis(dataset, "ZRANGE", "board", "0", "-1", "WITHSCORES")
    return "|".join(
        [*keys, *values, ask_redis(dataset, "LRANGE", "list", "0", "-1"), ask_redis(dataset, "GET", "key:7")]
    )


def test_redis_comes_back_and_is_restored_beside_itself(bench: Bench, redis: RedisDataset) -> None:
    fill_redis(redis)
    bench.back_up(redis)
    before = digest(redis)
    assert before.startswith("2004|3|")
    scratch = Scratch("drp_scratch_1", str(bench.folder / "scratch"))
    ask_redis(redis, "FLUSHALL")
    ask_redis(redis, "SET", "later", "x")
    bench.restore(redis, scratch)
    own = ["redis-cli", "-s", f"{scratch.folder}/server.sock"]
    assert run(*own, "DBSIZE").strip() == "2004"
    assert ask_redis(redis, "DBSIZE") == "1"
    assert bench.remove(redis, scratch) == []
    eventually(lambda: not succeeds("pgrep", "-f", scratch.folder), "the scratch server has ended")
    bench.restore(redis)
    assert digest(redis) == before
    assert ask_redis(redis, "GET", "later") == ""
    # It is on the disk too: a start brings it again.
    subprocess.run(redis.stop, check=True)
    subprocess.run(redis.start, check=True)
    eventually(lambda: digest(redis) == before, "the data is there after a restart")
    assert bench.remove(redis) == []
    if ask_redis(redis, "CONFIG", "GET", "appendonly").endswith("yes"):
        with pytest.raises(AssertionError, match="appendonly must be no first"):
            bench.restore_by_hand(redis)
        return
    bench.restore_by_hand(redis)
    eventually(lambda: digest(redis) == before, "the data is there again")


def test_a_redis_that_fails_leaves_no_snapshot(bench: Bench, redis: RedisDataset) -> None:
    fill_redis(redis)
    bench.back_up(redis)
    cut = '#!/bin/sh\ncase "$*" in *--rdb*) /usr/bin/redis-cli "$@" | head -c 20000; exit 0;; esac\n'
    with bench.program("redis-cli", cut + 'exec /usr/bin/redis-cli "$@"\n'):
        bench.fails(redis, "dump", "the end of its dump is missing")
    subprocess.run(redis.stop, check=True)
    with pytest.raises(JobFailed, match="Connection refused"):
        bench.back_up(redis)
    assert len(bench.snapshots()) == 1
    subprocess.run(redis.start, check=True)


# -- OpenLDAP --------------------------------------------------------------------------------------------------------

CONFIGURATION = """
dn: cn=config
objectClass: olcGlobal
cn: config
olcPidFile: {place}/server.pid

dn: cn=module,cn=config
objectClass: olcModuleList
cn: module
olcModulePath: /usr/lib/ldap
olcModuleLoad: back_mdb

dn: cn=schema,cn=config
objectClass: olcSchemaConfig
cn: schema

include: file:///etc/ldap/schema/core.ldif
include: file:///etc/ldap/schema/cosine.ldif
include: file:///etc/ldap/schema/inetorgperson.ldif

dn: olcDatabase=config,cn=config
objectClass: olcDatabaseConfig
olcDatabase: config
olcAccess: to * by dn.exact=gidNumber=0+uidNumber=0,cn=peercred,cn=external,cn=auth manage by * break

dn: olcDatabase=mdb,cn=config
objectClass: olcDatabaseConfig
objectClass: olcMdbConfig
olcDatabase: mdb
olcSuffix: dc=kota,dc=example
olcDbDirectory: {place}/data
olcDbIndex: objectClass eq
olcAccess: to * by dn.exact=gidNumber=0+uidNumber=0,cn=peercred,cn=external,cn=auth write by * read
"""


@pytest.fixture
def slapd(folder: Path) -> Iterator[tuple[OpenldapDataset, OpenldapDataset]]:
    place = folder / "ldap"
    for name in ("data", "slapd.d"):
        (place / name).mkdir(parents=True)
    run("chown", "-R", "openldap", place)
    as_owner = ["runuser", "-u", "openldap", "--"]
    run(*as_owner, "slapadd", "-n", "0", "-F", place / "slapd.d", stdin=CONFIGURATION.format(place=place))
    people = "dn: dc=kota,dc=example\nobjectClass: domain\ndc: kota\n\n" + "".join(
        f"dn: cn=Warga {n},dc=kota,dc=example\nobjectClass: inetOrgPerson\ncn: Warga {n}\nsn: é{n}\n"
        f"description: {'long ' * 60}\n\n"
        for n in range(500)
    )
    run(*as_owner, "slapadd", "-F", place / "slapd.d", "-b", "dc=kota,dc=example", stdin=people)
    url = f"ldapi://{str(place / 'ldapi').replace('/', '%2F')}"
    server = Stoppable(place, "openldap", ["slapd", "-h", url, "-F", str(place / "slapd.d"), "-u", "openldap"])
    server.start()
    control = {"stop": (str(server.control), "stop"), "start": (str(server.control), "start")}
    common = {
        "type": "openldap",
        "host": HOST,
        "url": url,
        "directory": str(place / "data"),
        "configuration": str(place / "slapd.d"),
    }
    try:
        yield (
            OpenldapDataset.model_validate(common | control | {"id": "people", "suffix": "dc=kota,dc=example"}),
            OpenldapDataset.model_validate(common | control | {"id": "configuration", "suffix": "cn=config"}),
        )
    finally:
        server.stop()


def exported(dataset: OpenldapDataset, configuration: str = "") -> str:
    which = ["-n", "0"] if dataset.is_configuration else ["-b", dataset.suffix]
    return run("slapcat", "-F", configuration or dataset.configuration, *which)


def test_openldap_comes_back_and_is_restored_beside_itself(
    bench: Bench, slapd: tuple[OpenldapDataset, OpenldapDataset]
) -> None:
    people, _ = slapd
    bench.back_up(people)
    bench.back_up(people)  # the sentinel is there already
    before = exported(people)
    assert before.count("dn: ") == 502
    url = ["-Q", "-Y", "EXTERNAL", "-H", people.url]
    run("ldapdelete", *url, "cn=Warga 7,dc=kota,dc=example")
    changed = exported(people)
    scratch = Scratch("drp_scratch_1", str(bench.folder / "scratch"))
    bench.restore(people, scratch)
    assert exported(people, f"{scratch.folder}/slapd.d") == before
    assert exported(people) == changed
    assert bench.remove(people, scratch) == []
    bench.restore(people)
    assert exported(people) == before
    search = run("ldapsearch", *url, "-LLL", "-b", people.suffix, "(cn=Warga 7)", "dn")
    assert search.startswith("dn: cn=Warga 7,")
    assert bench.remove(people) == []
    bench.restore_by_hand(people)
    assert exported(people) == before


def test_the_configuration_of_openldap_comes_back(bench: Bench, slapd: tuple[OpenldapDataset, OpenldapDataset]) -> None:
    people, configuration = slapd
    bench.back_up(configuration)
    before = exported(configuration)
    change = "dn: cn=config\nchangetype: modify\nreplace: olcIdleTimeout\nolcIdleTimeout: 77\n"
    run("ldapmodify", "-Q", "-Y", "EXTERNAL", "-H", people.url, stdin=change)
    scratch = Scratch("drp_scratch_1", str(bench.folder / "scratch"))
    bench.restore(configuration, scratch)
    assert exported(configuration, f"{scratch.folder}/slapd.d") == before
    assert "olcIdleTimeout: 77" in exported(configuration)
    assert bench.remove(configuration, scratch) == []
    bench.restore(configuration)
    assert exported(configuration) == before
    assert exported(people).count("dn: ") == 501


def test_an_openldap_that_fails_halfway_leaves_no_snapshot(
    bench: Bench, slapd: tuple[OpenldapDataset, OpenldapDataset]
) -> None:
    people, _ = slapd
    bench.back_up(people)
    for script, says in (
        ('/usr/sbin/slapcat "$@" | head -c 20001; exit 1', "slapcat ended with 1"),
        ('/usr/sbin/slapcat "$@" | head -c 20001', "the end of its dump is missing"),
    ):
        reading = 'case "$*" in *drp-sentinel*) exec /usr/sbin/slapcat "$@";; esac'
        with bench.program("slapcat", f"#!/bin/sh\n{reading}\n{script}\n"):
            bench.fails(people, "dump", says)
    subprocess.run(people.stop, check=True)
    with pytest.raises(JobFailed, match="Can't contact LDAP server"):
        bench.back_up(people)
    assert len(bench.snapshots()) == 1
    subprocess.run(people.start, check=True)


# -- a command -------------------------------------------------------------------------------------------------------


def test_what_a_command_dumps_comes_back(bench: Bench) -> None:
    source, target = bench.folder / "source", bench.folder / "target"
    source.write_bytes(os.urandom(3_000_000))
    date = bench.folder / "date"
    date.write_text("2026-11-20T14:00:00.5+07:00\n")
    dataset = CommandDataset(
        type="command",
        id="box",
        host=HOST,
        dump=("cat", str(source)),
        restore=("dd", f"of={target}", "status=none"),
        present=("sh", "-c", 'if [ -e "$0" ]; then echo here; fi', str(target)),
        freshness=("cat", str(date)),
        remove=("rm", "-f", str(target)),
        check=("cmp", str(source), str(target)),
    )
    assert bench.found(dataset) == []
    result = bench.back_up(dataset)
    assert result["content"]["box"] == {"newest_at": "2026-11-20T07:00:00.500000Z"}
    found = bench.restore(dataset)
    assert target.read_bytes() == source.read_bytes()
    assert found["sentinel"] == {"newest_at": "2026-11-20T07:00:00.500000Z"}
    assert bench.found(dataset) != []
    assert bench.remove(dataset) == []
    bench.restore_by_hand(dataset)
    assert target.read_bytes() == source.read_bytes()
    assert bench.remove(dataset) == []
    scratch = Scratch("drp_scratch_1", str(bench.folder / "scratch"))
    assert bench.restore(dataset, scratch)["sentinel"] is None
    assert (Path(scratch.folder) / "output").read_bytes() == source.read_bytes()
    assert not target.exists()
    assert bench.remove(dataset, scratch) == []


@pytest.mark.parametrize(
    ("dump", "ends_with", "says"),
    [
        ("head -c 300000 /dev/zero; exit 7", None, "sh ended with 7"),
        ("head -c 300000 /dev/zero; kill -9 $$", None, "sh ended with"),
        ("head -c 300000 /dev/zero", "THE END\\n$", "the end of its dump is missing"),
    ],
)
def test_a_command_that_fails_leaves_no_snapshot(bench: Bench, dump: str, ends_with: str | None, says: str) -> None:
    good = CommandDataset(type="command", id="box", host=HOST, dump=("echo", "THE END"), restore=("cat",))
    bench.back_up(good)
    bad = good.model_copy(update={"dump": ("sh", "-c", dump), "ends_with": ends_with})
    bench.fails(bad, "dump", says)
    assert len(bench.snapshots()) == 1


def test_a_loader_that_does_not_take_all_is_no_restore(bench: Bench) -> None:
    dataset = CommandDataset(
        type="command", id="box", host=HOST, dump=("head", "-c", "60000", "/dev/zero"), restore=("head", "-c", "50000")
    )
    bench.back_up(dataset)
    job = bench.job("restore", [bench.procedure(dataset)])
    (part,) = bench.carry_out(job)["parts"]
    assert (part["expected"], part["actual"]["bytes"] < 60000) == ({"bytes": 60000}, True)
    large = dataset.model_copy(update={"dump": ("head", "-c", "9000000", "/dev/zero")})
    bench.back_up(large)
    with pytest.raises(JobFailed, match="before it had read the whole dump"):
        bench.carry_out(bench.job("restore", [bench.procedure(large)]))


# -- a whole PostgreSQL server ---------------------------------------------------------------------------------------


def test_a_whole_postgresql_comes_back_and_is_restored_beside_itself(bench: Bench, shop: int) -> None:
    odd = 'odd, "name"=it\'s \\ä'
    quoted = '"' + odd.replace('"', '""') + '"'
    psql(shop, f"CREATE DATABASE {quoted}")
    dataset = PostgresqlClusterDataset(type="postgresql-cluster", id="all", host=HOST, port=shop)
    try:
        result = bench.back_up(dataset)
        assert result["content"]["all"]["rows"]["shop.public.complaints"] == 2000
        assert len(result["parts"]) == 4
        before, roles_before = dump_of(shop, "shop"), roles(shop)
        scratch = Scratch("drp_scratch_1", str(bench.folder / "s"))
        bench.restore(dataset, scratch)
        own = ["runuser", "-u", "postgres", "--", "psql", "-h", scratch.folder, "-p", str(shop), "-A", "-t", "-c"]
        assert run(*own, "SELECT count(*) FROM complaints", "-d", "shop").strip() == "2000"
        assert "stranger" in run(*own, "SELECT rolname FROM pg_roles", "-d", "postgres")
        assert odd in run(*own, "SELECT datname FROM pg_database", "-d", "postgres")
        assert bench.remove(dataset, scratch) == []
        eventually(lambda: not succeeds("pgrep", "-f", f"{scratch.folder}/data"), "the scratch server has ended")
        assert roles(shop) == roles_before
        forget_database(shop)
        psql(shop, f"DROP DATABASE {quoted}; CREATE DATABASE later")
        bench.restore(dataset)
        assert dump_of(shop, "shop") == before
        assert roles(shop) == roles_before
        names = psql(shop, "SELECT datname FROM pg_database WHERE NOT datistemplate ORDER BY 1")
        assert sorted(names.splitlines()) == sorted([odd, "postgres", "shop"])
        assert bench.remove(dataset) == []
        bench.restore_by_hand(dataset)
        assert dump_of(shop, "shop") == before
        assert roles(shop) == roles_before
    finally:
        psql(shop, f"DROP DATABASE IF EXISTS {quoted}")


def test_drps_own_programs_travel_with_ansible_too(folder: Path) -> None:
    path = folder / "data.db"
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE notes (text)")
    look = {"kind": "command", "what": "rows", "command": {"argv": ["drp:sqlite", "count", str(path)], "find": "notes"}}
    procedure = {"id": "notes", "parts": [], "prepare_restore": [], "absence": [look]}
    job = {"verb": "absence", "repository": None, "requires": [], "datasets": [procedure]}
    ansible = Path(sys.executable).with_name("ansible")
    playbooks = Path(__file__).parents[2] / "playbooks"
    done = subprocess.run(
        [ansible, "localhost", "-i", "localhost,", "-c", "local", "-m", "drp_host", "-a", json.dumps({"job": job})],
        env=os.environ
        | {
            "ANSIBLE_MODULE_UTILS": str(playbooks / "module_utils"),
            "ANSIBLE_LIBRARY": str(playbooks / "library"),
            "ANSIBLE_LOCAL_TEMP": str(folder),
            "ANSIBLE_PYTHON_INTERPRETER": sys.executable,
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout.partition("=>")[2])["result"]["found"] == ["rows"]
