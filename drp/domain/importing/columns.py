"""Which column of an agency's list holds what: header names in English and Indonesian, and how their cells are read."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

from drp.domain.values import milliseconds
from drp.errors import UsageError

FIELDS: Mapping[str, tuple[str, ...]] = {
    "name": (
        *("name", "title", "service", "service name", "system", "system name", "application", "application name"),
        *("nama", "nama aplikasi", "nama sistem", "nama layanan", "nama sistem informasi", "nama modul", "aplikasi"),
        *("nama aplikasi sistem", "nama sistem aplikasi", "layanan", "sistem", "sistem informasi", "modul", "judul"),
        "aplikasi sistem",
    ),
    "name_en": ("name en", "title en", "english name", "english title", "nama inggris", "nama bahasa inggris"),
    "id": ("id", "service id", "slug", "id layanan", "id aplikasi", "id sistem"),
    "agency": (
        *("agency", "department", "office", "perangkat daerah", "opd", "skpd", "dinas", "instansi", "unit kerja"),
        *("nama opd", "nama skpd", "nama perangkat daerah", "nama instansi", "opd pemilik", "skpd pemilik", "badan"),
        *("perangkat daerah pemilik", "opd pengelola", "skpd pengelola", "organisasi perangkat daerah"),
    ),
    "cluster": ("cluster", "klaster", "kelompok", "kelompok layanan"),
    "owner": (
        *("owner", "service owner", "system owner", "business owner", "pemilik", "pemilik aplikasi", "pemilik sistem"),
        *("pemilik layanan", "penanggung jawab", "pic", "nama pic", "person in charge"),
    ),
    "deputy": ("deputy", "deputy owner", "wakil", "pengganti", "wakil penanggung jawab"),
    "contact": (
        *("contact", "owner contact", "phone", "telephone", "email", "e mail", "kontak", "kontak pic", "telepon"),
        *("no telepon", "nomor telepon", "no hp", "nomor hp", "hp", "kontak penanggung jawab", "narahubung"),
    ),
    "server": (
        *("server", "servers", "host", "hosts", "runs on", "server name", "nama server", "host name", "hostname"),
        *("ip server", "alamat ip", "ip address", "ip", "mesin", "vm", "virtual machine"),
    ),
    "rto": ("rto", "recovery time objective", "target waktu pemulihan", "waktu pemulihan"),
    "rpo": ("rpo", "recovery point objective", "target titik pemulihan", "titik pemulihan"),
    "mtpd": ("mtpd", "mtd", "maximum tolerable period of disruption", "maximum tolerable downtime"),
    "tier": ("tier", "category", "criticality", "priority class", "kategori", "kekritisan", "tingkat kekritisan"),
    "hosting": ("hosting", "hosted at", "hosted by", "lokasi hosting", "lokasi server", "tempat hosting", "penempatan"),
    "depends_on": (
        *("depends on", "dependencies", "dependency", "needs", "ketergantungan", "tergantung pada", "bergantung pada"),
        *("aplikasi terkait", "sistem terkait", "integrasi dengan", "terintegrasi dengan", "integrasi"),
    ),
    "description": ("description", "purpose", "deskripsi", "uraian", "fungsi", "kegunaan", "deskripsi aplikasi"),
}
"""What can be taken over, and the header names that mean it. Everything else goes into the notes."""

HEADER_SEARCHED = 30
"""In so many rows from the top a header is looked for: titles and empty rows stand above it."""

MOST_COLUMNS = 200

_BRACKETS = re.compile(r"[(\[]([^)\]]*)[)\]]")


def in_words(text: str) -> str:
    """Only the words of a text, in small letters: `Nama Aplikasi/Sistem *` is `nama aplikasi sistem`."""
    plain = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(re.findall(r"[^\W_]+", plain))


def outside_brackets(text: str) -> str:
    return _BRACKETS.sub(" ", text)


def in_brackets(text: str) -> list[str]:
    return [found.strip() for found in _BRACKETS.findall(text) if found.strip()]


_BY_WORDS = {words: field for field, synonyms in FIELDS.items() for words in synonyms}
_PHRASES = sorted((words for words in _BY_WORDS if " " in words), key=len, reverse=True)


def field_of(header: str) -> str | None:
    """The field that a header means; None where nobody can tell. A header may go on after a known phrase."""
    for words in (in_words(header), in_words(outside_brackets(header)), *map(in_words, in_brackets(header))):
        if words in _BY_WORDS:
            return _BY_WORDS[words]
        phrase = next((known for known in _PHRASES if words.startswith(known + " ")), None)
        if phrase is not None:
            return _BY_WORDS[phrase]
    return None


@dataclass(frozen=True, slots=True)
class Header:
    """Where the header stands among the rows (from 0), all columns' names, and the columns that are understood."""

    position: int
    names: tuple[str, ...]
    columns: Mapping[str, int]

    def name_of(self, field: str) -> str:
        return self.names[self.columns[field]]


def find_header(rows: Sequence[Sequence[str]], wanted: Mapping[str, str]) -> Header:
    """The row near the top that names most columns, one of which is the services' names.

    `wanted` says by hand which header a field has; an empty one: none. UsageError where there is no such row.
    """
    for field in wanted:
        if field not in FIELDS:
            raise UsageError(f"no field {field!r} for --column", hint=f"known: {', '.join(FIELDS)}")
    best: Header | None = None
    for position, cells in enumerate(rows[:HEADER_SEARCHED]):
        columns = _columns(cells, wanted)
        if "name" in columns and (best is None or len(columns) > len(best.columns)):
            best = Header(position, tuple(cells), columns)
    if best is None:
        raise UsageError(_not_found(rows, wanted), hint='say which: --column name="Nama Aplikasi"')
    missing = [field for field, name in wanted.items() if name and field not in best.columns]
    if missing:
        names = ", ".join(repr(name[:60]) for name in best.names if name)
        raise UsageError(f"no column {wanted[missing[0]]!r} for {missing[0]}", hint=f"the header names {names[:600]}")
    return best


def _columns(cells: Sequence[str], wanted: Mapping[str, str]) -> dict[str, int]:
    words = [in_words(cell) for cell in cells]
    columns = {field: words.index(in_words(name)) for field, name in wanted.items() if name and in_words(name) in words}
    taken = set(columns.values())
    for number, cell in enumerate(cells):
        field = field_of(cell) if len(cell) <= 200 else None
        if field is not None and field not in columns and field not in wanted and number not in taken:
            columns[field] = number
            taken.add(number)
    return columns


def _not_found(rows: Sequence[Sequence[str]], wanted: Mapping[str, str]) -> str:
    if wanted.get("name"):
        return f"no header {wanted['name']!r} in the first {HEADER_SEARCHED} rows"
    fullest = max(rows[:HEADER_SEARCHED], key=lambda cells: sum(bool(cell) for cell in cells), default=())
    seen = ", ".join(repr(cell[:40]) for cell in fullest if cell)
    return f"no column with the services' names; the fullest row near the top holds {seen[:400] or 'nothing'}"


_UNITS = {
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds", "detik", "dtk"), 1_000),
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes", "menit", "mnt"), 60_000),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours", "jam", "j"), 3_600_000),
    **dict.fromkeys(("d", "day", "days", "hari"), 86_400_000),
    **dict.fromkeys(("w", "week", "weeks", "minggu", "pekan"), 7 * 86_400_000),
}
_AT_MOST = re.compile(r"^(?:maks(?:imal|imum)?|max(?:imum|imal)?|up to|hingga|sampai|<=?|≤)\.? *", re.IGNORECASE)
_DAYS_OF_24 = re.compile(r"([0-9]{1,3}) *[x×*] *24 *(?:jam|hours?|h)", re.IGNORECASE)
_CLOCK = re.compile(r"([0-9]{1,4}):([0-5][0-9]):([0-5][0-9])")
_PART = re.compile(r"([0-9]{1,6}(?:[.,][0-9]{1,3})?) *([^\W\d_]+)\.?")

NOTHING_SAID = frozenset(
    {"", "-", "–", "—", "?", "n/a", "na", "none", "nihil", "kosong", "belum ada", "tidak ada", "belum", "tbd"}
)
"""What people write where they have nothing to say."""

TIME_HINT = "write 4 jam, 30 menit, 1 hari, 4h or 1h30m, or name the unit in the header, as in RTO (jam)"


def unit_in(header: str) -> str | None:
    """The unit that a header names in brackets, as in `RTO (jam)`."""
    return next((word for inner in in_brackets(header) for word in in_words(inner).split() if word in _UNITS), None)


def parse_time(text: str, unit: str | None = None) -> timedelta:
    """Read `4 jam`, `1 jam 30 menit`, `2x24 jam`, `4h` or `1:30:00`. A bare number needs the header's unit."""
    plain = _AT_MOST.sub("", outside_brackets(text).strip().casefold())
    if re.fullmatch(r"[0-9]{1,6}(?:[.,][0-9]{1,3})?", plain):
        if unit is None:
            raise ValueError(f"{text[:40]!r} has no unit: {TIME_HINT}")
        plain += unit
    if found := _DAYS_OF_24.fullmatch(plain):
        total = Decimal(found[1]) * _UNITS["d"]
    elif found := _CLOCK.fullmatch(plain):
        total = Decimal((int(found[1]) * 60 + int(found[2])) * 60 + int(found[3])) * 1000
    else:
        total = _sum_of_parts(text, plain)
    if total > 3650 * _UNITS["d"]:
        raise ValueError(f"{text[:40]!r} is longer than ten years")
    return timedelta(milliseconds=int(total))


def _sum_of_parts(text: str, plain: str) -> Decimal:
    parts = _PART.findall(plain)
    rest = set(_PART.sub(" ", plain).split())
    if not parts or not rest <= {"dan", "and", ","} or any(word not in _UNITS for _, word in parts):
        raise ValueError(f"{text[:40]!r} is not a length of time: {TIME_HINT}")
    return sum((Decimal(amount.replace(",", ".")) * _UNITS[word] for amount, word in parts), Decimal())


def duration_text(duration: timedelta) -> str:
    """A duration as a service's file wants it: `1h30m`."""
    left = milliseconds(duration)
    text = ""
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)):
        amount, left = divmod(left, size)
        text += f"{amount}{unit}" if amount else ""
    return text or "0s"


def is_formula(text: str) -> bool:
    """Whether a spreadsheet program would work it out instead of showing it; `+62 251 …` is a telephone."""
    return text.startswith(("=", "@")) or bool(re.match(r"[+-][A-Za-z]+[A-Za-z0-9]*[(|!]", text))


def clean(text: str) -> str:
    """A cell in one line, without control characters and other characters that no file should hold."""
    kept = "".join(char for char in text if char.isspace() or unicodedata.category(char) not in ("Cc", "Cs", "Cf"))
    return " ".join(kept.split())


def slug(text: str, fallback: str) -> str:
    """An allowed id made of a name: the first short word in brackets where there is one, as in `… (SIMPEG)`."""
    short = [inner for inner in map(_ascii, in_brackets(text)) if re.fullmatch(r"[a-z][a-z0-9]{1,19}", inner)]
    found = short[0] if short else _ascii(outside_brackets(text)) or _ascii(text)
    if found and not found[0].isalpha():
        found = f"s-{found}"
    return shortened(found, 48) or fallback


def _ascii(text: str) -> str:
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    return "-".join(re.findall(r"[a-z0-9]+", plain))


def shortened(name: str, most: int) -> str:
    """Cut at a hyphen where that leaves a good part of it."""
    if len(name) <= most:
        return name
    cut = name[: most + 1].rpartition("-")[0]
    return cut if len(cut) > most // 2 else name[:most].rstrip("-")


def listed_names(text: str) -> list[str]:
    """The names in a cell that lists several."""
    return [name for name in (part.strip(" .-•") for part in re.split(r"[,;/\n]| dan | and ", text)) if name]
