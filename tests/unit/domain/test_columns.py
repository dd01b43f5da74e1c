"""Headers and cells as agencies write them."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drp.domain.importing.columns import (
    clean,
    duration_text,
    field_of,
    find_header,
    is_formula,
    parse_time,
    slug,
    unit_in,
)
from drp.domain.values import parse_duration
from drp.errors import UsageError


@pytest.mark.parametrize(
    ("header", "field"),
    [
        ("Nama Aplikasi", "name"),
        ("NAMA APLIKASI / SISTEM *", "name"),
        ("Nama Sistem Informasi", "name"),
        ("Application name", "name"),
        ("System", "name"),
        ("Perangkat Daerah", "agency"),
        ("OPD", "agency"),
        ("Nama OPD Pengelola", "agency"),
        ("SKPD Pemilik", "agency"),
        ("Unit Kerja (OPD)", "agency"),
        ("Pemilik", "owner"),
        ("Penanggung Jawab Teknis", "owner"),
        ("PIC", "owner"),
        ("Kontak", "contact"),
        ("No. HP", "contact"),
        ("E-mail", "contact"),
        ("Server", "server"),
        ("Alamat IP", "server"),
        ("RTO", "rto"),
        ("RTO (jam)", "rto"),
        ("Recovery Time Objective (RTO)", "rto"),
        ("RPO", "rpo"),
        ("Kategori", "tier"),
        ("Ketergantungan", "depends_on"),
        ("Terintegrasi dengan", "depends_on"),
        ("Aplikasi Terkait", "depends_on"),
        ("Fungsi", "description"),
        ("Hosting", "hosting"),
        ("No", None),
        ("Server OS", None),
        ("Basis Data", None),
        ("URL", None),
        ("Nama", "name"),
        ("", None),
        ("***", None),
    ],
)
def test_headers_that_are_understood(header: str, field: str | None) -> None:
    assert field_of(header) == field


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("4 jam", "4h"),
        ("30 menit", "30m"),
        ("4h", "4h"),
        ("1 hari", "1d"),
        ("2 Hari", "2d"),
        ("1 jam 30 menit", "1h30m"),
        ("1 jam dan 30 menit", "1h30m"),
        ("1h30m", "1h30m"),
        ("0,5 jam", "30m"),
        ("1.5 hours", "1h30m"),
        ("2x24 jam", "2d"),
        ("1 x 24 Jam", "1d"),
        ("maks. 4 jam", "4h"),
        ("≤ 4 jam", "4h"),
        ("< 1 hari", "1d"),
        ("1 minggu", "7d"),
        ("4 jam (jam kerja)", "4h"),
        ("1:30:00", "1h30m"),
        ("0 menit", "0s"),
        ("90 detik", "1m30s"),
    ],
)
def test_lengths_of_time_as_people_write_them(text: str, expected: str) -> None:
    assert duration_text(parse_time(text)) == expected


@pytest.mark.parametrize(
    "text",
    [
        "4",
        "4,5",
        "2-4 jam",
        "2 hari kerja",
        "1 bulan",
        "sesuai SLA",
        "4:00",
        "99999 minggu",
        "jam",
        "4 jam 4",
        "-4 jam",
    ],
)
def test_what_is_no_length_of_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"no unit|not a length of time|longer than ten years"):
        parse_time(text)


@pytest.mark.parametrize(
    ("header", "expected"), [("RTO (jam)", "4h"), ("RTO [menit]", "4m"), ("RTO (max, days)", "4d")]
)
def test_a_bare_number_has_the_unit_of_its_header(header: str, expected: str) -> None:
    assert duration_text(parse_time("4", unit_in(header))) == expected


@given(st.integers(0, 3650 * 86_400_000))
def test_a_duration_reads_back_as_drp_writes_it(milliseconds: int) -> None:
    duration = timedelta(milliseconds=milliseconds)
    assert parse_duration(duration_text(duration)) == duration


@pytest.mark.parametrize(
    ("text", "formula"),
    [
        ("=1+1", True),
        ("=cmd|' /C calc'!A0", True),
        ("+cmd|' /C calc'!A0", True),
        ("-SUM(A1)", True),
        ("@SUM(A1)", True),
        ("+62 251 8321075", False),
        ("-", False),
        ("- lain-lain", False),
        ("a=b", False),
    ],
)
def test_formulas_are_known(text: str, formula: bool) -> None:
    assert is_formula(text) is formula


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Sistem Informasi Kepegawaian (SIMPEG)", "simpeg"),
        ("E-Office", "e-office"),
        ('Layanan Pengaduan: "Lapor!"', "layanan-pengaduan-lapor"),
        ("../../etc/passwd", "etc-passwd"),
        ("..\\..\\windows\\system32", "windows-system32"),
        ("112 Darurat", "s-112-darurat"),
        ("Café Ibu", "cafe-ibu"),
        ("网站", "row-7"),
        ("$(rm -rf /)", "rm-rf"),
        ("null", "null"),
        ("Layanan Pengaduan dan Aspirasi Masyarakat Secara Daring", "layanan-pengaduan-dan-aspirasi-masyarakat-secara"),
    ],
)
def test_ids_are_made_of_names(name: str, expected: str) -> None:
    assert slug(name, "row-7") == expected


@given(st.text(max_size=300))
def test_an_id_always_has_the_allowed_form(name: str) -> None:
    assert re.fullmatch(r"[a-z][a-z0-9-]{0,47}", slug(name, "row-7"))


@given(st.text())
def test_a_clean_cell_is_one_plain_line(text: str) -> None:
    found = clean(text)
    assert found == found.strip()
    assert not re.search(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\ufeff]", found)


def test_the_header_is_found_below_titles() -> None:
    rows = [("DAFTAR APLIKASI",), (), ("No", "Nama Aplikasi", "OPD", "Catatan"), ("1", "Simpeg", "BKPSDM", "x")]
    found = find_header(rows, {})
    assert (found.position, dict(found.columns)) == (2, {"name": 1, "agency": 2})


def test_of_two_columns_for_one_field_the_first_counts() -> None:
    assert find_header([("Nama", "Aplikasi", "OPD")], {}).columns == {"name": 0, "agency": 2}


def test_a_column_can_be_said_by_hand_and_taken_away() -> None:
    rows = [("Kode", "Nama", "Keterangan", "RTO")]
    found = find_header(rows, {"name": "keterangan", "rto": ""})
    assert found.columns == {"name": 2}


@pytest.mark.parametrize(
    ("rows", "wanted", "said"),
    [
        ([], {}, "holds nothing"),
        ([("satu", "dua")], {}, "no column with the services' names; the fullest row near the top holds 'satu', 'dua'"),
        ([("Nama",)], {"agency": "Dinas X"}, "no column 'Dinas X' for agency"),
        ([("Nama",)], {"name": "Judul"}, "no header 'Judul'"),
        ([("Nama",)], {"colour": "Nama"}, "no field 'colour'"),
        ([("x",)] * 40 + [("Nama",)], {}, "no column with the services' names"),
    ],
)
def test_a_sheet_without_a_header_is_refused(rows: list[tuple[str, ...]], wanted: dict[str, str], said: str) -> None:
    with pytest.raises(UsageError, match=re.escape(said)) as caught:
        find_header(rows, wanted)
    assert caught.value.hint
