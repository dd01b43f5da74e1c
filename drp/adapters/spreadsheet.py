"""Reads a table from CSV, xlsx, xlsb, xls or ods, whatever the file is called and whatever it hides.

Workbooks are read in a process of their own with little memory: a sheet of one cell in its last corner is small as a
file and fills any memory when it is opened.
"""

from __future__ import annotations

import csv
import json
import resource
import stat
import subprocess
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from drp.domain.importing.columns import HEADER_SEARCHED, MOST_COLUMNS, field_of
from drp.domain.importing.sheet import Sheet
from drp.domain.importing.spreadsheet import MOST_ROWS
from drp.errors import UsageError

LARGEST_FILE_BYTES = 50 * 1024 * 1024
LARGEST_UNPACKED_BYTES = 300 * 1024 * 1024
MEMORY_BYTES = 1024 * 1024 * 1024
TIMEOUT_SECONDS = 120

_DELIMITERS = (";", ",", "\t")
_ZIP, _OLE = b"PK\x03\x04", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_ENCRYPTED_WORKBOOK = "EncryptedPackage".encode("utf-16-le")
_MANIFEST, _ENCRYPTED_PART = "META-INF/manifest.xml", b"encryption-data"
_SMALLER = "delete what is not the list of services, empty rows and columns too, or save it as CSV"
_SAVE_AGAIN = "open it in a spreadsheet program and save it as .xlsx, .ods or .csv"


def read_spreadsheet(path: Path, sheet: str | None = None) -> Sheet:
    """The rows of a file; of a workbook, those of the sheet named, else of the first that is visible and not empty.

    UsageError says why a file cannot be read.
    """
    name = path.name
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):  # a pipe would be waited for
            raise UsageError("cannot be read: it is no ordinary file", where=str(path), hint="check the path")
        if found.st_size > LARGEST_FILE_BYTES:
            raise UsageError(f"larger than {LARGEST_FILE_BYTES // 1024**2} MiB", where=name, hint=_SMALLER)
        content = path.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot be read: {error.strerror}", where=str(path), hint="check the path") from error
    if content.startswith(_OLE):
        if _ENCRYPTED_WORKBOOK in content:
            raise _protected(name)
        return _workbook(path, sheet)
    if content.startswith(_ZIP):
        _refuse_bomb(path)
        return _workbook(path, sheet)
    if sheet is not None:
        raise UsageError("a text file has no sheets", where=name, hint="leave out --sheet")
    _refuse_other(name, content)
    return Sheet(name, None, tuple(enumerate(_csv_rows(name, _decoded(name, content)), 1)))


# -- text ----------------------------------------------------------------------------------------------------------


def _refuse_other(name: str, content: bytes) -> None:
    start = content[:1024].lstrip(b"\xef\xbb\xbf \r\n\t").lower()
    if not start:
        raise UsageError("the file is empty", where=name, hint="choose the file that holds the list")
    if start.startswith((b"<!doctype html", b"<html", b"<table", b"<?xml", b"<head", b"<body")):
        raise UsageError("a web page or XML, whatever its name says", where=name, hint=_SAVE_AGAIN)
    is_wide = content.startswith((b"\xff\xfe", b"\xfe\xff"))
    if (b"\x00" in content[:4096] and not is_wide) or start.startswith((b"%pdf", b"{\\rtf")):
        raise UsageError("not a spreadsheet and not text", where=name, hint=_SAVE_AGAIN)


def _decoded(name: str, content: bytes) -> str:
    """UTF-16 where its mark says so (a spreadsheet program's "Unicode text"), UTF-8, else Windows-1252."""
    encodings = ("utf-16",) if content.startswith((b"\xff\xfe", b"\xfe\xff")) else ("utf-8-sig", "cp1252")
    for encoding in encodings:
        try:
            return content.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise UsageError("neither UTF-8 nor Windows-1252 text", where=name, hint="save it as CSV UTF-8")


def _csv_rows(name: str, text: str) -> list[tuple[str, ...]]:
    lines = text.splitlines(keepends=True)
    first = lines[0].strip().lower() if lines else ""
    if first.startswith("sep=") and len(first) == 5:
        return [(), *_parsed(name, lines[1:], first[4])]
    return _parsed(name, lines, _delimiter(name, lines))


def _delimiter(name: str, lines: Sequence[str]) -> str:
    """The one that gives most columns that are understood, then most columns."""

    def merit(delimiter: str) -> tuple[int, int]:
        rows = _parsed(name, lines, delimiter, most=HEADER_SEARCHED)
        understood = max((sum(field_of(cell) is not None for cell in row) for row in rows), default=0)
        return understood, max(map(len, rows), default=0)

    return max(_DELIMITERS, key=merit)


def _parsed(name: str, lines: Sequence[str], delimiter: str, most: int = MOST_ROWS + 1) -> list[tuple[str, ...]]:
    """At most so many rows, and one more column than allowed, so that too many are noticed."""
    found: list[tuple[str, ...]] = []
    try:
        for cells in csv.reader(lines, delimiter=delimiter):
            found.append(tuple(cells[: MOST_COLUMNS + 1]))
            if len(found) >= most:
                break
    except csv.Error as error:
        raise UsageError(f"row {len(found) + 1} cannot be read: {error}", where=name, hint=_SAVE_AGAIN) from error
    return found


# -- workbooks -----------------------------------------------------------------------------------------------------


def _refuse_bomb(path: Path) -> None:
    """Unpack every part once, and count: what a zip file says about its own size need not be true. An OpenDocument
    file that is encrypted says so in its manifest."""
    total = 0
    try:
        with zipfile.ZipFile(path) as archive:
            for part in archive.infolist():
                with archive.open(part) as stream:
                    while piece := stream.read(1024 * 1024):
                        total += len(piece)
                        if part.filename == _MANIFEST and _ENCRYPTED_PART in piece:
                            raise _protected(path.name)
                        if total > LARGEST_UNPACKED_BYTES:
                            limit = f"more than {LARGEST_UNPACKED_BYTES // 1024**2} MiB when unpacked"
                            raise UsageError(limit, where=path.name, hint=_SMALLER)
    except (zipfile.BadZipFile, EOFError, OSError, ValueError, NotImplementedError, zlib.error) as error:
        raise UsageError(f"damaged: {error}", where=path.name, hint=_SAVE_AGAIN) from error
    except RuntimeError as error:
        raise _protected(path.name) from error


def _protected(name: str) -> UsageError:
    return UsageError("protected by a password", where=name, hint="save a copy without one, and delete it afterwards")


def _workbook(path: Path, sheet: str | None) -> Sheet:
    arguments = [sys.executable, "-m", __name__, str(path.resolve()), *([] if sheet is None else [sheet])]
    try:
        done = subprocess.run(
            arguments,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=TIMEOUT_SECONDS,
            check=False,
            env={"PYTHONPATH": ":".join(sys.path), "LC_ALL": "C.UTF-8", "RUST_BACKTRACE": "0"},
        )
    except subprocess.TimeoutExpired as error:
        raise UsageError(f"not read within {TIMEOUT_SECONDS} s", where=path.name, hint=_SMALLER) from error
    try:
        answer = json.loads(done.stdout)
    except ValueError as error:
        raise UsageError("the sheet is too large to be opened", where=path.name, hint=_SMALLER) from error
    if "password" in answer:
        raise _protected(path.name)
    if "sheets" in answer:
        raise UsageError(f"no sheet {sheet!r}", where=path.name, hint=f"it has: {', '.join(answer['sheets'])}")
    if "error" in answer:
        raise UsageError(f"not a spreadsheet that can be read: {answer['error']}", where=path.name, hint=_SAVE_AGAIN)
    rows = tuple((int(number), tuple(cells)) for number, cells in answer["rows"])
    return Sheet(path.name, str(answer["sheet"]), rows)


def main(path: str, wanted: str | None = None) -> None:
    """The process that opens a workbook: its rows as JSON on standard output, or why not."""
    import python_calamine

    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    try:
        answer = _answer(_opened(path), wanted)
    except python_calamine.PasswordError:
        answer = {"password": True}
    except (python_calamine.CalamineError, OSError, ValueError) as error:
        answer = {"error": str(error)[:300]}
    json.dump(answer, sys.stdout)


def _opened(path: str) -> Any:
    """By its content, whatever its name says. An old workbook that cannot be opened so is opened by a name of its kind:
    only then the library says that it has a password."""
    import python_calamine

    with open(path, "rb") as stream:
        is_old = stream.read(len(_OLE)) == _OLE
        stream.seek(0)
        try:
            return python_calamine.load_workbook(stream)
        except python_calamine.CalamineError:
            if not is_old:
                raise
    with tempfile.TemporaryDirectory() as folder:
        link = Path(folder) / "book.xls"
        link.symlink_to(path)
        return python_calamine.load_workbook(link)


def _answer(workbook: Any, wanted: str | None) -> dict[str, Any]:
    if wanted is not None and wanted not in workbook.sheet_names:
        return {"sheets": workbook.sheet_names}
    hidden = {sheet.name for sheet in workbook.sheets_metadata if not str(sheet.visible).endswith(".Visible")}
    names = [wanted] if wanted is not None else [name for name in workbook.sheet_names if name not in hidden]
    for name in names:
        rows = list(_rows(workbook.get_sheet_by_name(name)))
        if rows:
            return {"sheet": name, "rows": rows}
    return {"error": "no sheet holds anything"}


def _rows(sheet: Any) -> Iterator[tuple[int, list[str]]]:
    """Rows that hold something, with their numbers. A cell that is merged over several rows belongs to each."""
    found = sheet.to_python(skip_empty_area=False, nrows=MOST_ROWS + 1)
    for (top, left), (bottom, _) in sheet.merged_cell_ranges or []:
        for row in found[top + 1 : bottom + 1]:
            if left < len(row) and row[left] == "":
                row[left] = found[top][left]
    for number, cells in enumerate(found, 1):
        texts = [_text(cell) for cell in cells]
        while texts and not texts[-1]:
            texts.pop()
        if texts:
            yield number, texts[: MOST_COLUMNS + 1]


def _text(value: Any) -> str:
    """A cell as people see it: 4 and not 4.0; times and lengths of time as hours:minutes:seconds."""
    if isinstance(value, float):
        return f"{value:.15g}"
    if hasattr(value, "total_seconds"):
        seconds = round(value.total_seconds())
        return f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}"
    return value if isinstance(value, str) else str(value)


if __name__ == "__main__":
    main(*sys.argv[1:3])
