"""`./dev bench backup [--small]`: drp's backups beside the same commands without drp.

- One service with files and a PostgreSQL database: `drp backup run` beside a shell script over one ssh that runs the
  same dumps and restic commands into a repository of its own; a first run, then unchanged ones in turn.
- Many small services on twenty hosts, eight at once: `drp backup run` beside an ansible-playbook with forks=8 that runs
  the same restic commands, also into repositories of its own.

borgmatic backs the same data up beside them (see `tests.bench.borgmatic`). All of it in a lab on one machine: the
host's and the S3 server's work costs the same processors as drp's own.
"""

from __future__ import annotations

import json
import os
import shlex
import time
from pathlib import Path
from typing import Any

from tests.bench import borgmatic
from tests.bench.backup_lab import (
    AT_ONCE,
    DATA,
    HOSTS,
    LARGE,
    ROUNDS,
    SMALL,
    STORE,
    Lab,
    host_name,
    lab,
    services_on,
)
from tests.bench.common import Figure, finish, median, progress
from tests.bench.recover import BIN, run_quietly

FILES_MB, DATABASE_MB, MANY_ROUNDS = (100, 50, 1) if SMALL else (1000, 500, 2)


def main() -> None:
    with lab() as found:
        one = large_service(found)
        many = many_services(found)
    finish("backup", [*one, *many], notes=[f"Ratios are taken within each round; {ROUNDS} and {MANY_ROUNDS} rounds."])


# -- one large service -------------------------------------------------------------------------------------------------


def large_service(found: Lab) -> list[Figure]:
    progress(f"filling a service with {FILES_MB} MB of files and a database of {DATABASE_MB} MB")
    found.ssh(0, FILL.format(files=FILES_MB // 2, rows=DATABASE_MB * 1000))
    first, first_by_script, ours, theirs, borg = [], [], [], [], []
    for number, name in enumerate(LARGE):
        found.declare_large(name)
        is_drps_turn = number % 2 == 0  # who comes second finds the data in memory
        if is_drps_turn:
            first.append(found.drp(name))
        first_by_script.append(found.ssh(0, by_script(found, f"script-{number}")))
        if not is_drps_turn:
            first.append(found.drp(name))
        progress(f"first run of {name}: drp {first[-1]:.1f} s, script {first_by_script[-1]:.1f} s")
    borgmatic.prepare(found, STORE, {0: [DATA]}, database=DATA)
    first_by_borgmatic = borgmatic.one(found, 0, DATA)
    script = by_script(found, "script-0")
    for number in range(1, ROUNDS + 1):
        ours.append(found.drp(LARGE[-1]))
        theirs.append(found.ssh(0, script))
        borg.append(borgmatic.one(found, 0, DATA))
        shown = f"drp {ours[-1]:.1f} s, script {theirs[-1]:.1f} s, borgmatic {borg[-1]:.1f} s"
        progress(f"unchanged, round {number}: {shown}")
    more = median([own - other for own, other in zip(ours, theirs, strict=True)])
    ratio = median([own / other for own, other in zip(first, first_by_script, strict=True)])
    return [
        Figure("large: first run by drp", median(first), "s"),
        Figure("large: first run by script", median(first_by_script), "s"),
        Figure("large: first run, drp / script", ratio, "×", 1.10),
        Figure("large: first run by borgmatic, once", first_by_borgmatic, "s"),
        Figure("large: unchanged, by drp", median(ours), "s"),
        Figure("large: unchanged, by script", median(theirs), "s"),
        Figure("large: unchanged, drp - script", more, "s", 1.5),
        Figure("large: unchanged, by borgmatic", median(borg), "s"),
        Figure("large: memory of drp and its workers", found.memory(LARGE[-1]), "MB", 120),
    ]


FILL = """set -euo pipefail
mkdir -p /srv/besar
for number in $(seq {files}); do head -c 2000000 /dev/urandom >/srv/besar/$number; done
service postgresql start >/dev/null
runuser -u postgres -- createdb besar
runuser -u postgres -- psql -q -X -v ON_ERROR_STOP=1 -d besar <<'SQL'
CREATE TABLE isi (id bigint PRIMARY KEY, teks text);
INSERT INTO isi SELECT n, repeat(md5(n::text), 5) || md5(random()::text) || md5(random()::text)
  || md5(random()::text) || md5(random()::text) || md5(random()::text) || md5(random()::text) || md5(random()::text)
  || md5(random()::text) || md5(random()::text) || md5(random()::text) || md5(random()::text) || md5(random()::text)
  || md5(random()::text) || md5(random()::text) || md5(random()::text) || md5(random()::text) || md5(random()::text)
  || md5(random()::text) || md5(random()::text) || md5(random()::text) || md5(random()::text) || md5(random()::text)
  FROM generate_series(1, {rows}) n;
VACUUM ANALYZE isi;
SQL
"""


def by_script(found: Lab, owner: str) -> str:
    """The same dumps and backups as one shell script, as somebody would write it."""
    job = found.job(LARGE[0])
    restic = repository_of(job, owner)
    lines = ["set -euo pipefail", *exports(found), certificate(found)]
    lines.append(f"{restic} cat config >/dev/null 2>&1 || {restic} init")
    for dataset in job["datasets"]:
        for part in dataset["parts"]:
            if part["kind"] == "stream":
                dump = [word for word in part["dump"] if "{snapshot}" not in word]
                lines.append(
                    f"{shlex.join(dump)} | {restic} backup --stdin --stdin-filename {shlex.quote(part['file'])}"
                )
            else:
                lines.append(f"{restic} backup -- {shlex.join(part['paths'])}")
    return "\n".join([*lines, ""])


def repository_of(job: dict[str, Any], owner: str) -> str:
    """restic with a repository beside drp's."""
    region = job["repository"]["region"]
    return f"restic -q --cacert /tmp/ca.pem -o s3.region={region} -r {job['repository']['url']}-{owner}"


def exports(found: Lab) -> list[str]:
    return [f"export {name}={shlex.quote(value)}" for name, value in found.environment().items()]


def certificate(found: Lab) -> str:
    return f"cat >/tmp/ca.pem <<'PEM'\n{(found.workspace / 'var/lab/tls/ca.pem').read_text()}\nPEM"


# -- many small services -----------------------------------------------------------------------------------------------


def many_services(found: Lab) -> list[Figure]:
    names = [name for host in range(HOSTS) for name in services_on(host)]
    for host in range(HOSTS):
        found.ssh(host, "\n".join([FILL_SMALL.format(name=name) for name in services_on(host)]))
    first = found.drp(*names)
    playbook = write_playbook(found, names)
    first_by_ansible = by_ansible(found, playbook)
    borgmatic.prepare(found, STORE, {host: services_on(host) for host in range(HOSTS)})
    first_by_borgmatic = borgmatic.all_of(found, HOSTS, AT_ONCE)
    progress(f"{len(names)} services, first run: drp {first:.1f} s, Ansible {first_by_ansible:.1f} s")
    ours, theirs, piped, borg = [], [], [], []
    for number in range(1, MANY_ROUNDS + 1):
        ours.append(found.drp(*names))
        theirs.append(by_ansible(found, playbook))
        piped.append(by_ansible(found, playbook, ANSIBLE_PIPELINING="1"))
        borg.append(borgmatic.all_of(found, HOSTS, AT_ONCE))
        shown = f"Ansible {theirs[-1]:.1f} s, with pipelining {piped[-1]:.1f} s, borgmatic {borg[-1]:.1f} s"
        progress(f"round {number}: drp {ours[-1]:.1f} s, {shown}")
    ratio = median([own / other for own, other in zip(ours, theirs, strict=True)])
    with_pipelining = median([own / other for own, other in zip(ours, piped, strict=True)])
    return [
        Figure("many: first run, drp / Ansible", first / first_by_ansible, "×"),
        Figure("many: by drp", median(ours), "s"),
        Figure("many: by ansible-playbook", median(theirs), "s"),
        Figure("many: drp / ansible-playbook", ratio, "×", 0.8),
        Figure("many: drp / ansible with pipelining", with_pipelining, "×"),
        Figure("many: first run by borgmatic", first_by_borgmatic, "s"),
        Figure("many: by borgmatic", median(borg), "s"),
        Figure("many: memory of drp and its workers", found.memory(*names), "MB"),
    ]


FILL_SMALL = """mkdir -p /srv/{name}
for number in $(seq 10); do head -c 50000 /dev/urandom >/srv/{name}/$number; done"""


def write_playbook(found: Lab, names: list[str]) -> Path:
    """What an administrator would write: for each service of a host, make the repository if need be, and back up."""
    jobs = {name: found.job(name) for name in names}
    commands = {}
    for name, job in jobs.items():
        restic = repository_of(job, "ansible")
        paths = shlex.join(job["datasets"][0]["parts"][0]["paths"])
        commands[name] = f"{restic} cat config >/dev/null 2>&1 || {restic} init; {restic} backup -- {paths}"
    play = {
        "hosts": "primary",
        "gather_facts": False,
        "environment": found.environment(),
        "vars": {
            "commands": {host_name(host): [commands[name] for name in services_on(host)] for host in range(HOSTS)}
        },
        "tasks": [
            {
                "name": "certificate",
                "ansible.builtin.copy": {"src": str(found.workspace / "var/lab/tls/ca.pem"), "dest": "/tmp/ca.pem"},
            },
            {
                "name": "back up",
                "ansible.builtin.shell": "{{ item }}",
                "loop": "{{ commands[inventory_hostname] }}",
            },
        ],
    }
    path = found.workspace / "backup.yml"
    path.write_text(json.dumps([play]))
    return path


def by_ansible(found: Lab, playbook: Path, **settings: str) -> float:
    files = found.workspace / "var/lab/ssh"
    command = [
        *(str(BIN / "ansible-playbook"), "-i", str(found.workspace / "inventories/hosts.yaml"), f"--forks={AT_ONCE}"),
        *("--private-key", str(files / "id_ed25519")),
        *("--ssh-common-args", f"-o UserKnownHostsFile={files}/known_hosts", str(playbook)),
    ]
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")}
    started = time.monotonic()
    run_quietly(command, {**kept, **settings})
    return time.monotonic() - started


if __name__ == "__main__":
    main()
