"""What is done with an SQLite database: `mark|read|dump|attributes|load|dress|check|count DATABASE [TOKEN]`."""

import json
import os
import shutil
import sqlite3
import stat
import sys
import tempfile
from contextlib import closing
from datetime import datetime, timezone
from urllib.parse import quote

BUSY_SECONDS = 60


def connect(path, mode):
    # Never made by opening it: a database that is missing is an error.
    connection = sqlite3.connect("file:%s?mode=%s" % (quote(path), mode), uri=True, timeout=BUSY_SECONDS)
    connection.isolation_level = None
    return connection


def mark(path, token):
    written_at = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    with closing(connect(path, "rw")) as database:
        database.execute("BEGIN IMMEDIATE")
        database.execute("CREATE TABLE IF NOT EXISTS drp_sentinel (token TEXT NOT NULL, written_at TEXT NOT NULL)")
        database.execute("DELETE FROM drp_sentinel")
        database.execute("INSERT INTO drp_sentinel VALUES (?, ?)", (token, written_at))
        database.execute("COMMIT")
    read(path)


def read(path):
    with closing(connect(path, "rw")) as database:
        token, written_at = database.execute("SELECT token, written_at FROM drp_sentinel").fetchone()
    json.dump({"token": token, "written_at": written_at}, sys.stdout)


def dump(path):
    """Copy the database in one moment into a file that nobody else can open and that is gone with this program."""
    number, name = tempfile.mkstemp(prefix="drp-sqlite-", dir=os.path.dirname(path))
    with os.fdopen(number, "rb") as copy:
        try:
            with closing(connect(path, "rw")) as source, closing(connect(name, "rw")) as target:
                source.backup(target)
                target.execute("PRAGMA journal_mode = DELETE")
                found = target.execute("PRAGMA quick_check").fetchone()[0]
        finally:
            os.unlink(name)
        if found != "ok":
            sys.exit("the copy is damaged: %s" % found)
        shutil.copyfileobj(copy, sys.stdout.buffer, 1 << 20)
        sys.stdout.buffer.flush()


def attributes(path):
    found = os.stat(path)
    with closing(connect(path, "rw")) as database:
        journal = database.execute("PRAGMA journal_mode").fetchone()[0]
    json.dump(
        {"mode": stat.S_IMODE(found.st_mode), "uid": found.st_uid, "gid": found.st_gid, "journal": journal}, sys.stdout
    )
    sys.stdout.write("\n")


def load(path):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    number = os.open(path + ".drp-new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(number, "wb") as target:
        shutil.copyfileobj(sys.stdin.buffer, target, 1 << 20)
        target.flush()
        os.fsync(target.fileno())
    check(path + ".drp-new")
    os.replace(path + ".drp-new", path)


def dress(path):
    """Give the database back what it was to the system: its owner, its mode, its journal."""
    wanted = json.load(sys.stdin)
    with closing(connect(path, "rw")) as database:
        database.execute("PRAGMA journal_mode = %s" % ("WAL" if wanted["journal"] == "wal" else "DELETE"))
    os.chown(path, wanted["uid"], wanted["gid"])
    os.chmod(path, wanted["mode"])


def check(path):
    with closing(connect(path, "rw")) as database:
        found = database.execute("PRAGMA integrity_check").fetchone()[0]
        broken = database.execute("PRAGMA foreign_key_check").fetchone()
    if found != "ok":
        sys.exit("the database is damaged: %s" % found)
    if broken is not None:
        sys.stderr.write("a foreign key of table %s points nowhere, as it did before\n" % broken[0])


def count(path):
    with closing(connect(path, "rw")) as database:
        tables = [row[0] for row in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        rows = {
            name: database.execute('SELECT count(*) FROM "%s"' % name.replace('"', '""')).fetchone()[0]  # noqa: S608
            for name in tables
            if name != "drp_sentinel" and not name.startswith("sqlite_")
        }
    json.dump(rows, sys.stdout)


VERBS = {
    "mark": mark,
    "read": read,
    "dump": dump,
    "attributes": attributes,
    "load": load,
    "dress": dress,
    "check": check,
    "count": count,
}

if __name__ == "__main__":
    try:
        VERBS[sys.argv[1]](*sys.argv[2:])
    except (OSError, sqlite3.Error, TypeError) as error:
        sys.exit("%s: %s" % (type(error).__name__, error))
