"""Files and directories of a host, backed up as a tree."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from drp.domain.datasets.base import DatasetType, Procedure, Scratch, made_folder, removed
from drp.domain.values import AbsolutePath

SENTINEL_FILE = ".drp-sentinel.json"


class FilesDataset(DatasetType):
    """Files and directories of a host, by absolute path. The first one must be a directory: the sentinel goes there.

    `excludes` may hold wildcards, as in `/srv/app/cache/*`; `paths` are taken by the letter.
    """

    type: Literal["files"]
    paths: Annotated[tuple[AbsolutePath, ...], Field(min_length=1)]
    excludes: tuple[AbsolutePath, ...] = ()

    @property
    def places(self) -> tuple[str, ...]:
        return self.paths

    @property
    def folders(self) -> tuple[str, ...]:
        return ()

    def procedure(self, service: str, token: str = "", scratch: Scratch | None = None) -> Procedure:
        del service
        part = {"name": "files", "kind": "tree", "paths": list(self.paths), "excludes": list(self.excludes)}
        sentinel = {"kind": "file", "directory": self.paths[0], "name": SENTINEL_FILE, "token": token}
        procedure: Procedure = {
            "id": self.id,
            "type": self.type,
            "units": [],
            "requires": [],
            "versions": {},
            "parts": [part],
            "prepare_restore": [],
            "sentinel": sentinel,
            "absence": [{"kind": "path", "what": f"path {path}", "path": path} for path in self.paths],
        }
        if scratch is None:
            return procedure
        folder = scratch.folder
        return procedure | {
            "parts": [part | {"target": folder}],
            "prepare_restore": [removed(folder), made_folder(folder)],
            "remove": [removed(folder)],
            "sentinel": sentinel | {"directory": folder + self.paths[0]},
            "absence": [{"kind": "path", "what": f"path {folder}", "path": folder}],
        }
