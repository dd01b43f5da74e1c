"""Getting data back on real hosts: a deleted upload, a database elsewhere, single files; and the proof of it."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import subprocess
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.workbench import PRIMARY, RECOVERY, RECOVERY_NAME, SERVICE, Workbench, eventually, told

pytestmark = pytest.mark.integration
IS_WATCHED = False

UPLOADS = "/srv/pengaduan/uploads"
PHOTO = f'{UPLOADS}/foto "lama" [1]*?.jpg'
BROKEN_LINE = f"{UPLOADS}/baris\nkedua.txt"
OLD_NAME = os.fsdecode(f"{UPLOADS}/arsip-".encode() + b"\xe9\xff.doc")
LARGE = f"{UPLOADS}/besar.bin"
ON_PURPOSE = ("--yes", "--by", "Siti", "--reason", "a citizen's photo was deleted")

PLANT = r"""
import json, os, random, sys
for path, size in json.loads(sys.stdin.readline()):
    with open(os.fsencode(path), "wb") as file:
        file.write(random.Random(size).randbytes(size))
    os.chown(os.fsencode(path), 812, 812)
    os.chmod(os.fsencode(path), 0o640)
"""
HASHES = r"""
import hashlib, json, os, sys
found = {}
for path in json.loads(sys.stdin.readline()):
    there = os.stat(os.fsencode(path))
    with open(os.fsencode(path), "rb") as file:
        digest = hashlib.sha256(file.read()).hexdigest()
    found[path] = [digest, oct(there.st_mode), there.st_uid, there.st_gid, there.st_mtime_ns]
print(json.dumps(found))
"""


def python(bench: Workbench, address: str, program: str, value: Any) -> str:
    bench.ssh(address, "cat >/tmp/program.py", stdin=program)
    return bench.ssh(address, "python3 /tmp/program.py && rm /tmp/program.py", stdin=json.dumps(value) + "\n")


def look(bench: Workbench, *paths: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(python(bench, PRIMARY, HASHES, paths))
    return found


@dataclass(frozen=True)
class Planted:
    hashes: dict[str, Any]
    point: str


@pytest.fixture(scope="module")
def planted(bench: Workbench) -> Iterator[Planted]:
    sizes = {PHOTO: 300_000, BROKEN_LINE: 20, OLD_NAME: 5_000, LARGE: 9_000_000}
    python(bench, PRIMARY, PLANT, list(sizes.items()))
    bench.back_up()
    yield Planted(look(bench, *sizes), bench.points()[0])
    bench.ssh(PRIMARY, f"rm -f {UPLOADS}/besar.bin {UPLOADS}/baris* {UPLOADS}/foto* {UPLOADS}/arsip-*")


def restore(bench: Workbench, *arguments: str, code: int = 0, **more: Any) -> Any:
    return bench.drp("restore", *arguments, code=code, **more)


# -- back to production ----------------------------------------------------------------------------------------------


def test_a_preview_changes_nothing_and_tells_what_is_replaced(bench: Workbench, planted: Planted) -> None:
    runs = len(bench.runs("restore"))
    seen = restore(bench, SERVICE, "--preview", "--json").json()
    assert seen["restore_point"] == planted.point
    assert seen["production"] == ["balaikota-app-1"]
    assert "PostgreSQL database pengaduan on balaikota-app-1" in seen["replaced"]
    assert seen["stop_first"] == ["pengaduan", "nginx"]
    assert planted.point in seen["undo"]
    assert len(bench.runs("restore")) == runs


def test_nothing_is_written_over_production_without_the_typed_name(bench: Workbench, planted: Planted) -> None:
    for arguments in ([], ["--path", PHOTO], ["--yes"], ["--yes", "--reason", "x"], ["--replace-existing"]):
        told(restore(bench, SERVICE, *arguments, code=2))
    assert look(bench, *planted.hashes) == planted.hashes
    assert bench.runs("restore") == []


def test_a_deleted_upload_comes_back_alone(bench: Workbench, planted: Planted) -> None:
    bench.ssh(PRIMARY, f"cat >{UPLOADS}/newer.txt; rm {UPLOADS}/foto*", stdin="written since")
    seen = restore(bench, SERVICE, "--path", PHOTO, "--preview", "--json").json()
    assert (seen["datasets"][0]["files"], seen["datasets"][0]["bytes"]) == (1, 300_000)
    assert seen["replaced"] == []
    result = restore(bench, SERVICE, "--path", PHOTO, *ON_PURPOSE, "--json").json()
    assert [(check["dataset"], check["ok"]) for check in result["checks"]] == [("files", True)]
    assert look(bench, *planted.hashes) == planted.hashes
    assert bench.ssh(PRIMARY, f"cat {UPLOADS}/newer.txt; rm {UPLOADS}/newer.txt") == "written since"
    opened = bench.events(result["run"])[0]["body"]
    assert (opened["by"], opened["reason"]) == ("Siti", "a citizen's photo was deleted")


def test_a_whole_file_tree_is_as_it_was(bench: Workbench, planted: Planted) -> None:
    bench.ssh(PRIMARY, f"cat >{UPLOADS}/foreign; rm {UPLOADS}/foto*; echo spoilt >{UPLOADS}/besar.bin", stdin="x")
    with bench.quiet():
        result = restore(
            bench, SERVICE, "--dataset", "files", "--restore-point", planted.point, *ON_PURPOSE, "--json"
        ).json()
    assert all(check["ok"] for check in result["checks"])
    assert {check["check"] for check in result["checks"]} == {"content", "sentinel"}
    assert look(bench, *planted.hashes) == planted.hashes
    assert bench.ssh(PRIMARY, f"ls {UPLOADS}/foreign 2>&1 || true").startswith("ls: cannot access")


def test_backup_first_makes_the_restore_undoable(bench: Workbench, planted: Planted) -> None:
    bench.ssh(PRIMARY, f"cat >{UPLOADS}/foto-baru.txt", stdin="only here")
    with bench.quiet():
        result = restore(
            bench,
            *(SERVICE, "--dataset", "files", "--restore-point", planted.point, "--backup-first", *ON_PURPOSE, "--json"),
        ).json()
        (made,) = [event["body"] for event in bench.events(result["run"]) if event["type"] == "backup.made"]
        assert bench.points()[0] == made["restore_point"]
        assert bench.ssh(PRIMARY, f"ls {UPLOADS}/foto-baru.txt 2>&1 || true").startswith("ls: cannot access")
        restore(bench, SERVICE, "--restore-point", made["restore_point"], "--path", UPLOADS, *ON_PURPOSE)
    assert bench.ssh(PRIMARY, f"cat {UPLOADS}/foto-baru.txt; rm {UPLOADS}/foto-baru.txt") == "only here"


# -- another host ----------------------------------------------------------------------------------------------------

WAITING = """#!/bin/sh
test "$1" = --version && exec /usr/bin/pg_restore --version
while ! test -e /tmp/go; do sleep 0.05; done
exec /usr/bin/pg_restore "$@"
"""
"""Loads a database once it is let."""


@pytest.fixture
def clean_recovery(bench: Workbench) -> Iterator[None]:
    yield
    bench.ssh(RECOVERY, "service postgresql start; cd /; runuser -u postgres -- dropdb --if-exists --force pengaduan")


@pytest.mark.usefixtures("planted", "clean_recovery")
def test_a_database_goes_to_another_host_and_replaces_nothing_unasked(bench: Workbench) -> None:
    elsewhere = (SERVICE, "--dataset", "database", "--to", RECOVERY_NAME)
    result = restore(bench, *elsewhere, "--json").json()
    count = int(bench.sql(RECOVERY, "SELECT count(*) FROM complaints"))
    assert f"public.complaints {count}" in re.split(", | \\(", result["checks"][0]["actual"])
    refused = restore(bench, *elsewhere, code=2)
    assert "already there: PostgreSQL database pengaduan" in told(refused)
    bench.sql(RECOVERY, "DELETE FROM complaints")
    restore(bench, *elsewhere, "--replace-existing")
    assert int(bench.sql(RECOVERY, "SELECT count(*) FROM complaints")) == count


@pytest.mark.usefixtures("planted", "clean_recovery")
def test_a_killed_restore_goes_on(bench: Workbench) -> None:
    with bench.program("pg_restore", WAITING, RECOVERY), bench.on_host(RECOVERY, "rm -f /tmp/go", "rm -f /tmp/go"):
        running = bench.start("restore", SERVICE, "--dataset", "database", "--to", RECOVERY_NAME)
        run = bench.open_run("restore")
        eventually(lambda: "action.started" in {event["type"] for event in bench.events(run)}, "it is on its way")
        running.end(signal.SIGKILL)
        refused = restore(bench, SERVICE, "--dataset", "database", "--to", RECOVERY_NAME, code=2)
        assert "was cut off" in told(refused) or "already there" in told(refused)
        bench.ssh(RECOVERY, "touch /tmp/go")
        done = bench.drp("run", "resume", run, "--json").json()
    assert all(check["ok"] for check in done["checks"])
    assert int(bench.sql(RECOVERY, "SELECT count(*) FROM complaints")) > 0
    started = [event["body"]["action"] for event in bench.events(run) if event["type"] == "action.started"]
    assert len(started) == 1


# -- single files ----------------------------------------------------------------------------------------------------


def test_what_a_restore_point_holds_is_listed(bench: Workbench, planted: Planted) -> None:
    top = restore(bench, "list", SERVICE, "--json").json()
    assert top["restore_point"] == bench.points()[0]
    kinds = {entry["path"]: entry["type"] for entry in top["entries"]}
    assert kinds["/pengaduan.database.pgdump"] == "stream"
    assert kinds["/srv/pengaduan"] == "dir"
    below = restore(bench, "list", SERVICE, UPLOADS, "--restore-point", planted.point, "--json").json()
    found = {entry["path"]: entry for entry in below["entries"]}
    assert (found[PHOTO]["bytes"], found[PHOTO]["owner"]) == (300_000, "812:812")
    assert found[BROKEN_LINE]["bytes"] == 20
    assert [entry["bytes"] for entry in found.values() if not entry["is_exact"]] == [5_000]
    shown = restore(bench, "list", SERVICE, UPLOADS, "--restore-point", planted.point)
    assert "no UTF-8" in shown.stdout
    told(restore(bench, "list", SERVICE, "/srv/pengaduan/nowhere", code=2))
    told(restore(bench, "list", SERVICE, "/etc/shadow", code=2))


@pytest.mark.parametrize("path", [PHOTO, BROKEN_LINE, OLD_NAME, LARGE])
def test_a_file_is_downloaded_as_it_was(bench: Workbench, planted: Planted, path: str, tmp_path: Path) -> None:
    target = tmp_path / "got"
    result = restore(
        bench, "download", SERVICE, path, "--restore-point", planted.point, "-o", str(target), "--json"
    ).json()
    digest = hashlib.sha256(target.read_bytes()).hexdigest()
    assert digest == planted.hashes[path][0] == result["sha256"]
    assert [path.name for path in tmp_path.iterdir()] == ["got"]
    again = restore(bench, "download", SERVICE, path, "--restore-point", planted.point, "-o", str(target), code=2)
    assert "there already" in told(again)
    kept = bench.folder / "var/runs" / result["run"]
    assert sum(file.stat().st_size for file in kept.rglob("*") if file.is_file()) < 50_000
    assert not any(file.is_fifo() for file in kept.rglob("*"))


def test_a_folder_comes_as_a_tar_archive_and_a_dump_as_a_file(
    bench: Workbench, planted: Planted, tmp_path: Path
) -> None:
    restore(bench, "download", SERVICE, UPLOADS, "--restore-point", planted.point, "-o", str(tmp_path))
    with tarfile.open(tmp_path / "uploads.tar") as archive:
        found = {"/" + member.name: member for member in archive.getmembers()}
        content = archive.extractfile(found[OLD_NAME])
        assert content is not None
        assert hashlib.sha256(content.read()).hexdigest() == planted.hashes[OLD_NAME][0]
    restore(bench, "download", SERVICE, "/pengaduan.database.pgdump", "-o", str(tmp_path / "dump"))
    listed = subprocess.run(["pg_restore", "-l", str(tmp_path / "dump")], capture_output=True, text=True, check=True)
    assert "TABLE DATA public complaints" in listed.stdout


@pytest.mark.usefixtures("planted")
def test_a_download_that_is_killed_leaves_no_file_and_ends_on_the_host(bench: Workbench, tmp_path: Path) -> None:
    # Nobody reads what it writes, so it stands still in the middle.
    os.mkfifo(tmp_path / "reader")
    argv = bench.argv("restore", "download", SERVICE, LARGE, "-o", "-")
    number = os.open(tmp_path / "reader", os.O_RDWR)
    try:
        with subprocess.Popen(argv, stdout=number, stderr=subprocess.DEVNULL, env=bench.environment()) as process:
            run = bench.open_run("download")
            told_file = bench.folder / "var/runs" / run / "send/messages.jsonl"
            eventually(lambda: told_file.exists() and "sending" in told_file.read_text(), "it sends")
            eventually(lambda: len(os.read(number, 1000)) > 0, "bytes come")
            process.kill()
    finally:
        os.close(number)
    eventually((told_file.parent / "exit_code").exists, "the worker ends without drp")
    eventually(lambda: bench.ssh(RECOVERY, "pgrep -f '[r]estic.* dump' || true") == "", "restic ends on the host")
    assert [path.name for path in tmp_path.iterdir()] == ["reader"]


# -- test restores ---------------------------------------------------------------------------------------------------

SCRATCH = "ls -d /var/tmp/drp-test* 2>/dev/null || true"
EVERYTHING = r"""
find /srv /etc /opt /home /tmp -newer /tmp/before | sort; ls -d /var/tmp/drp-test* 2>/dev/null
cd /; runuser -u postgres -- psql -XqAt -d postgres -c "SELECT datname FROM pg_database ORDER BY 1" \
  -c "SELECT rolname, rolcanlogin, rolpassword FROM pg_authid WHERE rolname !~ '^pg_' ORDER BY 1"
"""


def test_a_test_restore_proves_and_leaves_nothing(bench: Workbench, planted: Planted) -> None:
    bench.ssh(RECOVERY, "service postgresql start; touch /tmp/before")
    before = bench.ssh(RECOVERY, EVERYTHING)
    (result,) = restore(bench, "test", SERVICE, "--json").json()
    assert (result["error"], result["proved"]) == (None, ["database", "files"])
    assert bench.ssh(RECOVERY, EVERYTHING) == before
    with bench.ledger() as ledger:
        proofs = {proof.dataset: proof for proof in ledger.proofs(SERVICE) if proof.how == "test-restore"}
    assert {proof.run for proof in proofs.values()} == {result["run"]}
    assert set(proofs) == {"database", "files"}
    (removed,) = [event["body"] for event in bench.events(result["run"]) if event["type"] == "scratch.removed"]
    assert len(removed["looked_for"]) == 3
    assert look(bench, *planted.hashes) == planted.hashes


@pytest.mark.usefixtures("planted")
def test_a_test_by_chance_takes_some_restore_point(bench: Workbench) -> None:
    (result,) = restore(bench, "--test", "--random", "--json").json()
    assert result["restore_point"] in bench.points()
    assert result["proved"] == ["database", "files"]


@pytest.mark.parametrize("damage", ["truncated", "flipped"])
def test_a_damaged_pack_is_found_and_proves_nothing(bench: Workbench, planted: Planted, damage: str) -> None:
    pack = max(bench.repository().glob("data/*/*"), key=lambda path: path.stat().st_size)
    content = pack.read_bytes()
    middle = len(content) // 2
    proofs = len(bench.runs("restore-test"))
    pack.chmod(0o600)
    pack.write_bytes(
        content[:middle] if damage == "truncated" else content[:middle] + b"damage" + content[middle + 6 :]
    )
    try:
        failed = restore(bench, "test", SERVICE, "--json", code=13, limit_seconds=400)
    finally:
        pack.write_bytes(content)
    (result,) = failed.json()
    assert "files" not in result["proved"]
    assert "damaged" in told(failed)
    row = bench.runs("restore-test")[0]
    assert (row.outcome, row.exit_code, len(bench.runs("restore-test"))) == ("failed", 13, proofs + 1)
    assert bench.ssh(RECOVERY, SCRATCH) == ""
    assert restore(bench, "test", SERVICE, "--json").json()[0]["error"] is None
    assert planted.point


@pytest.mark.usefixtures("planted")
def test_a_killed_test_goes_on_and_one_killed_on_the_host_is_swept(bench: Workbench) -> None:
    databases = "SELECT datname FROM pg_database WHERE datname LIKE 'drp%'"
    bench.ssh(RECOVERY, "service postgresql start")
    with bench.program("pg_restore", WAITING, RECOVERY), bench.on_host(RECOVERY, "rm -f /tmp/go", "rm -f /tmp/go"):
        running = bench.start("restore", "test", SERVICE)
        run = bench.open_run("restore-test")
        eventually(lambda: bench.sql(RECOVERY, databases, "postgres") != "", "the database is being loaded")
        running.end(signal.SIGKILL)
        bench.ssh(RECOVERY, "touch /tmp/go")
        (result,) = restore(bench, "test", SERVICE, "--json").json()
        assert (result["run"], result["error"]) == (run, None)

        bench.ssh(RECOVERY, "rm /tmp/go")
        running = bench.start("restore", "test", SERVICE, "--json")
        eventually(lambda: bench.sql(RECOVERY, databases, "postgres") != "", "the database is being loaded")
        bench.ssh(RECOVERY, "pkill -9 -f '[m]ain_ssh'; touch /tmp/go")
        failed = running.end()
        eventually(lambda: "pg_restore" not in bench.ssh(RECOVERY, "ps -eo args"), "nothing of it is left")
    assert failed.code in (1, 12)
    assert bench.sql(RECOVERY, databases, "postgres") == ""
    assert bench.ssh(RECOVERY, SCRATCH) == ""
    swept = {event["type"] for event in bench.events(bench.runs("restore-test")[0].run)}
    assert "scratch.removed" in swept
    assert "proof.recorded" not in swept


@pytest.mark.usefixtures("planted")
def test_without_room_nothing_is_begun(bench: Workbench) -> None:
    fill = "head -c 4G /dev/zero >/var/tmp/full 2>/dev/null || true"
    with bench.on_host(RECOVERY, fill, "rm /var/tmp/full"):
        failed = restore(bench, "test", SERVICE, code=1)
    assert "no space is left" in told(failed)
    assert bench.ssh(RECOVERY, SCRATCH) == ""
