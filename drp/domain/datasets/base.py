"""What every dataset type says of itself: its facts, where its data lies, and how it is dumped and brought back."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import StrictBool, StringConstraints

from drp.domain.model import Declared, Model
from drp.domain.values import HostName, Identifier, Size

Procedure = dict[str, Any]
"""What the program on a host (`playbooks/module_utils/drp_host`) needs of a dataset; argument lists, never shell text.

    id, type
    requires         programs that must be there; `versions`: {program: argument list that tells its version}
    units            services that must run before the data is loaded or looked at
    parts            what becomes one restic snapshot each:
                       kind stream: `file` (its flat name in the snapshot), `dump`, `restore` (reads standard input),
                         optional `session` (a database session that dates the dump and counts in the same moment),
                         optional `staged` (a dump that cannot stream: commands that make a private file first)
                       kind tree: `paths`, `excludes`; in a scratch place `target`, the folder that it is restored below
    prepare_restore  commands that take away what a restore would mix with
    finish_restore   commands after the last part, such as starting a server again
    checks           commands that must end with 0 once the data is back: {what, argv, stdin}
    count            a command that prints {table: rows} of the restored data
    sentinel         how the time-stamped record is written and read; None where a type cannot hold one
    absence          what to look for to prove that nothing of the dataset is on a host yet
    remove           commands that take everything away again that a restore made; default: prepare_restore
A command is {argv, stdin}.
"""


@dataclass(frozen=True, slots=True)
class Scratch:
    """A place apart for a test restore: `name` for databases and the like, `folder` (absolute, its own) for files."""

    name: str
    folder: str


Level = Literal["low", "medium", "high"]


class Classification(Model):
    """How much confidentiality, integrity and availability of a dataset matter."""

    confidentiality: Level
    integrity: Level
    availability: Level


class DatasetFacts(Declared):
    """What is known about any dataset. None of it changes how the dataset is backed up or restored.

    `daily_change` is how many bytes a day's backups carry to the DR centre. A dataset that is a copy of another one
    (`copy_of: service/dataset`) is not authoritative.
    """

    id: Identifier
    host: HostName
    size: Size | None = None
    daily_change: Size | None = None
    classification: Classification | None = None
    personal_data: StrictBool | None = None
    copy_of: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,47}/[a-z][a-z0-9-]{0,47}$")] | None = None

    def mechanics(self) -> dict[str, Any]:
        """Only what decides how it is backed up and restored."""
        return self.model_dump(mode="json", exclude=set(DatasetFacts.model_fields) - {"id", "host"})


class DatasetType(DatasetFacts):
    """One kind of data. A new type is one module of this package: a model with these methods."""

    @property
    @abstractmethod
    def places(self) -> tuple[str, ...]:
        """Where its data lies on a host: absolute paths, or words such as `port 5432, database x`. No other dataset of
        its type may have the same place, or one within it."""

    @abstractmethod
    def procedure(self, service: str, token: str = "", scratch: Scratch | None = None) -> Procedure:
        """Compile it. `token` is the sentinel to write; reading and restoring need none. With `scratch`, everything
        that restores, checks, counts and removes goes to that place, and nothing touches the dataset's own."""
