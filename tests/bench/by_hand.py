"""The recovery of a city as an ordinary Ansible playbook, the way users write one: level after level of dependencies.

Its commands are those that `drp runbook render` prints for people. It runs on the same hosts, from the same snapshots.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from drp.adapters.inventory import load_city
from drp.adapters.ledger import SqliteLedger
from drp.domain.inventory import City
from drp.domain.runbooks.by_hand import HandRecovery, recovery_by_hand
from tests.bench.recover import BIN, REPOSITORY

FORKS = 50
_SKIPPED = ("reach", "choose", "traffic", "outside", "close")

_SERVICE = """\
- name: Accounts
  ansible.builtin.shell: "{{ work.accounts }}"
  args: {executable: /bin/bash}
  when: work.accounts | length > 0
- name: Servers
  ansible.builtin.service: {name: "{{ unit }}", state: started}
  loop: "{{ work.servers }}"
  loop_control: {loop_var: unit}
- name: Restore
  ansible.builtin.shell: "{{ part }}"
  args: {executable: /bin/bash}
  environment: "{{ work.environment }}"
  loop: "{{ work.restores }}"
  loop_control: {loop_var: part, label: ""}
- name: Start
  ansible.builtin.service: {name: "{{ unit }}", state: "{{ 'reloaded' if unit == 'nginx' else 'restarted' }}"}
  loop: "{{ work.units }}"
  loop_control: {loop_var: unit}
- name: Ask
  ansible.builtin.shell: "{{ work.asks }}"
  args: {executable: /bin/bash}
  register: asked
  until: asked is succeeded
  retries: 30
  delay: 1
"""


def levels(needs: dict[str, list[str]]) -> list[list[str]]:
    """Services in groups, each after what it needs."""
    left, found = dict(needs), list[list[str]]()
    while left:
        group = [name for name, others in left.items() if not any(other in left for other in others)]
        found.append(group)
        for name in group:
            del left[name]
    return found


def work_of(city: City, workspace: Path, ledger: SqliteLedger, name: str) -> dict[str, Any]:
    """What one service needs, as the playbook's variables."""
    service = city.services[name]
    point = ledger.restore_points(name)[0]
    hand: HandRecovery = recovery_by_hand(
        city, service, to="recovery", ca_pem=_certificate(city, workspace), newest=point, language="en"
    )
    blocks = [block for block in hand.blocks if block.purpose not in _SKIPPED]
    secrets = workspace / "var" / "lab" / "secrets"
    environment = {
        "RESTIC_PASSWORD": (secrets / f"{name}-repository-password").read_text().strip(),
        "AWS_ACCESS_KEY_ID": (secrets / "s3-access-key-id").read_text().strip(),
        "AWS_SECRET_ACCESS_KEY": (secrets / "s3-secret-access-key").read_text().strip(),
        "RUN": point.id,
    }

    def text(purpose: str) -> list[str]:
        return [block.commands for block in blocks if block.purpose == purpose]

    prepare = "set -e\n" + "\n".join(line for line in text("prepare") if "read -r" not in line)
    loaded = {unit for dataset in service.datasets for unit in dataset.procedure(name)["units"]}
    return {
        "accounts": "\n".join(text("accounts")),
        "servers": sorted(loaded),
        "environment": environment,
        "restores": [f"{prepare}\n{commands}" for commands in text("restore")],
        "units": [unit for unit in service.recovery.start if unit not in loaded],
        "asks": "set -e\n" + "\n".join(text("ask")),
    }


def _certificate(city: City, workspace: Path) -> str:
    assert city.workspace.lab is not None
    found = city.workspace.dr_centres[city.workspace.lab.dr_centre].ca_certificate
    return "" if found is None else (workspace / found).read_text()


def play_by_hand(workspace: Path, needs: dict[str, list[str]]) -> float:
    """Write the playbook, run it, and give the seconds that it took."""
    city = load_city(workspace, REPOSITORY / "runbooks")
    ledger = SqliteLedger(workspace / "var" / "ledger.sqlite3", lambda: datetime.now(UTC))
    folder = workspace / "by-hand"
    folder.mkdir()
    (folder / "service.yml").write_text(_SERVICE)
    plays = []
    for number, group in enumerate(levels(needs)):
        by_host: dict[str, list[str]] = {}
        for name in group:
            service = city.services[name]
            by_host.setdefault(service.recovers_on[service.runs_on[0]], []).append(name)
        plays.append(
            {
                "name": f"Priority {number + 1}",
                "hosts": ",".join(by_host),
                "gather_facts": number == 0,
                "any_errors_fatal": True,
                "vars": {"services": by_host},
                "tasks": [
                    {
                        "name": "Recover each service",
                        "ansible.builtin.include_tasks": "service.yml",
                        "loop": "{{ services[inventory_hostname] }}",
                        "vars": {"work": "{{ works[item] }}"},
                    }
                ],
            }
        )
    works = {name: work_of(city, workspace, ledger, name) for group in levels(needs) for name in group}
    ledger.close()
    variables = folder / "variables.json"
    variables.write_text(json.dumps({"works": {name: _plain(work) for name, work in works.items()}}))
    (folder / "site.yml").write_text(yaml.safe_dump(plays, sort_keys=False))
    return _run(workspace, folder, variables, city)


def _plain(value: Any) -> Any:
    """Text as it stands: no templates."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return {"__ansible_unsafe": value} if isinstance(value, str) else value


def _run(workspace: Path, folder: Path, variables: Path, city: City) -> float:
    ssh = workspace / city.workspace.ssh.private_key, workspace / city.workspace.ssh.known_hosts
    command = [
        *(str(BIN / "ansible-playbook"), "-i", str(workspace / "inventories" / "hosts.yaml")),
        *("--forks", str(FORKS), "-e", f"@{variables}", "--private-key", str(ssh[0])),
        str(folder / "site.yml"),
    ]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")} | {
        "ANSIBLE_PIPELINING": "1",
        "ANSIBLE_SSH_ARGS": f"-o ControlMaster=auto -o ControlPersist=60s -o UserKnownHostsFile={ssh[1]}",
        "ANSIBLE_SSH_CONTROL_PATH_DIR": "/dev/shm/drp-bench-by-hand",
        "ANSIBLE_NOCOLOR": "1",
    }
    started = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    seconds = time.monotonic() - started
    for socket in Path(environment["ANSIBLE_SSH_CONTROL_PATH_DIR"]).glob("*"):
        subprocess.run(["ssh", "-o", f"ControlPath={socket}", "-O", "exit", "x"], capture_output=True, check=False)
    shutil.rmtree(environment["ANSIBLE_SSH_CONTROL_PATH_DIR"], ignore_errors=True)
    if done.returncode:
        sys.exit(f"the playbook by hand ended with {done.returncode}:\n{done.stdout[-4000:]}{done.stderr[-2000:]}")
    return seconds
