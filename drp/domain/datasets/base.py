"""What every dataset type says of itself: its facts, where its data lies, and how it is dumped and brought back."""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal
from urllib.parse import unquote

from pydantic import Field, StrictBool, StringConstraints

from drp.domain.datasets.streamed import as_made
from drp.domain.events import hash_of
from drp.domain.model import Declared, Model
from drp.domain.values import HostName, Identifier, Size

Procedure = dict[str, Any]
"""What the program on a host (`playbooks/module_utils/drp_host`) needs of a dataset; argument lists, never shell text.

    id, type
    requires         programs that must be there; `a|b` is the first of several that is found, and may be a word of an
                     argument list, and each may be a path with wildcards; `drp:name` in an argument list is drp's own
                     program `program_name.py` of that package
    versions         {what: argument list that tells its version}, recorded in the restore point
    units            services that must run before the data is loaded or looked at
    parts            what becomes one restic snapshot each:
                       kind stream: `file` (its flat name in the snapshot), `dump`, `restore` (reads standard input),
                         optional `session` (a database session that dates the dump and counts in the same moment),
                         optional `stages` (files of which the dump first writes a copy beside them),
                         optional `ends_with` (a regular expression that the dump's last bytes, as Latin-1, must match)
                       kind tree: `paths`, `excludes`; in a scratch place `target`, the folder that it is restored below
                       with `each` (a command that prints a JSON list) a part is one snapshot for every item: {item} in
                         its words, {item_name} in `file` and `name`; see `with_snapshots`
    prepare_restore  commands that take away what a restore would mix with
    finish_restore   commands after the last part, such as starting a server again
    checks           commands that must end with 0 once the data is back: {what, argv, stdin}
    count            a command that prints {table: rows} of the restored data, as JSON; `each` as for parts
    sentinel         how the time-stamped record is written and read; None where a type cannot hold one. kind file,
                     command (where `write` prints nothing, `read` tells what was written) or freshness (`read` prints
                     an ISO 8601 time: that of the newest record in the data)
    absence          what to look for to prove that nothing of the dataset is on a host yet; kind path, command (it
                     prints something where there is something) or unknown
    remove           commands that take everything away again that a restore made; default: prepare_restore
    by_hand          beside the argument list of a part's `restore`, of a command or a check that is drp's own program:
                     shell text that does the same with the tools of the host, for people who have no drp any more
                     (`drp.domain.runbooks.by_hand` prints it); drp never runs it. Of several commands it is a group in
                     parentheses, since what is restored comes through a pipe
A command is {argv, stdin}; optional `find` (a regular expression: what it finds in the output stands for the output,
its first group if it has one) and `retry_seconds` (how long it is tried again while it fails). {now} in the words and
the standard input of a sentinel's `write` is the host's time.
"""


@dataclass(frozen=True, slots=True)
class Scratch:
    """A place apart for a test restore: `name` for databases and the like, `folder` (absolute, its own) for files.

    The folder is made, and it is removed with everything in it. Raises ValueError where that could hit anything else.
    Some types start a server of their own there, with its socket in the folder, so keep its path below 80 bytes.
    """

    name: str
    folder: str

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z_][a-z0-9_]{0,47}", self.name):
            raise ValueError(f"{self.name!r} is no name for a scratch place: lower-case letters, digits, underscores")
        words = self.folder.split("/")
        if words[0] or len(words) < 4 or {"", ".", ".."} & set(words[1:]):
            raise ValueError(f"{self.folder!r} is no folder for a scratch place: it must be two folders deep or more")


def removed(*paths: str) -> Procedure:
    """The command that removes files and folders, and nothing that is mounted there."""
    return {"argv": ["rm", "-rf", "--one-file-system", "--", *paths]}


def made_folder(path: str, owner: str = "root") -> Procedure:
    """The command that makes a folder which only its owner can enter."""
    return {"argv": ["install", "-d", "-m", "700", "-o", owner, "--", path]}


Word = Annotated[
    str, StringConstraints(min_length=1, max_length=4000, pattern=r"^[^\u0000-\u0008\u000b-\u001f\u007f]*$")
]
Command = Annotated[tuple[Word, ...], Field(min_length=1, max_length=200)]
"""An argument list that a person wrote; no shell reads it."""

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

    def declaration(self) -> str:
        """A hash of what it is and what it reads: while it stays, a proof of one is a proof of the other. What a newer
        drp lets be declared besides changes no older hash."""
        facts = set(DatasetFacts.model_fields) - {"id", "host"}
        return hash_of(self.model_dump(mode="json", exclude=facts, exclude_defaults=True))


class DatasetType(DatasetFacts):
    """One kind of data. A new type is one module of this package: a model with these methods."""

    @property
    @abstractmethod
    def places(self) -> tuple[str, ...]:
        """Where its data lies on a host: absolute paths, or words such as `port 5432, database x`. No other dataset of
        its type may have the same place, or one within it."""

    @property
    def folders(self) -> tuple[str, ...]:
        """The folders and files in which its server, or whatever writes it, usually keeps the data: what else copies
        these copies the same data. Of what is backed up as files there are none."""
        return tuple(place for place in self.places if place.startswith("/"))

    @property
    def dated_by(self) -> Literal["sentinel", "freshness", "nothing"]:
        """What tells the time of the newest record in restored data."""
        return "sentinel"

    @property
    def asked_when_backed_up(self) -> tuple[str, ...]:
        """Words of which one may be the unit of a server that must run while it is backed up, beside the procedure's
        `units`."""
        return ()

    @abstractmethod
    def procedure(self, service: str, token: str = "", scratch: Scratch | None = None) -> Procedure:
        """Compile it. `token` is the sentinel to write; reading and restoring need none. With `scratch`, everything
        that restores, checks, counts and removes goes to that place, and nothing touches the dataset's own."""


def with_snapshots(procedure: Procedure, snapshots: Mapping[str, str]) -> Procedure:
    """A procedure with the snapshot of each of its parts: {part's name: snapshot}, as a restore point has them.

    A part that stands for every item of a list becomes one part for each item that was backed up. Raises KeyError where
    a part has no snapshot.
    """
    parts = []
    for part in (as_made(part, snapshots) for part in procedure["parts"]):
        if "each" not in part:
            parts.append(part | {"snapshot": snapshots[part["name"]]})
            continue
        begin = part["name"].replace("{item_name}", "")
        for name, snapshot in snapshots.items():
            if name.startswith(begin):
                item_name = name[len(begin) :]
                values = {"{item}": unquote(item_name), "{item_name}": item_name}
                one = {key: _filled(value, values) for key, value in part.items() if key != "each"}
                parts.append(one | {"snapshot": snapshot})
    return procedure | {"parts": parts}


def _filled(value: Any, values: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        return re.sub("|".join(map(re.escape, values)), lambda found: values[found[0]], value)
    if isinstance(value, list):
        return [_filled(item, values) for item in value]
    if isinstance(value, dict):
        return {key: _filled(item, values) for key, item in value.items()}
    return value
