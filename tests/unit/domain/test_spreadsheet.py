"""Rows of an agency's list become services, or are refused with the reason; nothing is guessed."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drp.domain.consistency import faults_of
from drp.domain.importing.sheet import Import, Row, Settings, Sheet
from drp.domain.importing.spreadsheet import MOST_ROWS, map_sheet
from drp.domain.inventory import City
from drp.domain.service import Service
from drp.errors import UsageError
from tests.fakes.city import make_city, parts_of, service_record

CITY = make_city(
    service_record("identitas", title={"en": "Sign-in", "id": "Identitas Digital"}),
    service_record("pengaduan", depends_on=["identitas"]),
    workspace={
        "agencies": {
            "humas": "Bagian Hubungan Masyarakat (Humas)",
            "dinkes": "Dinas Kesehatan",
            "dinsos": {"title": "Dinas Sosial"},
        },
        "clusters": {"warga": {"en": "Citizens", "id": "Layanan Masyarakat"}},
    },
    people={"people": {"siti": {"name": "Siti Rohmah", "contact": "0251"}}},
)


def read(*rows: tuple[str, ...], city: City = CITY, **settings_: Any) -> Import:
    sheet = Sheet("daftar.xlsx", "Aplikasi", tuple(enumerate(rows, 1)))
    return map_sheet(sheet, city, Settings(**settings_))


def one(header: tuple[str, ...], *cells: str, **settings_: Any) -> Row:
    (row,) = read(header, cells, **settings_).rows
    return row


def cell(header: str, text: str) -> Row:
    """A row that is good but for one cell perhaps."""
    return one(("Nama", "OPD", header), "Simpeg", "dinkes", text)


def test_a_full_row() -> None:
    header: tuple[str, ...] = (
        "No",
        "Nama Aplikasi",
        "OPD",
        "Pemilik",
        "Wakil",
        "Kontak",
        "Server",
        "RTO",
        "RPO (jam)",
        "MTPD",
    )
    header += ("Kategori", "Klaster", "Hosting", "Ketergantungan", "Fungsi", "URL")
    row = one(
        header,
        *("1", "Antrean  Puskesmas", "Dinas Kesehatan", "Siti Rohmah", "Budi", "0812", "Pengaduan-1", "4 jam", "1"),
        *("1 hari", "PENTING", "layanan masyarakat", "cloud", "Sign-in; pengaduan", "Antre", "https://a.example"),
    )
    assert (row.outcome, row.faults, row.remarks) == ("new", [], [])
    assert row.record == {
        "schema": 1,
        "id": "antrean-puskesmas",
        "title": {"en": "Antrean Puskesmas", "id": "Antrean Puskesmas"},
        "description": "Antre",
        "agency": "dinkes",
        "owner": "siti",
        "deputy": {"name": "Budi"},
        "tier": "penting",
        "rto": "4h",
        "rpo": "1h",
        "mtpd": "1d",
        "cluster": "warga",
        "hosting": "third-party",
        "runs_on": ["pengaduan-1"],
        "depends_on": ["identitas", "pengaduan"],
        "notes": "Kontak: 0812\nURL: https://a.example",
        "source": "daftar.xlsx, sheet Aplikasi, row 2",
    }


def test_a_bare_row_leaves_everything_to_be_filled_in() -> None:
    row = one(("Nama",), "Simpeg", agency="dinkes")
    assert set(row.record) == {"schema", "id", "title", "agency", "hosting", "assumed", "source"}
    assert row.record["assumed"] == ["hosting"]
    assert {"title", "owner", "deputy", "tier", "hosting", "depends_on", "runs_on", "backup", "datasets"} <= set(
        row.to_fill
    )


@pytest.mark.parametrize(
    "text", ["dinkes", "DINKES", "Dinas Kesehatan", "dinas  kesehatan", "Dinas Kesehatan (Dinkes)", "DINAS KESEHATAN"]
)
def test_agencies_are_known_by_id_and_title(text: str) -> None:
    assert one(("Nama", "OPD"), "Simpeg", text).record["agency"] == "dinkes"


def test_an_unknown_agency_is_refused_and_proposed() -> None:
    found = read(
        ("Nama", "OPD"),
        ("A", "Dinas Pendidikan (Disdik)"),
        ("B", "Dinas Pendidikan (Disdik)"),
        ("C", "Dinas Kesehatn"),
        ("D", 'Dinas "X": [y]\n#'),
    )
    assert [row.outcome for row in found.rows] == ["faulty"] * 4
    assert found.unknown_agencies == {
        "disdik": "Dinas Pendidikan (Disdik)",
        "dinas-kesehatn": "Dinas Kesehatn",
        "dinas-x": 'Dinas "X": [y] #',
    }
    assert "did you mean 'Dinas Kesehatan'?" in found.rows[2].faults[0]


@pytest.mark.parametrize("text", ["", "-", "n/a", "Tidak ada"])
def test_no_agency_is_refused(text: str) -> None:
    row = one(("Nama", "OPD"), "Simpeg", text)
    assert "no agency" in row.faults[0]
    assert one(("Nama", "OPD"), "Simpeg", text, agency="dinkes").record["agency"] == "dinkes"


@pytest.mark.parametrize(
    ("header", "text", "said"),
    [
        ("RTO", "4", "no unit"),
        ("RTO", "segera", "not a length of time"),
        ("RPO", "2-4 jam", "not a length of time"),
        ("Pemilik", "=cmd|' /C calc'!A0", "a formula"),
        ("Server", "@SUM(1)", "a formula"),
        ("Pemilik", "x" * 201, "201 characters"),
        ("Ketergantungan", ",".join(f"s{number}" for number in range(300)), "more than 200"),
    ],
)
def test_a_faulty_cell_refuses_its_row(header: str, text: str, said: str) -> None:
    row = cell(header, text)
    assert row.outcome == "faulty"
    assert said in row.faults[0]
    assert f"column '{header}'" in row.faults[0]


@pytest.mark.parametrize(
    ("header", "text"),
    [
        ("Server", "10.1.1.1"),
        ("Server", "pengaduan-1, 10.1.1.1"),
        ("Server", "drc-pengaduan-1"),  # stands at the recovery site
        ("Kategori", "Strategis"),
        ("Klaster", "Lain"),
        ("Hosting", "di mana-mana"),
        ("Ketergantungan", "Sign-in, Dukcapil"),
        ("Basis Data", "Oracle 11g"),
        ("Kontak", "0812"),
    ],
)
def test_what_fits_nothing_declared_is_kept_in_the_notes(header: str, text: str) -> None:
    row = cell(header, text)
    assert row.record["notes"] == f"{header}: {text}"
    assert not {"runs_on", "tier", "cluster", "depends_on"} & set(row.record)


def test_a_server_is_known_by_its_address_too() -> None:
    assert cell("Server", CITY.hosts["pengaduan-1"].address).record["runs_on"] == ["pengaduan-1"]


def test_long_notes_are_cut_and_it_is_said() -> None:
    row = cell("Catatan", "panjang " * 1000)
    assert len(row.record["notes"]) == 2000
    assert row.remarks == ["notes was cut to 2000 characters"]


def test_an_unknown_column_with_a_formula_is_kept_as_text() -> None:
    row = cell("Catatan", "=HYPERLINK(1)")
    assert row.record["notes"] == "Catatan: =HYPERLINK(1)"
    assert "formula" in row.remarks[0]


def test_what_has_a_file_is_kept() -> None:
    found = read(
        ("Nama", "OPD"),
        ("pengaduan", "humas"),  # by id
        ("Sign-in", "humas"),  # by title
        ("Simpeg", "dinkes"),  # by file alone
        ("Pengaduan", "dinkes"),  # another agency's, so another service
        files={"simpeg"},
    )
    assert [(row.id, row.outcome) for row in found.rows] == [
        ("pengaduan", "kept"),
        ("identitas", "kept"),
        ("simpeg", "kept"),
        ("pengaduan-dinkes", "new"),
    ]


def test_ids_are_unique() -> None:
    found = read(
        ("ID", "Nama", "OPD"),
        ("", "Website", "dinkes"),
        ("", "Website", "dinsos"),
        ("", "Website!", "dinkes"),
        ("web", "Situs", "dinkes"),
        ("web", "Situs lain", "dinkes"),
        ("Web 1", "Lain", "dinkes"),
        ("7", "Nomor", "dinkes"),
        ("", "A 中", "dinkes"),
        ("", "A 国", "dinkes"),
        ("", "A 网", "dinkes"),
    )
    rows = found.rows
    assert [row.id for row in rows] == [
        *("website", "website-dinsos", "", "web", "", "lain", "nomor"),
        *("a", "a-dinkes", "a-dinkes-2"),
    ]
    assert rows[2].faults == ["the same name and agency as row 2"]
    assert rows[4].faults == ["the id 'web' is another service's"]
    assert "not an allowed id" in rows[5].remarks[0]
    assert rows[6].remarks == []


def test_services_of_the_same_sheet_can_need_each_other() -> None:
    found = read(
        ("Nama", "OPD", "Ketergantungan"),
        ("Sistem Kepegawaian (SIMPEG)", "dinkes", "Gaji"),
        ("Gaji", "dinkes", "identitas digital"),
        ("Rusak", "?", ""),
        ("Lapor", "dinkes", "simpeg\nRusak"),
        ("Absen", "dinkes", "SIMPEG dan Gaji"),
    )
    needs = {row.id: row.record.get("depends_on") for row in found.of("new")}
    assert needs == {"simpeg": ["gaji"], "gaji": ["identitas"], "lapor": None, "absen": ["simpeg", "gaji"]}
    assert found.rows[3].record["notes"] == "Ketergantungan: simpeg, Rusak"


def test_circles_are_refused_and_nothing_else_is() -> None:
    found = read(
        ("Nama", "OPD", "Ketergantungan"),
        ("A", "dinkes", "B"),
        ("B", "dinkes", "C"),
        ("C", "dinkes", "A"),
        ("D", "dinkes", "D"),
        ("E", "dinkes", "A, identitas"),
        ("F", "dinkes", "G"),
        ("G", "dinkes", ""),
    )
    assert [row.id for row in found.of("faulty")] == ["a", "b", "c", "d"]
    assert "needs itself" in found.rows[0].faults[0]
    assert found.rows[4].record["notes"] == "Ketergantungan: A, identitas"
    assert found.rows[5].record["depends_on"] == ["g"]


def test_titles_empty_rows_and_rows_of_column_numbers_are_no_services() -> None:
    found = read(
        ("DAFTAR APLIKASI KOTA",), (), ("No", "Nama", "OPD"), ("1", "2", "3"), ("", "", ""), ("1", "Simpeg", "dinkes")
    )
    assert [(row.number, row.id) for row in found.rows] == [(6, "simpeg")]
    assert found.noted == ()


def test_a_row_without_a_name_is_refused() -> None:
    assert read(("Nama", "OPD"), ("", "dinkes")).rows[0].faults == ["column 'Nama': no name"]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([("Nama",)] * (MOST_ROWS + 1), f"more than {MOST_ROWS} rows"),
        ([("Nama",) + ("x",) * 200], "more than 200 columns"),
    ],
)
def test_too_large_a_sheet_is_refused(rows: list[tuple[str, ...]], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        read(*rows)


def test_an_agency_that_does_not_exist_is_refused() -> None:
    with pytest.raises(UsageError, match="no agency 'x'"):
        read(("Nama",), agency="x")


@pytest.mark.parametrize(
    "cells",
    [
        lambda number: (f"S {number}", "dinkes", f"S {number + 1}"),  # a chain
        lambda number: (f"S {number}", "dinkes", f"S {number ^ 1}"),  # circles of two
        lambda number: ("A" + chr(0x4E00 + number), "dinkes", ""),  # names that all give one id
        lambda number: (f"S {number}", f"Dinas {number}", ""),  # agencies that nobody knows
        lambda _: ("S", "dinkes", ""),  # the same again and again
    ],
)
def test_a_hostile_sheet_takes_no_longer_than_a_good_one(cells: Any) -> None:
    started = time.monotonic()
    found = read(("Nama", "OPD", "Ketergantungan"), *(cells(number) for number in range(10_000)))
    assert len(found.rows) == 10_000
    assert time.monotonic() - started < 20


CELLS = st.text(max_size=30) | st.sampled_from(
    [
        "dinkes",
        "Dinas Sosial",
        "4 jam",
        "=1+1",
        "penting",
        "A",
        "B",
        "a, b",
        "pengaduan-1",
        "cloud",
        "- ",
        "null",
        "../x",
    ]
)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.lists(CELLS, min_size=6, max_size=6), max_size=6))
def test_whatever_the_cells_hold_new_services_are_valid_in_their_city(rows: list[list[str]]) -> None:
    header = ("Nama", "OPD", "RTO", "Server", "Ketergantungan", "Catatan")
    found = read(header, *(tuple(row) for row in rows), agency="humas")
    new = {row.id: Service.model_validate(row.record) for row in found.of("new")}
    assert len(new) == len(found.of("new"))
    whole = CITY.model_copy(update={"services": dict(CITY.services) | new})
    assert faults_of(parts_of(whole)) == []
