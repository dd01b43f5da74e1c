"""A service's file reads back as what was written, by drp and by any other reader of YAML."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from drp.adapters.service_files import KEYS, existing_ids, service_text, write_services, yaml_value
from drp.adapters.yaml_file import YamlFile, read_yaml
from drp.domain.service import Service
from drp.errors import DrpError

NASTY = [
    *("null", "~", "true", "no", "on", "y", "Off", "NULL", "1e5", "0o17", "0x1F", "1_000", "14:30", "1.5", ".inf"),
    *("2026-11-20", "- a", "a: b", "a #b", "# a", "'", '"', "\\", "{a: b}", "[a]", "*a", "&a", "!!python/none", "%TAG"),
    *("---", "...", "? a", "|", ">", "@a", "`a`", "a\nb", "a\n\nb", " a", "a ", "\ta", "a\tb", "=cmd|' /C calc'!A0"),
    *("\x85", "\u2028", "\ufeff", "\ufffe", "\U0001f600", "é", "网站", "a\rb", "\x1b[31m", "\x00", "\x7f", "<<", ""),
]
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=60) | st.sampled_from(NASTY)


def _read(text: str, folder: Path) -> Any:
    path = folder / "written.yaml"
    path.write_bytes(text.encode())
    found = read_yaml(path, "written.yaml")
    assert isinstance(found, YamlFile), found
    return found.value


@pytest.mark.parametrize("text", NASTY)
def test_awkward_texts_read_back_as_texts(tmp_path: Path, text: str) -> None:
    written = f"key: {yaml_value(text)}\n"
    assert "\n" not in written[:-1]
    assert _read(written, tmp_path) == {"key": text}
    assert yaml.safe_load(written) == {"key": text}


@settings(max_examples=300, deadline=None)
@given(
    title=st.fixed_dictionaries({"en": TEXT, "id": TEXT}),
    notes=TEXT | st.lists(TEXT, min_size=2, max_size=4).map("\n".join),
    owner=TEXT | st.dictionaries(TEXT, TEXT, max_size=3),
    names=st.lists(TEXT, max_size=4),
    filled=st.sets(st.sampled_from(KEYS)),
)
def test_every_value_reads_back_the_same(
    tmp_path_factory: pytest.TempPathFactory, title: Any, notes: str, owner: Any, names: list[str], filled: set[str]
) -> None:
    record = {"schema": 1, "id": "a", "title": title, "owner": owner, "depends_on": names, "notes": notes}
    written = service_text(record, dict.fromkeys(filled, "somebody has to say it"))
    assert _read(written, tmp_path_factory.getbasetemp()) == record
    assert yaml.safe_load(written) == record


def test_a_file_says_what_is_missing_beside_what_is_there() -> None:
    record = {"schema": 1, "id": "simpeg", "title": {"en": "Staff", "id": "Pegawai"}, "agency": "bkpsdm", "rto": "4h"}
    found = service_text(record | {"notes": "Basis data: Oracle\nUkuran: 12 GB"}, {"title": "English", "backup": "all"})
    assert found.splitlines()[1:] == [
        "schema: 1",
        "id: simpeg",
        "title: {en: Staff, id: Pegawai}  # to fill in: English",
        "agency: bkpsdm",
        "rto: 4h",
        "# backup:  # to fill in: all",
        "notes: |-",
        "  Basis data: Oracle",
        "  Ukuran: 12 GB",
    ]


def test_every_key_that_is_written_is_a_key_of_a_service() -> None:
    names = {info.alias or name for name, info in Service.model_fields.items()}
    assert set(KEYS) <= names


def test_files_that_exist_are_left_alone(tmp_path: Path) -> None:
    folder = tmp_path / "services"
    folder.mkdir()
    (folder / "a.yaml").write_text("mine")
    (folder / "b.yaml").symlink_to(tmp_path / "elsewhere")
    (folder / "c.yml").write_text("mine too")
    assert existing_ids(folder) == {"a", "b", "c"}
    written = write_services(folder, {"a": "new\n", "b": "new\n", "d": "new\n"})
    assert written == [folder / "d.yaml"]
    assert (folder / "a.yaml").read_text() == "mine"
    assert not (tmp_path / "elsewhere").exists()
    assert {path.name for path in folder.iterdir()} == {"a.yaml", "b.yaml", "c.yml", "d.yaml"}


def test_a_folder_is_made_and_one_that_cannot_be_is_told(tmp_path: Path) -> None:
    assert write_services(tmp_path / "new" / "deep", {"a": "x\n"}) == [tmp_path / "new" / "deep" / "a.yaml"]
    (tmp_path / "file").write_text("")
    with pytest.raises(DrpError, match="cannot be written") as caught:
        write_services(tmp_path / "file" / "below", {"a": "x\n"})
    assert "0 of 1 files were written" in caught.value.hint


def test_a_full_disk_leaves_no_half_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(os, "link", full)
    with pytest.raises(DrpError, match="No space left"):
        write_services(tmp_path, {"a": "x\n"})
    assert list(tmp_path.iterdir()) == []
