"""SQLite: one database file, copied consistently while others write to it.

This is the one type that stages its data: SQLite's own way to a consistent copy writes a file, and reading the database
file itself while others write gives a broken one. The copy lies beside the database, where there is room for another
one; only root can open it, its name is gone before the first byte of it is read, and it is gone with its reader.
"""

from __future__ import annotations

import shlex
from typing import Literal

from drp.domain.datasets.base import DatasetType, Procedure, Scratch, made_folder, removed
from drp.domain.values import AbsolutePath

_LOAD_BY_HAND = "(mkdir -p {folder} && umask 077 && cat >{path}.drp-new && mv {path}.drp-new {path})"
_DRESS_BY_HAND = (
    "python3 -c 'import json, os, sqlite3, sys; path, to = sys.argv[1], json.load(sys.stdin);"
    ' sqlite3.connect(path).execute("PRAGMA journal_mode = " + to["journal"]);'
    """ os.chown(path, to["uid"], to["gid"]); os.chmod(path, to["mode"])'"""
)
_CHECK_BY_HAND = (
    "python3 -c 'import sqlite3, sys;"
    """ print(sqlite3.connect(sys.argv[1]).execute("PRAGMA integrity_check").fetchone()[0])'"""
)


class SqliteDataset(DatasetType):
    """One SQLite database, by the absolute path of its file. Owner, mode and journal come back with it."""

    type: Literal["sqlite"]
    path: AbsolutePath

    @property
    def places(self) -> tuple[str, ...]:
        return (self.path,)

    def procedure(self, service: str, token: str = "", scratch: Scratch | None = None) -> Procedure:
        target = f"{scratch.folder}/{self.path.rpartition('/')[2]}" if scratch else self.path
        everything = [target + end for end in ("", "-wal", "-shm", "-journal", ".drp-new")]
        program = ["drp:sqlite"]
        quoted = shlex.quote(target)
        place = scratch.folder if scratch else target
        return {
            "id": self.id,
            "type": self.type,
            "units": [],
            "requires": ["python3"],
            "versions": {"SQLite": ["python3", "-c", "import sqlite3; print(sqlite3.sqlite_version)"]},
            "parts": [
                {
                    "name": "database",
                    "kind": "stream",
                    "file": f"{service}.{self.id}.sqlite",
                    "dump": [*program, "dump", self.path],
                    "stages": [self.path, f"{self.path}-wal"],
                    "restore": [*program, "load", target],
                    "by_hand": _LOAD_BY_HAND.format(folder=shlex.quote(target.rpartition("/")[0]), path=quoted),
                },
                {
                    "name": "attributes",
                    "kind": "stream",
                    "file": f"{service}.{self.id}.json",
                    "dump": [*program, "attributes", self.path],
                    "restore": [*program, "dress", target],
                    "by_hand": f"{_DRESS_BY_HAND} {quoted}",
                    "ends_with": r"\}\n$",
                },
            ],
            "prepare_restore": [removed(place), made_folder(place)] if scratch else [removed(*everything)],
            "remove": [removed(place)] if scratch else [removed(*everything)],
            "checks": [
                {
                    "what": "the database is sound",
                    "argv": [*program, "check", target],
                    "by_hand": f"{_CHECK_BY_HAND} {quoted}",
                }
            ],
            "count": {"argv": [*program, "count", target]},
            "sentinel": {
                "kind": "command",
                "token": token,
                "write": {"argv": [*program, "mark", self.path, token]},
                "read": {"argv": [*program, "read", target]},
            },
            "absence": [{"kind": "path", "what": f"path {place}", "path": place}],
        }
