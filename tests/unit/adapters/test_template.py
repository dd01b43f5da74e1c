"""A new workspace is valid as it is, its examples are right, and nothing that exists is changed."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path

import jsonschema
import pytest

from drp.adapters.inventory import load_city
from drp.adapters.json_schema import KINDS, schema_of
from drp.adapters.template import write_template
from drp.adapters.yaml_file import YamlFile, read_yaml
from drp.domain.review import review
from drp.errors import DrpError
from drp.wiring import shipped

TODAY = date(2026, 11, 20)


def test_a_new_workspace_validates(tmp_path: Path) -> None:
    written = write_template(tmp_path / "city")
    registers = {f"{name}.yaml" for name in ("network", "people", "documents", "assets")}
    names = {"drp.yaml", "hosts.yaml", "example.yaml", "site-loss.yaml", ".gitignore"}
    assert {path.name for path in written} == names | registers
    city = load_city(tmp_path / "city", shipped("runbooks"))
    assert list(city.services) == ["example"]
    assert {"site-loss", "ransomware"} <= city.runbooks.keys()


def test_a_new_workspace_is_warned_only_of_what_is_left_to_fill_in(tmp_path: Path) -> None:
    write_template(tmp_path)
    found = review(load_city(tmp_path, shipped("runbooks")), TODAY)
    assert [finding.code for finding in found] == ["no-owner"]


def test_every_example_is_right_once_its_mark_is_removed(tmp_path: Path) -> None:
    """Examples begin with `#` and no space, or where they go on, at least two. All of them together are a city without
    a warning."""
    for path in write_template(tmp_path):
        if path.suffix == ".yaml":
            path.write_text(re.sub(r"(?m)^( *)#(?=[^ ]|  )", r"\1", path.read_text()))
    city = load_city(tmp_path, shipped("runbooks"))
    assert review(city, TODAY) == []
    assert len(city.network.links) == 2
    assert city.people.roles["observer"] == ("inspektur",)
    assert city.documents.documents["bia"].services == ("example",)
    assert len(city.assets.assets) == 3
    assert city.services["example"].recovery.estimates.restore is not None
    assert city.workspace.dr_centres["drc"].contract is not None
    for files, model in KINDS.values():
        for path in tmp_path.glob(files):
            file = read_yaml(path, path.name)
            assert isinstance(file, YamlFile)
            jsonschema.Draft202012Validator(schema_of(model)).validate(file.value)


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
