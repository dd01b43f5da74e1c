"""The DR centres are asked themselves: what does not answer or is gone is told at once, not when the RPO has passed."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from drp.domain.objectives import Verdict
from drp.domain.protection.problems import problems_of
from drp.domain.protection.status import ProtectionStatus, with_answers
from drp.workflows.asking import ask
from drp.workflows.backup_status import backup_status
from drp.workflows.preflight import preflight
from tests.fakes.world import make_stage
from tests.unit.workflows.test_copy import HERE, HOST, SERVICE, THERE, Copying
from tests.unit.workflows.test_preflight import answers


@pytest.fixture
def copied(tmp_path: Path) -> Copying:
    found = Copying(tmp_path)
    found.back_up(1, 2)
    found.later(timedelta(minutes=1))
    found.copy()
    return found


def asked(copying: Copying) -> ProtectionStatus:
    statuses = backup_status(copying.world, [SERVICE])
    answers_ = ask(copying.world, statuses)
    return with_answers(statuses[0], answers_[SERVICE])


def test_what_is_there_is_good(copied: Copying) -> None:
    status = asked(copied)
    assert [centre.answer is not None and not centre.answer.gone for centre in status.centres] == [True, True]
    assert [centre.overall for centre in status.centres] == [Verdict.MET, Verdict.MET]
    assert not {problem.kind for problem in problems_of(status)} & {"away", "gone"}


@pytest.mark.parametrize(("bucket", "centre"), [(HERE, "drc"), (THERE, "kedua")])
def test_a_dr_centre_that_does_not_answer_is_a_breach_although_its_data_is_young(
    copied: Copying, bucket: str, centre: str
) -> None:
    (before,) = backup_status(copied.world, [SERVICE])
    assert all(found.verdict is Verdict.MET for found in before.centres)
    copied.store.refusing.add(bucket)
    status = asked(copied)
    assert {found.dr_centre: found.overall for found in status.centres}[centre] is Verdict.NOT_MEASURED
    assert status.is_breached
    (problem,) = [problem for problem in problems_of(status) if problem.kind == "away"]
    assert (problem.key, problem.hint) == (f"{SERVICE}/away/{centre}", f"drp dr-centre check {centre}")
    assert all(problem.kind != "rpo" for problem in problems_of(status)), "its age is as good as it was"


def test_a_snapshot_that_is_gone_is_named(copied: Copying) -> None:
    snapshot = next(iter(copied.points.values()))
    copied.store.removed = [f"{SERVICE}/{HOST}/snapshots/{snapshot}"]
    status = asked(copied)
    assert status.main.overall is Verdict.NOT_MET
    problem = next(problem for problem in problems_of(status) if problem.key == f"{SERVICE}/gone/drc")
    assert "are gone at drc: database/roles, database/database, files/files" in problem.text


def test_a_centre_that_is_away_is_asked_once_for_all_services(tmp_path: Path) -> None:
    stage = make_stage(tmp_path)
    stage.store.refusing = {"drp-bogor"}
    tries = []
    bucket = stage.store.bucket
    stage.store.bucket = lambda centre: tries.append(centre) or bucket(centre)  # type: ignore[method-assign, func-returns-value]
    found = ask(stage.world, backup_status(stage.world, ["pengaduan", "identitas"]))
    assert [answer["drc"].unreachable for answer in found.values()] == ["the DR centre does not answer"] * 2
    assert len(tries) == 1


def test_what_was_never_backed_up_is_not_asked_for(tmp_path: Path) -> None:
    stage = make_stage(tmp_path, restore_points=False)
    assert ask(stage.world, backup_status(stage.world, ["pengaduan"])) == {"pengaduan": {}}


def test_the_daily_preflight_asks_and_the_status_shows_it(copied: Copying) -> None:
    copied.stage.actions.script = answers()
    (result,) = preflight(copied.world, [SERVICE])
    held = [finding.text for finding in result.all_findings if finding.what == "restore point"]
    assert [text.split(" holds")[0] for text in held] == ["drc", "kedua"]
    copied.store.refusing.add(THERE)
    (result,) = preflight(copied.world, [SERVICE])
    assert not result.is_good
    (status,) = backup_status(copied.world, [SERVICE])
    assert any("kedua does not answer" in text for _, text in status.preflight)
    assert "preflight" in {problem.kind for problem in problems_of(status)}
