"""`./dev bench backup [--small]`: drp's backups beside the same commands without drp.

- One service with files and a PostgreSQL database: `drp backup run` beside a shell script over one ssh that runs the
  same dumps and restic commands into a repository of its own; a first run, then unchanged ones in turn.
- Many small services on twenty hosts, eight at once: `drp backup run` beside an ansible-playbook with forks=8 that runs
  the same restic commands, also into repositories of its own.

All of it in a lab on one machine: the host's and the S3 server's work costs the same processors as drp's own. borgmatic
is no peer here: its engine, borgbackup, has to be compiled.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

from drp.lab import city
from drp.lab.plan import LabDrCentre, LabFiles, LabHost, LabPlan
from tests.bench.common import Figure, finish, median, progress
from tests.bench.recover import BIN, run_quietly

SMALL = "--small" in sys.argv[1:]
FILES_MB, DATABASE_MB, ROUNDS = (100, 50, 2) if SMALL else (1000, 500, 3)
HOSTS, SERVICES_PER_HOST, MANY_ROUNDS = (4, 5, 1) if SMALL else (20, 5, 2)
AT_ONCE = 8
BUCKET, PASSWORD = "drp-bench", "benchmark-password"
LARGE = "besar"


@dataclass(frozen=True)
class Lab:
    workspace: Path

    def drp(self, *services: str) -> float:
        """The seconds of `drp backup run`."""
        return self._drp(services, watched=False)[0]

    def memory(self, *services: str) -> float:
        """The most memory of `drp backup run` and all that it started, in MB. Watching costs time: such a run is not
        timed."""
        return self._drp(services, watched=True)[1]

    def _drp(self, services: tuple[str, ...], *, watched: bool) -> tuple[float, float]:
        argv = [str(BIN / "drp"), "-w", str(self.workspace), "backup", "run", *services]
        started = time.monotonic()
        with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
            watch = Memory(process.pid) if watched else None
            output = process.communicate()[0]
            seconds = time.monotonic() - started
        if process.returncode:
            sys.exit(f"{shlex.join(argv)} ended with {process.returncode}:\n{output}")
        return seconds, watch.end() if watch else 0

    def ssh(self, host: int, script: str) -> float:
        """Run a script on a host over one ssh; gives the seconds."""
        files = self.workspace / "var/lab/ssh"
        options = ["-F", "/dev/null", "-i", str(files / "id_ed25519"), "-o", f"UserKnownHostsFile={files}/known_hosts"]
        started = time.monotonic()
        done = subprocess.run(
            ["ssh", *options, f"root@{address(host)}", "bash -s"],
            input=script,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            sys.exit(f"a script on host {host} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        return time.monotonic() - started

    def job(self, service: str) -> dict[str, Any]:
        """What drp had a host do in its newest backup of a service."""
        for path in sorted((self.workspace / "var/runs").glob("backup-*/*/spec.json"), reverse=True):
            job: dict[str, Any] = json.loads(path.read_text())["job"]
            if job["service"] == service:
                return job
        sys.exit(f"drp has not backed {service} up")

    def environment(self) -> dict[str, str]:
        secrets = self.workspace / "var/lab/secrets"
        return {
            "RESTIC_PASSWORD": PASSWORD,
            "AWS_ACCESS_KEY_ID": (secrets / "s3-access-key-id").read_text().strip(),
            "AWS_SECRET_ACCESS_KEY": (secrets / "s3-secret-access-key").read_text().strip(),
        }


class Memory(threading.Thread):
    """Adds up what a process and its descendants hold, shared pages counted once, and keeps the most."""

    def __init__(self, process: int) -> None:
        super().__init__(daemon=True)
        self.process, self.most, self.ended = process, 0, threading.Event()
        self.start()

    def run(self) -> None:
        while not self.ended.wait(0.1):
            children: dict[int, list[int]] = {}
            for entry in Path("/proc").glob("[0-9]*"):
                try:
                    parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
                except (OSError, IndexError, ValueError):
                    continue
                children.setdefault(parent, []).append(int(entry.name))
            family, size = [self.process], 0
            for process in family:
                family += children.get(process, [])
                try:
                    lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
                    size += next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
                except (OSError, StopIteration):
                    continue
            self.most = max(self.most, size)

    def end(self) -> float:
        self.ended.set()
        self.join()
        if not self.most:
            sys.exit("the memory of drp could not be measured")
        return self.most / 1000


def address(host: int) -> str:
    return f"198.18.1.{host + 10}"


def main() -> None:
    with lab() as found:
        one = large_service(found)
        many = many_services(found)
    finish("backup", [*one, *many], notes=[f"Ratios are taken within each round; {ROUNDS} and {MANY_ROUNDS} rounds."])


# -- one large service -------------------------------------------------------------------------------------------------


def large_service(found: Lab) -> list[Figure]:
    progress(f"filling a service with {FILES_MB} MB of files and a database of {DATABASE_MB} MB")
    found.ssh(0, FILL.format(files=FILES_MB // 2, rows=DATABASE_MB * 1000))
    first = found.drp(LARGE)
    script = by_script(found)
    first_by_script = found.ssh(0, script)
    progress(f"first run: drp {first:.1f} s, script {first_by_script:.1f} s")
    ours, theirs = [], []
    for number in range(1, ROUNDS + 1):
        ours.append(found.drp(LARGE))
        theirs.append(found.ssh(0, script))
        progress(f"unchanged, round {number}: drp {ours[-1]:.1f} s, script {theirs[-1]:.1f} s")
    more = median([own - other for own, other in zip(ours, theirs, strict=True)])
    return [
        Figure("large: first run by drp", first, "s"),
        Figure("large: first run by script", first_by_script, "s"),
        Figure("large: first run, drp / script", first / first_by_script, "×", 1.10),
        Figure("large: unchanged, by drp", median(ours), "s"),
        Figure("large: unchanged, by script", median(theirs), "s"),
        Figure("large: unchanged, drp - script", more, "s", 1.5),
        Figure("large: memory of drp and its workers", found.memory(LARGE), "MB", 120),
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


def by_script(found: Lab) -> str:
    """The same dumps and backups as one shell script, as somebody would write it."""
    job = found.job(LARGE)
    restic = repository_of(job, "script")
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
    progress(f"{len(names)} services, first run: drp {first:.1f} s, Ansible {first_by_ansible:.1f} s")
    ours, theirs, piped = [], [], []
    for number in range(1, MANY_ROUNDS + 1):
        ours.append(found.drp(*names))
        theirs.append(by_ansible(found, playbook))
        piped.append(by_ansible(found, playbook, ANSIBLE_PIPELINING="1"))
        progress(f"round {number}: drp {ours[-1]:.1f} s, Ansible {theirs[-1]:.1f} s, with pipelining {piped[-1]:.1f} s")
    ratio = median([own / other for own, other in zip(ours, theirs, strict=True)])
    with_pipelining = median([own / other for own, other in zip(ours, piped, strict=True)])
    return [
        Figure("many: first run, drp / Ansible", first / first_by_ansible, "×"),
        Figure("many: by drp", median(ours), "s"),
        Figure("many: by ansible-playbook", median(theirs), "s"),
        Figure("many: drp / ansible-playbook", ratio, "×", 0.8),
        Figure("many: drp / ansible with pipelining", with_pipelining, "×"),
        Figure("many: memory of drp and its workers", found.memory(*names), "MB"),
    ]


FILL_SMALL = """mkdir -p /srv/{name}
for number in $(seq 10); do head -c 50000 /dev/urandom >/srv/{name}/$number; done"""


def services_on(host: int) -> list[str]:
    return [f"layanan-{host}-{number}" for number in range(SERVICES_PER_HOST)]


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


# -- the lab -----------------------------------------------------------------------------------------------------------


@contextmanager
def lab() -> Iterator[Lab]:
    """A workspace with these services, and its hosts."""
    with tempfile.TemporaryDirectory(dir="/var/tmp", prefix="drp-bench-") as folder:
        workspace = Path(folder)
        write_workspace(workspace)
        var = workspace / "var/lab"
        plan = LabPlan(
            workspace=workspace,
            network=IPv4Network("198.18.0.0/16"),
            hosts=tuple(
                LabHost(host_name(host), "primary", address(host), (8 if host == 0 else 2) * 1024**3)
                for host in range(HOSTS)
            ),
            services=(),
            dr_centres=(
                LabDrCentre(
                    name="drc",
                    endpoint="https://198.18.3.10:9000",
                    bucket=BUCKET,
                    ca_certificate=var / "tls/ca.pem",
                    access_key_id=var / "secrets/s3-access-key-id",
                    secret_access_key=var / "secrets/s3-secret-access-key",
                ),
            ),
            files=LabFiles(var / "ssh/id_ed25519", var / "ssh/known_hosts", {}),
        )
        try:
            city.up(plan, say=progress)
            (var / "secrets/password").touch(0o600)
            (var / "secrets/password").write_text(PASSWORD)
            yield Lab(workspace)
        finally:
            city.down(workspace, say=progress, purge=True)


def host_name(host: int) -> str:
    return f"app-{host}"


def write_workspace(workspace: Path) -> None:
    secrets = "var/lab/secrets"
    declared = {
        "schema": 1,
        "organisation": {"name": "Benchmark"},
        "agencies": {"dinas": "Dinas"},
        "sites": {"primary": "Primary", "recovery": "Recovery"},
        "dr_centres": {
            "drc": {
                "title": "DR centre",
                "endpoint": "https://198.18.3.10:9000",
                "bucket": BUCKET,
                "ca_certificate": "var/lab/tls/ca.pem",
                "access_key_id": {"file": f"{secrets}/s3-access-key-id"},
                "secret_access_key": {"file": f"{secrets}/s3-secret-access-key"},
            }
        },
        "tiers": {"penting": {"rto": "4h", "rpo": "24h"}},
        "backups": {"limits": {"at_once": AT_ONCE, "per_site": AT_ONCE, "per_host": 2}},
        "ssh": {"private_key": "var/lab/ssh/id_ed25519", "known_hosts": "var/lab/ssh/known_hosts"},
    }
    (workspace / "drp.yaml").write_text(json.dumps(declared))
    folder = workspace / "inventories/services"
    folder.mkdir(parents=True)
    hosts = {
        host_name(host): {"ansible_host": address(host), "ansible_python_interpreter": "/usr/bin/python3"}
        for host in range(HOSTS)
    }
    groups = {"primary": {"hosts": hosts}, "recovery": {"hosts": {}}}
    inventory = {"all": {"vars": {"ansible_user": "root"}, "children": groups}}
    (workspace / "inventories/hosts.yaml").write_text(json.dumps(inventory))
    for host in range(HOSTS):
        for name in services_on(host):
            files = {"id": "files", "type": "files", "host": host_name(host), "paths": [f"/srv/{name}"]}
            write_service(folder, name, host, [files])
    database = {"id": "database", "type": "postgresql", "host": host_name(0), "database": LARGE}
    write_service(folder, LARGE, 0, [database, files | {"host": host_name(0), "paths": [f"/srv/{LARGE}"]}])


def write_service(folder: Path, name: str, host: int, datasets: list[dict[str, Any]]) -> None:
    service = {
        "schema": 1,
        "id": name,
        "title": {"en": name, "id": name},
        "agency": "dinas",
        "tier": "penting",
        "depends_on": [],
        "runs_on": [host_name(host)],
        "datasets": datasets,
        "backup": {"dr_centre": "drc", "password": {"file": "var/lab/secrets/password"}},
    }
    (folder / f"{name}.yaml").write_text(json.dumps(service))


if __name__ == "__main__":
    main()
