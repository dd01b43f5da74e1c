"""What goes wrong in drills: the verdict is NOT_MET, the cause is named, and the recovery host is left clean."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.workbench import RECOVERY, RECOVERY_NAME, SERVICE, Done, Workbench, eventually

pytestmark = pytest.mark.integration


@pytest.fixture
def backed_up(bench: Workbench) -> Iterator[None]:
    bench.back_up()
    yield
    assert bench.ssh(RECOVERY, "ls -d /srv/pengaduan /etc/pengaduan 2>/dev/null || true") == ""


def failed_drill(bench: Workbench) -> Done:
    """A drill that must not count: exit code 4, NOT_MET in the result, the report and the ledger."""
    done = bench.drp("drill", "run", SERVICE, "--json", code=4)
    result = done.json()
    assert (result["verdict"], result["services"][0]["verdict"]) == ("NOT_MET", "NOT_MET")
    assert result["services"][0]["rta_ms"] is None
    assert result["services"][0]["rta_at_least_ms"] > 0
    assert done.stderr.count("FAILED: ") == 1
    assert "Next: " in done.stderr
    assert bench.runs("drill")[0].verdict == "NOT_MET"
    bench.drp("report", "verify", result["report"][1])
    return done


def test_damaged_packs(bench: Workbench, backed_up: None) -> None:
    """One byte in the middle of each pack of the repository is another one."""
    changed: list[tuple[Path, bytes]] = []
    for pack in (bench.repository() / "data").rglob("*"):
        if pack.is_file():
            content = pack.read_bytes()
            changed.append((pack, content))
            middle = len(content) // 3
            pack.write_bytes(content[:middle] + bytes([content[middle] ^ 0x40]) + content[middle + 1 :])
    assert changed
    try:
        done = failed_drill(bench)
    finally:
        for pack, content in changed:
            pack.write_bytes(content)
    assert "the repository holds damaged data" in done.stderr
    assert "older restore point" in done.stderr


def test_a_restore_point_without_its_sentinel(bench: Workbench) -> None:
    """A careless exclusion keeps the sentinel out of the snapshot: what is restored cannot be dated, so it fails."""
    paths = "      - /etc/nginx/sites-enabled/pengaduan\n"
    careless = paths + "    excludes: [/srv/pengaduan/.drp-sentinel.json]\n"
    with bench.declared(paths, careless):
        bench.back_up()
        done = failed_drill(bench)
    assert "dataset files: sentinel is none instead of backup-" in done.stderr
    assert done.json()["services"][0]["rpa_ms"] is None
    bench.back_up()


def test_the_recovery_host_is_down(bench: Workbench, backed_up: None) -> None:
    cable = bench.names.interface(RECOVERY_NAME)
    subprocess.run(["ip", "link", "set", cable, "down"], check=True)
    try:
        done = failed_drill(bench)
    finally:
        subprocess.run(["ip", "link", "set", cable, "up"], check=True)
        eventually(lambda: "here" in bench.ssh(RECOVERY, "echo here", check=False), "the cable carries again")
    assert "the host cannot be reached by SSH" in done.stderr
    assert RECOVERY_NAME in done.stderr


def test_a_recovery_host_that_is_not_empty_is_left_alone(bench: Workbench) -> None:
    with bench.on_host(RECOVERY, "mkdir /etc/pengaduan && echo mine >/etc/pengaduan/theirs", "rm -r /etc/pengaduan"):
        done = failed_drill(bench)
        assert bench.ssh(RECOVERY, "cat /etc/pengaduan/theirs") == "mine\n"
    assert "already holds path /etc/pengaduan" in done.stderr
    assert "--replace-existing" in done.stderr
