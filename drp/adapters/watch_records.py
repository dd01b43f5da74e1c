"""Where probes leave what they saw: `drp watch` per service and day, runs in their own folders."""

from __future__ import annotations

import hashlib
import os
import select
import signal
import socket
import subprocess
from collections.abc import Collection, Mapping
from datetime import datetime
from pathlib import Path

from drp.adapters.probing import BASELINE_FILE, SAMPLES_FILE, load_baseline, read_samples, samples_of
from drp.adapters.ssh_options import CONNECT_LIMIT_SECONDS, proxy_through
from drp.adapters.supervisor import kept_environment
from drp.domain.inventory import AnsibleHost, jumps_to
from drp.domain.recovery.probing import Sample
from drp.ports import Evidence

ANSWER_LIMIT_SECONDS = 2
NEWEST_WITHIN_BYTES = 8_192


class FileWatchRecords:
    """Implements `drp.ports.WatchRecords`."""

    def __init__(self, workspace: Path) -> None:
        self.workspace = workspace
        self.folder = workspace / "var" / "watch"

    def file(self, service: str, day: datetime) -> Path:
        """Where the samples of a day (UTC) go."""
        return self.folder / service / f"{day:%Y-%m-%d}.jsonl"

    def look_before(self, service: str) -> dict[str, str]:
        return load_baseline(self.baseline(service))

    def baseline(self, service: str) -> Path:
        """Where `drp watch` keeps what old content looks like."""
        return self.folder / service / BASELINE_FILE

    def forget(self, service: str) -> None:
        self.baseline(service).unlink(missing_ok=True)

    def samples(self, service: str) -> list[Sample]:
        """The samples of the two newest days: an outage may have begun before midnight."""
        days = sorted((self.folder / service).glob("*.jsonl"))[-2:]
        return [sample for day in days for sample in read_samples(day)]

    def newest(self, service: str) -> Sample | None:
        days = sorted((self.folder / service).glob("*.jsonl"))[-1:]
        for day in days:
            with day.open("rb") as file:
                file.seek(max(0, day.stat().st_size - NEWEST_WITHIN_BYTES))
                samples = samples_of(file.read())
            return samples[-1] if samples else None
        return None

    def keep(self, service: str, folder: Path) -> Evidence:
        """Write the newest samples beside a run, where they stay when the watch's own files are rotated away."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = folder / f"{service}-watch.jsonl"
        days = sorted((self.folder / service).glob("*.jsonl"))[-2:]
        content = b"".join(day.read_bytes() for day in days)
        number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(number, "wb") as file:
            file.write(content)
        return Evidence(str(path.relative_to(self.workspace)), hashlib.sha256(content).hexdigest())

    def run_samples(self, folder: Path) -> list[Sample]:
        return read_samples(folder / SAMPLES_FILE)


class TcpReachability:
    """Implements `drp.ports.Reachability` by trying the SSH port.

    Whatever answers there counts: to take a host for lost because it shows another key would be the wrong way to err. A
    host behind jump hosts is tried through them, since it never answers directly. Where a jump host does not answer,
    nothing is known of the host behind it: it cannot be reached, as behind a line that is cut.
    """

    def __init__(
        self, hosts: Mapping[str, AnsibleHost] | None = None, private_key: str = "", known_hosts: str = ""
    ) -> None:
        self.hosts, self.files = hosts or {}, (private_key, known_hosts)

    def answers(self, host: AnsibleHost) -> bool:
        if host.jump_host is not None:
            return self._answers_behind(host)
        try:
            with socket.create_connection((host.address, host.port), timeout=ANSWER_LIMIT_SECONDS):
                return True
        except OSError:
            return False

    def addresses(self, name: str) -> Collection[str]:
        try:
            return {str(found[4][0]).partition("%")[0] for found in socket.getaddrinfo(name, None)}
        except OSError:
            return ()

    def _answers_behind(self, host: AnsibleHost) -> bool:
        """Whether the last jump host gets an SSH server's greeting from it."""
        jumps = [jump.model_dump() for jump in jumps_to(host, self.hosts)]
        proxy = proxy_through(jumps, host.model_dump(), *self.files)
        with subprocess.Popen(
            ["/bin/sh", "-c", f"exec {proxy}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=kept_environment(),
            start_new_session=True,
        ) as way:
            assert way.stdout is not None
            limit = ANSWER_LIMIT_SECONDS + len(jumps) * CONNECT_LIMIT_SECONDS
            try:
                return bool(select.select([way.stdout], [], [], limit)[0]) and bool(os.read(way.stdout.fileno(), 4))
            finally:
                try:
                    os.killpg(way.pid, signal.SIGKILL)  # a chain of them
                except ProcessLookupError:
                    pass
