"""Small values that every room uses: durations, instants, names that are safe wherever they end up."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BeforeValidator, PlainSerializer, StringConstraints, WithJsonSchema

_Amount = TypeVar("_Amount", timedelta, int)

_DURATION_UNITS = {"d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1_000, "ms": 1}
_DURATION_PART = re.compile(r"([0-9]+)(ms|[dhms])")
_DURATION = re.compile(r"(?:[0-9]+(?:ms|[dhms]))+")

DURATION_HINT = "write a whole number and a unit, as in 500ms, 90s, 15m, 4h, 1h30m or 2d"


def parse_duration(text: object) -> timedelta:
    """Read `1h30m` and the like. Bare numbers are refused: nobody knows whether 30 means seconds or minutes."""
    if isinstance(text, timedelta):
        return text
    if not isinstance(text, str) or len(text) > 30:
        raise ValueError(f"{text!r} is not a duration: {DURATION_HINT}")
    return _duration(text)


@lru_cache(maxsize=1024)
def _duration(text: str) -> timedelta:
    if not _DURATION.fullmatch(text):
        raise ValueError(f"{text!r} is not a duration: {DURATION_HINT}")
    milliseconds = sum(int(amount) * _DURATION_UNITS[unit] for amount, unit in _DURATION_PART.findall(text))
    if milliseconds > 3650 * _DURATION_UNITS["d"]:
        raise ValueError(f"{text!r} is longer than ten years")
    return timedelta(milliseconds=milliseconds)


def write_duration(duration: timedelta) -> str:
    """A duration as `parse_duration` reads it, in the largest unit that gives a whole number: `90s`, `15m`, `2d`."""
    whole = milliseconds(duration)
    return next(f"{whole // size}{unit}" for unit, size in _DURATION_UNITS.items() if not whole % size)


_NUMBER = r"[0-9]{1,12}(?:\.[0-9]{1,6})?"
_AMOUNT = re.compile(rf"({_NUMBER}) ?([A-Za-z]+(?:/s)?)")
_SIZE_UNITS = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_SIZE_UNITS |= {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
_RATE_UNITS = {"kbit/s": 10**3, "Mbit/s": 10**6, "Gbit/s": 10**9}


def parse_size(text: object) -> int:
    """Read `12GB` and the like into bytes. GB counts in thousands, GiB in 1024s."""
    return _parse_amount(text, _SIZE_UNITS, "a size", "write a number and a unit, as in 500MB, 1.5GB or 2TiB")


def parse_rate(text: object) -> int:
    """Read `100Mbit/s` and the like into bits per second."""
    return _parse_amount(text, _RATE_UNITS, "a capacity", "write a number and a unit, as in 512kbit/s or 100Mbit/s")


def _parse_amount(text: object, units: dict[str, int], what: str, hint: str) -> int:
    if isinstance(text, int) and not isinstance(text, bool):
        raise ValueError(f"{text!r} has no unit: {hint}")
    found = _AMOUNT.fullmatch(text) if isinstance(text, str) else None
    if found is None or found[2] not in units:
        raise ValueError(f"{text!r} is not {what}: {hint}")
    return int(found[1]) * units[found[2]] if found[1].isdigit() else int(Decimal(found[1]) * units[found[2]])


def show_size(size: int) -> str:
    """Bytes for people: `12.3 GB`, in thousands."""
    return _show_amount(size, ((10**12, "TB"), (10**9, "GB"), (10**6, "MB"), (10**3, "kB")), "B")


def show_rate(rate: int) -> str:
    """Bits per second for people: `100 Mbit/s`."""
    return _show_amount(rate, ((10**9, "Gbit/s"), (10**6, "Mbit/s"), (10**3, "kbit/s")), "bit/s")


def _show_amount(amount: int, units: tuple[tuple[int, str], ...], smallest: str) -> str:
    for size, unit in units:
        if amount >= size:
            tenths = amount * 10 // size
            return f"{tenths // 10}.{tenths % 10} {unit}" if tenths % 10 else f"{tenths // 10} {unit}"
    return f"{amount} {smallest}"


def parse_percentage(value: object) -> Decimal:
    """Read 99.5, "99.5" or "99.5%"; above 0, at most 100."""
    text = str(value).removesuffix("%").strip() if isinstance(value, str | int | float | Decimal) else ""
    try:
        percentage = Decimal(text)
    except InvalidOperation:
        percentage = Decimal(-1)
    if isinstance(value, bool) or not percentage.is_finite() or not 0 < percentage <= 100 or len(text) > 12:
        raise ValueError(f"{value!r} is not a percentage above 0 and up to 100, such as 99.5%")
    return percentage


_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def parse_day(text: object) -> date:
    """Read `2026-12-31`. Other forms are refused: 2026 alone would be counted as seconds."""
    try:
        if isinstance(text, str) and _DAY.fullmatch(text):
            return date.fromisoformat(text)
    except ValueError:
        pass
    if isinstance(text, date) and not isinstance(text, datetime):
        return text
    raise ValueError(f"{text!r} is not a day: write year, month and day, as in 2026-12-31")


def show_duration(duration: timedelta) -> str:
    """A duration for people: `340 ms`, `12.4 s`, `5 m 00.4 s`, `4 h 12 m 05 s`, `2 d 03 h`. Cut, never rounded up."""
    whole = milliseconds(abs(duration))
    if duration < timedelta():
        return "−" + show_duration(-duration)
    if whole < 1000:
        return f"{whole} ms" if whole else "0 s"
    minutes, tenths = divmod(whole // 100, 600)
    if minutes < 60:
        seconds = f"{tenths // 10}.{tenths % 10}" if tenths % 10 else str(tenths // 10)
        if not minutes:
            return f"{seconds} s"
        return f"{minutes} m {seconds if tenths >= 100 else '0' + seconds} s" if tenths else f"{minutes} m"
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    units = [(days, "d"), (hours, "h"), (minutes, "m"), (tenths // 10, "s")]
    while units and not units[-1][0]:
        units.pop()
    while not units[0][0]:
        units.pop(0)
    first, *others = units
    return " ".join([f"{first[0]} {first[1]}", *(f"{amount:02d} {unit}" for amount, unit in others)])


def show_measured(duration: timedelta) -> str:
    """A measured duration for people, rounded up to a tenth of a second: what was lost is never understated."""
    tenth = timedelta(milliseconds=100)
    if abs(duration) < timedelta(seconds=1):
        return show_duration(duration)
    return show_duration(-(-duration // tenth) * tenth)


def show_expected(duration: timedelta) -> str:
    """A time that nobody has measured yet, for people: it pretends to no more than tenths below a minute and whole
    seconds above; rounded up."""
    unit = timedelta(seconds=1) if duration >= timedelta(minutes=1) else timedelta(milliseconds=100)
    return show_duration(-(-duration // unit) * unit)


def milliseconds(duration: timedelta) -> int:
    """Whole milliseconds of a duration, rounded down: the ledger holds integers only."""
    return duration // timedelta(milliseconds=1)


def to_stamp(instant: datetime) -> str:
    """An instant as the ledger and all files write it: UTC, microseconds, `Z`. Naive times are refused."""
    if instant.tzinfo is None:
        raise ValueError("a time without a time zone")
    return instant.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def from_stamp(stamp: str) -> datetime:
    """Read what `to_stamp` wrote, and other ISO 8601 instants that name their offset."""
    instant = datetime.fromisoformat(stamp)
    if not 1970 <= instant.year <= 2200:
        raise ValueError(f"{stamp!r} is not of this age")
    if instant.tzinfo is None:
        raise ValueError(f"{stamp!r} has no time zone: write 2026-11-20T14:00:00+07:00")
    return instant.astimezone(UTC)


_SYSTEM_FOLDERS = re.compile(
    r"/|/(bin|boot|etc|home|lib|lib64|media|mnt|opt|root|sbin|srv|usr|var)"
    r"|/usr/(bin|lib|local|sbin|share)|/var/(cache|lib|log|spool|www)"
)
_FORBIDDEN_TREES = re.compile("/(proc|sys|dev|run|tmp)(/.*)?")
_CONTROL_CHARACTERS = re.compile("[\x00-\x1f\x7f]")
_DEEPEST_FOLDER = 64


def _absolute_path(path: str) -> str:
    parts = path.split("/")
    if not path.startswith("/") or ".." in parts or "." in parts or "" in parts[1:]:
        raise ValueError(f"{path!r} is not a plain absolute path such as /srv/application")
    if len(parts) > _DEEPEST_FOLDER:
        raise ValueError(f"{path!r} has more than {_DEEPEST_FOLDER} folders in each other")
    if _CONTROL_CHARACTERS.search(path):
        raise ValueError(f"{path!r} holds control characters")
    if _FORBIDDEN_TREES.fullmatch(path):
        raise ValueError(f"{path!r} is the system's, not data")
    if _SYSTEM_FOLDERS.fullmatch(path):
        raise ValueError(f"{path!r} belongs to the whole system; name the service's own files and folders in it")
    return path


def _more_than_nothing(value: _Amount) -> _Amount:
    if not value:
        raise ValueError("it must be more than nothing")
    return value


def _no_number(value: Any) -> Any:
    if isinstance(value, bool | int | float):
        raise ValueError(f"{value!r} is not a text; put quotes around it")
    return value


_DURATION_SCHEMA: dict[str, Any] = {
    "type": "string",
    "pattern": f"^{_DURATION.pattern}$",
    "maxLength": 30,
    "description": DURATION_HINT,
}

Duration = Annotated[
    timedelta,
    BeforeValidator(parse_duration),
    PlainSerializer(lambda value: f"{milliseconds(value)}ms"),
    WithJsonSchema(_DURATION_SCHEMA),
]
"""How long; at most ten years, whole milliseconds."""

PositiveDuration = Annotated[
    Duration,
    AfterValidator(_more_than_nothing),
    WithJsonSchema(_DURATION_SCHEMA | {"pattern": f"^(?=.*[1-9]){_DURATION.pattern}$"}),
]
"""How long to wait for something; nothing at all would be never, or always."""

Size = Annotated[
    int,
    BeforeValidator(parse_size),
    PlainSerializer(lambda value: f"{value}B"),
    WithJsonSchema({"type": "string", "pattern": f"^{_NUMBER} ?([kMGT]?B|[KMGT]iB)$"}),
]
"""How many bytes."""

Rate = Annotated[
    int,
    BeforeValidator(parse_rate),
    AfterValidator(_more_than_nothing),
    PlainSerializer(lambda value: f"{value // 1000}kbit/s"),
    WithJsonSchema({"type": "string", "pattern": f"^(?=.*[1-9]){_NUMBER} ?[kMG]bit/s$"}),
]
"""How many bits per second a line carries."""

Percentage = Annotated[
    Decimal,
    BeforeValidator(parse_percentage),
    PlainSerializer(lambda value: f"{value}%"),
    WithJsonSchema(
        {"type": ["number", "string"], "exclusiveMinimum": 0, "maximum": 100, "pattern": "^[0-9]+([.][0-9]+)? *%?$"}
    ),
]

Day = Annotated[
    date,
    BeforeValidator(parse_day),
    WithJsonSchema({"type": "string", "format": "date", "pattern": f"^{_DAY.pattern}$"}),
]
"""A day of the calendar."""

Address = Annotated[
    IPv4Address,
    BeforeValidator(_no_number),
    WithJsonSchema({"type": "string", "format": "ipv4", "pattern": r"^[0-9]{1,3}(\.[0-9]{1,3}){3}$"}),
]
AddressRange = Annotated[
    IPv4Network,
    BeforeValidator(_no_number),
    WithJsonSchema({"type": "string", "pattern": r"^[0-9]{1,3}(\.[0-9]{1,3}){3}(/[0-9.]+)?$"}),
]
"""A network such as 198.18.0.0/16."""

Identifier = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,47}$")]
"""Names of services, datasets, tiers …: safe in a path, an S3 key, a shell, an Ansible pattern and a database."""

HostName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$")]
DatabaseName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_-]{0,62}$")]
AccountName = Annotated[str, StringConstraints(pattern=r"^[a-z_][a-z0-9_-]{0,31}$")]
UnitName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9@_.-]{0,99}$")]
AbsolutePath = Annotated[
    str,
    StringConstraints(max_length=1024),
    AfterValidator(_absolute_path),
    WithJsonSchema({"type": "string", "maxLength": 1024, "pattern": r"^(/(?!\.{1,2}(/|$))[^/\x00-\x1f\x7f]+)+$"}),
]
HostAddress = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9:][A-Za-z0-9_.:%-]{0,252}$")]
DomainName = Annotated[
    str,
    StringConstraints(
        max_length=254,
        pattern=r"^([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.?$",
    ),
]
"""A whole name of the domain name system, with or without the final dot."""

SocketPath = Annotated[str, StringConstraints(pattern=r"^/[A-Za-z0-9_./-]{1,100}$")]
LoginName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_.@\\-]{0,63}$")]
FileName = Annotated[
    str,
    StringConstraints(pattern=r"^[^\u0000-\u001f\u007f~-][^\u0000-\u001f\u007f]{0,1023}$"),
    BeforeValidator(_no_number),
]
"""A file of the workspace, or an absolute path."""

TEXT_PATTERN = r"^[^\u0000-\u0008\u000b-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069]*$"
"""Nothing that would move a terminal's cursor, or turn the direction of what is read."""

Text = Annotated[
    str,
    StringConstraints(
        min_length=1,
        max_length=2000,
        pattern=TEXT_PATTERN,
    ),
    BeforeValidator(_no_number),
]

Query = Annotated[
    str,
    StringConstraints(
        max_length=2000,
        pattern=r"^(SELECT|select|SHOW|show|WITH|with|VALUES|values|TABLE|table)[ (][^;\\\u0000-\u001f\u007f]+$",
    ),
]
"""One query on one line that reads. No backslash and no semicolon: databases' client programs take what follows such
for commands of their own, some of which start a shell."""

PATTERN_HINTS = {
    r"^[a-z][a-z0-9-]{0,47}$": "use lower-case letters, digits and hyphens, a letter first, at most 48",
    r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$": "use letters, digits, dots, hyphens and underscores, at most 63",
    r"^[A-Za-z_][A-Za-z0-9_-]{0,62}$": "use letters, digits, hyphens and underscores, a letter first, at most 63",
    r"^[a-z_][a-z0-9_-]{0,31}$": "use lower-case letters, digits, hyphens and underscores, at most 32",
    r"^[A-Za-z0-9][A-Za-z0-9@_.-]{0,99}$": "use a service manager's unit name, such as nginx or app@1",
    r"^[A-Za-z0-9:][A-Za-z0-9_.:%-]{0,252}$": "write an address or a host name; Ansible's templates are not filled in",
    r"^[A-Za-z_][A-Za-z0-9_.@\\-]{0,63}$": "use the name of a login, such as root or deploy",
    r"^[^\u0000-\u001f\u007f~-][^\u0000-\u001f\u007f]{0,1023}$": "write a file of the workspace, or an absolute path",
    TEXT_PATTERN: "remove the control characters",
    r"^[a-z][a-z0-9-]{0,47}/[a-z][a-z0-9-]{0,47}$": "write SERVICE/DATASET",
    r"^[a-z][a-z0-9-]{0,47}(/[a-z][a-z0-9-]{0,47})?$": "write a stage, SERVICE/STAGE, start, end, or a step's id",
    r"^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$": "write a playbook's name without its ending: mount for mount.yml",
    r"^[A-Z_][A-Z0-9_]{0,127}$": "write an environment variable's name, such as DRP_S3_KEY",
    r"^(GET|POST|PUT|HEAD) /[!-~]{0,2000}$": "write a method and a path, such as GET /complaints; quote spaces as %20",
    r"^https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?$": "write an address such as https://s3.example:9000, without a path",
    r"^/[A-Za-z0-9_./-]{1,100}$": "write the socket's absolute path, such as /run/mysqld/mysqld.sock",
    r"^[A-Za-z][A-Za-z0-9-]*=[^\u0000-\u001f\u007f\"\\<>;*()]{1,250}$": "write a name such as dc=example",
    r"^ldapi?://[A-Za-z0-9%_./:-]{0,200}$": "write an address such as ldapi:/// or ldap://127.0.0.1",
    r"^[^\u0000-\u0008\u000b-\u001f\u007f]*$": "remove the control characters",
    r"^([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.?$": (
        "write a whole domain name in small letters, such as www.example.id"
    ),
    r"^[a-z][a-z0-9_-]{0,63}$": "write the name of a file in the workspace's folder playbooks, without its .yml",
    r"^[A-Za-z0-9_.:-]{1,64}$": "use the name that haproxy.cfg has: letters, digits, _ . : -",
    r"^[^\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f]*$": "remove the control characters",
    r"^([0-9a-fA-F]{2}){1,2000}$": "write bytes as pairs of hexadecimal digits, such as 0d0a",
    r"^(SELECT|select|SHOW|show|WITH|with|VALUES|values|TABLE|table)[ (][^;\\\u0000-\u001f\u007f]+$": (
        "write one query that reads, such as SELECT count(*) FROM people, without backslash, semicolon and line end"
    ),
    r"^([A-Za-z0-9_-]{1,63}\.)*[A-Za-z0-9_-]{1,63}\.?$": "write a name such as www.example.org",
    r"^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$": "use 3 to 63 lower-case letters, digits, dots and hyphens",
}
"""What a person should write instead, by the pattern that refused it."""
