"""Copies at a second DR centre, in the lab: the same repository, checked on the way, whole wherever it was cut off, and
good for a recovery when the first DR centre is gone."""

from __future__ import annotations

import contextlib
import hashlib
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from drp.lab import city
from tests.e2e.workbench import (
    PRIMARY,
    PRIMARY_NAME,
    SERVICE,
    Done,
    Running,
    Workbench,
    content_of,
    eventually,
    files_below,
    lab_address,
    told,
)

pytestmark = pytest.mark.integration
SECOND = "kedua"


def there(bench: Workbench) -> Path:
    """The plain files of the copy."""
    return bench.folder / "var/lab/s3" / SECOND / "drp-bogor-salinan" / SERVICE / PRIMARY_NAME


def objects(repository: Path) -> dict[str, str]:
    """What a repository holds: the hash of each object's content, by its path."""
    found = {}
    for path in sorted(files_below(repository)):
        name = str(path.relative_to(repository))
        # What the S3 server still writes has a name of its own until it is whole.
        if not name.startswith("locks/") and (path.name == "config" or len(path.name) == 64):
            found[name] = hashlib.sha256(content_of(path)).hexdigest()
    return found


def restic_there(bench: Workbench, *arguments: str) -> str:
    """restic on the copy, with the second DR centre's own keys and certificate."""
    return bench.restic(*arguments, centre=SECOND)


@contextlib.contextmanager
def centre_down(bench: Workbench, name: str = "") -> Iterator[None]:
    city.stop_dr_centre(bench.folder, name)
    try:
        yield
    finally:
        city.start_dr_centre(bench.folder, name)


@pytest.fixture
def copied(bench: Workbench) -> str:
    """The newest restore point, which has a copy; gives its name."""
    bench.back_up()
    bench.drp("backup", "copy", SERVICE)
    return bench.points()[0]


def copies(bench: Workbench) -> set[str]:
    with bench.ledger() as ledger:
        return {item.restore_point for item in ledger.copies(SERVICE) if item.dr_centre == SECOND}


def test_a_backup_is_copied_whole_and_opens_with_the_same_password(bench: Workbench) -> None:
    done = bench.back_up()
    assert f"copied to {SECOND}" in done.stdout
    assert objects(there(bench)) == objects(bench.repository())
    assert set(bench.points()) == copies(bench)
    restic_there(bench, "check", "--read-data")
    assert restic_there(bench, "snapshots", "--json", "--no-lock") == bench.restic("snapshots", "--json", "--no-lock")
    with bench.ledger() as ledger:
        (newest,) = [item for item in ledger.copies(SERVICE) if item.restore_point == bench.points()[0]]
        assert newest.arrived_at >= ledger.restore_points(SERVICE)[0].arrived_at
    again = bench.drp("backup", "copy", SERVICE, "--json").json()
    assert [(item["objects"], item["restore_points"]) for item in again] == [(0, [])]


def test_a_copy_that_is_killed_at_any_moment_goes_on_and_shows_nothing_half(bench: Workbench, copied: str) -> None:
    large = "head -c 150M /dev/urandom >/srv/pengaduan/large"
    with bench.on_host(PRIMARY, large, "rm /srv/pengaduan/large"):
        bench.drp("backup", "run", SERVICE, "--no-copy")
    new = bench.points()[0]
    assert new not in copies(bench)
    whole, before = objects(bench.repository()), objects(there(bench))
    missing = len(whole) - len(before)
    assert missing > 8
    for share in (0.2, 0.6):
        copy = bench.start("backup", "copy", SERVICE)

        def has_come(copy: Running = copy, share: float = share) -> bool:
            return not copy.runs() or (
                sum(1 for _ in files_below(there(bench) / "data")) >= len(before) / 2
                and sum(1 for _ in files_below(there(bench))) > len(before) + share * missing
            )

        eventually(has_come, "the copy is in the middle")
        copy.end(signal.SIGKILL)
        names = {name for name in objects(there(bench)) if name.startswith("snapshots/")}
        assert names <= {name for name in whole if name.startswith("snapshots/")}
        restic_there(bench, "check", "--no-lock")
        assert new not in copies(bench) or names == {name for name in whole if name.startswith("snapshots/")}
    done = bench.drp("backup", "copy", SERVICE)
    assert "copied to" in done.stdout
    assert objects(there(bench)) == whole
    assert new in copies(bench)
    assert all(row.outcome is not None for row in bench.runs("copy"))
    restic_there(bench, "check", "--read-data")


def test_a_flipped_bit_at_the_source_is_named_and_not_copied(bench: Workbench, copied: str) -> None:
    bench.drp("backup", "run", SERVICE, "--no-copy")
    before = objects(there(bench))
    pack = max(
        (path for path in bench.repository().rglob("data/*/*") if f"data/{path.parent.name}/{path.name}" not in before),
        key=lambda path: path.stat().st_size,
    )
    content = pack.read_bytes()
    try:
        with centre_down(bench):
            pack.write_bytes(bytes([content[0] ^ 1]) + content[1:])
        failed = bench.drp("backup", "copy", SERVICE, code=13)
        assert pack.name in told(failed)
        assert "drp-bogor" in told(failed)
        assert not (there(bench) / "data" / pack.parent.name / pack.name).exists()
        after = objects(there(bench))
        assert {name for name in after if name.startswith("snapshots/")} == {
            name for name in before if name.startswith("snapshots/")
        }
        assert bench.points()[0] not in copies(bench)
    finally:
        with centre_down(bench):
            pack.write_bytes(content)
    bench.drp("backup", "copy", SERVICE)
    assert bench.points()[0] in copies(bench)


def test_a_second_centre_that_is_away_makes_a_good_backup_incomplete(bench: Workbench, copied: str) -> None:
    with centre_down(bench, SECOND):
        done = bench.drp("backup", "run", SERVICE, code=3)
    assert lab_address("4.10") in told(done), "the error names the side"
    newest = bench.points()[0]
    assert newest not in copies(bench)
    bench.drp("backup", "copy", SERVICE)
    assert newest in copies(bench)


def test_a_drill_recovers_from_the_copy_when_the_first_centre_is_gone(bench: Workbench, copied: str) -> None:
    with centre_down(bench):
        result = bench.drp("drill", "run", SERVICE, "--from", SECOND, "--json").json()
    assert result["verdict"] == "MET"
    plan = bench.events(result["run"])[0]["body"]["plan"]["services"][SERVICE]
    assert (plan["restore_point"]["id"], plan["restore_point"]["dr_centre"]) == (copied, SECOND)
    refused = bench.drp("drill", "run", SERVICE, "--from", "nowhere", code=2)
    assert "no DR centre 'nowhere'" in told(refused)


def check_of_copy(result: Done) -> dict[str, Any]:
    (found,) = [item for item in result.json()[0]["result"]["repositories"] if item["dr_centre"] == SECOND]
    return dict(found)


def test_a_copy_is_read_back_and_what_is_wrong_with_it_is_named(bench: Workbench, copied: str) -> None:
    good = check_of_copy(bench.drp("backup", "check", SERVICE, "--all", "--json"))
    assert (good["good"], good["compared"], good["parts"]) == (True, "source", [[1, 1]])
    assert good["objects"] == len(objects(there(bench))) - 1, "all but config, whose content the source tells"
    pack = max(there(bench).rglob("data/*/*"), key=lambda path: path.stat().st_size)
    content = pack.read_bytes()
    middle = len(content) // 2
    try:
        pack.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])
        failed = bench.drp("backup", "check", SERVICE, "--all", code=13)
        assert f"damaged: data/{pack.parent.name}/{pack.name}" in told(failed)
        assert SECOND in told(failed)
        with bench.ledger() as ledger:
            last = {row.dr_centre: row.is_good for row in ledger.checks(SERVICE)}
            assert (last[SECOND], last["drc"]) == (False, True)
            assert ledger.marks(SERVICE) == []
        with centre_down(bench, SECOND):  # its server remembers listings
            pack.unlink()
        assert f"missing: data/{pack.parent.name}/{pack.name}" in told(bench.drp("backup", "check", SERVICE, code=13))
    finally:
        with centre_down(bench, SECOND):
            pack.write_bytes(content)
    bench.drp("backup", "check", SERVICE, "--all")


def test_a_copy_is_read_back_while_its_source_is_away(bench: Workbench, copied: str) -> None:
    with centre_down(bench):
        result = bench.drp("backup", "check", SERVICE, "--all", "--json", code=12)
    found = check_of_copy(result)
    assert (found["good"], found["compared"], found["parts"]) == (True, "ledger", [[1, 1]])
    with bench.ledger() as ledger:
        (row,) = [row for row in ledger.checks(SERVICE) if row.run == result.json()[0]["run"]]
        assert (row.dr_centre, row.is_good) == (SECOND, True)


def test_the_status_asks_the_dr_centres_themselves(bench: Workbench, copied: str) -> None:
    (good,) = bench.drp("backup", "status", SERVICE, "--ask", "--json", code=(0, 4)).json()
    assert [centre["asked"] for centre in good["dr_centres"]] == [{"unreachable": None, "gone": []}] * 2
    assert {centre["restore_point"] for centre in good["dr_centres"]} == {copied}
    with centre_down(bench):
        (blind,) = bench.drp("backup", "status", SERVICE, "--json", code=(0, 4)).json()
        assert blind["dr_centres"][0]["verdict"] == "MET", "the ledger does not know it yet"
        (away,) = bench.drp("backup", "status", SERVICE, "--ask", "--json", code=4).json()
    assert [centre["verdict"] for centre in away["dr_centres"]] == ["NOT_MEASURED", "MET"]
    assert "drc does not answer" in "".join(problem["text"] for problem in away["problems"])
    newest = max((there(bench) / "snapshots").iterdir(), key=lambda path: path.stat().st_mtime)
    content = newest.read_bytes()
    with centre_down(bench, SECOND):  # its server remembers listings
        newest.unlink()
    try:
        (gone,) = bench.drp("backup", "status", SERVICE, "--ask", "--json", code=4).json()
        assert [centre["verdict"] for centre in gone["dr_centres"]] == ["MET", "NOT_MET"]
        assert len(gone["dr_centres"][1]["asked"]["gone"]) == 1
    finally:
        with centre_down(bench, SECOND):
            newest.write_bytes(content)


def test_a_dr_centre_is_looked_at(bench: Workbench) -> None:
    (found,) = bench.drp("dr-centre", "check", "drc", "--json", code=4).json()
    states = {look["what"]: look["state"] for look in found["looked_at"]}
    good = ("reachable", "TLS", "clock", "keys may list", "keys may store", "keys may read", "keys may delete")
    assert {name: states[name] for name in good} == dict.fromkeys(good, "good")
    assert states["versioning"] != "good", "the lab's server has none"
    assert not list((bench.folder / "var/lab/s3/drc/drp-bogor").glob("drp-check/*"))
    with centre_down(bench):
        failed = bench.drp("dr-centre", "check", "drc", code=12)
    assert "does not answer" in told(failed)
