"""The restic that drp carries is used for a backup over SSH and for a recovery by Ansible, on hosts of both sites."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.workbench import PRIMARY, RECOVERY, Workbench

pytestmark = pytest.mark.integration
OLD = '#!/bin/sh\necho "restic 0.9.6 compiled with go1.13"\n'


@pytest.fixture
def carried(bench: Workbench) -> Iterator[str]:
    """Hosts whose own restic is too old; the control node carries its own along."""
    program = bench.folder / "var" / "carried restic"
    shutil.copy(str(shutil.which("restic")), program)
    sha256 = hashlib.sha256(program.read_bytes()).hexdigest()
    text = f'\nbackups:\n  restic: {{file: "var/carried restic", sha256: {sha256}}}\n'
    assert "\nbackups:\n" in (bench.folder / "drp.yaml").read_text()
    with (
        bench.changed("drp.yaml", lambda content: content.replace("\nbackups:\n", text, 1)),
        bench.program("restic", OLD, PRIMARY),
        bench.program("restic", OLD, RECOVERY),
    ):
        yield f"/var/lib/drp/restic/{sha256}/restic"
    program.unlink()
    for address in (PRIMARY, RECOVERY):
        bench.ssh(address, "rm -rf /var/lib/drp/restic")


def test_backup_and_drill(bench: Workbench, carried: str) -> None:
    assert bench.drp("validate").code == 0
    bench.back_up()
    result = bench.drp("drill", "run", "pengaduan", "--json").json()
    assert result["verdict"] == "MET"
    digest = Path(carried).parent.name
    for address in (PRIMARY, RECOVERY):
        assert bench.ssh(address, f"sha256sum {carried}").split()[0] == digest
        assert bench.ssh(address, f"stat -c %a:%U {Path(carried).parent} {carried}").split() == ["700:root"] * 2
