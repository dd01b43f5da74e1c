"""Backups start in their order, as many as the limits allow, and share the line."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from drp.domain.backups.limits import Upload, Urgency, Work, by_urgency, holds, may_start, sites_of, upload_limit
from drp.domain.backups.settings import Bandwidth, Limits

FRIDAY = datetime(2026, 11, 20, 9, 30, tzinfo=ZoneInfo("Asia/Jakarta"))


def work(name: str, *hosts: str, site: str = "primary") -> Work:
    return Work(name, hosts or (name,), (site,))


def names(found: list[Work]) -> str:
    return "".join(item.service for item in found)


def line(rate: str = "80Mbit/s", start: str = "07:00", end: str = "17:00", **more: object) -> Bandwidth:
    return Bandwidth.model_validate({"start": start, "end": end, "rate": rate} | more)


def test_no_more_than_the_limit_run_at_once_and_the_first_go_first() -> None:
    waiting = [work(name) for name in "abcde"]
    assert names(may_start(waiting, [], Limits(at_once=3))) == "abc"
    assert names(may_start(waiting, [work("x"), work("y")], Limits(at_once=3))) == "a"
    assert may_start(waiting, [work("x")], Limits(at_once=1)) == []


def test_a_full_host_or_site_is_passed_over() -> None:
    waiting = [work("a", "h"), work("b", "h"), work("c", "h"), work("d", "i", site="recovery")]
    assert names(may_start(waiting, [], Limits(per_host=2))) == "abd"
    assert names(may_start(waiting, [], Limits(per_host=3, per_site=1))) == "ad"


def test_a_service_over_several_hosts_counts_on_each_and_once_overall() -> None:
    waiting = [work("a", "h", "i"), work("b", "i"), work("c", "h"), work("d", "j")]
    assert names(may_start(waiting, [], Limits(per_host=1))) == "ad"
    assert names(may_start(waiting, [], Limits(per_host=2, at_once=3))) == "abc"


def test_those_behind_do_not_take_the_hosts_of_one_that_waits() -> None:
    """`b` waits for h: c, which comes later, must not take i from it meanwhile."""
    waiting = [work("b", "h", "i"), work("c", "i"), work("d", "j")]
    assert names(may_start(waiting, [work("a", "h")], Limits(per_host=1))) == "d"


@pytest.mark.parametrize("seed", range(20))
def test_all_are_done_in_the_end_and_no_limit_is_ever_broken(seed: int) -> None:
    chance = random.Random(seed)
    limits = Limits(at_once=chance.randint(1, 4), per_site=chance.randint(1, 4), per_host=chance.randint(1, 2))
    site_of = {f"h{number}": ("primary", "recovery")[number % 2] for number in range(5)}
    waiting = []
    for number in range(40):
        hosts = tuple(chance.sample(sorted(site_of), chance.randint(1, 3)))
        waiting.append(Work(str(number), hosts, sites_of(hosts, site_of)))
    running: list[Work] = []
    while waiting or running:
        started = may_start(waiting, running, limits)
        assert started or running, "nothing runs and nothing may start"
        waiting = [item for item in waiting if item not in started]
        running += started
        assert len(running) <= limits.at_once
        for host, site in site_of.items():
            assert sum(host in item.hosts for item in running) <= limits.per_host
            assert sum(site in item.sites for item in running) <= limits.per_site
        running.remove(chance.choice(running))


def test_the_shortest_rpo_goes_first_then_what_is_broken_first() -> None:
    now = FRIDAY.astimezone(UTC)
    hour, day = timedelta(hours=1), timedelta(days=1)
    found = [
        Urgency("none", None, None),
        Urgency("daily", day, now - 3 * day),
        Urgency("fresh", hour, now),
        Urgency("old", hour, now - 2 * hour),
        Urgency("never", hour, None),
    ]
    assert by_urgency(found) == ["never", "old", "fresh", "daily", "none"]


@pytest.mark.parametrize(
    ("start", "end", "days", "at", "expected"),
    [
        ("07:00", "17:00", None, "2026-11-20 09:30", True),
        ("07:00", "17:00", None, "2026-11-20 17:00", False),
        ("07:00", "17:00", ["saturday"], "2026-11-20 09:30", False),
        ("22:00", "06:00", ["friday"], "2026-11-20 23:00", True),
        ("22:00", "06:00", ["friday"], "2026-11-21 05:59", True),
        ("22:00", "06:00", ["friday"], "2026-11-20 05:59", False),
        ("22:00", "06:00", ["sunday"], "2026-11-23 01:00", True),
        ("08:00", "08:00", None, "2026-11-20 03:00", True),
    ],
)
def test_a_window_holds_by_the_local_clock(
    start: str, end: str, days: list[str] | None, at: str, expected: bool
) -> None:
    rule = line(start=start, end=end) if days is None else line(start=start, end=end, days=days)
    assert holds(rule, datetime.fromisoformat(at).replace(tzinfo=ZoneInfo("Asia/Jakarta"))) is expected


def test_without_a_window_nothing_is_limited() -> None:
    assert upload_limit([], FRIDAY, "primary", [], [], 8) is None
    assert upload_limit([line(start="10:00", end="11:00")], FRIDAY, "primary", [], [], 8) is None
    assert upload_limit([line(site="recovery")], FRIDAY, "primary", [], [], 8) is None


def test_a_line_is_shared_by_what_will_run_and_is_never_given_twice() -> None:
    whole = 80_000_000 // 8192
    bandwidth = [line()]
    assert upload_limit(bandwidth, FRIDAY, "primary", [], [], 8) == whole
    running: list[Upload] = []
    for left in range(99, 91, -1):
        given = upload_limit(bandwidth, FRIDAY, "primary", running, [Upload("primary")] * left, 8)
        assert given is not None
        assert abs(given - whole // 8) <= 1
        running.append(Upload("primary", given))
    assert sum(upload.limit or 0 for upload in running) <= whole
    # Of the last one, which runs beside three others, all that is left is the share.
    last = upload_limit(bandwidth, FRIDAY, "primary", running[:3], [], 8)
    assert last == whole - sum(upload.limit or 0 for upload in running[:3])


def test_one_that_began_before_the_window_counts_as_an_equal_share() -> None:
    whole = 80_000_000 // 8192
    assert upload_limit([line()], FRIDAY, "primary", [Upload("primary")], [], 8) == whole - whole // 2


def test_the_strictest_of_several_lines_holds_and_one_is_the_least() -> None:
    both = [line("8Mbit/s"), line("1Mbit/s", site="primary")]
    assert upload_limit(both, FRIDAY, "primary", [], [], 8) == 1_000_000 // 8192
    assert upload_limit(both, FRIDAY, "recovery", [], [], 8) == 8_000_000 // 8192
    assert upload_limit([line("1kbit/s")], FRIDAY, "primary", [Upload(None)] * 3, [], 8) == 1
