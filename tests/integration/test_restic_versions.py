"""The other restic that drp supports: Debian 13's, on the hosts of both sites, over a repository that 0.14 began."""

from __future__ import annotations

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


def fetch(folder: Path) -> bytes:
    """Debian 13's restic, from a package list of our own. Raises SubprocessError where it cannot be had."""
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
