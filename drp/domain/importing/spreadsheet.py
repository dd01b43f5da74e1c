"""An agency's list of its systems, row by row, as the services that it registers. Nothing is guessed: what a cell does
not say plainly stays to be filled in, and what has no place of its own is kept in the notes."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain

from pydantic import ValidationError

from drp.domain.importing.columns import (
    MOST_COLUMNS,
    NOTHING_SAID,
    Header,
    clean,
    duration_text,
    find_header,
    in_words,
    is_formula,
    listed_names,
    parse_time,
    shortened,
    slug,
    unit_in,
)
from drp.domain.importing.likely_names import KnownNames, look_up
from drp.domain.importing.sheet import Import, Row, Settings, Sheet
from drp.domain.inventory import City
from drp.domain.service import Hosting, Service
from drp.errors import UsageError

MOST_ROWS = 20_000
LONGEST_NAME = 200
LONGEST_TEXT = 2000
MOST_COMPARED = 200
_NUMBERING = ("no", "nr", "nomor", "nomor urut", "no urut", "number")
"""Headers of columns that only count the rows; they are left out."""
MOST_NEEDS = 200

_HOSTING: Mapping[str, Hosting] = {
    **dict.fromkeys(("central", "terpusat", "pusat data", "data center", "datacenter", "data centre"), "central"),
    **dict.fromkeys(("diskominfo", "kominfo", "pusat data pemda", "pusat data kota", "server diskominfo"), "central"),
    **dict.fromkeys(
        ("agency", "opd", "skpd", "mandiri", "sendiri", "server sendiri", "di opd", "server opd"), "agency"
    ),
    **dict.fromkeys(("third party", "pihak ketiga", "cloud", "vendor", "hosting", "penyedia", "vps"), "third-party"),
    **dict.fromkeys(
        ("national", "nasional", "kementerian", "pemerintah pusat", "pdn", "pusat data nasional"), "national"
    ),
}


def map_sheet(sheet: Sheet, city: City, settings: Settings) -> Import:
    """Read a whole sheet. UsageError where it cannot be a list of services at all."""
    if len(sheet.rows) > MOST_ROWS:
        raise UsageError(f"more than {MOST_ROWS} rows", where=sheet.file, hint="split the list")
    if any(len(cells) > MOST_COLUMNS for _, cells in sheet.rows):
        raise UsageError(f"more than {MOST_COLUMNS} columns", where=sheet.file, hint="delete the columns to the right")
    if settings.agency is not None and settings.agency not in city.workspace.agencies:
        known = ", ".join(city.workspace.agencies)
        raise UsageError(f"no agency {settings.agency!r}", where="drp.yaml", hint=f"known: {known}")
    header = find_header([cells for _, cells in sheet.rows], settings.columns)
    reader = _Reader(sheet, header, KnownNames(city), settings)
    below = sheet.rows[header.position + 1 :]
    for place, (number, cells) in enumerate(below):
        if any(in_words(cell) for cell in cells) and not (place == 0 and _numbers_columns(cells)):
            reader.read(number, cells)
    reader.connect()
    return Import(
        rows=tuple(reader.rows),
        columns={name: clean(header.name_of(name)) for name in header.columns},
        noted=tuple(clean(header.names[number])[:80] or f"column {number + 1}" for number in reader.noted),
        unknown_agencies=reader.unknown_agencies,
    )


def _numbers_columns(cells: Sequence[str]) -> bool:
    """Whether a row only counts the columns, as forms do below their header: (1) (2) (3)."""
    found = [in_words(cell) for cell in cells if cell.strip()]
    return len(found) > 1 and found == [str(number) for number in range(1, len(found) + 1)]


class _Reader:
    """Reads row by row, remembering the ids and agencies of earlier ones."""

    def __init__(self, sheet: Sheet, header: Header, known: KnownNames, settings: Settings) -> None:
        self.sheet, self.header, self.known, self.settings = sheet, header, known, settings
        self.rows: list[Row] = []
        self.unknown_agencies: dict[str, str] = {}
        self.noted = [
            number
            for number, name in enumerate(header.names)
            if number not in header.columns.values() and in_words(name) not in _NUMBERING
        ]
        self.declared = known.services_and(())
        self.proposed: set[str] = set()
        self.taken: dict[str, Row] = {}
        self.numbers: dict[str, int] = {}

    # -- one row ---------------------------------------------------------------------------------------------------

    def read(self, number: int, cells: Sequence[str]) -> None:
        values = {name: self._cell(cells, column) for name, column in self.header.columns.items()}
        row = Row(number, clean(values["name"])[:LONGEST_NAME])
        self.rows.append(row)
        for name, text in values.items():
            if is_formula(text):
                row.refuse(f"{self._column(name)}: a formula, {text[:40]!r}; write its value")
                values[name] = ""
            elif name not in ("description", "depends_on") and len(text) > LONGEST_NAME:
                row.refuse(f"{self._column(name)}: {len(text)} characters; at most {LONGEST_NAME}")
                values[name] = text[:LONGEST_NAME]
        if not row.name:
            row.refuse(f"{self._column('name')}: no name")
            return
        row.agency = self._agency(row, values)
        self._identify(row, values.get("id", ""))
        if row.outcome == "kept":
            return
        row.record = {"schema": 1, "id": row.id, "title": self._title(row, values)}
        if description := values.get("description"):
            row.record["description"] = self._cut(row, "description", description)
        row.record["agency"] = row.agency
        self._people(row, values)
        self._objectives(row, values)
        self._places(row, values)
        self._notes(row, cells)
        row.needs = listed_names(values.get("depends_on", ""))
        if len(row.needs) > MOST_NEEDS:
            row.refuse(f"{self._column('depends_on')}: more than {MOST_NEEDS} services")
        row.record["source"] = self.sheet.place(number)

    def _cell(self, cells: Sequence[str], column: int) -> str:
        """The text of a cell; lines stay apart only where names are listed."""
        raw = cells[column] if column < len(cells) else ""
        text = (
            ", ".join(map(clean, raw.splitlines())) if column == self.header.columns.get("depends_on") else clean(raw)
        )
        return "" if text.casefold() in NOTHING_SAID else text

    def _column(self, name: str) -> str:
        return f"column {clean(self.header.name_of(name))[:60]!r}"

    def _cut(self, row: Row, key: str, text: str) -> str:
        if len(text) > LONGEST_TEXT:
            row.remarks.append(f"{key} was cut to {LONGEST_TEXT} characters")
        return text if len(text) <= LONGEST_TEXT else text[: LONGEST_TEXT - 1] + "…"

    def _agency(self, row: Row, values: Mapping[str, str]) -> str:
        text = values.get("agency", "")
        if not text and self.settings.agency is not None:
            return self.settings.agency
        if not text:
            row.refuse("no agency; fill in its column, or name one for all such rows: --agency ID")
            return ""
        found = look_up(self.known.agencies, text)
        if found is None:
            row.refuse(f"{self._column('agency')}: no agency {text[:60]!r} in drp.yaml{self._meant(text)}")
            self._propose(text)
        return found or ""

    def _meant(self, text: str) -> str:
        if len(self.unknown_agencies) > MOST_COMPARED:
            return ""
        titles = [agency.title for agency in self.known.city.workspace.agencies.values()]
        close = difflib.get_close_matches(text, titles[:MOST_COMPARED], n=1, cutoff=0.8)
        return f"; did you mean {close[0]!r}?" if close else ""

    def _propose(self, title: str) -> None:
        if title not in self.proposed:
            self.proposed.add(title)
            taken = {*self.unknown_agencies, *self.known.city.workspace.agencies}
            name = next(item for item in self._numbered(slug(title, "agency")) if item not in taken)
            self.unknown_agencies[name] = title

    def _identify(self, row: Row, own: str) -> None:
        """Give the row its id: its own, else one made of the name; another agency's service of the same name gets the
        agency's too. A service that has a file already keeps it."""
        is_allowed = bool(re.fullmatch(r"[a-z][a-z0-9-]{0,47}", own))
        if own and not is_allowed and not own.isdigit():
            row.remarks.append(f"{own[:40]!r} is not an allowed id; one was made of the name")
        base = self._declared_as(row) or slug(row.name, f"row-{row.number}")
        longer = f"{shortened(base, 27)}-{row.agency[:20]}".rstrip("-")
        candidates = (own,) if is_allowed else chain((base,), self._numbered(longer))
        for candidate in candidates:
            earlier, declared = self.taken.get(candidate), self.known.city.services.get(candidate)
            if earlier is not None and earlier.agency == row.agency and in_words(earlier.name) == in_words(row.name):
                row.refuse(f"the same name and agency as row {earlier.number}")
                return
            if earlier is None and (declared is None or not row.agency or declared.agency == row.agency):
                row.id = candidate
                self.taken[candidate] = row
                break
        else:
            row.refuse(f"the id {own!r} is another service's")
            return
        if (declared is not None or row.id in self.settings.files) and row.outcome == "new":
            row.outcome = "kept"

    def _declared_as(self, row: Row) -> str | None:
        """The agency's service that has this title already."""
        name = look_up(self.declared, row.name)
        return name if name is not None and self.known.city.services[name].agency == row.agency else None

    def _numbered(self, base: str) -> Iterator[str]:
        """The name itself, then the name with a number, going on where the last look ended; never too long for an
        id."""
        yield base
        while True:
            self.numbers[base] = self.numbers.get(base, 1) + 1
            yield f"{shortened(base, 41)}-{self.numbers[base]}"

    def _title(self, row: Row, values: Mapping[str, str]) -> dict[str, str]:
        if not values.get("name_en"):
            row.to_fill["title"] = "the English title; for now it is the same"
        return {"en": values.get("name_en") or row.name, "id": row.name}

    def _people(self, row: Row, values: Mapping[str, str]) -> None:
        contact = values.get("contact", "")
        for word in ("owner", "deputy"):
            text = values.get(word, "")
            person = look_up(self.known.people, text) if text else None
            if person is not None:
                row.record[word] = person
            elif text:
                row.record[word] = {"name": text} | ({"contact": contact} if contact and word == "owner" else {})
            else:
                row.to_fill[word] = {"owner": "who answers for it", "deputy": "who stands in for the owner"}[word]
        if contact and not isinstance(row.record.get("owner"), dict):
            self._note(row, "contact", contact)

    def _objectives(self, row: Row, values: Mapping[str, str]) -> None:
        tier = look_up(self.known.tiers, values["tier"]) if values.get("tier") else None
        if tier is not None:
            row.record["tier"] = tier
        elif values.get("tier"):
            self._note(row, "tier", values["tier"])
        for word in ("rto", "rpo", "mtpd"):
            text = values.get(word, "")
            if not text:
                continue
            try:
                row.record[word] = duration_text(parse_time(text, unit_in(self.header.name_of(word))))
            except ValueError as error:
                other = f'or keep it in the notes: --column {word}=""'
                row.refuse(f"{self._column(word)}: {error}; {other}")
        if tier is None:
            missing = [word for word in ("rto", "rpo") if word not in row.record]
            row.to_fill["tier"] = f"a tier of drp.yaml, or {' and '.join(missing)}" if missing else "a tier of drp.yaml"

    def _places(self, row: Row, values: Mapping[str, str]) -> None:
        cluster = look_up(self.known.clusters, values["cluster"]) if values.get("cluster") else None
        if cluster is not None:
            row.record["cluster"] = cluster
        elif values.get("cluster"):
            self._note(row, "cluster", values["cluster"])
        hosting = _HOSTING.get(in_words(values.get("hosting", "")))
        row.record["hosting"] = hosting or "central"
        if hosting is None:
            row.record["assumed"] = ["hosting"]
            row.to_fill["hosting"] = "central, agency, third-party or national; nobody has said"
            if values.get("hosting"):
                self._note(row, "hosting", values["hosting"])
        names = listed_names(values.get("server", ""))
        hosts = [self.known.hosts.get(name.casefold()) for name in names]
        if names and None not in hosts:
            row.record["runs_on"] = list(dict.fromkeys(hosts))
        else:
            row.to_fill["runs_on"] = "hosts of the group primary in inventories/hosts.yaml"
            if names:
                self._note(row, "server", values["server"])
        row.to_fill["recovers_on"] = "for each of them the host of the group recovery that stands in"
        row.to_fill["datasets"] = "its databases and files; until then it is only registered"
        row.to_fill["backup"] = "DR centre, password and schedule; until then it is not protected"
        row.to_fill["checks"] = "what proves that it is usable"

    # -- notes -----------------------------------------------------------------------------------------------------

    def _note(self, row: Row, name: str, text: str) -> None:
        row.notes.append(f"{clean(self.header.name_of(name))[:80]}: {text}")

    def _notes(self, row: Row, cells: Sequence[str]) -> None:
        for column in self.noted:
            text = self._cell(cells, column)
            if text:
                if is_formula(text):
                    row.remarks.append(f"column {column + 1} holds a formula; it is kept as text")
                row.notes.append(f"{clean(self.header.names[column])[:80] or f'column {column + 1}'}: {text}")

    # -- all rows together -----------------------------------------------------------------------------------------

    def connect(self) -> None:
        """Find the services that each row needs, refuse circles, and check that every new file would be valid."""
        edges = {name: {found for _, found in needs if found} for name, needs in self._needs().items()}
        circles = _in_circles(edges)
        for row in self.rows:
            if row.id in circles and row.outcome == "new":
                row.refuse(f"{self._column('depends_on')}: it needs itself in the end, through others")
        resolved = self._needs()
        for row in self.rows:
            if row.outcome == "new":
                self._finish(row, resolved[row.id])

    def _needs(self) -> dict[str, list[tuple[str, str | None]]]:
        """For each new service, what its cell names, with the service that is meant."""
        targets = self.known.services_and((row.id, row.name) for row in self.rows if row.outcome != "faulty")
        new = [row for row in self.rows if row.outcome == "new"]
        return {row.id: [(need, look_up(targets, need)) for need in row.needs] for row in new}

    def _finish(self, row: Row, needs: Sequence[tuple[str, str | None]]) -> None:
        if needs and all(found is not None for _, found in needs):
            row.record["depends_on"] = list(dict.fromkeys(found for _, found in needs))
        else:
            row.to_fill["depends_on"] = "the services that it needs; [] if there are none"
            if needs:
                self._note(row, "depends_on", ", ".join(need for need, _ in needs))
        if row.notes:
            row.record["notes"] = self._cut(row, "notes", "\n".join(row.notes))
        try:
            Service.model_validate(row.record)
        except ValidationError as error:
            for detail in error.errors(include_url=False, include_input=False):
                row.refuse(f"{'.'.join(map(str, detail['loc']))}: {detail['msg']}")


def _in_circles(edges: Mapping[str, set[str]]) -> set[str]:
    """The names that lie on a circle, or between two."""
    left = set(edges)
    for arrows in (edges, _reversed(edges)):
        back = _reversed(arrows)
        open_ends = {name: len(arrows[name] & left) for name in left}
        pending = [name for name in left if not open_ends[name]]
        while pending:
            name = pending.pop()
            left.discard(name)
            for other in back[name] & left:
                open_ends[other] -= 1
                if not open_ends[other]:
                    pending.append(other)
    return left


def _reversed(edges: Mapping[str, set[str]]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {name: set() for name in edges}
    for name, others in edges.items():
        for other in others & edges.keys():
            found[other].add(name)
    return found
