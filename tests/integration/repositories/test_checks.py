"""Checks of real repositories: damage is found, believed only when it is found twice, and named."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from drp.errors import DrpError, IntegrityError, UnreachableError
from drp.workflows.check import check
from drp.workflows.retention import prune
from tests.fakes.real_restic import HOST, SERVICE, Bench, Died
from tests.integration.repositories.conftest import MakeBench
from tests.integration.repositories.test_retention import days_ago, fake_restic

pytestmark = pytest.mark.integration


def check_one(bench: Bench, *, everything: bool = False) -> Any:
    (result,) = check(bench.world, [SERVICE], everything=everything)
    return result


def largest_pack(bench: Bench) -> Path:
    return max(
        (path for path in (bench.repository / "data").rglob("*") if path.is_file()), key=lambda p: p.stat().st_size
    )


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 1
    path.chmod(0o600)
    path.write_bytes(content)


def large(seed: int) -> str:
    """What does not compress to nothing."""
    import random

    return random.Random(seed).randbytes(200_000).hex()


def test_a_whole_repository_is_good_and_its_parts_take_turns(make_bench: MakeBench) -> None:
    proof = {"check": "daily 03:30", "everything_within": "4d"}
    bench = make_bench(workspace={"backups": {"proof": proof}})
    bench.back_up(days_ago(1))
    read = []
    for _ in range(4):
        result = check_one(bench)
        assert result.error is None
        (item,) = result.body["repositories"]
        assert item["good"]
        read += item["parts"]
        bench.clock.at += timedelta(days=1)
    assert read == [[1, 2], [2, 2], [1, 2], [2, 2]]
    rows = bench.ledger.checks(SERVICE)
    assert [(row.part, row.parts, row.is_good, row.host, row.dr_centre) for row in rows[:2]] == [
        (1, 2, True, HOST, "drc"),
        (2, 2, True, HOST, "drc"),
    ]
    assert bench.actions.executors["check-pengaduan-1"] == "drc-pengaduan-1"
    assert list((bench.folder / "cache").glob("check-*")) == []
    assert bench.locks() == []


def test_a_flipped_bit_is_found_and_its_restore_points_are_named(make_bench: MakeBench) -> None:
    bench = make_bench()
    bench.write("first", large(1))
    hit = bench.back_up(days_ago(3))
    (bench.source / "first").unlink()
    (bench.source / "old").unlink()
    known = set((bench.repository / "data").rglob("*"))
    bench.write("second", large(2))
    spared = bench.back_up(days_ago(2))
    pack = max((path for path in known if path.is_file()), key=lambda path: path.stat().st_size)
    flip_a_bit(pack)

    result = check_one(bench, everything=True)
    assert isinstance(result.error, IntegrityError)
    assert pack.name in str(result.error)
    assert hit in str(result.error)
    assert bench.marks("distrusted") == {hit}
    assert spared in bench.points()
    row = bench.ledger.run(result.run)
    assert (row.outcome, row.exit_code) == ("failed", 13)
    (recorded,) = bench.ledger.checks(SERVICE)
    assert (recorded.part, recorded.parts, recorded.is_good) == (1, 1, False)


def test_a_structure_check_alone_does_not_see_a_flipped_bit(make_bench: MakeBench) -> None:
    """Why the data must be read: this holds the fact that the rotation rests on."""
    bench = make_bench()
    bench.write("first", large(1))
    bench.back_up(days_ago(3))
    flip_a_bit(largest_pack(bench))
    (result,) = prune(bench.world, [SERVICE])
    assert result.error is None
    assert bench.ledger.checks(SERVICE)[0].is_good


@pytest.mark.parametrize("what", ["index", "pack"])
def test_what_was_removed_is_found_by_every_check(make_bench: MakeBench, what: str) -> None:
    bench = make_bench()
    bench.write("first", large(1))
    first = bench.back_up(days_ago(3))
    if what == "pack":
        largest_pack(bench).unlink()
    else:
        (index,) = (bench.repository / "index").iterdir()
        index.unlink()
    (bench.source / "first").unlink()
    result = check_one(bench)
    assert isinstance(result.error, IntegrityError)
    assert bench.marks("distrusted") == {first}


def test_a_good_check_of_everything_restores_the_trust(make_bench: MakeBench) -> None:
    bench = make_bench()
    bench.write("first", large(1))
    bench.back_up(days_ago(3))
    pack = largest_pack(bench)
    content = pack.read_bytes()
    flip_a_bit(pack)
    assert check_one(bench, everything=True).error is not None
    pack.write_bytes(content)
    other = bench.back_up(days_ago(2))
    bench.ledger.open_run("forget-x", "forget", "0" * 64, [SERVICE], {})
    reason = "some of its snapshots are not in the repository"
    bench.ledger.append("forget-x", "restore_point.distrusted", {"id": other, "service": SERVICE, "reason": reason})
    bench.ledger.append("forget-x", "run.closed", {"outcome": "failed", "exit_code": 1})
    assert check_one(bench).error is None
    assert len(bench.marks("distrusted")) == 2, "only a look at everything says that the damage is gone"
    assert check_one(bench, everything=True).error is None
    assert bench.marks("distrusted") == {other}, "a check of the repository says nothing of what it lacks"


def test_damage_that_is_not_there_the_second_time_is_not_believed_but_noted(make_bench: MakeBench) -> None:
    bench = make_bench()
    bench.back_up(days_ago(3))
    said = bench.folder / "said"
    fake_restic(
        bench,
        f'case " $* " in *" check "*) if ! test -e {said}; then echo >{said};'
        ' echo "Fatal: repository contains errors" >&2; exit 1; fi;; esac',
    )
    result = check_one(bench)
    assert result.error is None
    assert said.exists()
    (recorded,) = [event.body for event in bench.ledger.events(result.run) if event.type == "check.recorded"]
    assert recorded["is_good"]
    assert recorded["doubted"]


def test_damage_that_restic_cannot_place_spoils_all(make_bench: MakeBench) -> None:
    bench = make_bench()
    runs = {bench.back_up(days_ago(age)) for age in (3, 2)}
    fake_restic(bench, 'case " $* " in *" check "*) echo "Fatal: repository contains errors" >&2; exit 1;; esac')
    assert isinstance(check_one(bench).error, IntegrityError)
    assert bench.marks("distrusted") == runs


@pytest.mark.parametrize(
    ("answer", "error", "says"),
    [
        ("exit 0", DrpError, "cannot read"),
        ("echo 'no errors were found'; echo 'Fatal: repository contains errors'; exit 0", DrpError, "cannot read"),
        ("echo 'Fatal: repository contains errors' >&2; exit 99", DrpError, "ended with 99"),
        ("echo 'Fatal: something new' >&2; exit 1", DrpError, "something new"),
        (
            "echo 'dial tcp: connection refused' >&2; echo 'Fatal: repository contains errors' >&2; exit 1",
            UnreachableError,
            "does not answer",
        ),
    ],
)
def test_what_is_no_verdict_is_no_check(make_bench: MakeBench, answer: str, error: type[DrpError], says: str) -> None:
    bench = make_bench()
    bench.back_up(days_ago(3))
    fake_restic(bench, f'case " $* " in *" check "*) {answer};; esac')
    result = check_one(bench)
    assert type(result.error) is error
    assert says in str(result.error)
    assert bench.ledger.checks(SERVICE) == []
    assert bench.marks("distrusted") == set()
    assert bench.ledger.run(result.run).outcome == "failed"


def test_a_check_beside_a_running_backup_keeps_neither_waiting(make_bench: MakeBench) -> None:
    bench = make_bench()
    bench.back_up(days_ago(3))
    bench.stage.locks.acquire(f"repository@{SERVICE}@{HOST}@drc", "drp backup of pengaduan")
    lock = bench.repository / "locks"
    assert list(lock.iterdir()) == []
    fake_restic(bench, 'case " $* " in *" check "*) case " $* " in *" --no-lock "*) ;; *) exit 77;; esac;; esac')
    assert check_one(bench).error is None


def test_a_check_that_was_lost_is_repeated_with_the_same_parts(make_bench: MakeBench) -> None:
    bench = make_bench()
    bench.back_up(days_ago(3))
    bench.actions.power_fails_after = "check-pengaduan-1"
    with pytest.raises(Died):
        check_one(bench)
    bench.stage.locks.held.clear()
    result = check_one(bench)
    assert result.error is None
    assert len(bench.ledger.runs(kinds=("check",))) == 1
    assert bench.actions.started == ["check-pengaduan-1", "check-pengaduan-1+2"]
    first, second = (bench.actions.jobs[name]["parts"] for name in bench.actions.started)
    assert first == second
