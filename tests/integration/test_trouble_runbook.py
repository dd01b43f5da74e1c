"""What people and playbooks do wrong in a drill on real hosts: two answer at once, a stranger answers, a playbook
prints secrets, fails on one host of three, hangs. Each time the outcome is clear, and nothing counts as good."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import pytest

from tests.e2e.workbench import (
    PASSWORD_CANARY,
    RECOVERY,
    RECOVERY_NAME,
    S3_CANARY,
    SERVICE,
    Done,
    Workbench,
    content_of,
    eventually,
    files_below,
    lab_address,
    told,
)

pytestmark = [pytest.mark.integration, pytest.mark.timeout(1500)]
OTHERS = {"drc-app-2": lab_address("2.11"), "drc-web-1": lab_address("2.20")}

RUNBOOK = f"""
schema: 1
id: trouble
title: {{en: Trouble, id: Masalah}}
purpose: {{en: Try what goes wrong, id: Mencoba masalah}}
kind: full
hold: 2s
steps:
  - id: may-begin
    kind: approval
    title: {{en: May it begin?, id: Boleh mulai?}}
    question: {{en: Are all at their places?, id: Semua siap?}}
    who: [approves]
    before: start
  - id: licence
    kind: playbook
    title: {{en: Our own playbook, id: Playbook sendiri}}
    playbook: licence
    hosts: [{RECOVERY_NAME}, {", ".join(OTHERS)}]
    timeout: 3m
    after: may-begin
    before: verify
"""

# Whoever writes this means no harm: it shows what it works with, and says why it failed.
LICENCE = """
- hosts: "{{ drp_hosts }}"
  gather_facts: false
  vars:
    password: "{{ lookup('file', 'SECRETS/pengaduan-repository-password') }}"
    key: "{{ lookup('file', 'SECRETS/s3-secret-access-key') }}"
  tasks:
    - name: Show it
      ansible.builtin.debug:
        msg: "password {{ password }}, key {{ key | b64encode }}, as JSON {{ {'p': password} | to_json }}"
    - name: Log in with {{ password }}
      ansible.builtin.command:
        argv: [sh, -c, "test -e /tmp/licence || { echo no licence for \\"$0\\" >&2; exit 3; }", "{{ key }}"]
      changed_when: false
    - name: Go on
      ansible.builtin.command: {argv: [touch, /tmp/went-on]}
"""

HANG = """
- hosts: "{{ drp_hosts }}"
  gather_facts: false
  tasks:
    - name: Wait for what never comes
      ansible.builtin.command: {argv: [sh, -c, "touch /tmp/hangs; sleep 47110815; true"]}
"""


@pytest.fixture(autouse=True)
def three_hosts(bench: Workbench) -> Iterator[None]:
    (bench.folder / "runbooks/trouble.yaml").write_text(RUNBOOK)
    secrets = str(bench.folder / "var/lab/secrets")
    (bench.folder / "playbooks/licence.yml").write_text(LICENCE.replace("SECRETS", secrets))
    (bench.folder / "playbooks/hang.yml").write_text(HANG)
    with bench.changed(
        "drp.yaml", lambda text: text.replace("services: [pengaduan]", "services: [pengaduan, kesehatan, komunikasi]")
    ):
        bench.drp("lab", "up")
        bench.back_up()
        yield
        bench.drp("lab", "up")
    (bench.folder / "runbooks/trouble.yaml").unlink()


def those_who_approve(bench: Workbench) -> list[str]:
    """Two of the city's register."""
    from drp.adapters.inventory import load_city
    from drp.domain.runbooks.services import persons_of

    city = load_city(bench.folder, bench.folder / "runbooks")
    return [person.name for person in persons_of(city, ["approves"])[:2]]


def refused(done: Done) -> str:
    assert done.code == 2
    return told(done)


def leaks(bench: Workbench, *printed: str) -> list[str]:
    """Where a secret stands below var/, but for where the lab keeps it, or in what was printed."""
    forms = {
        form
        for canary in (PASSWORD_CANARY, S3_CANARY)
        for form in (canary, base64.b64encode(canary.encode()).decode().rstrip("="))
    }
    kept = bench.folder / "var/lab"
    files = [path for path in files_below(bench.folder) if kept not in path.parents]
    assert len(files) > 50
    found = [str(path) for path in files if any(form.encode() in content_of(path) for form in forms)]
    return found + [text for text in printed if any(form in text for form in forms)]


def test_one_of_two_answers_counts_and_a_host_of_three_that_fails_is_named_without_any_secret(bench: Workbench) -> None:
    ready = [RECOVERY, OTHERS["drc-web-1"]]
    for address in ready:
        bench.ssh(address, "touch /tmp/licence")
    going = bench.start("drill", "run", SERVICE, "--runbook", "trouble", "--json")
    going.until("waits for")
    run = bench.open_run("drill")
    approvers = those_who_approve(bench)

    stranger = refused(bench.drp("run", "approve", run, "may-begin", "--by", "Orang Lewat", code=2))
    assert "'Orang Lewat' may not answer" in stranger
    assert all(name in bench.started[-1].said() for name in approvers), "it is said who may"

    both = [bench.start("run", "approve", run, "may-begin", "--by", name, "--comment", name) for name in approvers]
    answers = [running.end() for running in both]
    assert sorted(done.code for done in answers) == [0, 2], [done.stderr for done in answers]
    winner, loser = (next(done for done in answers if done.code == code) for code in (0, 2))
    assert "yes, by" in winner.stdout
    name = approvers[answers.index(winner)]
    assert f"has its answer already: {name} said yes" in told(loser)

    done = going.end(limit_seconds=400)
    decisions = [event["body"] for event in bench.events(run) if event["type"] == "step.answered"]
    assert [body["by"] for body in decisions] == [name]

    assert done.code == 4, done.stderr
    result = done.json()
    assert result["verdict"] == "NOT_MET"
    (line,) = [line for line in done.stderr.splitlines() if "licence: FAILED" in line]
    assert "host drc-app-2, task 'Log in with (secret)': " in line
    assert not any(f"host {other}," in line for other in (RECOVERY_NAME, "drc-web-1"))
    tasks = [event["body"] for event in bench.events(run) if event["type"] == "task.ended"]
    results = {
        (task["host"], task["outcome"]) for task in tasks if task["step"] == "licence" and task["task"] == "Go on"
    }
    assert results == {(RECOVERY_NAME, "ok"), ("drc-web-1", "ok")}, "what the others did is on record"
    outcomes = {
        event["body"]["step"]: event["body"]["outcome"] for event in bench.events(run) if event["type"] == "step.ended"
    }
    assert (outcomes["licence"], outcomes[f"{SERVICE}/verify"], outcomes[f"{SERVICE}/cleanup"]) == (
        "failed",
        "skipped",
        "ok",
    )

    output = (bench.folder / f"var/runs/{run}/licence/stdout").read_text()
    assert output.count("(secret)") >= 9, "it did print them, thrice on each host"
    bench.drp("report", "verify", result["report"][1])
    shown = bench.drp("run", "show", run, "--json").stdout
    assert leaks(bench, done.stdout, done.stderr, shown) == []
    for address in ready:
        bench.ssh(address, "rm /tmp/licence /tmp/went-on")


def test_a_playbook_that_hangs_is_ended_here_and_on_its_host(bench: Workbench) -> None:
    own = "recovery:\n  playbooks: {after_activate: hang}\n  timeouts: {playbooks: 12s}\n"
    with bench.declared("recovery:\n", own):
        done = bench.drp("drill", "run", SERVICE, "--json", code=4, limit_seconds=400)
    run = done.json()["run"]
    (line,) = [line for line in done.stderr.splitlines() if "FAILED" in line]
    assert f"{SERVICE}/after-activate: it took longer than 12 s and was ended" in line
    assert "raise recovery.timeouts.playbooks of pengaduan" in line
    if bench.ssh(RECOVERY, "ls /tmp/hangs 2>/dev/null || true"):  # on a busy machine it may not have come so far
        assert f"host {RECOVERY_NAME}, task 'Wait for what never comes' had not ended" in line
    assert done.json()["verdict"] == "NOT_MET"
    ended = {
        event["body"]["step"]: event["body"]["outcome"] for event in bench.events(run) if event["type"] == "step.ended"
    }
    assert ended[f"{SERVICE}/cleanup"] == "ok"
    eventually(lambda: "47110815" not in bench.ssh(RECOVERY, "ps -eo args"), "it is gone from the host too")
    bench.ssh(RECOVERY, "rm -f /tmp/hangs")
