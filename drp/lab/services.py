"""Puts services on their primary hosts, and citizens in front of those that have some."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from drp.adapters.probes import probe_of
from drp.adapters.probes.base import Target, try_once
from drp.domain.checks import read_check
from drp.errors import UnreachableError
from drp.lab.applications import application_of
from drp.lab.applications.base import archive
from drp.lab.client import Writer, save
from drp.lab.hosts import inside, run_inside
from drp.lab.plan import LabNames, LabPlan, LabService
from drp.lab.processes import (
    ProcessIdentity,
    await_pid,
    environment,
    python_module,
    recording_its_pid,
    run,
    start_detached,
    wait_until,
)
from drp.lab.state import make_directory, write_file

READY_SECONDS = 180
CLIENTS = "clients"
"""What the process of the citizens is called: the role in its environment, its pid file and log."""

# What an administrator does for a service on a new host: its accounts, and the address that its users know.
_PREPARE = """\
while [ $# -gt 3 ]; do
    getent group "$1" >/dev/null || groupadd --gid "$2" "$1"
    getent passwd "$1" >/dev/null ||
        useradd --uid "$2" --gid "$2" --home-dir "$3" --no-create-home --shell /usr/sbin/nologin "$1"
    shift 3
done
[ -z "$1" ] || ip address replace "$1" dev eth0
"""


def install(names: LabNames, plan: LabPlan, service: LabService, host: ProcessIdentity) -> None:
    """Install, fill and start a service on its host. It may not be usable yet, as it may need others.

    The host must be new: nothing is updated. Raises UnreachableError when a step fails.
    """
    application = application_of(service)
    if application is None:
        return
    accounts = [str(account[key]) for account in application.accounts(service) for key in ("name", "uid", "home")]
    address = f"{service.address}/{plan.network.prefixlen}" if service.address else ""
    run_inside(names, host, _PREPARE, *accounts, address, "", "", where=service.host)
    # Not --same-permissions on /etc and /srv themselves: the archive holds only what is the application's own.
    unpack = inside(names, host, "tar", "--extract", "--numeric-owner", "--directory", "/")
    files = archive(application.entries(service, plan))
    run(unpack, env=environment(names.marker, "inside"), stdin=files, where=service.host)
    run_inside(names, host, application.script(service), where=f"{service.id} on {service.host}", limit_seconds=300)


def await_usable(plan: LabPlan, service: LabService) -> None:
    """Wait until a service can be used by its own checks, as its users would. UnreachableError when it takes too long.

    Checks that need a secret are left out: whoever keeps it has not told the lab.
    """
    address = service.address or next(item.address for item in plan.hosts if item.name == service.host)
    application = application_of(service)
    declared = service.checks or ([application.own_check] if application and application.own_check else [])
    checks = [read_check(one) for one in declared]
    for check in checks:
        if check.secret is not None:
            continue
        probe = probe_of(check, Target(address, plan.workspace, learn=True))
        timeout = check.timeout.total_seconds()
        said = "nothing"

        def usable() -> bool:
            nonlocal said
            sample = try_once(check.id, probe, timeout, lambda: datetime.now(UTC))  # noqa: B023 - called at once
            said = sample["detail"]
            return bool(sample["succeeded"])

        if not wait_until(usable, limit_seconds=READY_SECONDS):
            message = f"it is not usable within {READY_SECONDS} s: check {check.id}: {said}"
            raise UnreachableError(message, where=service.id, hint=f"it is on {service.host}, at {address}")


def record_of(names: LabNames, service: str) -> Path:
    """Where the citizens of a service write down what was acknowledged to them."""
    return names.directory / "clients" / f"{service}.jsonl"


def set_aside_record(names: LabNames, service: LabService) -> None:
    """Keep what was acknowledged by an earlier lab's service apart: a new one never had those complaints."""
    record = record_of(names, service.id)
    if record.exists():
        record.replace(record.with_suffix(".previous.jsonl"))


def writer_of(names: LabNames, service: LabService) -> Writer | None:
    """The citizens of a service; None where users do not write to it."""
    application = application_of(service)
    if application is None or application.citizens is None or service.address is None:
        return None
    return Writer(application.citizens, service.address, service.name, str(record_of(names, service.id)))


def start_clients(names: LabNames, writers: list[Writer]) -> ProcessIdentity:
    """Start the one process of all citizens (see `drp.lab.client`)."""
    pid_file, log, spec_file = names.pid_file(CLIENTS), names.log_file(CLIENTS), names.directory / "run/clients.json"
    make_directory(names.directory / "clients")
    write_file(spec_file, save(writers))
    pid_file.unlink(missing_ok=True)
    argv = python_module("drp.lab.client", str(spec_file))
    start_detached(recording_its_pid(pid_file, argv), env=environment(names.marker, CLIENTS), log=log)
    return await_pid(pid_file, marker=names.marker, log=log, where=CLIENTS)
