"""What goes wrong in drills: the verdict is NOT_MET, the cause is named, and the recovery host is left clean."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.workbench import RECOVERY, RECOVERY_NAME, SERVICE, Done, Workbench, files_below

pytestmark = pytest.mark.integration


@pytest.fixture
def backed_up(bench: Workbench) -> Iterator[None]:
    bench.back_up()
    yield
    assert bench.ssh(RECOVERY, "ls -d /srv/pengaduan /etc/pengaduan 2>/dev/null || true") == ""


def failed_drill(bench: Workbench, *options: str, failures: int = 1) -> Done:
    """A drill that must not count: exit code 4, NOT_MET in the result, the report and the ledger."""
    done = bench.drp("drill", "run", SERVICE, "--json", *options, code=4)
    result = done.json()
    assert (result["verdict"], result["services"][0]["verdict"]) == ("NOT_MET", "NOT_MET")
    assert result["services"][0]["rta_ms"] is None
    assert result["services"][0]["rta_at_least_ms"] > 0
    assert done.stderr.count("FAILED: ") == failures
    assert "Next: " in done.stderr
    assert bench.runs("drill")[0].verdict == "NOT_MET"
    bench.drp("report", "verify", result["report"][1])
    return done


def test_damaged_packs(bench: Workbench, backed_up: None) -> None:
    """One byte in the middle of each pack of the repository is another one."""
    changed: list[tuple[Path, bytes]] = []
    for pack in list(files_below(bench.repository() / "data")):
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
    """Injected: the lab kills the host, the drill is not told, and a new host is there at the end."""
    bench.ssh(RECOVERY, "touch /of-the-old-host")
    # It is not restored to, and nobody can connect it to production again.
    done = failed_drill(bench, "--inject", "recovery-host-down", failures=2)
    assert "the host cannot be reached by SSH" in done.stderr
    causes = done.json()["causes"]
    assert causes[0]["step"] == f"{SERVICE}/restore"
    assert {(cause["service"], cause["host"], cause["kind"]) for cause in causes} == {(SERVICE, RECOVERY_NAME, "ssh")}
    assert "caught: " in done.stderr
    # Nothing that the drill wrote down knows of it.
    assert "recovery-host-down" not in json.dumps(bench.events(done.json()["run"]))
    assert "recovery-host-down" not in "".join(Path(path).read_text() for path in done.json()["report"])
    assert bench.ssh(RECOVERY, "ls /of-the-old-host 2>/dev/null || true") == ""
    assert "nothing is broken on purpose" in bench.drp("lab", "mend").stderr


def test_a_recovery_host_that_is_not_empty_is_left_alone(bench: Workbench) -> None:
    with bench.on_host(RECOVERY, "mkdir /etc/pengaduan && echo mine >/etc/pengaduan/theirs", "rm -r /etc/pengaduan"):
        done = failed_drill(bench)
        assert bench.ssh(RECOVERY, "cat /etc/pengaduan/theirs") == "mine\n"
    assert "already holds path /etc/pengaduan" in done.stderr
    assert "--replace-existing" in done.stderr
