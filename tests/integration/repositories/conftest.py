"""Real repositories in folders, for both versions of restic that drp supports. No lab is needed."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.fakes.real_restic import Bench
from tests.integration.test_restic_versions import fetch

MakeBench = Callable[..., Bench]


@pytest.fixture(scope="session")
def newer() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        try:
            program = fetch(Path(folder))
        except (OSError, subprocess.SubprocessError) as error:
            pytest.skip(f"Debian 13's restic cannot be had here: {type(error).__name__}")
        path = Path(folder) / "restic"
        path.write_bytes(program)
        path.chmod(0o755)
        yield path


@pytest.fixture(params=["installed", "newer"])
def restic(request: pytest.FixtureRequest) -> Path:
    if request.param == "newer":
        path: Path = request.getfixturevalue("newer")
        return path
    found = shutil.which("restic")
    assert found is not None, "restic is not installed"
    return Path(found)


@pytest.fixture
def make_bench(restic: Path) -> Iterator[MakeBench]:
    """Not in pytest's own directory: /tmp is refused as a place of data."""
    with tempfile.TemporaryDirectory(dir="/var/tmp", prefix="drp-repositories-") as folder:

        def make(**settings: object) -> Bench:
            return Bench(Path(folder), restic, **settings)

        yield make
