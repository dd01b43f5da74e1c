"""Dataset types: how each kind of data is dumped, restored, counted, marked and looked for, as argument lists.

This is the only description of a type. `playbooks/module_utils/drp_host` carries it out on a host, for backups and in
the recovery playbooks alike. A new type is one more module here, named in the union below.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, TypeAdapter

from drp.domain.datasets.base import Classification, DatasetFacts, DatasetType, Procedure, Scratch, with_snapshots
from drp.domain.datasets.command import CommandDataset
from drp.domain.datasets.files import FilesDataset
from drp.domain.datasets.git import GitDataset
from drp.domain.datasets.mariadb import MariadbDataset
from drp.domain.datasets.openldap import OpenldapDataset
from drp.domain.datasets.postgresql import PostgresqlDataset
from drp.domain.datasets.postgresql_cluster import PostgresqlClusterDataset
from drp.domain.datasets.redis import RedisDataset
from drp.domain.datasets.sqlite import SqliteDataset

__all__ = [
    "Classification",
    "CommandDataset",
    "Dataset",
    "DatasetFacts",
    "DatasetType",
    "FilesDataset",
    "GitDataset",
    "MariadbDataset",
    "OpenldapDataset",
    "PostgresqlClusterDataset",
    "PostgresqlDataset",
    "Procedure",
    "RedisDataset",
    "Scratch",
    "SqliteDataset",
    "read_dataset",
    "with_snapshots",
]

_AnyDataset = (
    PostgresqlDataset
    | PostgresqlClusterDataset
    | MariadbDataset
    | FilesDataset
    | SqliteDataset
    | OpenldapDataset
    | RedisDataset
    | CommandDataset
    | GitDataset
)
Dataset = Annotated[_AnyDataset, Field(discriminator="type")]
_DECLARATION: TypeAdapter[_AnyDataset] = TypeAdapter(Dataset)


def read_dataset(mechanics: object) -> DatasetType:
    """A dataset from the record that `mechanics()` gave."""
    return _DECLARATION.validate_python(mechanics)
