"""A lab host: its own network, processes, name and files over the machine's programs; made in tenths of a second."""

from __future__ import annotations

import json
import socket
from pathlib import Path

from drp.errors import UnreachableError
from drp.lab import network
from drp.lab.plan import LabHost, LabNames, LabPlan
from drp.lab.processes import (
    LIMIT_SECONDS,
    ProcessIdentity,
    await_pid,
    environment,
    is_running,
    python_module,
    run,
    start_detached,
    tail,
    wait_until,
)
from drp.lab.state import make_directory, write_file

READY_SECONDS = 90
PREPARE_SECONDS = 300
"""Many hosts are made at once, on a machine that may be busy."""

# Run in every host when it is new. The machine's own cluster, if it has one, is hidden: a fresh one is the only one
# that is consistent, empty and not in use. --no-sync: the host's disk is memory.
_PREPARE = """\
endpoint_address=$1 endpoint_port=$2
if ! timeout 5 bash -c "exec 3<>/dev/tcp/$endpoint_address/$endpoint_port"; then
    echo "cannot reach the DR centre at $endpoint_address:$endpoint_port" >&2
    exit 1
fi
version=$(ls /usr/lib/postgresql | sort -V | tail -n 1)
pg_createcluster --port 5432 "$version" main -- --no-sync --encoding=UTF8 --locale=C.UTF-8 >/dev/null
"""


def start(names: LabNames, plan: LabPlan, host: LabHost, *, host_key: Path, authorized_key: str) -> ProcessIdentity:
    """Start a host and its network, and return its process 1. Its ssh may not answer yet."""
    pid_file = names.pid_file(host.name)
    pid_file.unlink(missing_ok=True)
    mount_point = names.directory / "mount"
    make_directory(mount_point)
    spec_file = names.directory / "run" / f"{host.name}.json"
    spec = {
        "name": host.name,
        "disk_bytes": host.disk_bytes,
        "mount_point": str(mount_point),
        "workspace": str(names.workspace),
        "pid_file": str(pid_file),
        "host_key": str(host_key),
        "authorized_key": authorized_key,
        "hosts_file": hosts_file(plan, host),
    }
    write_file(spec_file, json.dumps(spec, indent=1).encode())
    namespaces = ["--mount", "--uts", "--ipc", "--net", "--pid", "--fork"]
    log = names.log_file(host.name)
    log.unlink(missing_ok=True)
    start_detached(
        ["unshare", *namespaces, *python_module("drp.lab.host_stage", str(spec_file))],
        env=environment(names.marker, role(host.name)),
        log=log,
    )
    process = await_pid(pid_file, marker=names.marker, log=log, where=host.name)
    network.plug_in(names, host.name, process, host.address, plan.network.prefixlen)
    return process


def update_names(names: LabNames, plan: LabPlan, host: LabHost, process: ProcessIdentity) -> None:
    """Tell a host that stays up the names of what the lab has by now."""
    run_inside(names, process, 'printf %s "$1" >/etc/hosts', hosts_file(plan, host), where=host.name)


def role(host: str) -> str:
    """The role that a host's processes carry in their environment."""
    return f"host:{host}"


def hosts_file(plan: LabPlan, host: LabHost) -> str:
    lines = ["127.0.0.1 localhost", f"{host.address} {host.name}"]
    lines += [f"{other.address} {other.name}" for other in plan.hosts if other != host]
    for service in plan.services:
        if service.address:
            lines.append(" ".join(dict.fromkeys((service.address, service.id, service.name))))
    lines += [f"{centre.address} {centre.role}" for centre in plan.dr_centres]
    return "\n".join(lines) + "\n"


def make_ready(names: LabNames, plan: LabPlan, host: LabHost, process: ProcessIdentity) -> None:
    """Wait until the host's ssh answers, then prepare it as an administrator would: a PostgreSQL cluster, empty and
    not started. Raises UnreachableError when it does not come up, or does not reach the DR centre."""

    def answers() -> bool | None:
        if not is_running(process):
            raise UnreachableError("the host ended as it was starting: " + tail(log), where=host.name)
        try:
            with socket.create_connection((host.address, 22), timeout=1) as connection:
                return connection.recv(4) == b"SSH-"
        except OSError:
            return None

    log = names.log_file(host.name)
    if not wait_until(answers, limit_seconds=READY_SECONDS):
        message = f"its ssh does not answer within {READY_SECONDS} s: {tail(log)}"
        raise UnreachableError(message, where=host.name, hint=f"its log is {log}")
    hint = (
        "if it cannot reach the DR centre, this machine filters bridged packets, as Docker does: "
        "sysctl -w net.bridge.bridge-nf-call-iptables=0"
    )
    endpoint = (plan.dr_centre().address, str(plan.dr_centre().port))
    run_inside(names, process, _PREPARE, *endpoint, where=host.name, hint=hint, limit_seconds=PREPARE_SECONDS)


def inside(names: LabNames, process: ProcessIdentity, *argv: str) -> list[str]:
    """argv that runs a command inside a host as its root."""
    namespaces = ["--mount", "--uts", "--ipc", "--net", "--pid"]
    clean = environment(names.marker, "inside")
    settings = [f"{name}={value}" for name, value in clean.items()]
    # --root: where drp itself runs in a chroot, the namespace's root is not the host's.
    return ["nsenter", "--target", str(process.pid), "--root", *namespaces, "--", "env", "-i", *settings, *argv]


def run_inside(
    names: LabNames,
    process: ProcessIdentity,
    script: str,
    *arguments: str,
    where: str,
    hint: str = "",
    limit_seconds: float = LIMIT_SECONDS,
) -> bytes:
    """Run a shell script inside a host and return its output. Raises UnreachableError with its error output."""
    argv = inside(names, process, "sh", "-euc", script, "sh", *arguments)
    return run(argv, env=environment(names.marker, "inside"), where=where, limit_seconds=limit_seconds, hint=hint)
