"""A table as it was read, and what became of each of its rows."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from drp.domain.importing.columns import clean


@dataclass(frozen=True, slots=True)
class Sheet:
    """A table as it was read: `rows` with the number that a spreadsheet program shows beside each."""

    file: str
    name: str | None
    rows: tuple[tuple[int, tuple[str, ...]], ...]

    def place(self, row: int) -> str:
        """Where a row stands, for `source:`."""
        sheet = f", sheet {clean(self.name)[:100]}" if self.name else ""
        return f"{clean(self.file)[-200:] or 'file'}{sheet}, row {row}"


@dataclass(frozen=True, slots=True)
class Settings:
    """`columns`: which header a field has, said by hand. `agency`: whose the rows are that name none. `files`: ids that
    have a file where the new ones go."""

    columns: Mapping[str, str] = field(default_factory=dict)
    agency: str | None = None
    files: Collection[str] = ()


Outcome = Literal["new", "kept", "faulty"]


@dataclass(slots=True)
class Row:
    """What became of a row. `record` is the content of a new service's file; `to_fill` says of keys, by name, what a
    person has to add."""

    number: int
    name: str
    agency: str = ""
    id: str = ""
    outcome: Outcome = "new"
    faults: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    record: dict[str, Any] = field(default_factory=dict)
    to_fill: dict[str, str] = field(default_factory=dict)
    needs: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def refuse(self, fault: str) -> None:
        self.outcome = "faulty"
        self.faults.append(fault)


@dataclass(frozen=True, slots=True)
class Import:
    """All rows of a sheet. `unknown_agencies`: id to title, to be added to drp.yaml. `columns`: the header
    that was taken for each field; `noted`: columns whose content goes into the notes."""

    rows: tuple[Row, ...]
    columns: Mapping[str, str]
    noted: tuple[str, ...]
    unknown_agencies: Mapping[str, str]

    def of(self, outcome: Outcome) -> list[Row]:
        return [row for row in self.rows if row.outcome == outcome]
