"""What a preflight found, judged: what cannot be known is never called well."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from drp.domain.protection.preflight import Expected, Finding, Purpose, certificate, judge, worst_level
from tests.fakes.city import NOW

DAY = 86_400
CLOCK = {"offset_ms": 3, "uncertainty_ms": 10}
GB = 10**9


def found(**changes: Any) -> dict[str, Any]:
    return {
        "missing": [],
        "versions": {
            "python": "3.11.2",
            "restic": "restic 0.14.0 compiled with go1.19",
            "server of db": "15.8 (Debian)",
        },
        "places": [{"what": "cache", "path": "/root/.cache", "device": 1, "free_bytes": 9 * GB, "free_inodes": 10**6}],
        "sources_missing": [],
        "repository": {"opens": True},
        "certificate": {"expires_at": int(NOW.timestamp()) + 90 * DAY},
    } | changes


def judged(purpose: Purpose = "backup", tools: dict[str, str] | None = None, **changes: Any) -> list[Finding]:
    had = changes.pop("had_repository", True)
    clock = changes.pop("clock", CLOCK)
    return judge(Expected("app-1", purpose, tools or {}, had), found(**changes), clock, NOW)


def bad(findings: list[Finding]) -> list[tuple[str, str]]:
    assert all(finding.hint for finding in findings if finding.level != "ok"), "each says what to do"
    return [(finding.level, finding.what) for finding in findings if finding.level != "ok"]


def test_all_well() -> None:
    findings = judged()
    assert bad(findings) == []
    assert worst_level(findings) == "ok"
    assert {finding.what for finding in findings} == {
        *("program", "version", "space", "repository", "certificate", "clock")
    }


def test_nothing_looked_at_is_not_well() -> None:
    assert worst_level([]) == "error"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"missing": ["pg_dump|/usr/lib/postgresql/*/bin/pg_dump"]}, ("error", "program")),
        ({"versions": {"restic": "restic 0.12.1 compiled"}}, ("error", "restic")),
        ({"versions": {"restic": "unknown"}}, ("error", "restic")),
        ({"versions": {"restic": "borg 1.2"}}, ("error", "restic")),
        ({"versions": {"server of db": "unknown"}}, ("error", "server")),
        ({"sources_missing": ["/srv/x"]}, ("error", "source")),
        ({"repository": {"opens": False, "kind": "password", "text": "wrong password"}}, ("error", "repository")),
        ({"repository": {"opens": False, "kind": "no_repository", "text": ""}}, ("error", "repository")),
        ({"certificate": None}, ("warning", "certificate")),
        ({"certificate": {"trouble": "self-signed"}}, ("error", "certificate")),
        ({"certificate": {"expires_at": int(NOW.timestamp()) + 9 * DAY}}, ("warning", "certificate")),
        ({"certificate": {"expires_at": int(NOW.timestamp()) - 1}}, ("error", "certificate")),
        ({"clock": {"offset_ms": -3000}}, ("warning", "clock")),
        ({"clock": {"offset_ms": 400_000}}, ("error", "clock")),
    ],
)
def test_each_trouble_is_told(changes: dict[str, Any], expected: tuple[str, str]) -> None:
    assert bad(judged(**changes)) == [expected]


def test_a_service_that_was_never_backed_up_needs_no_repository() -> None:
    none = {"opens": False, "kind": "no_repository", "text": ""}
    assert bad(judged(repository=none, had_repository=False)) == []


@pytest.mark.parametrize(
    ("recorded", "present", "level"),
    [
        ("15.8 (Debian 15.8-0)", "15.4", "ok"),
        ("15.8", "17.2", "ok"),
        ("15.8", "14.9", "error"),
        ("pg_restore (PostgreSQL) 15.8", "pg_restore (PostgreSQL) 13.1", "error"),
        ("10.11.6-MariaDB", "10.5.1-MariaDB", "warning"),
        ("10.11.6-MariaDB", "11.4.1-MariaDB", "ok"),
        ("Redis server v=7.0.15", "Redis server v=6.0.1", "error"),
        ("15.8", "unknown", "warning"),
        ("15.8", "something", "warning"),
    ],
)
def test_a_dump_loads_into_the_same_version_or_a_newer_one(recorded: str, present: str, level: str) -> None:
    findings = judged("recovery", {"server of db": recorded}, versions={"server of db": present})
    (about,) = [finding for finding in findings if finding.what in ("version", "server")]
    assert about.level == level


def test_places_on_one_disk_share_its_space() -> None:
    def place(path: str, size: int, device: int = 1) -> dict[str, Any]:
        return {"what": "data", "path": path, "bytes": size, "device": device} | {
            "free_bytes": 10 * GB,
            "free_inodes": None,
        }

    assert bad(judged("recovery", places=[place("/a", 4 * GB)])) == []
    (finding,) = [
        one for one in judged("recovery", places=[place("/a", 5 * GB), place("/b", 4 * GB)]) if one.level != "ok"
    ]
    assert finding.text == "10 GB free for /a, /b; 10.9 GB are needed"
    assert bad(judged("recovery", places=[place("/a", 5 * GB), place("/b", 4 * GB, device=2)])) == []


def test_a_disk_without_inodes_is_full() -> None:
    place = {"what": "cache", "path": "/c", "device": 1, "free_bytes": 9 * GB, "free_inodes": 3}
    assert bad(judged(places=[place])) == [("error", "space")]


def test_the_certificate_is_told_in_days() -> None:
    when = int((NOW + timedelta(days=45, hours=5)).timestamp())
    assert certificate("x", {"expires_at": when}, NOW).text == "the DR centre's certificate is good for 45 days more"
