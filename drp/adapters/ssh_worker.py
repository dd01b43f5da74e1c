"""Worker: runs one job of `drp_host` on a host over SSH. Host keys are pinned; an unknown one ends it.

The program and the job travel over standard input, which then stays open: its end tells the host that drp has gone.
"""

from __future__ import annotations

import json
import signal
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Any

from drp.adapters.host_program import LOADER, packed
from drp.adapters.worker import Worker

CONNECT_LIMIT_SECONDS = 15
ALIVE_INTERVAL_SECONDS = 10


class Interrupted(Exception):
    """drp asked for the end."""


def main() -> None:
    worker = Worker()

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise Interrupted

    signal.signal(signal.SIGINT, interrupt)
    import paramiko

    try:
        sys.exit(_run(worker))
    except Interrupted:
        worker.emit({"event": "trouble", "kind": "cancelled", "text": "stopped", "dataset": ""})
        sys.exit(130)
    except paramiko.BadHostKeyException:
        _trouble(worker, "host_key", "the host shows another key than the pinned one")
    except paramiko.AuthenticationException:
        _trouble(worker, "ssh_login", "the host refuses the login")
    except (paramiko.SSHException, OSError, EOFError) as error:
        kind = "host_key" if "not found in known_hosts" in str(error) else "ssh"
        _trouble(worker, kind, str(error) or type(error).__name__)
    sys.exit(1)


def _trouble(worker: Worker, kind: str, text: str) -> None:
    worker.emit({"event": "trouble", "kind": kind, "text": text, "dataset": ""})


def _connect(spec: dict[str, Any]) -> Any:
    import paramiko

    host = spec["host"]
    client = paramiko.SSHClient()
    client.set_missing_host_key_policy(paramiko.RejectPolicy())
    try:
        client.load_host_keys(spec["known_hosts"])
    except FileNotFoundError:
        raise OSError(f"{spec['known_hosts']} does not exist, so no host key is known") from None
    client.connect(
        host["address"],
        port=host["port"],
        username=host["user"],
        key_filename=spec["private_key"],
        timeout=CONNECT_LIMIT_SECONDS,
        banner_timeout=CONNECT_LIMIT_SECONDS,
        auth_timeout=CONNECT_LIMIT_SECONDS,
        allow_agent=False,
        look_for_keys=False,
    )
    transport = client.get_transport()
    assert transport is not None  # it is connected
    transport.set_keepalive(ALIVE_INTERVAL_SECONDS)
    return client


def _run(worker: Worker) -> int:
    import shlex

    spec = worker.spec
    client = _connect(spec)
    program = packed(Path(spec["program"]))
    command = shlex.join([spec["host"]["python"], "-I", "-c", LOADER.format(length=len(program))])
    if spec["host"]["become"]:
        command = "sudo -n -- " + command
    asked_at = time.time()
    channel = client.get_transport().open_session()
    channel.exec_command(command)
    request = {"job": spec["job"], "secrets": worker.secrets, "ca_pem": spec["ca_pem"]}
    channel.sendall(program + json.dumps(request).encode() + b"\n")
    succeeded = False
    try:
        with channel.makefile("r") as output:
            for line in output:
                message = _message(line)
                if message is None:
                    continue
                if message["event"] == "hello":
                    message |= {"asked_at_us": int(asked_at * 1e6), "answered_at_us": int(time.time() * 1e6)}
                worker.emit(message)
                succeeded = succeeded or message["event"] == "result"
        errors = channel.makefile_stderr("r").read()
        code = channel.recv_exit_status()
    finally:
        client.close()
    if errors:
        text = errors.decode("utf-8", "replace") if isinstance(errors, bytes) else errors
        sys.stderr.write(text)
    if not succeeded and code not in (0, 1):
        last = (errors.strip().splitlines() or ["no reason given"])[-1] if isinstance(errors, str) else ""
        kind = "connection_lost" if code == -1 else "host_program"
        _trouble(worker, kind, f"the host ended with {code}: {last}")
    return 0 if succeeded else 1


def _message(line: str) -> dict[str, Any] | None:
    try:
        message = json.loads(line)
    except ValueError:
        return None
    return message if isinstance(message, dict) and "event" in message else None


if __name__ == "__main__":
    main()
