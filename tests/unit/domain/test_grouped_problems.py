"""One cause that strikes forty services is one line, each with a run of its own all the same."""

from __future__ import annotations

from drp.domain.protection.problems import Problem, grouped


def failed(service: str, text: str = "the last backup failed") -> Problem:
    return Problem(service, "failed", "", text, None, f"drp run show backup-20261122-054750-{service}")


def test_failures_that_differ_only_in_their_runs_are_one_line() -> None:
    [group] = grouped([failed("pajak"), failed("eis")])
    assert group.services == ("pajak", "eis")
    assert group.hint == "drp run list; then drp run show RUN"


def test_one_failure_alone_names_its_run() -> None:
    groups = grouped([failed("pajak"), failed("eis", "the last 2 backups failed")])
    assert [group.hint.rsplit("-", 1)[1] for group in groups] == ["pajak", "eis"]
