"""The source against the snapshot: what has not changed since must be what was backed up."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from drp.errors import DrpError, IntegrityError
from drp.workflows.spot_check import spot_check
from tests.fakes.real_restic import HOST, SERVICE, Bench
from tests.integration.repositories.conftest import MakeBench
from tests.integration.repositories.test_retention import days_ago

pytestmark = pytest.mark.integration


def compare(bench: Bench, files: int = 20) -> Any:
    (result,) = spot_check(bench.world, [SERVICE], files=files)
    return result


def part_of(result: Any) -> Any:
    (part,) = result.body["parts"]
    return part


def test_what_was_not_changed_is_the_same_and_what_was_is_left_out(make_bench: MakeBench) -> None:
    bench = make_bench()
    bench.write("nama dengan spasi é", "isi\n")
    bench.write("gone", "x")
    bench.write("changed", "x")
    bench.write("empty", "")
    (bench.source / "link").symlink_to("old")
    run = bench.back_up(days_ago(1))
    (bench.source / "gone").unlink()
    bench.write("changed", "y")
    result = compare(bench)
    assert result.error is None
    part = part_of(result)
    assert (part["candidates"], part["compared"], part["changed"], part["gone"]) == (6, 4, 1, 1)
    assert part["restore_point"] == run
    assert part["is_good"]
    assert bench.actions.executors == {f"spot_check-{HOST}": HOST}, "the source is read where it is"
    assert bench.locks() == []


def falsify(path: Path) -> None:
    """Another content of the same size."""
    path.write_bytes(bytes(byte ^ 1 for byte in path.read_bytes()))


def test_a_file_that_differs_though_nothing_says_so_is_told_with_its_path(make_bench: MakeBench) -> None:
    bench = make_bench()
    bench.write("victim", "the truth\n")
    bench.back_up(days_ago(1))
    found = os.lstat(bench.source / "victim")
    falsify(bench.source / "victim")
    # What a failing disk does: the content changes, and no time does. The program on the host sees the old times.
    bench.actions.lies = {str(bench.source / "victim"): (found.st_mtime_ns, found.st_ctime_ns)}
    result = compare(bench)
    assert isinstance(result.error, IntegrityError)
    assert f"{HOST}:{bench.source}/victim" in str(result.error)
    assert part_of(result)["differing"] == [str(bench.source / "victim")]
    assert bench.ledger.run(result.run).exit_code == 13
    (event,) = [event for event in bench.ledger.events(result.run) if event.type == "spot_check.recorded"]
    assert event.body["is_good"] is False


def test_where_nothing_can_be_compared_nothing_is_good(make_bench: MakeBench) -> None:
    bench = make_bench()
    bench.back_up(days_ago(1))
    for path in bench.source.iterdir():
        path.write_text("changed since")
    result = compare(bench)
    assert isinstance(result.error, DrpError)
    assert "nothing could be compared" in str(result.error)
    assert part_of(result)["is_good"] is False


def test_no_more_files_are_compared_than_was_asked_for(make_bench: MakeBench) -> None:
    bench = make_bench()
    for number in range(30):
        bench.write(f"file-{number}", f"content {number}")
    bench.back_up(days_ago(1))
    part = part_of(compare(bench, files=3))
    assert part["compared"] == 3
    assert part["candidates"] == 32


def test_without_a_restore_point_there_is_nothing_to_compare_with(make_bench: MakeBench) -> None:
    bench = make_bench()
    assert "no restore point" in str(compare(bench).error)
