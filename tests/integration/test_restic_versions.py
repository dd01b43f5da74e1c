"""The other restic that drp supports: Debian 13's, on the hosts of both sites, over a repository that 0.14 began."""

from __future__ import annotations

import hashlib
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.workbench import PRIMARY, RECOVERY, SERVICE, Workbench, told

pytestmark = pytest.mark.integration
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"


def mirror() -> str:
    """The archive that this machine itself takes Debian from. Raises OSError where it takes none."""
    for file in sorted([Path("/etc/apt/sources.list"), *Path("/etc/apt/sources.list.d").glob("*")]):
        for word in file.read_text().split() if file.is_file() else []:
            if word.startswith("http") and word.rstrip("/").endswith("/debian"):
                return word
    raise OSError("no Debian archive among the machine's package sources")


_fetched: list[bytes] = []


def fetch(folder: Path) -> bytes:
    """Debian 13's restic, from a package list of our own. Raises SubprocessError where it cannot be had."""
    if not _fetched:
        _fetched.append(_download(folder))
    return _fetched[0]


def _download(folder: Path) -> bytes:
    for name in ("lists/partial", "cache/archives/partial"):
        (folder / name).mkdir(parents=True)
    (folder / "sources").write_text(f"deb [signed-by={KEYRING}] {mirror()} trixie main\n")
    settings = {
        "Dir::Etc::sourcelist": folder / "sources",
        "Dir::Etc::sourceparts": "-",
        "Dir::State::lists": folder / "lists",
        "Dir::Cache": folder / "cache",
        "APT::Default-Release": "trixie",
        "APT::Sandbox::User": "root",
    }
    options = [word for name, value in settings.items() for word in ("-o", f"{name}={value}")]
    for words in (["update", "--error-on=any"], ["download", "restic"]):
        subprocess.run(["apt-get", *options, *words], cwd=folder, check=True, capture_output=True, timeout=60)
    (package,) = folder.glob("restic_*.deb")
    subprocess.run(["dpkg", "--extract", str(package), str(folder / "content")], check=True, timeout=60)
    return (folder / "content/usr/bin/restic").read_bytes()


@pytest.fixture(scope="module")
def newer_restic(bench: Workbench) -> Iterator[str]:
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        try:
            program = fetch(Path(folder))
        except (OSError, subprocess.SubprocessError) as error:
            pytest.skip(f"Debian 13's restic cannot be had here: {type(error).__name__}")
    for address in (PRIMARY, RECOVERY):
        bench.ssh(address, "cat >/usr/local/sbin/restic && chmod 755 /usr/local/sbin/restic", stdin=program)
    yield bench.ssh(PRIMARY, "restic version").split()[1]
    for address in (PRIMARY, RECOVERY):
        bench.ssh(address, "rm /usr/local/sbin/restic")


def test_backup_and_drill(bench: Workbench, newer_restic: str) -> None:
    assert newer_restic.startswith("0.18")
    bench.back_up()
    with bench.ledger() as ledger:
        point = ledger.restore_points(SERVICE)[0]
    assert newer_restic in point.tools["balaikota-app-1 restic"]
    assert all(snapshot.bytes > 0 and snapshot.files > 0 for snapshot in point.snapshots)
    result = bench.drp("drill", "run", SERVICE, "--json").json()
    assert result["verdict"] == "MET"


FILE = "/srv/pengaduan/uploads/restored by the newer one.bin"
HASH = f"sha256sum '{FILE}' | cut -d' ' -f1"
ON_PURPOSE = ("--yes", "--by", "Siti", "--reason", "a rehearsal", "--replace-existing")


@pytest.fixture(scope="module")
def planted(bench: Workbench, newer_restic: str) -> Iterator[tuple[str, str]]:
    """A file that is in the newest restore point; its SHA-256, and the restore point."""
    del newer_restic
    bench.ssh(PRIMARY, f"head -c 3M /dev/urandom >'{FILE}'; chown 812:812 '{FILE}'; chmod 640 '{FILE}'")
    bench.back_up()
    yield bench.ssh(PRIMARY, HASH), bench.points()[0]
    bench.ssh(PRIMARY, f"rm -f '{FILE}'")


def test_a_service_is_restored_in_place(bench: Workbench, planted: tuple[str, str]) -> None:
    digest, point = planted
    with bench.quiet(), bench.on_host(PRIMARY, "service pengaduan stop", "service pengaduan start"):
        bench.ssh(PRIMARY, f"echo spoilt >'{FILE}'; echo foreign >/srv/pengaduan/uploads/foreign")
        bench.sql(PRIMARY, "DELETE FROM complaints")
        result = bench.drp("restore", SERVICE, "--restore-point", point, *ON_PURPOSE, "--json").json()
        assert {check["dataset"] for check in result["checks"]} == {"database", "files"}
        assert all(check["ok"] for check in result["checks"])
        assert bench.ssh(PRIMARY, HASH) == digest
        assert bench.ssh(PRIMARY, f"stat -c '%u:%g %a' '{FILE}'").strip() == "812:812 640"
        assert int(bench.sql(PRIMARY, "SELECT count(*) FROM complaints")) > 0
    assert "No such file" in bench.ssh(PRIMARY, "ls /srv/pengaduan/uploads/foreign 2>&1 || true")


def test_a_service_is_restored_beside_what_is_there(bench: Workbench, planted: tuple[str, str]) -> None:
    digest, point = planted
    bench.ssh(RECOVERY, "service postgresql start")
    databases = "SELECT datname FROM pg_database WHERE datname LIKE 'drp_restore%'"
    try:
        result = bench.drp(
            *("restore", SERVICE, "--restore-point", point, "--scratch", "/var/tmp/drp-look/here", "--json")
        ).json()
        assert all(check["ok"] for check in result["checks"])
        found = bench.ssh(RECOVERY, f"find /var/tmp/drp-look/here -name '{Path(FILE).name}' -exec sha256sum {{}} +")
        assert found.split()[0] == digest.strip()
        (name,) = bench.sql(RECOVERY, databases, "postgres").split()
        assert int(bench.sql(RECOVERY, "SELECT count(*) FROM complaints", name)) > 0
    finally:
        for name in bench.sql(RECOVERY, databases, "postgres").split():
            bench.ssh(RECOVERY, f"cd /; runuser -u postgres -- dropdb --force {name}")
        bench.ssh(RECOVERY, "rm -rf /var/tmp/drp-look")


def test_single_files_come_back(bench: Workbench, planted: tuple[str, str], tmp_path: Path) -> None:
    digest, point = planted
    at = ("--restore-point", point)
    bench.ssh(PRIMARY, f"rm '{FILE}'")
    bench.drp("restore", SERVICE, "--path", FILE, *at, *ON_PURPOSE)
    assert bench.ssh(PRIMARY, HASH) == digest
    listed = bench.drp("restore", "list", SERVICE, str(Path(FILE).parent), *at, "--json").json()
    assert FILE in {entry["path"] for entry in listed["entries"]}
    bench.drp("restore", "download", SERVICE, FILE, *at, "-o", str(tmp_path / "got"))
    assert hashlib.sha256((tmp_path / "got").read_bytes()).hexdigest() == digest.strip()
    (proved,) = bench.drp("restore", "test", SERVICE, "--json").json()
    assert (proved["error"], proved["proved"]) == (None, ["database", "files"])


@pytest.mark.parametrize(
    ("secret", "says"),
    [("s3-secret-access-key", "refused the S3 keys"), ("pengaduan-repository-password", "password is wrong")],
)
def test_wrong_secrets_are_told_apart(bench: Workbench, newer_restic: str, secret: str, says: str) -> None:
    del newer_restic
    known = bench.points()
    with bench.changed(f"var/lab/secrets/{secret}", lambda _: "Wrong" * 8):
        failed = bench.back_up(code=12)
    assert says in told(failed)
    assert bench.points() == known
    assert bench.locks() == []
