"""Files and directories of a host, backed up as a tree."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from drp.domain.datasets.base import DatasetType, Procedure, Scratch
from drp.domain.values import AbsolutePath

SENTINEL_FILE = ".drp-sentinel.json"


class FilesDataset(DatasetType):
    """Files and directories of a host, by absolute path. The first one must be a directory: the sentinel goes there."""

    type: Literal["files"]
    paths: Annotated[tuple[AbsolutePath, ...], Field(min_length=1)]
    excludes: tuple[AbsolutePath, ...] = ()

    @property
    def places(self) -> tuple[str, ...]:
        return self.paths

    def procedure(self, service: str, token: str = "", scratch: Scratch | None = None) -> Procedure:
        del service
        assert scratch is None, "a scratch place is not built yet"
        return _procedure(self, token)


def _procedure(dataset: FilesDataset, token: str) -> Procedure:
    return {
        "id": dataset.id,
        "type": dataset.type,
        "units": [],
        "requires": [],
        "parts": [{"name": "files", "kind": "tree", "paths": list(dataset.paths), "excludes": list(dataset.excludes)}],
        "prepare_restore": [],
        "sentinel": {"kind": "file", "directory": dataset.paths[0], "name": SENTINEL_FILE, "token": token},
        "absence": [{"kind": "path", "what": f"path {path}", "path": path} for path in dataset.paths],
    }
