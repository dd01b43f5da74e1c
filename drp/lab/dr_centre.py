"""The lab's DR centres: each an `rclone serve s3` over TLS in a network namespace of its own.

Their data are plain files in <workspace>/var/lab/s3, one directory per bucket; they survive disasters and `down`.
Any access key may delete any object, and there are no versions and no locks: for those, use a real object store.
"""

from __future__ import annotations

import http.client
import os
import ssl
from pathlib import Path

from drp.errors import IntegrityError, UnreachableError
from drp.lab import network
from drp.lab.credentials import server_certificate
from drp.lab.machine import find_rclone
from drp.lab.plan import LabDrCentre, LabNames, LabPlan
from drp.lab.processes import (
    LIMIT_SECONDS,
    ProcessIdentity,
    await_pid,
    environment,
    is_running,
    recording_its_pid,
    start_detached,
    tail,
    wait_until,
)
from drp.lab.state import make_directory

READY_SECONDS = 90


def data_directory(names: LabNames, centre: LabDrCentre) -> Path:
    return names.directory / "s3" / centre.name


def start(names: LabNames, plan: LabPlan, centre: LabDrCentre, keys: tuple[str, str] | None = None) -> ProcessIdentity:
    """Start an S3 server and its network, and return its process. It may not answer yet. It takes the keys of the
    plan's files, or these in their place."""
    rclone = find_rclone() or "rclone"
    make_directory(data_directory(names, centre) / centre.bucket)
    certificate, key = server_certificate(names, centre)
    pid_file, log = names.pid_file(centre.role), names.log_file(centre.role)
    make_directory(pid_file.parent)
    pid_file.unlink(missing_ok=True)
    options = ["--addr", f"0.0.0.0:{centre.port}", "--cert", str(certificate), "--key", str(key)]
    server = ["unshare", "--net", rclone, "serve", "s3", str(data_directory(names, centre)), *options]
    start_detached(recording_its_pid(pid_file, server), env=_environment(names, centre, keys), log=log)
    process = await_pid(pid_file, marker=names.marker, log=log, where=centre.role)
    await_own_network(process, log, centre.role)
    network.plug_in(names, centre.role, process, centre.address, plan.network.prefixlen)
    return process


def _environment(names: LabNames, centre: LabDrCentre, keys: tuple[str, str] | None) -> dict[str, str]:
    """The keys go by environment: arguments are readable for everyone in `ps`."""
    identifier, secret = keys or (
        path.read_text(encoding="utf-8").strip() for path in (centre.access_key_id, centre.secret_access_key)
    )
    for text, path in ((identifier, centre.access_key_id), (secret, centre.secret_access_key)):
        if len(text) < 16 or any(sign in text for sign in ',"\n'):
            raise IntegrityError(
                "not an S3 key that the lab's server takes",
                where=str(path),
                hint="at least 16 letters and digits without commas and quotes; move it away and drp makes a new one",
            )
    # rclone reads a list here, as one line of CSV; the pair itself holds a comma.
    pair = f'"{identifier},{secret}"'
    return environment(names.marker, centre.role, RCLONE_AUTH_KEY=pair, RCLONE_CONFIG="/dev/null")


def await_own_network(process: ProcessIdentity, log: Path, role: str) -> None:
    """Wait until the process has left the machine's network: a cable laid earlier would end in the machine's own."""
    own = os.readlink("/proc/self/ns/net")

    def left() -> bool | None:
        try:
            return os.readlink(f"/proc/{process.pid}/ns/net") != own
        except OSError:
            raise UnreachableError("it did not start: " + tail(log), where=role) from None

    if not wait_until(left, limit_seconds=LIMIT_SECONDS):
        raise UnreachableError("it got no network of its own: " + tail(log), where=role)


def await_ready(names: LabNames, centre: LabDrCentre, process: ProcessIdentity) -> None:
    """Wait until the endpoint answers over TLS with a certificate that the CA vouches for."""
    context = ssl.create_default_context(cafile=str(centre.ca_certificate))
    log = names.log_file(centre.role)
    said = ""

    def answers() -> bool | None:
        nonlocal said
        if not is_running(process):
            raise UnreachableError("the S3 server ended: " + tail(log), where=centre.role, hint=f"its log is {log}")
        connection = http.client.HTTPSConnection(centre.address, centre.port, timeout=2, context=context)
        try:
            connection.request("GET", "/")
            return connection.getresponse().status < 500
        except (OSError, http.client.HTTPException) as fault:
            said = str(fault)
            return None
        finally:
            connection.close()

    if not wait_until(answers, limit_seconds=READY_SECONDS):
        message = f"{centre.endpoint} does not answer within {READY_SECONDS} s: {said}"
        raise UnreachableError(message, where=centre.role, hint=f"its log is {log}")
