"""Secrets in what playbooks print: taken out in every way in which programs write them, and nothing else is."""

from __future__ import annotations

import base64
import json
import urllib.parse
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drp.adapters.known_secrets import KnownSecrets
from drp.adapters.redaction import REDACTED, Redactor
from drp.adapters.secrets import WorkspaceSecrets
from drp.domain.secret import SecretReference
from tests.fakes.city import make_city

SECRET = 'kata "rahasia"\\ Übersicht/+'


@pytest.mark.parametrize(
    "written",
    [
        SECRET,
        json.dumps(SECRET),
        json.dumps(SECRET, ensure_ascii=False),
        json.dumps({"msg": json.dumps({"password": SECRET})}),
        "https://drp:" + urllib.parse.quote(SECRET, safe="") + "@example.org",
        "p=" + urllib.parse.quote_plus(SECRET),
        base64.b64encode(SECRET.encode()).decode(),
    ],
)
def test_a_secret_is_taken_out_as_programs_write_it(written: str) -> None:
    found = Redactor([SECRET]).text(f"before {written} after")
    assert found.startswith("before ")
    assert found.endswith(" after")
    assert REDACTED in found
    assert "rahasia" not in found


def test_a_secret_within_another_one_and_each_line_of_one_are_taken_out() -> None:
    redactor = Redactor(["kunci-panjang", "kunci-panjang-sekali", "baris satu\nbaris dua"])
    assert redactor.text("kunci-panjang-sekali") == REDACTED
    assert redactor.text("| baris dua |") == f"| {REDACTED} |"


def test_values_are_searched_at_any_depth() -> None:
    value = {"a": [{"kata-rahasia": "x kata-rahasia y"}, 7, None, True]}
    assert Redactor(["kata-rahasia"]).value(value) == {"a": [{REDACTED: f"x {REDACTED} y"}, 7, None, True]}


def test_what_is_too_short_to_be_told_apart_stays() -> None:
    assert Redactor(["a", "", "12345"]).text("12345 a") == "12345 a"


@given(st.text(min_size=6), st.text(), st.text())
def test_no_secret_is_left(secret: str, before: str, after: str) -> None:
    assert secret not in Redactor([secret]).text(before + secret + after).replace(REDACTED, "\0")


def test_all_that_a_workspace_names_is_known_but_for_the_names_of_keys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    city = make_city()
    monkeypatch.setenv("DRP_TEST_PASSWORD", "kata-sandi-repositori")
    known = KnownSecrets(city, WorkspaceSecrets(tmp_path))
    assert "kata-sandi-repositori" in known()
    centre = city.workspace.dr_centres["drc"]
    assert centre.secret_access_key in known.references
    assert centre.access_key_id not in known.references


def test_what_a_command_told_is_known_and_no_command_is_run_for_it(tmp_path: Path) -> None:
    secrets = WorkspaceSecrets(tmp_path)
    secrets.read(SecretReference(command=("echo", "dari-brankas")), "a test")
    assert "dari-brankas" in KnownSecrets(make_city(), secrets)()
