"""Where probes leave what they saw: `drp watch` per service and day, runs in their own folders."""

from __future__ import annotations

import hashlib
import os
import select
import signal
import socket
import subprocess
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from drp.adapters.probing import BASELINE_FILE, SAMPLES_FILE, load_baseline, samples_of
from drp.adapters.ssh_options import CONNECT_LIMIT_SECONDS, proxy_through
from drp.adapters.supervisor import kept_environment
from drp.domain.inventory import AnsibleHost, jumps_to
from drp.domain.recovery.probing import Sample
from drp.ports import Evidence

ANSWER_LIMIT_SECONDS = 2
NEWEST_WITHIN_BYTES = 8_192
OUT_OF_ORDER = timedelta(minutes=2)


class FileWatchRecords:
    """Implements `drp.ports.WatchRecords`."""

    def __init__(self, workspace: Path) -> None:
        self.workspace = workspace
        self.folder = workspace / "var" / "watch"
        self.seen: dict[Path, _Seen] = {}

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

    def samples(self, service: str, since: datetime | None = None) -> list[Sample]:
        """The samples of the two newest days: an outage may have begun before midnight. With `since`, those begun from
        then on, without reading what is older."""
        found = samples_of(self._tail(service, since))
        return found if since is None else [sample for sample in found if sample.started_at >= since]

    def _tail(self, service: str, since: datetime | None) -> bytes:
        """Whole lines of the two newest days; with `since`, little more than those from then on."""
        pieces: list[bytes] = []
        for day in sorted((self.folder / service).glob("*.jsonl"), reverse=True)[:2]:
            pieces.insert(0, day.read_bytes() if since is None else _newest_lines(day, since))
            if since is not None and f"{since:%Y-%m-%d}" >= day.stem:
                break
        return b"".join(pieces)

    def newest(self, service: str) -> Sample | None:
        days = sorted((self.folder / service).glob("*.jsonl"))[-1:]
        for day in days:
            with day.open("rb") as file:
                file.seek(max(0, day.stat().st_size - NEWEST_WITHIN_BYTES))
                samples = samples_of(file.read())
            return samples[-1] if samples else None
        return None

    def keep(self, service: str, folder: Path, since: datetime) -> Evidence:
        """Write the newest samples beside a run, where they stay when the watch's own files are rotated away."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = folder / f"{service}-watch.jsonl"
        content = self._tail(service, since)
        number = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(number, "wb") as file:
            file.write(content)
        return Evidence(str(path.relative_to(self.workspace)), hashlib.sha256(content).hexdigest())

    def run_samples(self, folder: Path) -> list[Sample]:
        """They are asked for several times a second: only what is new is read."""
        file = folder / SAMPLES_FILE
        seen = self.seen.setdefault(file, _Seen())
        seen.read(file)
        return list(seen.samples)


@dataclass
class _Seen:
    """What was read of a file that only grows."""

    size: int = 0
    samples: list[Sample] = field(default_factory=list)

    def read(self, file: Path) -> None:
        try:
            with file.open("rb") as lines:
                if file.stat().st_size < self.size:
                    self.size, self.samples = 0, []  # it is another one
                lines.seek(self.size)
                content = lines.read()
        except FileNotFoundError:
            self.size, self.samples = 0, []
            return
        whole = content[: content.rfind(b"\n") + 1]
        self.size += len(whole)
        self.samples += samples_of(whole)


def _newest_lines(file: Path, since: datetime) -> bytes:
    """The end of a file of samples: whole lines, beginning with one from before `since` or with the first of all."""
    length = file.stat().st_size
    amount = NEWEST_WITHIN_BYTES
    with file.open("rb") as lines:
        while True:
            lines.seek(max(0, length - amount))
            content = lines.read(amount)
            if amount >= length:
                return content
            content = content[content.find(b"\n") + 1 :]
            first = samples_of(content[: content.find(b"\n") + 1])
            # Samples of several checks are only nearly in order: a little more than seems to be needed.
            if first and first[0].started_at < since - OUT_OF_ORDER:
                return content
            amount *= 4


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
