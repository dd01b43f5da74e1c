"""Each dataset type with its real server and both restics: backed up, destroyed, restored, compared; restored into a
scratch place beside the original; and a dump that fails leaves no snapshot."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from drp.domain.datasets import FilesDataset, PostgresqlDataset, Scratch
from tests.integration.dataset_bench import HOST, Bench, JobFailed, free_port, postgresql, s3_server
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
    with pytest.raises(JobFailed, match="is the server running"):
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
    bench.restore(dataset)
    assert (plain / "kept").exists()
    assert list((plain / "cache").iterdir()) == []
