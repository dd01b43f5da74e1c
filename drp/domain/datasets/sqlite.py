"""SQLite: one database file, copied consistently while others write to it.

This is the one type that stages its data: SQLite's own way to a consistent copy writes a file, and reading the database
file itself while others write gives a broken one. The copy lies beside the database, where there is room for another
one; only root can open it, its name is gone before the first byte of it is read, and it is gone with its reader.
"""

from __future__ import annotations

from typing import Literal

from drp.domain.datasets.base import DatasetType, Procedure, Scratch, made_folder, removed
from drp.domain.values import AbsolutePath


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
                },
                {
                    "name": "attributes",
                    "kind": "stream",
                    "file": f"{service}.{self.id}.json",
                    "dump": [*program, "attributes", self.path],
                    "restore": [*program, "dress", target],
                    "ends_with": r"\}\n$",
                },
            ],
            "prepare_restore": [removed(place), made_folder(place)] if scratch else [removed(*everything)],
            "remove": [removed(place)] if scratch else [removed(*everything)],
            "checks": [{"what": "the database is sound", "argv": [*program, "check", target]}],
            "count": {"argv": [*program, "count", target]},
            "sentinel": {
                "kind": "command",
                "token": token,
                "write": {"argv": [*program, "mark", self.path, token]},
                "read": {"argv": [*program, "read", target]},
            },
            "absence": [{"kind": "path", "what": f"path {place}", "path": place}],
        }
