"""drp failover, drill, switchover, failback at the terminal: what does not fit is refused, with the right command."""

from __future__ import annotations

from pathlib import Path

import pytest

from drp.adapters.template import write_template
from drp.errors import ExitCode
from tests.fakes.command import run

ON_PURPOSE = ("--yes", "--reason", "flood")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("city") / "city"
    write_template(path)
    return path


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        (
            ("failover", "example", "--runbook", "planned-switchover", *ON_PURPOSE),
            "is about a switchover, not a failover",
            "drp switchover --runbook planned-switchover",
        ),
        (
            ("failover", "example", "--runbook", "failback", *ON_PURPOSE),
            "is about a failback, not a failover",
            "drp failback --runbook failback",
        ),
        (
            ("switchover", "example", "--runbook", "site-loss", *ON_PURPOSE),
            "is about a failover, not a switchover",
            "drp failover --runbook site-loss",
        ),
        (
            ("drill", "run", "example", "--runbook", "line-cut"),
            "is people's work",
            "drp drill run --tabletop line-cut",
        ),
        (
            ("drill", "run", "example", "--runbook", "failback"),
            "cannot be rehearsed while production runs",
            "drp drill run --tabletop failback",
        ),
        (
            ("failover", "example", "--runbook", "database-corruption", *ON_PURPOSE),
            "goes back to a moment before the damage, and none is named",
            '--before "2026-11-20 14:00"',
        ),
        (
            ("failover", "example", "--before", "kemarin", *ON_PURPOSE),
            "'kemarin' is not a time",
            "",
        ),
        (
            ("drill", "run", "example", "--before", "2999-01-01 14:00"),
            "lies in the future",
            "",
        ),
        (
            ("failover", "example", "--accept-unauthorised"),
            "--accept-unauthorised needs --reason",
            '--reason "…"',
        ),
        (
            ("failback", "example", "--accept-unauthorised"),
            "--accept-unauthorised needs --reason",
            '--reason "…"',
        ),
    ],
)
def test_what_does_not_fit_is_refused(folder: Path, words: tuple[str, ...], message: str, hint: str) -> None:
    done = run("-w", folder, *words)
    assert done.code == ExitCode.USAGE, done.err
    assert message in done.err
    assert hint in done.err
    assert not (folder / "var" / "runs").exists()
