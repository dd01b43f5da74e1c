"""Worker: runs one job of `drp_host` on a host over SSH. Host keys are pinned; an unknown one ends it.

The program travels over standard input; once it says that it is there, the job and its secrets follow. The input then
stays open: its end tells the host that drp has gone. Of these workers many run at once, so the connection is OpenSSH's
own client, and nothing is imported that is not needed.
"""

from __future__ import annotations

import json
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from drp.adapters.host_program import LOADER
from drp.adapters.ssh_options import proxy_through, ssh_argv
from drp.adapters.worker import NobodyReadsError, Worker

END_LIMIT_SECONDS = 20
"""How long the host may take to end its work cleanly when drp asks for the end."""

SSH_FAILED = 255

_HOST_KEY = re.compile(r"Host key verification failed|HOST IDENTIFICATION HAS CHANGED|no matching host key type")
_KEY_CHANGED = re.compile(r"HOST IDENTIFICATION HAS CHANGED")
_LOGIN = re.compile(r"Permission denied \(|Too many authentication failures")
_LOST = re.compile(r"^(Connection to .* closed|Timeout, server|client_loop: |Connection (reset|closed) by|Broken pipe)")
_IDLE = re.compile(r"^\s*$|^Warning: Permanently added")


class Interrupted(Exception):
    """drp asked for the end."""


def main() -> None:
    work(lambda worker: Connection(worker).carry_out())


def work(job: Callable[[Worker], int]) -> None:
    """Be a worker that carries out one job, and end with the code that it gives."""
    worker = Worker()

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise Interrupted

    signal.signal(signal.SIGINT, interrupt)
    try:
        if Path(worker.spec["known_hosts"]).is_file():
            code = job(worker)
        else:
            trouble(worker, "host_key", f"{worker.spec['known_hosts']} does not exist, so no host key is known")
            code = 1
    except Interrupted:
        trouble(worker, "cancelled", "stopped")
        code = 130
    except OSError as error:
        trouble(worker, "ssh", str(error))
        code = 1
    sys.exit(code)


class Connection:
    """An ssh to the host of a job, with the program at its other end."""

    def __init__(self, worker: Worker) -> None:
        self.worker, self.spec = worker, worker.spec
        self.jumps: list[dict[str, Any]] = self.spec.get("jumps", [])
        self.logs = [worker.folder / f"ssh-{number}.log" for number in range(len(self.jumps) + 1)]
        """What each ssh says of itself: the nearest jump host's first, the host's own last."""
        for log in self.logs:
            log.unlink(missing_ok=True)
        self.outcome = ""
        self.has_greeted = False

    def carry_out(self) -> int:
        """Carry the job out, and give the worker's exit code."""
        # A session of its own: the interrupt that ends this worker must not end the connection before the work.
        with subprocess.Popen(
            self.argv(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
        ) as ssh:
            try:
                self.follow(ssh)
            except (Interrupted, NobodyReadsError):
                self.end(ssh)
                raise Interrupted from None
            except BaseException:
                ssh.kill()
                raise
            finally:
                _close_input(ssh)
        if not self.outcome:
            trouble(self.worker, *self.reason(ssh.returncode))
        self.keep_logs()
        return 0 if self.outcome == "result" else 1

    def argv(self) -> list[str]:
        length = Path(self.spec["program"]).stat().st_size
        return self.argv_of([self.spec["host"]["python"], "-I", "-c", LOADER.format(length=length)])

    def argv_of(self, words: list[str]) -> list[str]:
        """How a command is run on the host."""
        host, files = self.spec["host"], (self.spec["private_key"], self.spec["known_hosts"])
        logs = [str(log) for log in self.logs]
        proxy = proxy_through(self.jumps, host, *files, logs=logs)
        command = shlex.join(words)
        if host["become"]:
            command = "sudo -n -- " + command
        return [*ssh_argv(host, *files, log=logs[-1], proxy=proxy), "--", host["address"], command]

    def follow(self, ssh: subprocess.Popen[bytes]) -> None:
        """Send program, job and secrets, and pass on what the host tells until it has ended."""
        asked_at = time.time()
        _send(ssh, Path(self.spec["program"]).read_bytes())
        assert ssh.stdout is not None
        for line in ssh.stdout:
            message = _message(line)
            if message is None:
                continue
            if message["event"] == "data":
                self.worker.pass_on(ssh.stdout.read(message["bytes"]))
                continue
            if message["event"] == "ready":
                asked_at = time.time()
                request = {"job": self.spec["job"], "secrets": self.worker.secrets, "ca_pem": self.spec["ca_pem"]}
                _send(ssh, json.dumps(request).encode() + b"\n")
                continue
            if message["event"] == "restic.wanted":
                self.carry(ssh)
                continue
            if message["event"] == "hello":
                self.has_greeted = True
                message |= {"asked_at_us": int(asked_at * 1e6), "answered_at_us": int(time.time() * 1e6)}
            elif message["event"] in ("result", "trouble"):
                if self.outcome:
                    continue  # one has been told already
                self.outcome = message["event"]
            self.worker.emit(message)

    def carry(self, ssh: subprocess.Popen[bytes]) -> None:
        """Send the restic that drp carries. A file that has become another size would end in the middle of something
        else; then nothing is sent, and the host is told that drp has gone."""
        content = Path(self.spec["carried"]).read_bytes() if self.spec.get("carried") else b""
        if len(content) == self.spec["job"].get("carried_restic", {}).get("size"):
            _send(ssh, content)
        else:
            self.outcome = "trouble"
            trouble(self.worker, "carried_restic", f"{self.spec.get('carried')} has changed meanwhile")
            _close_input(ssh)

    def end(self, ssh: subprocess.Popen[bytes]) -> None:
        """Tell the host that drp is gone, and wait until it has put everything in order; what it tells of that is
        passed on, but no result: it comes too late."""
        _close_input(ssh)
        signal.signal(signal.SIGALRM, lambda *_: ssh.kill())
        signal.signal(signal.SIGINT, lambda *_: ssh.kill())  # asked again: at once
        signal.alarm(END_LIMIT_SECONDS)
        assert ssh.stdout is not None
        for line in ssh.stdout:
            message = _message(line)
            if message is not None and message["event"] == "data":
                ssh.stdout.read(message["bytes"])
            elif message is not None and message["event"] not in ("ready", "hello", "result", "trouble"):
                self.worker.emit(message)
        ssh.wait()
        signal.alarm(0)

    def reason(self, code: int) -> tuple[str, str]:
        """Why neither a result nor a trouble came: the kind, and a sentence."""
        for jump, log in zip(self.jumps, self.logs, strict=False):
            if _said(log):
                kind, text = _meaning(_said(log))
                kind = "connection_lost" if self.has_greeted else kind
                return kind, f"jump host {jump['name']}: {text}"
        own, other = _said(self.logs[-1]), _said(self.worker.folder / "stderr")
        # An ssh that loses the host says so beside what the host's program writes, not where it logs.
        lost = next((line for line in reversed(other) if _LOST.search(line)), "")
        if code == SSH_FAILED and (own or lost):
            kind, text = _meaning(own or [lost])
            kind = "connection_lost" if self.has_greeted else kind
            return kind, text
        if code == SSH_FAILED or code < 0:
            other = other or ["it was killed" if code == SSH_FAILED else f"ssh was ended by signal {-code}"]
        return "host_program", f"the host ended with {code}: {(other or ['no reason given'])[-1]}"

    def keep_logs(self) -> None:
        """What was said goes to the worker's own output, which is kept as evidence."""
        for log in self.logs:
            for line in _said(log):
                sys.stderr.write(line + "\n")
            log.unlink(missing_ok=True)


def trouble(worker: Worker, kind: str, text: str) -> None:
    worker.emit({"event": "trouble", "kind": kind, "text": text, "dataset": ""})


def _meaning(said: list[str]) -> tuple[str, str]:
    """The kind of what ssh complains about, and the line that says most."""
    whole = "\n".join(said)
    if _HOST_KEY.search(whole):
        if _KEY_CHANGED.search(whole):
            return "host_key", "the host shows another key than the pinned one"
        known = next((line for line in said if "host key is known" in line or "no matching" in line), said[-1])
        return "host_key", known
    if _LOGIN.search(whole):
        # Why a key could not be used stands before the refusal.
        return "ssh_login", "; ".join(line for line in said if not line.startswith("Warning: "))
    telling = [line for line in said if line != "stdio forwarding failed"] or said
    return "ssh", telling[-1]


def _said(log: Path) -> list[str]:
    """The lines of a file without empty ones; none where it is not there."""
    try:
        text = log.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    return [line.strip() for line in text.splitlines() if not _IDLE.search(line)]


def _send(ssh: subprocess.Popen[bytes], content: bytes) -> None:
    assert ssh.stdin is not None
    try:
        ssh.stdin.write(content)
        ssh.stdin.flush()
    except BrokenPipeError:
        pass  # it has ended, and says why


def _close_input(ssh: subprocess.Popen[bytes]) -> None:
    assert ssh.stdin is not None
    try:
        ssh.stdin.close()
    except BrokenPipeError:
        pass


def _message(line: bytes) -> dict[str, Any] | None:
    try:
        message = json.loads(line)
    except ValueError:
        return None
    return message if isinstance(message, dict) and "event" in message else None


if __name__ == "__main__":
    main()
