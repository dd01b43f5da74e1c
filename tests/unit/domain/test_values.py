"""Values that are wrong are refused where they enter, so that nothing later has to look again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from drp.domain.inventory import Organisation
from drp.domain.values import (
    PATTERN_HINTS,
    AbsolutePath,
    AccountName,
    DatabaseName,
    Duration,
    HostName,
    Identifier,
    Text,
    UnitName,
    from_stamp,
    milliseconds,
    parse_duration,
    show_duration,
    show_measured,
    to_stamp,
)

NAMES: dict[str, TypeAdapter[Any]] = {
    "Identifier": TypeAdapter(Identifier),
    "HostName": TypeAdapter(HostName),
    "DatabaseName": TypeAdapter(DatabaseName),
    "AccountName": TypeAdapter(AccountName),
    "UnitName": TypeAdapter(UnitName),
}
EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - hypothesis wants it so, and puts the zone on
HOSTILE_NAMES = [
    "",
    "-rf",
    "--help",
    "..",
    "../etc",
    "a/b",
    "a b",
    "a\nb",
    "a\n",
    "\na",
    "a;b",
    "a$b",
    "$(id)",
    "`id`",
    "a|b",
    "a&b",
    "a'b",
    'a"b',
    "a\\b",
    "a*",
    "a?",
    "{{a}}",
    "a,b",
    "a:b",
    "a=b",
    "a%s",
    "a\x00",
    "é",
    "аdmin",  # the first letter is Cyrillic
    "a\u202eb",
    "１",
    "a" * 101,
]


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("500ms", timedelta(milliseconds=500)),
        ("90s", timedelta(seconds=90)),
        ("15m", timedelta(minutes=15)),
        ("4h", timedelta(hours=4)),
        ("1h30m", timedelta(minutes=90)),
        ("2d", timedelta(days=2)),
        ("1m500ms", timedelta(seconds=60.5)),
        ("3650d", timedelta(days=3650)),
    ],
)
def test_a_duration_is_a_whole_number_and_a_unit(text: str, amount: timedelta) -> None:
    assert parse_duration(text) == amount


@pytest.mark.parametrize(
    "text",
    [
        "",
        "30",
        30,
        1.5,
        None,
        True,
        "1.5h",
        "-5m",
        "5 m",
        "5M",
        "m",
        "5m ",
        "5m\n",
        "5w",
        "٣m",
        "３m",
        "1h 30m",
        [],
        "∞s",
    ],
)
def test_other_forms_of_a_duration_are_refused(text: object) -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["3651d", "99999999999999999999d", "9" * 29 + "h"])
def test_a_duration_over_ten_years_is_refused_and_does_not_overflow(text: str) -> None:
    with pytest.raises(ValueError, match="longer than ten years"):
        parse_duration(text)


def test_a_very_long_duration_text_is_refused_without_being_read() -> None:
    with pytest.raises(ValueError, match="is not a duration"):
        parse_duration("1s" * 10_000)


@given(st.integers(0, 3650 * 86_400_000))
def test_a_duration_reads_back_what_it_is_written_as(amount: int) -> None:
    adapter: TypeAdapter[timedelta] = TypeAdapter(Duration)
    duration = timedelta(milliseconds=amount)
    assert adapter.validate_python(adapter.dump_python(duration)) == duration
    assert milliseconds(duration) == amount


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0, "0 s"), (12.4, "12.4 s"), (60, "1 m"), (125, "2 m 05 s"), (3600, "1 h"), (5400, "1 h 30 m"), (-2, "−2 s")],
)
def test_durations_are_shown_for_people(seconds: float, shown: str) -> None:
    assert show_duration(timedelta(seconds=seconds)) == shown


@given(st.datetimes(min_value=EPOCH.replace(day=2), max_value=EPOCH.replace(year=2200)), st.integers(-14, 14))
def test_a_stamp_reads_back_the_same_instant_in_utc(naive: datetime, hours: int) -> None:
    instant = naive.replace(tzinfo=timezone(timedelta(hours=hours)))
    stamp = to_stamp(instant)
    assert stamp.endswith("Z")
    assert from_stamp(stamp) == instant
    assert from_stamp(stamp).tzinfo is UTC


@given(*(2 * [st.datetimes(min_value=EPOCH, timezones=st.just(UTC))]))
def test_stamps_sort_as_their_instants(one: datetime, other: datetime) -> None:
    assert (to_stamp(one) < to_stamp(other)) == (one < other)


def test_times_without_a_zone_are_refused_both_ways() -> None:
    with pytest.raises(ValueError, match="time zone"):
        to_stamp(datetime(2026, 11, 20))  # noqa: DTZ001 - that is the point
    with pytest.raises(ValueError, match="no time zone"):
        from_stamp("2026-11-20T14:00:00")


@pytest.mark.parametrize("kind", NAMES)
@pytest.mark.parametrize("name", HOSTILE_NAMES, ids=ascii)
def test_hostile_names_are_refused(kind: str, name: str) -> None:
    with pytest.raises(ValidationError):
        NAMES[kind].validate_python(name)


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("Identifier", "pengaduan-2"),
        ("Identifier", "a" * 48),
        ("HostName", "app-1.bogor.go.id"),
        ("DatabaseName", "Pengaduan_2026"),
        ("AccountName", "www-data"),
        ("UnitName", "app@1.service"),
    ],
)
def test_ordinary_names_are_taken(kind: str, name: str) -> None:
    assert NAMES[kind].validate_python(name) == name


def test_every_name_pattern_has_a_hint() -> None:
    for kind, adapter in NAMES.items():
        with pytest.raises(ValidationError) as caught:
            adapter.validate_python("$")
        assert caught.value.errors()[0]["ctx"]["pattern"] in PATTERN_HINTS, kind


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "srv",
        "./srv",
        "~/srv",
        "-rf",
        "//srv",
        "/srv/",
        "/srv//x",
        "/srv/./x",
        "/srv/../etc",
        "/..",
        "/srv/a\nb",
        "/srv/\x00",
        "/srv/\x7f",
        "/srv/\x1b[0m",
        "/proc",
        "/proc/1/environ",
        "/sys/x",
        "/dev/sda",
        "/run/x",
        "/" + "a" * 1024,
    ],
    ids=ascii,
)
def test_paths_that_are_no_data_are_refused(path: str) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(AbsolutePath).validate_python(path)


@pytest.mark.parametrize("path", ["/srv/pengaduan", "/srv/data kota/..x", "/srv/données", "/running", "/srv/$(id)"])
def test_any_other_absolute_path_is_taken_as_it_is(path: str) -> None:
    """Shell characters are harmless in a path: no shell ever reads one."""
    assert TypeAdapter(AbsolutePath).validate_python(path) == path


@pytest.mark.parametrize("value", [5, 1.5, True, "", "a" * 2001, None])
def test_texts_are_no_numbers_and_not_empty(value: object) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Text).validate_python(value)


def test_measured_durations_are_never_shown_shorter_than_they_were() -> None:
    assert show_measured(timedelta(milliseconds=9661)) == "9.7 s"
    assert show_measured(timedelta(milliseconds=35_991)) == "36 s"
    assert show_measured(timedelta(milliseconds=340)) == "340 ms"


@pytest.mark.parametrize("name", ["", "Mars/Olympus", "../../etc/passwd", "\x00", "/etc/localtime"])
def test_a_time_zone_that_nobody_knows_is_refused(name: str) -> None:
    with pytest.raises(ValidationError):
        Organisation(name="x", time_zone=name)
