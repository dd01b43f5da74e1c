"""A new workspace is valid as it is, and nothing that exists is changed."""

from __future__ import annotations

from pathlib import Path

import pytest

from drp.adapters.inventory import load_city
from drp.adapters.template import write_template
from drp.errors import DrpError
from drp.wiring import shipped


def test_a_new_workspace_validates(tmp_path: Path) -> None:
    written = write_template(tmp_path / "city")
    assert {path.name for path in written} == {"drp.yaml", "hosts.yaml", "example.yaml", ".gitignore"}
    city = load_city(tmp_path / "city", shipped("runbooks"))
    assert list(city.services) == ["example"]
    assert "site-loss" in city.runbooks


def test_a_file_that_exists_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "drp.yaml").write_text("mine")
    assert tmp_path / "drp.yaml" not in write_template(tmp_path)
    assert (tmp_path / "drp.yaml").read_text() == "mine"
    assert write_template(tmp_path) == []


def test_what_belongs_to_var_is_not_for_git(tmp_path: Path) -> None:
    write_template(tmp_path)
    assert "/var/" in (tmp_path / ".gitignore").read_text().split()


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DrpError, match="cannot be written"):
        write_template(tmp_path / "file" / "city")
