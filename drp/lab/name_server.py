"""The lab's name servers: each a BIND in a network namespace of its own, with the zones that services are switched in.

Their zones are in <workspace>/var/lab/name-servers; they survive `down`, so that users are led where they were led.
"""

from __future__ import annotations

import re
import shutil
import signal
import socket
from collections.abc import Callable
from contextlib import suppress
from os import kill as send_signal
from pathlib import Path

from drp.errors import IntegrityError, UnreachableError
from drp.lab import network
from drp.lab.dr_centre import await_own_network
from drp.lab.plan import LabNames, LabNameServer, LabPlan
from drp.lab.processes import (
    SYSTEM_PATH,
    ProcessIdentity,
    await_pid,
    environment,
    is_running,
    kill_marked,
    recording_its_pid,
    start_detached,
    tail,
    wait_until,
)
from drp.lab.state import DONE, LabState, Part, make_directory, write_file

READY_SECONDS = 90

_OPTIONS = """\
options {{
    directory "{folder}"; pid-file none; session-keyfile "{folder}/session"; managed-keys-directory "{folder}";
    listen-on port {port} {{ any; }}; listen-on-v6 {{ none; }};
    recursion no; notify no; dnssec-validation no;
}};
controls {{ }};
"""


def keep_up(names: LabNames, state: LabState, server: LabNameServer, say: Callable[[str], None]) -> None:
    """Start a name server unless it runs. The lab's lock must be held."""
    known = state.name_servers.get(server.role)
    if known is not None and known.phase == DONE and is_running(known.process):
        return
    zones = ", ".join(dict.fromkeys(zone.zone for zone in server.zones))
    say(f"name server at {server.address}, port {server.port}, for {zones}")
    kill_marked(names.marker, role=server.role)
    part = state.name_servers[server.role] = Part()
    state.save(names)
    configure(names, server)
    part.process = _start(names, state.plan, server)
    state.save(names)
    _await_ready(names, server, part.process)
    part.phase = DONE
    state.save(names)


def folder_of(names: LabNames, server: LabNameServer) -> Path:
    return names.directory / "name-servers" / server.address


def configure(names: LabNames, server: LabNameServer, *, refuse_updates: bool = False) -> None:
    """Write its configuration, and the zones that it does not have yet. `refuse_updates`: it knows the keys, and lets
    them change nothing."""
    folder = folder_of(names, server)
    make_directory(folder)
    text = _OPTIONS.format(folder=_quoted(folder), port=server.port)
    secrets = {(zone.key, zone.algorithm): zone.secret.read_text(encoding="utf-8").strip() for zone in server.zones}
    for (key, algorithm), secret in secrets.items():
        if not re.fullmatch(r"[A-Za-z0-9+/=]+", secret):
            raise IntegrityError(f"the secret of key {key} is no base64 text", where=server.role)
        text += f'key "{key}" {{ algorithm {algorithm}; secret "{secret}"; }};\n'
    for name in dict.fromkeys(zone.zone for zone in server.zones):
        keys = dict.fromkeys(zone.key for zone in server.zones if zone.zone == name)
        word = "deny" if refuse_updates else "grant"
        policy = " ".join(f'{word} "{key}" zonesub ANY;' for key in keys)
        file = folder / f"{name}.zone"
        if not file.exists():
            write_file(file, _zone_text(server, name).encode())
        text += f'zone "{name}" {{ type primary; file "{_quoted(file)}"; update-policy {{ {policy} }}; }};\n'
    write_file(folder / "named.conf", text.encode())


def reload(names: LabNames, server: LabNameServer, part: Part) -> None:
    """Have a running server read its configuration again, and wait until it has. It keeps the zones as they are."""
    if part.process is None or not is_running(part.process):
        return
    log = names.log_file(server.role)
    before = log.stat().st_size
    send_signal(part.process.pid, signal.SIGHUP)

    def has_read() -> bool:
        with log.open("rb") as file:
            file.seek(before)
            return b"reloading configuration succeeded" in file.read()

    if not wait_until(has_read, limit_seconds=READY_SECONDS):
        raise UnreachableError("it did not read its configuration: " + tail(log), where=server.role)


def _zone_text(server: LabNameServer, name: str) -> str:
    records = [record for zone in server.zones if zone.zone == name for record in zone.records]
    lines = [
        f"$ORIGIN {name}.",
        "$TTL 60",
        "@ SOA ns hostmaster 1 3600 600 86400 60",
        "@ NS ns",
        f"ns A {server.address}",
    ]
    lines += [f"{owner.rstrip('.')}. {type_} {value}" for owner, type_, value in dict.fromkeys(records)]
    return "\n".join(lines) + "\n"


def _quoted(path: Path) -> str:
    return str(path).replace("\\", "\\\\").replace('"', '\\"')


def _start(names: LabNames, plan: LabPlan, server: LabNameServer) -> ProcessIdentity:
    program = shutil.which("named", path=SYSTEM_PATH)
    if program is None:
        raise UnreachableError("BIND, the lab's name server, is missing", where=server.role, hint="apt install bind9")
    pid_file, log = names.pid_file(server.role), names.log_file(server.role)
    make_directory(pid_file.parent)
    pid_file.unlink(missing_ok=True)
    conf = folder_of(names, server) / "named.conf"
    argv = ["unshare", "--net", program, "-g", "-n", "1", "-c", str(conf)]
    start_detached(recording_its_pid(pid_file, argv), env=environment(names.marker, server.role), log=log)
    process = await_pid(pid_file, marker=names.marker, log=log, where=server.role)
    await_own_network(process, log, server.role)
    network.plug_in(names, server.role, process, server.address, plan.network.prefixlen)
    return process


def _await_ready(names: LabNames, server: LabNameServer, process: ProcessIdentity) -> None:
    log = names.log_file(server.role)

    def answers() -> bool | None:
        if not is_running(process):
            raise UnreachableError("the name server ended: " + tail(log), where=server.role, hint=f"its log is {log}")
        with suppress(OSError), socket.create_connection((server.address, server.port), timeout=1):
            return True
        return None

    if not wait_until(answers, limit_seconds=READY_SECONDS):
        message = f"{server.address} does not answer within {READY_SECONDS} s: {tail(log)}"
        raise UnreachableError(message, where=server.role, hint=f"its log is {log}")
