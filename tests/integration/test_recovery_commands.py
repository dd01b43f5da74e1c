"""Activating and verifying a service in the lab: its configuration is tested first, its own commands run, its servers
are asked, and the user's own playbook comes after."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest

from drp.domain.events import Body
from drp.domain.recovery.technologies import OwnPlaybook, commands_of, configuration_tests
from drp.ports import World
from drp.workflows.own_playbooks import start_own_playbook
from drp.workflows.traffic import connection_variables
from tests.e2e.workbench import PRIMARY, PRIMARY_NAME, SERVICE, Workbench, eventually
from tests.integration.ansible_runs import Control, Ended

pytestmark = pytest.mark.integration
IS_WATCHED = False


@pytest.fixture(scope="module")
def control(bench: Workbench) -> Control:
    return Control(bench)


def stage(control: Control, name: str) -> Ended:
    """A stage as a recovery runs it, on the host where the service is at home: there everything stands already."""

    def start(world: World, folder: Path) -> None:
        service = world.city.services[SERVICE]
        jobs = [
            {
                "verb": "restore",
                "run": "r-1",
                "service": SERVICE,
                "host": dataset.host,
                "repository": {"url": "none", "region": "none"},
                "stall_seconds": 60,
                "requires": [],
                "datasets": [dataset.procedure(SERVICE)],
            }
            for dataset in service.datasets
        ]
        units = [unit for unit in service.recovery.start if unit != "postgresql"]
        variables: Body = {
            **connection_variables(world, [PRIMARY_NAME]),
            "drp_run": "r-1",
            "drp_kind": "drill",
            "drp_service": SERVICE,
            "drp_jobs": jobs,
            "drp_dataset_units": ["postgresql"],
            "drp_units": units,
            "drp_unit_tests": configuration_tests(units),
            "drp_commands": {on: commands_of(service, on, "primary") for on in ("activate", "verify")},
            "drp_local_asks": [],
        }
        world.actions.start_playbook(folder, name, [PRIMARY_NAME], variables, {}, "")

    return control.carry_out(start)


def declared(bench: Workbench, text: str) -> contextlib.AbstractContextManager[None]:
    return bench.declared("recovery:\n", f"recovery:\n{text}")


def test_a_broken_configuration_stops_before_anything_is_restarted(bench: Workbench, control: Control) -> None:
    path = "/etc/nginx/sites-enabled/broken"
    newest = "pgrep -n nginx"
    before = bench.ssh(PRIMARY, newest)
    with bench.on_host(PRIMARY, f"echo 'server {{ listen eighty; }}' >{path}", f"rm {path}"):
        ended = stage(control, "activate")
    assert ended.code != 0
    assert "the configuration of nginx: nginx ended with 1" in ended.failures[0]["error"]
    assert 'invalid port in "eighty"' in ended.failures[0]["error"] or "eighty" in ended.failures[0]["error"]
    assert bench.ssh(PRIMARY, newest) == before, "it still runs with the configuration that it had"
    good = stage(control, "activate")
    assert good.code == 0, good.failures
    eventually(lambda: bench.ssh(PRIMARY, newest) != before, "it has read its configuration again")


def test_own_commands_run_in_their_stage(bench: Workbench, control: Control) -> None:
    commands = """  commands:
    - {argv: [sh, -c, 'echo activated >>/tmp/own'], on: activate}
    - {argv: [sh, -c, 'echo verified >>/tmp/own'], on: verify}
"""
    with declared(bench, commands), bench.on_host(PRIMARY, "rm -f /tmp/own", "rm -f /tmp/own"):
        assert stage(control, "activate").code == 0
        assert bench.ssh(PRIMARY, "cat /tmp/own") == "activated\n"
        assert stage(control, "verify").code == 0
        assert bench.ssh(PRIMARY, "cat /tmp/own") == "activated\nverified\n"


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("[sh, -c, 'echo 3 records missing; exit 4']", "sh ended with 4: 3 records missing"),
        ("[sleep, '60'], timeout: 1s", "sleep did not end within 1 s and was ended"),
    ],
)
def test_an_own_check_that_fails_or_hangs_fails_the_verification(
    bench: Workbench, control: Control, command: str, told: str
) -> None:
    with declared(bench, f"  commands: [{{on: verify, argv: {command}}}]\n"):
        ended = stage(control, "verify")
    assert ended.code != 0
    assert told in "".join(message["error"] for message in ended.failures)


def test_a_server_that_runs_and_does_not_answer_fails_the_verification(bench: Workbench, control: Control) -> None:
    """Its unit is up; nobody may log in."""
    rules = "$(ls -d /etc/postgresql/*/main)/pg_hba.conf"
    lock_out = f"cp -p {rules} /root/ && echo local all all reject >{rules}"
    reload = "runuser -u postgres -- pg_ctlcluster $(ls /etc/postgresql) main reload"
    mend = f"cp -p /root/pg_hba.conf {rules} && {reload}"
    with bench.on_host(PRIMARY, f"{lock_out}; {reload}", mend):
        ended = stage(control, "verify")
    assert ended.code != 0
    assert "pg_hba.conf" in "".join(message["error"] for message in ended.failures)
    assert stage(control, "verify").code == 0


OWN = """- hosts: "{{ drp_hosts }}"
  gather_facts: false
  tasks:
    - ansible.builtin.copy: {dest: /tmp/own, content: "{{ drp_service }} {{ drp_kind }} {{ drp_after }}\\n"}
"""


def test_the_users_own_playbook_runs_on_the_services_hosts(bench: Workbench, control: Control) -> None:
    playbook: Any = bench.folder / "playbooks/mask.yml"
    playbook.write_text(OWN)

    def start(world: World, folder: Path) -> None:
        own = OwnPlaybook("restore", "mask")
        start_own_playbook(world, folder, SERVICE, own, [PRIMARY_NAME], run="r-1", kind="drill")

    try:
        ended = control.carry_out(start)
        assert ended.code == 0, ended.failures
        assert bench.ssh(PRIMARY, "cat /tmp/own") == f"{SERVICE} drill restore\n"
        with declared(bench, "  playbooks: {after_restore: mask, after_activate: warm-up}\n"):
            wrong = bench.drp("validate", code=10)
        assert "inventories/services/pengaduan.yaml:" in wrong.stderr + wrong.stdout
        assert "there is no playbook warm-up.yml in playbooks" in wrong.stderr + wrong.stdout
    finally:
        playbook.unlink()
