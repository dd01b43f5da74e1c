"""What `pip install .` gives: the program with its playbooks, runbooks and templates, in one wheel."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

pytestmark = pytest.mark.integration
REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The content of the wheel that this checkout builds."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=REPOSITORY,
        check=True,
        capture_output=True,
    )
    (wheel,) = folder.glob("*.whl")
    target = folder / "unpacked"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(target)
    return target


def test_wheel_holds_all_that_drp_needs_at_run_time(unpacked: Path) -> None:
    shipped = unpacked / "drp" / "shipped"
    playbooks = sorted(path.name for path in (shipped / "playbooks").glob("*.yml"))
    assert playbooks == sorted(path.name for path in (REPOSITORY / "playbooks").glob("*.yml"))
    assert {"restore.yml", "activate.yml", "verify.yml", "cutover.yml", "cleanup.yml"} < set(playbooks)
    for path in (REPOSITORY / "playbooks").rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts:
            assert (shipped / "playbooks" / path.relative_to(REPOSITORY / "playbooks")).is_file()
    assert (shipped / "runbooks" / "site-loss.yaml").is_file()
    assert (unpacked / "drp" / "adapters" / "templates" / "drp.yaml").is_file()
    assert list((unpacked / "drp" / "reports" / "templates").iterdir())
    assert not list(unpacked.rglob("*.sqlite3"))
    assert not (unpacked / "tests").exists()


def test_unpacked_wheel_makes_and_validates_a_workspace(unpacked: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(unpacked), "PYTHONDONTWRITEBYTECODE": "1"}

    def drp(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "drp", *arguments],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout

    drp("init", "city")
    assert "1 service, 2 hosts, 10 runbooks" in drp("-w", "city", "validate")
    where = subprocess.run(
        [sys.executable, "-c", "from drp.wiring import shipped; print(shipped('playbooks'))"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert str(unpacked) in where
