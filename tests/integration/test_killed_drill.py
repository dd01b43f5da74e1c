"""One drill whose drp is killed three times. While drp is dead after the restore, the data lie on the recovery host as
they were restored, and nothing runs on them yet: the moment to compare them with their source, byte by byte."""

from __future__ import annotations

import json
import signal
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.e2e.workbench import PRIMARY, RECOVERY, SERVICE, Done, Workbench, eventually

pytestmark = [pytest.mark.integration, pytest.mark.e2e]
STAGES = ("restore", "activate", "verify", "usable", "cleanup", "unisolate")
ROOTS = ["/srv/pengaduan", "/etc/pengaduan", "/etc/init.d/pengaduan", "/etc/nginx/sites-enabled/pengaduan"]

PLANT_FILES = r"""
set -eu
mkdir -p /srv/pengaduan/arsip/kosong; cd /srv/pengaduan/arsip
printf isi >'Kelurahan Cibogor — Übersicht ✓ 市.txt'
printf isi >"$(printf 'warisan-latin1-\351\350.txt')"      # not UTF-8, as from an old file server
printf isi >'-dash "quote" $(echo) `tick` \back
newline'
printf isi >"$(head -c 255 /dev/zero | tr '\0' a)"
: >empty; mkfifo pipe
truncate -s 20M sparse; printf end >>sparse
ln -s ../app/pengaduan.py link; ln -s /nowhere/at/all dangling
printf twice >one; ln one two
printf x >setuid; chown 12345:54321 setuid; chmod 4755 setuid
printf x >closed; chmod 0 closed
mkdir shared; chgrp 812 shared; chmod 2770 shared
touch -d 1999-12-31T23:59:59.123456789Z old
"""

PLANT_TABLES = """
CREATE ROLE petugas LOGIN PASSWORD 'canary-of-a-role-77aa' CONNECTION LIMIT 7 VALID UNTIL '2031-01-02 03:04:05+00';
CREATE ROLE "Kepala Dinas" NOLOGIN CREATEROLE;
GRANT "Kepala Dinas" TO petugas WITH ADMIN OPTION;
GRANT pg_read_all_stats TO petugas;
ALTER ROLE petugas SET statement_timeout = '12s';
ALTER ROLE petugas SET search_path = 'Data Warga', public;
ALTER ROLE petugas IN DATABASE pengaduan SET work_mem = '9MB';
ALTER DATABASE pengaduan SET timezone = 'Asia/Jakarta';
CREATE SCHEMA "Data Warga" AUTHORIZATION petugas;
CREATE TABLE "Data Warga"."tabel ""aneh"" 1" (id serial PRIMARY KEY, isi bytea, data jsonb, nama text COLLATE "C");
INSERT INTO "Data Warga"."tabel ""aneh"" 1" (isi, data, nama)
  SELECT decode(md5(n::text), 'hex'), jsonb_build_object('n', n), 'Ünïcødé ' || n FROM generate_series(1, 5000) n;
CREATE TABLE riwayat (waktu date NOT NULL, isi text) PARTITION BY RANGE (waktu);
CREATE TABLE riwayat_2025 PARTITION OF riwayat FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
CREATE TABLE riwayat_2026 PARTITION OF riwayat FOR VALUES FROM ('2026-01-01') TO ('2027-01-01');
INSERT INTO riwayat SELECT date '2025-01-01' + n, 'hari ' || n FROM generate_series(0, 599) n;
CREATE TABLE kosong (id int);
CREATE MATERIALIZED VIEW jumlah AS SELECT count(*) FROM riwayat;
CREATE FUNCTION tolak() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''ditolak''; END';
CREATE TRIGGER tolak BEFORE INSERT ON kosong FOR EACH ROW EXECUTE FUNCTION tolak();
GRANT SELECT ON riwayat TO petugas;
SELECT lo_from_bytea(424242, 'lampiran besar');
"""

ROLES = """
SELECT rolname, rolsuper, rolinherit, rolcreaterole, rolcreatedb, rolcanlogin, rolconnlimit, rolpassword,
  rolvaliduntil AT TIME ZONE 'UTC' FROM pg_authid WHERE rolname !~ '^pg_' ORDER BY 1;
SELECT roleid::regrole, member::regrole, admin_option FROM pg_auth_members WHERE member::regrole::text !~ '^pg_'
  ORDER BY 1, 2;
SELECT coalesce(datname, '-'), coalesce(setrole::regrole::text, '-'),
  (SELECT array_agg(item ORDER BY item) FROM unnest(setconfig) item) FROM pg_db_role_setting
  LEFT JOIN pg_database d ON d.oid = setdatabase ORDER BY 1, 2;
"""

LIST_FILES = r"""
import hashlib, json, os, stat, sys
found = {}
def look(path):
    there = os.lstat(path)
    entry = {"mode": oct(there.st_mode), "owner": [there.st_uid, there.st_gid], "mtime": there.st_mtime_ns,
             "links": there.st_nlink if stat.S_ISREG(there.st_mode) else 0}
    if stat.S_ISREG(there.st_mode):
        entry["size"] = there.st_size
        entry["sha256"] = hashlib.sha256(open(path, "rb").read()).hexdigest()
    elif stat.S_ISLNK(there.st_mode):
        entry["target"] = repr(os.readlink(path))
    elif stat.S_ISDIR(there.st_mode):
        for name in os.listdir(path):
            look(os.path.join(path, name))
    found[repr(path)] = entry
for root in json.loads(sys.stdin.readline()):
    look(os.fsencode(root))
print(json.dumps(found))
"""


# It gives data back once it is let: drp is to be killed while a restore runs, however slow this machine is.
WAITING = """#!/bin/sh
case " $* " in *" dump "*|*" restore "*) while ! test -e /tmp/go; do sleep 0.05; done;; esac
exec /usr/bin/restic "$@"
"""


@dataclass(frozen=True)
class Content:
    """What a host holds of the service."""

    files: dict[str, Any]
    dump: str
    roles: str


def look_at(bench: Workbench, address: str) -> Content:
    bench.ssh(address, "cat >/tmp/list.py", stdin=LIST_FILES)
    files = json.loads(bench.ssh(address, "python3 /tmp/list.py; rm /tmp/list.py", stdin=json.dumps(ROOTS) + "\n"))
    dump = bench.ssh(address, f"cd /; runuser -u postgres -- pg_dump --create {SERVICE}")
    lines = [line for line in dump.splitlines() if not line.startswith(("\\restrict", "\\unrestrict"))]
    return Content(files, "\n".join(lines), bench.sql(address, ROLES, "postgres"))


@dataclass(frozen=True)
class Story:
    run: str
    source: Content
    recovered: Content
    adopted_running: bool
    done: Done
    events: list[dict[str, Any]]
    complaints_before: int
    complaints_after: int

    def bodies(self, type_: str) -> list[dict[str, Any]]:
        return [event["body"] for event in self.events if event["type"] == type_]


@pytest.fixture(scope="module")
def story(bench: Workbench) -> Iterator[Story]:
    bench.ssh(PRIMARY, PLANT_FILES)
    bench.sql(PRIMARY, PLANT_TABLES)
    with bench.quiet():
        bench.back_up()
        source = look_at(bench, PRIMARY)
    complaints_before = int(bench.sql(PRIMARY, "SELECT count(*) FROM complaints"))

    with bench.program("restic", WAITING, RECOVERY), bench.on_host(RECOVERY, "rm -f /tmp/go", "rm -f /tmp/go"):
        drill = bench.start("drill", "run", SERVICE, "--by", "Kepala Uji", "--json")
        drill.until("restoring …")
        run = bench.open_run("drill")
        action = bench.folder / "var/runs" / run / f"{SERVICE}-restore"
        told = action / "messages.jsonl"
        eventually(lambda: told.exists() and "looked_for" in told.read_text(), "the restore is on its way")
        drill.end(signal.SIGKILL)

        second = bench.start("run", "resume", run)
        eventually(lambda: any(event["type"] == "run.resumed" for event in bench.events(run)), "it is resumed")
        adopted_running = not (action / "exit_code").exists()
        second.end(signal.SIGKILL)
        bench.ssh(RECOVERY, "touch /tmp/go")
        eventually((action / "exit_code").exists, "the restore ends without drp")
    recovered = look_at(bench, RECOVERY)

    third = bench.start("run", "resume", run)
    third.until("waiting until users")
    third.end(signal.SIGKILL)
    done = bench.drp("run", "resume", run, "--json")
    after = int(bench.sql(PRIMARY, "SELECT count(*) FROM complaints"))
    yield Story(run, source, recovered, adopted_running, done, bench.events(run), complaints_before, after)
    bench.ssh(PRIMARY, "rm -r /srv/pengaduan/arsip")


def test_files_are_restored_as_they_were(story: Story) -> None:
    assert len(story.source.files) > 200
    assert story.recovered.files.keys() == story.source.files.keys()
    different = {
        name: (story.source.files[name], entry)
        for name, entry in story.recovered.files.items()
        if entry != story.source.files[name]
    }
    assert different == {}


def test_the_database_is_restored_as_it_was(story: Story) -> None:
    assert "lampiran" in story.source.dump or "lo_create" in story.source.dump
    assert story.recovered.dump == story.source.dump


def test_roles_keep_their_passwords_limits_memberships_and_settings(story: Story) -> None:
    assert "SCRAM-SHA-256$" in story.source.roles
    assert story.recovered.roles == story.source.roles


def test_rows_of_every_table_were_compared(story: Story) -> None:
    checks: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for body in story.bodies("data.verified"):
        checks.setdefault((body["dataset"], body["check"]), []).append(body)
    assert checks.keys() == {
        ("database", "content"),
        ("database", "sentinel"),
        ("files", "content"),
        ("files", "sentinel"),
    }
    assert all(body["ok"] for bodies in checks.values() for body in bodies)
    said = " ".join(body["actual"] for body in checks[("database", "content")])
    for part in (
        'Data Warga.tabel "aneh" 1 5000',
        "public.riwayat_2025 365",
        "public.riwayat_2026 235",
        "public.kosong 0",
    ):
        assert part in said


def test_the_killed_drill_ends_well(story: Story) -> None:
    assert story.adopted_running, "drp was to be killed while the restore ran"
    result = story.done.json()
    assert (result["exit_code"], result["verdict"]) == (0, "MET")


def test_nothing_is_done_twice(story: Story) -> None:
    started = Counter(body["step"] for body in story.bodies("step.started"))
    ended = Counter(body["step"] for body in story.bodies("step.ended"))
    assert started == ended == Counter(f"{SERVICE}/{stage}" for stage in STAGES)
    tasks = Counter(
        (task["step"], task["host"], task["task"], task["started_at"]) for task in story.bodies("task.ended")
    )
    assert max(tasks.values()) == 1
    assert len(story.bodies("absence.proved")) == 1
    assert len(story.bodies("data.verified")) == 5, "the roles' bytes, the rows, the files, and two sentinels"


def test_recovery_time_counts_from_the_first_start(story: Story) -> None:
    marks = Counter(body["mark"] for body in story.bodies("mark"))
    assert marks == Counter(("T0", "T1", "T2", "T3", "T4", "T5", "Tb"))
    at = {body["mark"]: body["at"] for body in story.bodies("mark")}
    assert at["T0"] < story.events[0]["at"] < at["T3"] < at["T4"] < at["T5"]
    resumed = [event["at"] for event in story.events if event["type"] == "run.resumed"]
    assert len(resumed) == 3
    assert all(at["T0"] < stamp for stamp in resumed)


def test_production_went_on_untouched(story: Story) -> None:
    assert story.complaints_after > story.complaints_before


def test_the_recovery_host_is_clean_again(story: Story, bench: Workbench) -> None:
    del story
    for root in ROOTS:
        assert bench.ssh(RECOVERY, f"ls -d {root} 2>&1 || true").startswith("ls: cannot access")
    assert bench.sql(RECOVERY, "SELECT datname FROM pg_database WHERE datname = 'pengaduan'", "postgres") == ""
