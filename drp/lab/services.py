"""Puts the demonstration service on its primary host, and citizens in front of it."""

from __future__ import annotations

import contextlib
import http.client
import io
import tarfile
import time
from importlib.resources import files
from pathlib import Path
from typing import Any

from drp.errors import UnreachableError
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
from drp.lab.state import make_directory

APPLICATIONS = ("pengaduan",)
"""The services that the lab can put on a host. Hosts of others stay as an administrator prepares them."""

SEED_COMPLAINTS = 200
READY_SECONDS = 20
_ACCOUNT_ID = 812

_FILES = {
    "srv/pengaduan/app/pengaduan.py": ("application.py", 0o644),
    "srv/pengaduan/app/schema.sql": ("schema.sql", 0o644),
    "etc/pengaduan/pengaduan.ini": ("pengaduan.ini", 0o644),
    "etc/init.d/pengaduan": ("pengaduan.init", 0o755),
    "etc/systemd/system/pengaduan.service": ("pengaduan.service", 0o644),
    "etc/nginx/sites-available/pengaduan": ("pengaduan.nginx", 0o644),
    "tmp/seed.py": ("seed.py", 0o644),
}


def _archive() -> bytes:
    """The application's files as a tar archive with owners and modes, and the directories of its own."""
    buffer = io.BytesIO()
    directories = {"srv/pengaduan": 0, "srv/pengaduan/app": 0, "srv/pengaduan/uploads": _ACCOUNT_ID}
    with tarfile.open(fileobj=buffer, mode="w") as archive:

        def add(path: str, mode: int, owner: int = 0, **more: Any) -> None:
            entry = tarfile.TarInfo(path)
            entry.mode, entry.uid, entry.gid, entry.mtime = mode, owner, owner, int(time.time())
            content: bytes = more.pop("content", b"")
            entry.size = len(content)
            for name, value in more.items():
                setattr(entry, name, value)
            archive.addfile(entry, io.BytesIO(content))

        for path, owner in directories.items():
            add(path, 0o750 if owner else 0o755, owner, type=tarfile.DIRTYPE)
        for path, (source, mode) in _FILES.items():
            add(path, mode, content=files("drp.lab.pengaduan").joinpath(source).read_bytes())
        site = "etc/nginx/sites-available/pengaduan"
        add("etc/nginx/sites-enabled/pengaduan", 0o777, type=tarfile.SYMTYPE, linkname=f"/{site}")
    return buffer.getvalue()


def install(names: LabNames, plan: LabPlan, service: LabService, host: ProcessIdentity) -> None:
    """Install, fill and start a service on its host, and wait until it can be used at its address.

    The host must be new: nothing is updated. Raises UnreachableError when a step fails.
    """
    account = (
        f"groupadd --gid {_ACCOUNT_ID} pengaduan && useradd --uid {_ACCOUNT_ID} --gid {_ACCOUNT_ID}"
        " --home-dir /srv/pengaduan --no-create-home --shell /usr/sbin/nologin --comment 'Layanan pengaduan' pengaduan"
    )
    run_inside(names, host, account, where=service.host)
    # Not --same-permissions on /etc and /srv themselves: the archive holds only what is the application's own.
    unpack = inside(names, host, "tar", "--extract", "--numeric-owner", "--directory", "/")
    run(unpack, env=environment(names.marker, "inside"), stdin=_archive(), where=service.host)
    script = files("drp.lab.pengaduan").joinpath("install.sh").read_text(encoding="utf-8")
    run_inside(names, host, script, str(SEED_COMPLAINTS), where=service.host)
    if service.address is not None:
        add = f"ip address add {service.address}/{plan.network.prefixlen} dev eth0"
        run_inside(names, host, add, where=service.host)
    await_healthy(service, service.address or next(item.address for item in plan.hosts if item.name == service.host))


def await_healthy(service: LabService, address: str) -> None:
    said = "no answer"

    def healthy() -> bool | None:
        nonlocal said
        with contextlib.closing(http.client.HTTPConnection(address, 80, timeout=3)) as connection:
            try:
                connection.request("GET", "/health")
                answer = connection.getresponse()
                said = f"{answer.status} {answer.read(200).decode('utf-8', 'replace').strip()}"
                return answer.status == 200
            except (OSError, http.client.HTTPException) as fault:
                said = str(fault)
                return None

    if not wait_until(healthy, limit_seconds=READY_SECONDS):
        message = f"http://{address}/health is not well within {READY_SECONDS} s: {said}"
        raise UnreachableError(message, where=service.id)


def record_of(names: LabNames, service: str) -> Path:
    """Where the citizens of a service write down what was acknowledged to them."""
    return names.directory / "clients" / f"{service}.jsonl"


def set_aside_record(names: LabNames, service: LabService) -> None:
    """Keep what was acknowledged by an earlier lab's service apart: a new one never had those complaints."""
    record = record_of(names, service.id)
    if record.exists():
        record.replace(record.with_suffix(".previous.jsonl"))


def client_name(service: str) -> str:
    """What the citizens of a service are called: the role in their environment, their pid file and log."""
    return f"client-{service}"


def start_client(names: LabNames, service: LabService, address: str) -> ProcessIdentity:
    """Start the citizens of a service (see `drp.lab.client`) and return their process."""
    name = client_name(service.id)
    pid_file, log = names.pid_file(name), names.log_file(name)
    make_directory(pid_file.parent)
    make_directory(names.directory / "clients")
    pid_file.unlink(missing_ok=True)
    record = record_of(names, service.id)
    argv = python_module("drp.lab.client", "--address", address, "--record", str(record))
    start_detached(recording_its_pid(pid_file, argv), env=environment(names.marker, name), log=log)
    return await_pid(pid_file, marker=names.marker, log=log, where=name)
