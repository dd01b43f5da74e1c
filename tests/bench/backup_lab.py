"""The lab of `./dev bench backup`: a host with a large service, hosts with small ones, and one that keeps borg's
repositories."""

from __future__ import annotations

import json
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
from tests.bench.common import progress
from tests.bench.recover import BIN
from tests.e2e.workbench import LAB_NETWORK, lab_address

SMALL = "--small" in sys.argv[1:]
HOSTS, SERVICES_PER_HOST, ROUNDS = (4, 5, 2) if SMALL else (20, 5, 3)
AT_ONCE = 8
BUCKET, PASSWORD = "drp-bench", "benchmark-password"
DATA = "besar"
LARGE = tuple(f"{DATA}-{number}" for number in range(ROUNDS))
"""Services with the same data, declared one after another: each has a first run of its own."""

ENDPOINT, STORE = f"https://{lab_address('3.10')}:9000", lab_address("2.10")


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

    def declare_large(self, name: str) -> None:
        """Give the large service's data to the service of this name, and to no other."""
        folder = self.workspace / "inventories/services"
        for other in LARGE:
            (folder / f"{other}.yaml").unlink(missing_ok=True)
        place = {"host": host_name(0)}
        database = {"id": "database", "type": "postgresql", "database": DATA, **place}
        files = {"id": "files", "type": "files", "paths": [f"/srv/{DATA}"], **place}
        write_service(folder, name, 0, [database, files])

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
        started = time.monotonic()
        self.told(address(host), script)
        return time.monotonic() - started

    def told(self, where: str, script: str) -> str:
        """Run a script at an address over one ssh; gives what it prints."""
        files = self.workspace / "var/lab/ssh"
        options = ["-F", "/dev/null", "-i", str(files / "id_ed25519"), "-o", f"UserKnownHostsFile={files}/known_hosts"]
        done = subprocess.run(
            ["ssh", *options, f"root@{where}", "bash -s"], input=script, capture_output=True, text=True, check=False
        )
        if done.returncode:
            sys.exit(f"a script on {where} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        return done.stdout

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


@contextmanager
def lab() -> Iterator[Lab]:
    """A workspace with these services, and its hosts."""
    with tempfile.TemporaryDirectory(dir="/var/tmp", prefix="drp-bench-") as folder:
        workspace = Path(folder)
        write_workspace(workspace)
        var = workspace / "var/lab"
        plan = LabPlan(
            workspace=workspace,
            network=IPv4Network(LAB_NETWORK),
            hosts=(
                *(
                    LabHost(host_name(host), "primary", address(host), (8 if host == 0 else 2) * 1024**3)
                    for host in range(HOSTS)
                ),
                LabHost("gudang", "recovery", STORE, 8 * 1024**3),
            ),
            services=(),
            dr_centres=(
                LabDrCentre(
                    name="drc",
                    endpoint=ENDPOINT,
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


def address(host: int) -> str:
    return lab_address(f"1.{host + 10}")


def host_name(host: int) -> str:
    return f"app-{host}"


def services_on(host: int) -> list[str]:
    return [f"layanan-{host}-{number}" for number in range(SERVICES_PER_HOST)]


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
                "endpoint": ENDPOINT,
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
