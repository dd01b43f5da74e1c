"""A mark on the host says which data is a drill's copy, and so whose it is to replace."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.fakes.host_driver import load

copies, content, restore = load("copies"), load("content"), load("restore")


@pytest.fixture(autouse=True)
def marks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "copies"
    monkeypatch.setattr(copies, "FOLDER", str(folder))
    return folder


def job(tmp_path: Path, kind: str, run: str, *own_runs: str) -> Any:
    path = str(tmp_path / "data")
    dataset = {"id": "files", "absence": [{"what": "the files", "kind": "path", "path": path}], "prepare_restore": []}
    dataset["parts"] = [{"paths": [path]}]
    found = {"kind": kind, "run": run, "service": "pengaduan", "own_runs": list(own_runs), "datasets": [dataset]}
    return SimpleNamespace(job=found)


def test_only_what_a_known_drill_restored_is_a_copy(tmp_path: Path, marks: Path) -> None:
    (tmp_path / "data").mkdir()
    drill = job(tmp_path, "drill", "drill-1")
    dataset = drill.job["datasets"][0]
    assert content.absence(job(tmp_path, "failover", "f", "drill-1"))["copy_of"] == "", "nobody has marked it"
    copies.mark(job(tmp_path, "failover", "f").job, dataset)
    assert not marks.exists(), "what a failover restores is no copy"
    copies.mark(drill.job, dataset)
    assert content.absence(job(tmp_path, "failover", "f", "drill-1"))["copy_of"] == "drill-1"
    assert content.absence(job(tmp_path, "failover", "f", "drill-2"))["copy_of"] == "", "that drill was not aborted"
    (marks / "pengaduan" / "files.json").write_text('["damaged"')
    assert content.absence(job(tmp_path, "failover", "f", "drill-1"))["copy_of"] == ""


def test_the_mark_goes_with_what_it_marks(tmp_path: Path, marks: Path) -> None:
    (tmp_path / "data").mkdir()
    drill = job(tmp_path, "drill", "drill-1")
    copies.mark(drill.job, drill.job["datasets"][0])
    assert restore.remove(drill)["found"] == []
    assert list(marks.iterdir()) == []
