"""A restic that is carried to hosts must be the one that was meant."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from drp.adapters.named_files import carried_restic_faults
from drp.domain.backups.settings import ResticProgram

GOOD = hashlib.sha256(b"restic").hexdigest()


@pytest.mark.parametrize(
    ("content", "sha256", "found"),
    [
        (b"restic", GOOD, []),
        (b"other", GOOD, [(("backups", "restic", "sha256"), "has the SHA-256 d9298a")]),
        (None, GOOD, [(("backups", "restic", "file"), "No such file")]),
    ],
)
def test_the_file_and_its_hash_are_checked(
    tmp_path: Path, content: bytes | None, sha256: str, found: list[tuple[tuple[str, ...], str]]
) -> None:
    if content is not None:
        (tmp_path / "restic").write_bytes(content)
    faults = carried_restic_faults(tmp_path, ResticProgram(file="restic", sha256=sha256))
    assert [fault.location for fault in faults] == [location for location, _ in found]
    for fault, (_, text) in zip(faults, found, strict=True):
        assert text in fault.message


def test_where_none_is_carried_nothing_is_checked(tmp_path: Path) -> None:
    assert carried_restic_faults(tmp_path, None) == []
