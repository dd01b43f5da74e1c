"""Files of every kind that agencies send, and files that only pretend to be one."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import pytest

import drp.adapters.spreadsheet as adapter
from drp.adapters.spreadsheet import read_spreadsheet
from drp.domain.importing.sheet import Sheet
from drp.domain.importing.spreadsheet import MOST_ROWS
from drp.errors import UsageError
from tests.fakes.workbooks import compound, ods, xls, xlsx, zipped

ROWS = [["Nama Aplikasi", "RTO"], ["Simpeg & co", "4 jam"]]
READ = ((1, ("Nama Aplikasi", "RTO")), (2, ("Simpeg & co", "4 jam")))


def read(folder: Path, content: bytes, name: str = "daftar.bin", sheet: str | None = None) -> Sheet:
    (folder / name).write_bytes(content)
    return read_spreadsheet(folder / name, sheet)


@pytest.mark.parametrize(
    "text",
    [
        "Nama Aplikasi,RTO\nSimpeg & co,4 jam\n",
        "Nama Aplikasi;RTO\r\nSimpeg & co;4 jam\r\n",
        "Nama Aplikasi\tRTO\nSimpeg & co\t4 jam\n",
        '"Nama Aplikasi","RTO"\n"Simpeg & co","4 jam"',
        "\ufeffNama Aplikasi;RTO\nSimpeg & co;4 jam\n",
    ],
)
def test_csv_in_its_dialects(tmp_path: Path, text: str) -> None:
    assert read(tmp_path, text.encode()).rows == READ
    assert read(tmp_path, text.replace("\ufeff", "").encode("utf-16")).rows == READ


def test_commas_in_cells_do_not_mislead(tmp_path: Path) -> None:
    found = read(tmp_path, b"Nama;OPD;Catatan\nA;Dinas X, Y, Z, W;a, b, c, d, e\n")
    assert found.rows[1] == (2, ("A", "Dinas X, Y, Z, W", "a, b, c, d, e"))


def test_a_first_line_that_names_the_delimiter(tmp_path: Path) -> None:
    found = read(tmp_path, b"sep=|\nNama|OPD\nA|B\n")
    assert found.rows == ((1, ()), (2, ("Nama", "OPD")), (3, ("A", "B")))


def test_windows_text_is_read(tmp_path: Path) -> None:
    assert read(tmp_path, "Nama;OPD\nCafé – „Ibu“;x\n".encode("cp1252")).rows[1] == (2, ("Café – „Ibu“", "x"))


def test_cells_of_several_lines_are_one_row(tmp_path: Path) -> None:
    assert read(tmp_path, b'Nama,OPD\n"A\nB",x\n"C ""D""",y\n').rows[1:] == ((2, ("A\nB", "x")), (3, ('C "D"', "y")))


@pytest.mark.parametrize("content", [xlsx({"Daftar": ROWS}), xls(ROWS), ods(ROWS)], ids=["xlsx", "xls", "ods"])
@pytest.mark.parametrize("name", ["daftar.xlsx", "daftar.csv", "daftar"])
def test_workbooks_are_known_by_their_content(tmp_path: Path, content: bytes, name: str) -> None:
    found = read(tmp_path, content, name)
    assert (found.name, found.rows) == ("Daftar", READ)


def test_the_first_visible_sheet_that_holds_something(tmp_path: Path) -> None:
    book = xlsx({"Arsip": ROWS, "Kosong": [], "Daftar": ROWS[::-1]}, hidden="Arsip")
    assert read(tmp_path, book).name == "Daftar"
    assert read(tmp_path, book, sheet="Arsip").name == "Arsip"
    with pytest.raises(UsageError, match="no sheet 'Lain'") as caught:
        read(tmp_path, book, sheet="Lain")
    assert caught.value.hint == "it has: Arsip, Kosong, Daftar"


def test_numbers_times_and_merged_cells_are_read_as_people_see_them(tmp_path: Path) -> None:
    raw = '<row r="3"><c r="A3"><v>4</v></c><c r="B3"><v>0.5</v></c><c r="C3" t="b"><v>1</v></c>'
    raw += '<c r="D3" t="e"><v>#REF!</v></c><c r="E3"><f>1+1</f></c></row><row r="4"><c r="C4"><v>7</v></c></row>'
    found = read(tmp_path, xlsx({"D": [["Nama", "OPD"], ["", "Dinkes"]]}, raw=raw, merged="B2:B4"))
    assert found.rows == (
        (1, ("Nama", "OPD")),
        (2, ("", "Dinkes")),
        (3, ("4", "0.5", "True")),
        (4, ("", "Dinkes", "7")),
    )


def test_row_numbers_are_those_of_the_sheet(tmp_path: Path) -> None:
    assert [number for number, _ in read(tmp_path, xlsx({"D": [[], [], ["Nama"], [], ["A"]]})).rows] == [3, 5]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "empty"),
        (b"   \r\n", "empty"),
        (b"%PDF-1.7\n", "not a spreadsheet"),
        (b"{\\rtf1 hello}", "not a spreadsheet"),
        (b"\x7fELF\x02\x01\x01\x00\x00", "not a spreadsheet"),
        (b"<html><table><tr><td>Nama</td></tr></table></html>", "a web page"),
        (b"\xef\xbb\xbf<?xml version='1.0'?><Workbook/>", "XML"),
        (b"Nama;OPD\n\x81\x8d;x\n", "neither UTF-8 nor Windows-1252"),
        (b"Nama;" + b"x" * 200_000, "field larger"),
        (zipped({"a.txt": "hello"}), "not a spreadsheet that can be read"),
        pytest.param(zipped({"a.txt": "hello"})[:40], "damaged", id="cut-zip"),  # its bytes hold the time of day
        (xlsx({"D": ROWS})[:-200], "damaged"),
        (xlsx({"D": []}), "no sheet holds anything"),
        (compound({"Other": b"x"}), "not a spreadsheet that can be read"),
        (compound({"EncryptedPackage": b"x", "EncryptionInfo": b"y"}), "protected by a password"),
        (xls(ROWS, encrypted=True), "protected by a password"),
        (ods(ROWS, encrypted=True), "protected by a password"),
        (xlsx({"D": ROWS}, raw='<row r="1048576"><c r="XFD1048576"><v>1</v></c></row>'), "too large to be opened"),
        (xlsx({"D": ROWS}, raw='<row r="1048576"><c r="BZ1048576"><v>1</v></c></row>'), "too large to be opened"),
    ],
    ids=lambda value: value if isinstance(value, str) else "content",  # an archive holds the time at which it was made
)
def test_what_cannot_be_read_is_refused_with_the_reason(tmp_path: Path, content: bytes, said: str) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        read(tmp_path, content)
    assert caught.value.where == "daftar.bin"
    assert caught.value.hint


def test_too_many_rows_are_noticed_not_read(tmp_path: Path) -> None:
    assert len(read(tmp_path, b"Nama\n" + b"A\n" * 100_000).rows) == MOST_ROWS + 1
    endless = ods(ROWS, attributes=' table:number-rows-repeated="1048576"')
    assert len(read(tmp_path, endless).rows) == MOST_ROWS + 1


def test_too_many_columns_are_noticed(tmp_path: Path) -> None:
    assert len(read(tmp_path, b";".join([b"a"] * 10_000)).rows[0][1]) == 201


def test_a_file_that_grows_when_unpacked_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adapter, "LARGEST_UNPACKED_BYTES", 1_000_000)
    with pytest.raises(UsageError, match="when unpacked"):
        read(tmp_path, zipped({"xl/workbook.xml": "x" * 2_000_000}))


def test_a_large_file_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "large.csv"
    with path.open("wb") as file:
        file.truncate(adapter.LARGEST_FILE_BYTES + 1)
    with pytest.raises(UsageError, match="larger than 50 MiB"):
        read_spreadsheet(path)


def test_a_sheet_that_takes_too_long_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adapter, "TIMEOUT_SECONDS", 0.01)
    with pytest.raises(UsageError, match="not read within"):
        read(tmp_path, xlsx({"D": ROWS}))


def test_a_missing_file_a_folder_and_a_sheet_of_a_text_file(tmp_path: Path) -> None:
    for path in (tmp_path / "gone.csv", tmp_path):
        with pytest.raises(UsageError, match="cannot be read"):
            read_spreadsheet(path)
    with pytest.raises(UsageError, match="no sheets"):
        read(tmp_path, b"Nama\nA\n", sheet="Daftar")


def test_a_zip_with_a_password_is_told(tmp_path: Path) -> None:
    content = bytearray(zipped({"xl/workbook.xml": "x"}))
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        place = content.index(signature) + offset
        content[place] |= 1
    with pytest.raises(UsageError, match="protected by a password"):
        read(tmp_path, bytes(content))


def test_the_bytes_that_tests_write_are_what_they_should_be(tmp_path: Path) -> None:
    path = tmp_path / "book.xlsx"
    path.write_bytes(xlsx({"D": ROWS}))
    assert zipfile.ZipFile(path).testzip() is None


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "list.csv")
    with pytest.raises(UsageError, match="no ordinary file"):
        read_spreadsheet(tmp_path / "list.csv")
