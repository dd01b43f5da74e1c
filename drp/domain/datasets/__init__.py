"""Dataset types: how each kind of data is dumped, restored, counted, marked and looked for, as argument lists.

This is the only description of a type. `playbooks/module_utils/drp_host` carries it out on a host, for backups and in
the recovery playbooks alike. A new type is one more module here, named in the union below.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, TypeAdapter

from drp.domain.datasets.base import Classification, DatasetFacts, DatasetType, Procedure, Scratch, with_snapshots
from drp.domain.datasets.files import FilesDataset
from drp.domain.datasets.postgresql import PostgresqlDataset

__all__ = [
    "Classification",
    "Dataset",
    "DatasetFacts",
    "DatasetType",
    "FilesDataset",
    "PostgresqlDataset",
    "Procedure",
    "Scratch",
    "read_dataset",
    "with_snapshots",
]

Dataset = Annotated[PostgresqlDataset | FilesDataset, Field(discriminator="type")]
_DECLARATION: TypeAdapter[PostgresqlDataset | FilesDataset] = TypeAdapter(Dataset)


def read_dataset(mechanics: object) -> DatasetType:
    """A dataset from the record that `mechanics()` gave."""
    return _DECLARATION.validate_python(mechanics)
