"""A runbook's own steps in a drill on real hosts: people decide and work, programs run, and all of it is on record."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.workbench import PRIMARY_NAME, RECOVERY, RECOVERY_NAME, SERVICE, Running, Workbench, eventually, told

pytestmark = pytest.mark.integration

RUNBOOK = """
schema: 1
id: rehearsal
title: {{en: Rehearsal, id: Latihan}}
purpose: {{en: Try the steps, id: Mencoba langkah}}
kind: full
hold: 2s
steps:
{steps}
"""
ASK = """  - id: may-begin
    kind: approval
    title: {en: May it begin?, id: Boleh mulai?}
    question: {en: Are all at their places?, id: Semua siap?}
    who: [approves]
    before: start
"""
WORK = """  - id: look-around
    kind: manual
    title: {en: Look around, id: Lihat sekitar}
    instructions: {en: Look whether the hall is dry., id: Periksa ruangan.}
    expected: 1m
    after: verify
    before: usable
"""
RUN = f"""  - id: make-a-mark
    kind: command
    title: {{en: Make a mark, id: Beri tanda}}
    host: {RECOVERY_NAME}
    argv: [sh, -c, 'echo "{{{{ begun }}}}" >>/tmp/marks; sleep "$1"', sh, "SECONDS"]
    timeout: LIMIT
    after: restore
    before: verify
"""
OWN = """  - id: own-playbook
    kind: playbook
    title: {en: Our own playbook, id: Playbook sendiri}
    playbook: our-own
    timeout: 10m
    after: restore
    before: verify
"""
PLAYBOOK = """- hosts: "{{ drp_hosts }}"
  gather_facts: false
  tasks:
    - ansible.builtin.copy: {content: "{{ drp_services | join(',') }} {{ drp_kind }}", dest: /tmp/our-own}
"""
TELL = """  - id: tell
    kind: notification
    title: {en: It begins, id: Dimulai}
    text: {en: The drill begins., id: Latihan dimulai.}
    before: start
"""


@pytest.fixture(autouse=True)
def clean(bench: Workbench) -> Iterator[None]:
    bench.back_up()
    (bench.folder / "playbooks/our-own.yml").write_text(PLAYBOOK)
    yield
    bench.ssh(RECOVERY, "rm -f /tmp/marks /tmp/our-own")


def write(bench: Workbench, *steps: str) -> None:
    (bench.folder / "runbooks/rehearsal.yaml").write_text(RUNBOOK.format(steps="".join(steps)))


def drill(bench: Workbench) -> Running:
    return bench.start("drill", "run", SERVICE, "--runbook", "rehearsal", "--json")


def approve(bench: Workbench, run: str, step: str, *options: str, by: str = "Kepala Diskominfo", code: int = 0) -> Any:
    return bench.drp("run", "approve", run, step, "--by", by, *options, code=code)


def who_approves(bench: Workbench) -> str:
    """The name of somebody who has the role `approves` in the city's register."""
    from drp.adapters.inventory import load_city
    from drp.domain.runbooks.services import persons_of

    city = load_city(bench.folder, bench.folder / "runbooks")
    return persons_of(city, ["approves"])[0].name


def ends(bench: Workbench, run: str) -> dict[str, str]:
    return {
        event["body"]["step"]: event["body"]["outcome"] for event in bench.events(run) if event["type"] == "step.ended"
    }


def test_people_and_programs_have_their_place_in_the_plan(bench: Workbench) -> None:
    write(bench, TELL, ASK, RUN.replace("SECONDS", "0").replace("LIMIT", "5m"), OWN, WORK)
    going = drill(bench)
    going.until("waits for")
    run = bench.open_run("drill")
    assert "restoring" not in going.said(), "nothing begins before it may"
    assert "may not answer" in told(approve(bench, run, "may-begin", by="Orang Lewat", code=2))
    assert "no step 'nonsense'" in told(approve(bench, run, "nonsense", code=2))
    approve(bench, run, "may-begin", "--comment", "all are here", by=who_approves(bench))
    assert "has its answer already" in told(approve(bench, run, "may-begin", by=who_approves(bench), code=2))
    going.until("look-around: Look around")
    assert bench.ssh(RECOVERY, "cat /tmp/marks") == "{{ begun }}\n", "once, and by the letter"
    assert bench.ssh(RECOVERY, "cat /tmp/our-own") == f"{SERVICE} drill"
    following = bench.start("run", "show", run, "--follow")
    approve(bench, run, "look-around", "--comment", "dry", by="Satpam")
    result = going.end()
    followed = following.end()
    assert followed.code == result.code, "it ends with the run, and as the run does"
    assert [line.split()[0] for line in followed.stdout.splitlines()] == [
        str(event["sequence"]) for event in bench.events(run)
    ]
    outcomes = ends(bench, run)
    assert {outcomes[name] for name in ("tell", "may-begin", "make-a-mark", "own-playbook", "look-around")} == {"ok"}
    # Nobody is named in drp.yaml to be told: that is said, and keeps nothing from going on.
    (service,) = result.json()["services"]
    assert [item["text"] for item in service["exceptions"]] == [
        "step tell: nobody could be told: drp.yaml names nobody"
    ]
    assert result.json()["verdict"] == "MET_WITH_EXCEPTION"
    page = (bench.folder / "var/reports" / run / "report.html").read_text()
    for text in ("May it begin?", who_approves(bench), "all are here", "Satpam"):
        assert text in page
    bench.drp("report", "verify", str(bench.folder / "var/reports" / run / "report.json"))


def test_a_no_ends_the_run(bench: Workbench) -> None:
    write(bench, ASK)
    going = drill(bench)
    going.until("waits for")
    run = bench.open_run("drill")
    approve(bench, run, "may-begin", "--no", "--comment", "the host is needed", by=who_approves(bench), code=130)
    assert going.end().code == 130
    (row,) = [row for row in bench.runs("drill") if row.run == run]
    assert (row.outcome, row.verdict) == ("aborted", "ABORTED")
    assert set(ends(bench, run).values()) == {"failed", "skipped"}, "no host was touched"


def test_waiting_for_a_person_survives_a_crash_and_what_was_skipped_is_an_exception(bench: Workbench) -> None:
    write(bench, WORK)
    going = drill(bench)
    going.until("look-around: Look around")
    run = bench.open_run("drill")
    going.end(signal.SIGKILL)
    approve(bench, run, "look-around", "--skip", "--comment", "nobody is there", by="Siti")
    result = bench.drp("run", "resume", run, "--json").json()
    assert result["verdict"] == "MET_WITH_EXCEPTION"
    (item,) = result["services"][0]["exceptions"]
    assert (item["text"], item["accepted_by"]) == ("step look-around was skipped (Siti: nobody is there)", "Siti")


def test_a_program_that_hangs_is_ended_and_what_waits_for_it_does_not_come(bench: Workbench) -> None:
    write(bench, RUN.replace("SECONDS", "300").replace("LIMIT", "3s"))
    result = bench.drp("drill", "run", SERVICE, "--runbook", "rehearsal", "--json", code=4)
    assert "took longer than 3 s and was ended" in result.stderr
    run = result.json()["run"]
    outcomes = ends(bench, run)
    assert (outcomes["make-a-mark"], outcomes[f"{SERVICE}/verify"]) == ("failed", "skipped")
    assert outcomes[f"{SERVICE}/cleanup"] == "ok"
    eventually(lambda: "sleep 300" not in bench.ssh(RECOVERY, "ps -eo args"), "it is gone from the host")


def test_a_drill_touches_no_primary_host(bench: Workbench) -> None:
    write(bench, RUN.replace(RECOVERY_NAME, PRIMARY_NAME).replace("SECONDS", "0").replace("LIMIT", "9s"))
    message = bench.drp("drill", "run", SERVICE, "--runbook", "rehearsal", code=10).stderr
    assert "would touch primary host" in message
    (bench.folder / "runbooks/rehearsal.yaml").unlink()
