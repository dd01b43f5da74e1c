"""drp graph, on the workspace of this repository: the city of Bogor."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from drp.errors import ExitCode
from tests.fakes.command import run

REPOSITORY = Path(__file__).parents[3]


def test_what_goes_down_with_mainhole_jalan_baru() -> None:
    done = run("-w", REPOSITORY, "graph", "Mainhole Jalan Baru", "--json")
    assert (done.code, done.err) == (0, "")
    impact = json.loads(done.out)["impact"]
    assert impact["named"] == ["location:mainhole-jalan-baru"]
    assert {row["location"] for row in impact["cut_off"]} >= {
        "kel-sukadamai",
        "kel-kayumanis",
        "kel-kedung-jaya",
        "satpol-pp",
    }
    assert impact["down"] == []


@pytest.mark.parametrize(
    ("arguments", "start"),
    [
        ([], r"\d+ services in \d waves"),
        (["--network"], r"\d+ locations and \d+ links"),
        (["balaikota-db-1"], "Losing host balaikota-db-1 takes down "),
        (["--single-points"], r"\d+ locations and \d+ links that cut others off"),
        (["--format", "mermaid"], "flowchart LR\n"),
        (["--format", "svg", "link:r09"], "<svg "),
        (["--json"], r'{\n "schema": 1,'),
        (["--format", "json", "--json"], r'{\n "schema": 1,'),
    ],
)
def test_each_form_comes_on_standard_output(arguments: list[str], start: str) -> None:
    done = run("-w", REPOSITORY, "graph", *arguments)
    assert (done.code, done.err) == (0, "")
    assert re.match(start, done.out)


def test_output_goes_to_a_file(tmp_path: Path) -> None:
    file = tmp_path / "kota.svg"
    done = run("-w", REPOSITORY, "graph", "--format", "svg", "--output", file)
    assert (done.code, done.out) == (0, f"wrote {file}\n")
    assert file.read_text(encoding="utf-8").startswith("<svg ")
    assert file.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["mainhole"], "did you mean location:mainhole-jalan-baru or location:mainhole-bangbarung"),
        (["drc"], "write location:drc or dr-centre:drc"),
        (["--format", "svg", "--json"], "contradict each other"),
        (["--single-points", "r09"], "it takes no THING"),
        (["--format", "png"], "'png' is not one of"),
        (["--output", "no-such-folder/kota.svg"], "cannot write: No such file or directory"),
    ],
)
def test_what_does_not_fit_is_told_with_what_to_do(arguments: list[str], message: str) -> None:
    done = run("-w", REPOSITORY, "graph", *arguments)
    assert (done.code, done.out) == (ExitCode.USAGE, "")
    assert message in done.err
