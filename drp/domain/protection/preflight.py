"""Whether a backup or a recovery would find what it needs, judged by what was found on a host."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from drp.domain.events import Body
from drp.domain.protection.facts import Answer
from drp.domain.trouble import error_of
from drp.domain.values import show_size

Level = Literal["ok", "warning", "error"]
Purpose = Literal["backup", "recovery"]

RESTIC_OLDEST = (0, 14)
SPACE_TENTHS = 12
"""A recovery is to find so many tenths of the data's size."""
LEAST_FREE, LITTLE_FREE = 128_000_000, 512_000_000
"""Below the first restic cannot work with its cache and unfinished packs, below the second it soon cannot."""
FEW_INODES = 1_000
CERTIFICATE_ENDS_SOON = timedelta(days=30)
CLOCK_OFF, CLOCK_WRONG = timedelta(seconds=2), timedelta(minutes=5)
"""drp reckons with a clock that is off; one that is far off has its requests refused by S3."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. `hint` says what to do about it; empty where it is well."""

    level: Level
    host: str
    what: str
    text: str
    hint: str = ""

    def record(self) -> dict[str, str]:
        return {"level": self.level, "host": self.host, "what": self.what, "text": self.text, "hint": self.hint}


@dataclass(frozen=True, slots=True)
class Expected:
    """What a host has to do with. `tools` are the versions that the newest restore point was made with, by their names
    on the host; `had_repository` is whether it was ever backed up into one."""

    host: str
    purpose: Purpose
    tools: Mapping[str, str]
    had_repository: bool


def judge(expected: Expected, found: Body, clock: Body, now: datetime) -> list[Finding]:
    """All that the host program found, as findings."""
    return [
        *_programs(expected, found),
        *_versions(expected, found),
        *_space(expected, found),
        *_sources(expected, found),
        *_repository(expected, found),
        certificate(expected.host, found["certificate"], now),
        _clock(expected, clock),
    ]


def worst_level(findings: list[Finding]) -> Level:
    """Of nothing looked at: an error."""
    order: list[Level] = ["ok", "warning", "error"]
    return max((finding.level for finding in findings), key=order.index, default="error")


def _programs(expected: Expected, found: Body) -> Iterator[Finding]:
    for name in found["missing"]:
        text = f"{name.replace('|', ' or ')} is not installed"
        yield Finding("error", expected.host, "program", text, "install it there")
    if not found["missing"]:
        yield Finding("ok", expected.host, "program", "all programs are there")


def _versions(expected: Expected, found: Body) -> Iterator[Finding]:
    versions = found["versions"]
    restic = _numbers(versions.get("restic", ""))
    if "restic" in versions and (not versions["restic"].startswith("restic ") or restic < RESTIC_OLDEST):
        hint = "install restic 0.14 or newer there; see what `which -a restic` finds"
        text = f"restic says of its version: {versions['restic']}"
        yield Finding("error", expected.host, "restic", text, hint)
    for name, present in sorted(versions.items()):
        recorded = expected.tools.get(name, "")
        if name in ("python", "restic"):
            continue
        if present in ("", "unknown"):
            yield _silent(expected, name)
        elif expected.purpose == "recovery" and recorded not in ("", "unknown"):
            yield _compared(expected.host, name, recorded, present)
        else:
            yield Finding("ok", expected.host, "version", f"{name}: {present}")


def _silent(expected: Expected, name: str) -> Finding:
    """A server at the recovery site may be started only for a recovery."""
    level: Level = "error" if expected.purpose == "backup" else "warning"
    hint = "is it running there, and does it let drp in? without an answer nobody knows whether a dump would load"
    return Finding(level, expected.host, "server", f"{name}: it tells no version", hint)


def _compared(host: str, name: str, recorded: str, present: str) -> Finding:
    """A dump loads into the same version or a newer one."""
    then, here = _numbers(recorded), _numbers(present)
    text = f"{name}: {present}; the newest restore point was made with {recorded}"
    if not then or not here:
        return Finding("warning", host, "version", f"{text}; the two cannot be compared", "compare them by hand")
    if here[0] < then[0]:
        hint = "bring the recovery site to this version or a newer one: the dump may not load there"
        return Finding("error", host, "version", text, hint)
    # PostgreSQL's second number does not matter to a dump; that of MariaDB, Redis, OpenLDAP may.
    if here < then and (then[0] < 10 or "mariadb" in recorded.lower()):
        return Finding("warning", host, "version", text, "bring the recovery site to this version or a newer one")
    return Finding("ok", host, "version", text)


def _space(expected: Expected, found: Body) -> Iterator[Finding]:
    """Places on one disk share what is free there."""
    needed: dict[int, int] = defaultdict(int)
    free: dict[int, int] = {}
    names: dict[int, list[str]] = defaultdict(list)
    for place in found["places"]:
        device = place["device"]
        free[device] = place["free_bytes"]
        needed[device] += int(place.get("bytes") or 0) * SPACE_TENTHS // 10
        names[device].append(place["path"])
        if place["free_inodes"] is not None and place["free_inodes"] < FEW_INODES:
            text = f"the disk of {place['path']} has room for {place['free_inodes']} more files"
            yield Finding("error", expected.host, "space", text, "remove files there, or make the file system larger")
    for device, present in free.items():
        where = ", ".join(dict.fromkeys(names[device]))
        wanted = needed[device] + LEAST_FREE
        text = f"{show_size(present)} free for {where}"
        hint = "free space there, or give it a larger disk"
        if present < wanted:
            yield Finding("error", expected.host, "space", f"{text}; {show_size(wanted)} are needed", hint)
        elif present < needed[device] + LITTLE_FREE:
            yield Finding("warning", expected.host, "space", f"{text}; that is little", hint)
        else:
            yield Finding("ok", expected.host, "space", text)


def _sources(expected: Expected, found: Body) -> Iterator[Finding]:
    for path in found["sources_missing"]:
        hint = "correct the paths of the dataset, or find out who removed it"
        yield Finding("error", expected.host, "source", f"{path} does not exist", hint)


def _repository(expected: Expected, found: Body) -> Iterator[Finding]:
    repository = found["repository"]
    if repository is None:
        return  # without restic nobody can look; that it is missing is said
    if repository["opens"]:
        yield Finding("ok", expected.host, "repository", "the repository opens with its password and keys")
    elif repository["kind"] == "no_repository" and not expected.had_repository:
        yield Finding("ok", expected.host, "repository", "there is no repository yet; the first backup makes it")
    else:
        error = error_of(repository["kind"], repository["text"], "")
        yield Finding("error", expected.host, "repository", str(error), error.hint)


def certificate(host: str, found: Body | None, now: datetime) -> Finding:
    """The DR centre's TLS certificate, as a host or the control node sees it."""
    if found is None:
        text = "the DR centre is asked without TLS: whoever is on the line reads and changes what is sent"
        return Finding("warning", host, "certificate", text, "give the DR centre's endpoint in drp.yaml as https://…")
    if "trouble" in found:
        hint = "check the line, the endpoint and ca_certificate of the DR centre in drp.yaml"
        return Finding("error", host, "certificate", f"the DR centre's TLS: {found['trouble']}", hint)
    left = datetime.fromtimestamp(found["expires_at"], UTC) - now
    text = f"the DR centre's certificate is good for {left.days} days more"
    if left <= timedelta():
        return Finding("error", host, "certificate", "the DR centre's certificate has expired", "ask the DR centre")
    if left < CERTIFICATE_ENDS_SOON:
        return Finding("warning", host, "certificate", text, "ask the DR centre to renew it")
    return Finding("ok", host, "certificate", text)


def judge_answer(answer: Answer) -> Finding:
    """What a DR centre said of the newest restore point that it is said to hold."""
    centre = answer.dr_centre
    if answer.unreachable:
        text = f"{centre} does not answer, so nobody knows what is there: {answer.unreachable}"
        return Finding("error", "", "restore point", text, f"drp dr-centre check {centre}")
    if answer.gone:
        text = f"of restore point {answer.restore_point} these are gone at {centre}: {', '.join(answer.gone)}"
        return Finding("error", "", "restore point", text, f"back up now, and ask {centre} who removed them")
    return Finding("ok", "", "restore point", f"{centre} holds restore point {answer.restore_point}")


def _clock(expected: Expected, clock: Body) -> Finding:
    offset = timedelta(milliseconds=clock["offset_ms"])
    text = f"its clock is {abs(offset) / timedelta(seconds=1):.1f} s {'behind' if offset < timedelta() else 'ahead'}"
    if abs(offset) >= CLOCK_WRONG:
        return Finding("error", expected.host, "clock", text, "set it right; does NTP run there?")
    if abs(offset) >= CLOCK_OFF:
        return Finding("warning", expected.host, "clock", text, "does NTP run there?")
    return Finding("ok", expected.host, "clock", text)


def _numbers(text: str) -> tuple[int, ...]:
    """The first version number in a program's words: `pg_dump (PostgreSQL) 15.8 (Debian …)` gives (15, 8)."""
    found = re.search(r"(?<![\w.])(\d+(?:\.\d+)+|\d+)", text)
    return tuple(int(number) for number in found[1].split(".")[:2]) if found else ()
