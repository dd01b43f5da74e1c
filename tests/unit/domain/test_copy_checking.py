"""What must be at a copy, and what is read of it: everything in turn, and nothing is good that nobody compared."""

from __future__ import annotations

import hashlib
from datetime import timedelta

from drp.domain.backups.checking import plan_check
from drp.domain.backups.copy_checking import compare_structure, turn_keys
from drp.domain.backups.copying import StoredObject
from drp.domain.backups.record import RepositoryCheck
from tests.fakes.city import NOW

DAY = timedelta(days=1)


def key(folder: str, number: int) -> str:
    name = hashlib.sha256(f"{folder} {number}".encode()).hexdigest()
    return f"data/{name[:2]}/{name}" if folder == "data" else f"{folder}/{name}"


def listing(*keys: str, minutes: int = 0, size: int = 5) -> dict[str, StoredObject]:
    return {name: StoredObject(name, size, NOW + timedelta(minutes=minutes)) for name in keys}


OLD = ("config", key("keys", 1), key("data", 1), key("index", 1), key("snapshots", 1))
NEW = (key("data", 2), key("index", 2), key("snapshots", 2))
FIRST = OLD[-1].removeprefix("snapshots/")


def test_a_copy_may_be_behind_its_source_but_not_by_what_it_has_said_to_have() -> None:
    source = listing(*OLD) | listing(*NEW, minutes=10)
    there = listing(*OLD, minutes=5)
    found = compare_structure(source, there, {FIRST}, ())
    assert (found.compared, found.wanted, found.missing, found.doubtful) == ("source", 5, (), ())
    for lost in OLD:
        fewer = {name: item for name, item in there.items() if name != lost}
        assert compare_structure(source, fewer, {FIRST}, ()).missing == (lost,)
    both = {FIRST, NEW[-1].removeprefix("snapshots/")}
    assert set(compare_structure(source, there, both, ()).missing) == set(NEW)


def test_another_size_is_doubtful_whichever_side_is_wrong() -> None:
    there = listing(*OLD) | listing(OLD[2], size=4)
    found = compare_structure(listing(*OLD), there, {FIRST}, ())
    assert (found.missing, found.doubtful) == ((), (OLD[2],))


def test_without_the_source_the_ledger_says_what_must_be_there() -> None:
    for source in (None, {}, listing("config")):
        assert compare_structure(source, listing(*OLD), {FIRST}, ()).compared == "ledger"
    assert compare_structure(None, listing(*OLD), {FIRST}, ()).missing == ()
    for lost, told in ((OLD[0], "config"), (OLD[1], "keys/*"), (OLD[3], "index/*"), (OLD[4], OLD[4])):
        fewer = {name: item for name, item in listing(*OLD).items() if name != lost}
        assert compare_structure(None, fewer, {FIRST}, ()).missing == (told,)
    assert compare_structure(None, {}, {FIRST}, ()).missing == ("config", OLD[4], "keys/*", "index/*")


def test_what_a_check_missed_is_not_forgotten_while_the_source_is_away() -> None:
    fewer = {name: item for name, item in listing(*OLD).items() if name != OLD[2]}
    assert compare_structure(None, fewer, {FIRST}, {OLD[2]}).missing == (OLD[2],)
    assert compare_structure(None, listing(*OLD), {FIRST}, {OLD[2]}).missing == ()


def test_turns_cover_every_object_once() -> None:
    keys = [key(folder, number) for folder in ("data", "index", "snapshots", "keys") for number in range(300)]
    there = listing(*keys, "config", "locks/x", "data/ab/short")
    for parts in (1, 2, 7, 256):
        turns = turn_keys(there, [(part, parts) for part in range(1, parts + 1)])
        assert sorted(name for names in turns.values() for name in names) == sorted(keys)
    (half,) = turn_keys(there, [(1, 2)]).values()
    assert all(int(name.rsplit("/", 1)[-1][:2], 16) % 2 == 0 for name in half)
    assert 0 < len(half) < len(keys)


def test_daily_turns_read_every_object_within_the_declared_time() -> None:
    there = listing(*(key("data", number) for number in range(500)))
    checks: list[RepositoryCheck] = []
    read_at = dict.fromkeys(there, NOW)
    worst = timedelta()
    for day in range(120):
        now = NOW + day * DAY
        plan = plan_check(checks, DAY, 30 * DAY, now)
        for (part, parts), names in turn_keys(there, [(part, plan.parts) for part in plan.numbers]).items():
            checks.append(RepositoryCheck("s", "h", "kedua", now, part, parts, is_good=True, run="r"))
            for name in names:
                worst = max(worst, now - read_at[name])
                read_at[name] = now
    assert worst <= 30 * DAY
    assert min(read_at.values()) >= NOW + 90 * DAY
