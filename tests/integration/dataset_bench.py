"""A repository and the host program, without a lab: what the tests of dataset types carry their jobs out with."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from drp.domain.datasets import DatasetType, Scratch, with_snapshots
from drp.domain.runbooks.folding import fold
from drp.domain.runbooks.typed_data import restore_commands
from tests.e2e.workbench import eventually, free_port

REPOSITORY = Path(__file__).parents[2]
PASSWORD, KEY, SECRET_KEY = "password-of-the-test-repository", "keyOfTheTest0123456789", "secretOfTheTest0123456789"
SERVICE, HOST = "example", "host-1"
PYTHON = os.environ.get("DRP_TEST_HOST_PYTHON", sys.executable)


class JobFailed(Exception):
    """The host program told a trouble."""

    def __init__(self, trouble: dict[str, Any]) -> None:
        super().__init__(f"{trouble['kind']}: {trouble['text']}")
        self.kind, self.text, self.dataset = trouble["kind"], trouble["text"], trouble["dataset"]


@dataclass
class Bench:
    """A folder, a repository, and programs that come before the system's own."""

    folder: Path
    restic: Path
    url: str
    runs: int = 0
    points: list[dict[str, Any]] = field(default_factory=list)

    @property
    def programs(self) -> Path:
        return self.folder / "programs"

    def job(self, verb: str, procedures: list[dict[str, Any]], **changes: Any) -> dict[str, Any]:
        return {
            "verb": verb,
            "run": f"run-{self.runs}",
            "service": SERVICE,
            "host": HOST,
            "restic_host": HOST,
            "repository": {"url": self.url, "region": "test"},
            "stall_seconds": 60,
            "cache_directory": str(self.folder / "cache"),
            "may_create_repository": True,
            "requires": ["restic", *(name for procedure in procedures for name in procedure["requires"])],
            "datasets": procedures,
        } | changes

    def carry_out(self, job: dict[str, Any], during: Callable[[dict[str, Any]], None] | None = None) -> dict[str, Any]:
        """Give the job to the host program as drp does. `during` sees each event; JobFailed where one is trouble."""
        secrets = {"password": PASSWORD, "access_key_id": KEY, "secret_access_key": SECRET_KEY}
        request = json.dumps({"job": job, "secrets": secrets, "ca_pem": ""}) + "\n"
        with (
            (self.folder / "stderr").open("w+b") as errors,
            subprocess.Popen(
                [PYTHON, "-m", "tests.fakes.host_driver", self.programs],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                cwd=REPOSITORY,
            ) as process,
        ):
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(request.encode())
            process.stdin.flush()
            last: dict[str, Any] = {}
            for line in process.stdout:
                last = json.loads(line)
                if during is not None:
                    during(last)
            process.wait()
            errors.seek(0)
            said = errors.read().decode()
        assert "Traceback" not in said, said
        if last.get("event") == "trouble":
            raise JobFailed(last)
        assert last.get("event") == "result", said
        return dict(last["result"])

    def back_up(self, dataset: DatasetType, **changes: Any) -> dict[str, Any]:
        self.runs += 1
        result = self.carry_out(self.job("backup", [dataset.procedure(SERVICE, f"token-{self.runs}")], **changes))
        self.points.append(result)
        assert result["sentinels"][dataset.id]["token"] in ("", f"token-{self.runs}")
        return result

    def procedure(self, dataset: DatasetType, scratch: Scratch | None = None) -> dict[str, Any]:
        snapshots = {part["part"]: part["snapshot"] for part in self.points[-1]["parts"]}
        return with_snapshots(dataset.procedure(SERVICE, scratch=scratch), snapshots)

    def restore(self, dataset: DatasetType, scratch: Scratch | None = None) -> dict[str, Any]:
        """Restore the newest backup, and see that all that can be compared is equal."""
        result = self.carry_out(self.job("restore", [self.procedure(dataset, scratch)]))
        point = self.points[-1]
        for part in result["parts"]:
            assert part["expected"] == part["actual"], part
        found = result["datasets"][dataset.id]
        if "rows" in point["content"][dataset.id]:
            assert found["rows"] == point["content"][dataset.id]["rows"]
        if dataset.dated_by == "sentinel":
            assert found["sentinel"] == point["sentinels"][dataset.id]
            assert found["sentinel"]["token"].startswith("token-")
        return dict(found)

    def restore_by_hand(self, dataset: DatasetType) -> None:
        """Type the commands that a printed runbook has for the newest backup, as root and without drp."""
        lines = ["set -e -o pipefail; cd /", *restore_commands(SERVICE, self.procedure(dataset))]
        script = fold("\n".join(lines))
        environment = {
            "RESTIC_REPOSITORY": self.url,
            "RESTIC_PASSWORD": PASSWORD,
            "RESTIC_CACHE_DIR": str(self.folder / "cache"),
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_DEFAULT_REGION": "test",
            "RUN": f"run-{self.runs}",
            "PATH": f"{self.restic.parent}:{os.environ['PATH']}",
        }
        done = subprocess.run(
            ["bash", "-c", script],
            env=environment,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=400,
        )
        assert done.returncode == 0, f"{script}\n{done.stdout}{done.stderr}"

    def remove(self, dataset: DatasetType, scratch: Scratch | None = None) -> list[str]:
        """Remove it; what is still found."""
        job = self.job("remove", [self.procedure(dataset, scratch)], repository=None)
        return list(self.carry_out(job)["found"])

    def found(self, dataset: DatasetType, scratch: Scratch | None = None) -> list[str]:
        job = self.job("absence", [dataset.procedure(SERVICE, scratch=scratch)], repository=None)
        return list(self.carry_out(job)["found"])

    def snapshots(self) -> list[str]:
        """The identifiers of all snapshots; empty where there is no repository yet."""
        done = subprocess.run(
            [self.restic, "-r", self.url, "--no-cache", "snapshots", "--json", "--no-lock"],
            env={
                "RESTIC_PASSWORD": PASSWORD,
                "AWS_ACCESS_KEY_ID": KEY,
                "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
                "AWS_DEFAULT_REGION": "test",
                "PATH": os.environ["PATH"],
            },
            capture_output=True,
            check=True,
        )
        return [snapshot["id"] for snapshot in json.loads(done.stdout) or []]

    @contextlib.contextmanager
    def program(self, name: str, script: str) -> Iterator[None]:
        """Put a program in the place of the system's."""
        path = self.programs / name
        path.write_text(script)
        path.chmod(0o755)
        try:
            yield
        finally:
            path.unlink()

    def fails(self, dataset: DatasetType, kind: str, says: str, **changes: Any) -> None:
        """A backup that must fail, and leave no snapshot of the part that failed."""
        known = self.snapshots() if self.points else []
        names = [part["name"].split("{")[0] for part in dataset.procedure(SERVICE)["parts"]]
        with pytest.raises(JobFailed) as failed:
            self.back_up(dataset, **changes)
        assert failed.value.kind == kind, str(failed.value)
        assert says in failed.value.text, str(failed.value)
        if self.points:
            new = len(self.snapshots()) - len(known)
            assert new < len(names), "the part that failed left a snapshot"


def answers(port: int) -> bool:
    with socket.socket() as connection:
        connection.settimeout(10)
        return connection.connect_ex(("127.0.0.1", port)) == 0


def end(process: subprocess.Popen[Any]) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextlib.contextmanager
def s3_server(folder: Path) -> Iterator[str]:
    """An S3 server with one bucket; its address."""
    (folder / "drp").mkdir(parents=True)
    rclone = Path(sys.executable).with_name("rclone")
    port = free_port()
    with (folder.parent / "rclone.log").open("wb") as log:
        process = subprocess.Popen(
            [rclone, "serve", "s3", folder, "--addr", f"127.0.0.1:{port}"],
            env={
                "RCLONE_AUTH_KEY": f'"{KEY},{SECRET_KEY}"',
                "RCLONE_CONFIG": "/dev/null",
                "PATH": os.environ["PATH"],
                "HOME": str(folder.parent),
            },
            stdout=log,
            stderr=log,
        )
        try:
            eventually(lambda: answers(port), "the S3 server answers")
            yield f"http://127.0.0.1:{port}"
        finally:
            end(process)


@contextlib.contextmanager
def postgresql(folder: Path, port: int) -> Iterator[None]:
    """A PostgreSQL of our own with the system's account and socket folder, on a port of its own."""
    folder.mkdir()
    shutil.chown(folder, "postgres", "postgres")
    programs = max(Path("/usr/lib/postgresql").glob("*/bin"))
    as_owner = ["runuser", "-u", "postgres", "--"]
    data = str(folder / "data")
    subprocess.run(
        [*as_owner, str(programs / "initdb"), "-D", data, "-N", "-E", "UTF8", "--locale=C.UTF-8", "-A", "trust"],
        check=True,
        capture_output=True,
    )
    options = f"-p {port} -c listen_addresses='' -c fsync=off -c unix_socket_directories=/var/run/postgresql"
    control = [*as_owner, str(programs / "pg_ctl"), "-D", data, "-w"]
    Path("/var/run/postgresql").mkdir(exist_ok=True)
    shutil.chown("/var/run/postgresql", "postgres", "postgres")
    subprocess.run([*control, "-l", str(folder / "log"), "-o", options, "start"], check=True, stdout=subprocess.DEVNULL)
    try:
        yield
    finally:
        subprocess.run([*control, "-m", "immediate", "stop"], check=True, stdout=subprocess.DEVNULL)


@contextlib.contextmanager
def running(
    argv: list[str], folder: Path, is_ready: Callable[[], object], what: str
) -> Iterator[subprocess.Popen[Any]]:
    """A server of our own, until it is no longer needed."""
    with (folder / "server.log").open("ab") as log:
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/")
    try:
        eventually(is_ready, f"{what}: {(folder / 'server.log').read_text()[-2000:]}")
        yield process
    finally:
        end(process)


def succeeds(*argv: str | Path) -> bool:
    return subprocess.run(argv, capture_output=True, check=False).returncode == 0


@contextlib.contextmanager
def mariadb(folder: Path) -> Iterator[Path]:
    """A MariaDB of our own; its socket."""
    data, socket_path = folder / "data", folder / "socket"
    shutil.chown(folder, "mysql", "mysql")
    subprocess.run(
        ["mariadb-install-db", "--no-defaults", f"--datadir={data}", "--user=mysql", "--skip-test-db"],
        check=True,
        capture_output=True,
    )
    options = [f"--datadir={data}", f"--socket={socket_path}", "--skip-networking", "--user=mysql"]
    ping = ("mariadb", f"--socket={socket_path}", "-e", "SELECT 1")
    with running(["/usr/sbin/mariadbd", "--no-defaults", *options], folder, lambda: succeeds(*ping), "MariaDB"):
        yield socket_path


class Stoppable:
    """A server that a dataset type stops and starts itself, by commands of its own."""

    def __init__(self, folder: Path, account: str, argv: list[str]) -> None:
        self.folder, self.account = folder, account
        shutil.chown(folder, account)
        program = f"""#!/bin/sh
pid=$(cat {folder}/server.pid 2>/dev/null)
case "$1" in
stop)
    [ -z "$pid" ] || {{ kill $pid; while kill -0 $pid 2>/dev/null; do sleep 0.05; done; }}
    rm -f {folder}/server.pid;;
start)
    {shlex.join(argv)} >>{folder}/server.log 2>&1 </dev/null || exit
    while [ ! -s {folder}/server.pid ]; do sleep 0.05; done;;
esac
"""
        self.control = folder / "control"
        self.control.write_text(program)
        self.control.chmod(0o755)

    def start(self) -> None:
        subprocess.run([self.control, "start"], check=True)

    def stop(self) -> None:
        subprocess.run([self.control, "stop"], check=True)
