"""A workspace with a lab of its own, and what tests do to it: run drp, look into hosts, break things and mend them."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from drp.adapters.ledger import SqliteLedger
from drp.lab import network
from drp.lab.plan import names_of
from drp.lab.processes import find_marked
from drp.lab.services import CLIENTS, record_of
from drp.ports import RunRow

REPOSITORY = Path(__file__).parents[2]
DRP = Path(sys.executable).with_name("drp")
SERVICE, PRIMARY_NAME, RECOVERY_NAME = "pengaduan", "balaikota-app-1", "drc-app-1"

WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
"""Tests run in several processes side by side, and each has a network of its own for its labs."""
LAB_NETWORK = f"198.19.{16 * WORKER}.0/20"
# Of this process alone: beside it, other labs on this machine have secrets of their own.
PASSWORD_CANARY = f"canary-of-the-repository-password-{secrets.token_hex(8)}"
S3_CANARY = f"canaryOfTheS3SecretKey{secrets.token_hex(9)}"

Found = TypeVar("Found")

SSH_LIMIT_SECONDS = 240
ENDING_SECONDS = 20
"""What was told to end, and still runs after so long, was left behind."""

FIRST_PORT, PORTS_OF_A_WORKER = 10_000, 1_000
"""Below those that the kernel hands out by itself: nobody else takes one between its choice and its use, no connection
meets itself there, and each process of tests has its own."""
_ports = itertools.count(FIRST_PORT + PORTS_OF_A_WORKER * WORKER)


def lab_address(last: str) -> str:
    """An address in this process's lab network: `1.10` of the first process is 198.19.1.10, of the second 198.19.17.10.

    Never one of 198.18.0.0/16, so that a demonstration can stand beside the tests.
    """
    segment, host = last.split(".")
    return f"198.19.{16 * WORKER + int(segment)}.{host}"


PRIMARY, RECOVERY, ADDRESS = lab_address("1.10"), lab_address("2.10"), lab_address("0.80")


@dataclass(frozen=True)
class Done:
    """A drp command that has ended."""

    code: int
    stdout: str
    stderr: str

    def json(self) -> Any:
        return json.loads(self.stdout)


def free_port() -> int:
    """A port of this machine on which nothing listens, and nothing but its test will."""
    while True:
        port = next(_ports)
        assert port < FIRST_PORT + PORTS_OF_A_WORKER * (WORKER + 1), "a process of tests has used up its ports"
        with socket.socket() as stream, socket.socket(type=socket.SOCK_DGRAM) as datagrams:
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                stream.bind(("127.0.0.1", port))
                datagrams.bind(("127.0.0.1", port))
                return port


def files_below(folder: Path) -> Iterator[Path]:
    """All files below a folder, or the folder's self where it is a file. What comes and goes meanwhile is no error."""
    if folder.is_file():
        yield folder
    for place, _, names in os.walk(folder):
        yield from (path for name in names if (path := Path(place, name)).is_file())


def content_of(path: Path) -> bytes:
    """What a file holds; nothing where it is gone by now."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""


def size_below(folder: Path) -> int:
    """How many bytes the files below a folder hold, also while others write there."""
    found = 0
    for path in files_below(folder):
        with contextlib.suppress(FileNotFoundError):
            found += path.stat().st_size
    return found


def eventually(condition: Callable[[], Found | None], what: str, limit_seconds: float = 180) -> Found:
    """Wait until `condition` gives something true. The limit ends what hangs: it costs nothing, and is no verdict about
    how fast something is, so leave it as it is."""
    end = time.monotonic() + limit_seconds
    while not (found := condition()):
        assert time.monotonic() < end, f"it did not happen within {limit_seconds:g} s: {what}"
        time.sleep(0.03)
    return found


def processes_of(run: str) -> list[int]:
    """The processes that name a run in their arguments, or that have one of its files open, as its supervisors do."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if not entry.name.isdecimal():
                continue
            files = [os.readlink(file) for file in (entry / "fd").iterdir()]
            if run.encode() in (entry / "cmdline").read_bytes() or any(f"/runs/{run}/" in file for file in files):
                found.append(int(entry.name))
    return found


class Running:
    """A drp command that runs. Its output goes to files, so that it can be killed at any moment."""

    def __init__(self, argv: list[str], env: Mapping[str, str], log: Path) -> None:
        self.argv = argv
        self.output, self.errors = log.with_suffix(".out"), log.with_suffix(".err")
        with self.output.open("wb") as output, self.errors.open("wb") as errors:
            self.process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=output, stderr=errors, env=dict(env), cwd="/"
            )

    def runs(self) -> bool:
        return self.process.poll() is None

    def said(self) -> str:
        return self.errors.read_text(encoding="utf-8")

    def until(self, text: str, limit_seconds: float = 400) -> None:
        """Wait until it has said something; it must not end before."""

        def has_said() -> bool:
            running = self.runs()
            found = text in self.said()
            assert running or found, f"drp ended with {self.process.returncode} and never said {text!r}: {self.said()}"
            return found

        try:
            eventually(has_said, text, limit_seconds)
        except AssertionError:
            raise AssertionError(f"{text!r} was not said: {self.said()}") from None

    def end(self, number: signal.Signals | None = None, limit_seconds: float = 400) -> Done:
        """Send a signal, if one is named, and wait for the end."""
        if number is not None:
            self.process.send_signal(number)
        try:
            code = self.process.wait(limit_seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"drp did not end within {limit_seconds:g} s: {self.said()}") from None
        done = Done(code, self.output.read_text(encoding="utf-8"), self.said())
        assert "Traceback" not in done.stdout + done.stderr, done.stderr
        return done


class Workbench:
    """One workspace in `folder`. `up` and `down` build and remove its lab; `mend` brings lost hosts back."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self.names = names_of(self.folder)
        self.started: list[Running] = []
        for name in ("drp.yaml", "inventories", "runbooks", "playbooks"):
            source = REPOSITORY / name
            ignore = shutil.ignore_patterns("__pycache__")
            if source.is_dir():
                shutil.copytree(source, self.folder / name, ignore=ignore)
            else:
                shutil.copy(source, self.folder / name)
        for path in self.folder.rglob("*.yaml"):
            text = path.read_text(encoding="utf-8").replace("198.18.0.0/16", LAB_NETWORK)
            text = re.sub(r"\b198\.18\.(\d+\.\d+)\b", lambda found: lab_address(found[1]), text)
            # Nor is a verdict to depend on how long this machine needs from a backup to the end of a drill.
            text = text.replace("rpo: 15m", "rpo: 6h")
            # Another hold only for one run would be an exception to its verdict. Nobody is here for people's steps.
            text = text.replace("hold: 60s", "hold: 4s").partition("# Whatever follows from here on needs people")[0]
            if path.stem in ("planned-switchover", "failback"):
                text = text.partition("\nsteps:\n")[0] + "\n"
            path.write_text(text, encoding="utf-8")

    # -- drp ---------------------------------------------------------------------------------------------------------

    def argv(self, *arguments: str) -> list[str]:
        return [str(DRP), "-w", str(self.folder), *arguments]

    def environment(self, **more: str) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "USER") if name in os.environ}
        return {**kept, **more}

    def start(self, *arguments: str, **environment: str) -> Running:
        log = self.folder / f"drp-{len(self.started)}-{arguments[0]}"
        self.started.append(Running(self.argv(*arguments), self.environment(**environment), log))
        return self.started[-1]

    def drp(
        self, *arguments: str, code: int | tuple[int, ...] = 0, limit_seconds: float = 400, **environment: str
    ) -> Done:
        """Run drp to its end; it must give this exit code, and never a traceback."""
        done = self.start(*arguments, **environment).end(limit_seconds=limit_seconds)
        codes = code if isinstance(code, tuple) else (code,)
        assert done.code in codes, f"drp {' '.join(arguments)} gave {done.code}, not {code}: {done.stderr}{done.stdout}"
        return done

    def back_up(self, code: int | tuple[int, ...] = 0) -> Done:
        return self.drp("backup", "run", SERVICE, code=code)

    def ledger(self) -> contextlib.closing[SqliteLedger]:
        """The ledger itself: asking drp takes half a second, and `test_drill` shows that its answers are the same."""
        return contextlib.closing(SqliteLedger(self.folder / "var/ledger.sqlite3", lambda: datetime.now(UTC)))

    def points(self) -> list[str]:
        """The names of the restore points that drp counts, newest first."""
        with self.ledger() as ledger:
            return [point.id for point in ledger.restore_points(SERVICE)]

    def runs(self, kind: str) -> list[RunRow]:
        with self.ledger() as ledger:
            return ledger.runs(kinds=(kind,))

    def events(self, run: str) -> list[dict[str, Any]]:
        with self.ledger() as ledger:
            return [asdict(event) for event in ledger.events(run)]

    def open_run(self, kind: str) -> str:
        """The name of the newest run of a kind, which must not have ended."""

        def newest() -> RunRow | None:
            return next((row for row in self.runs(kind) if row.closed_at is None), None)

        return eventually(newest, f"a {kind} is open").run

    # -- the lab -----------------------------------------------------------------------------------------------------

    def up(self) -> None:
        self.drp("lab", "up")

    def watch(self) -> None:
        """Have drp watch the service from now on: the lab builds no other."""
        self.start("watch", SERVICE).until("usable from outside")

    def rebuild(self) -> None:
        """A new city on the same DR centre: empty hosts, a new service, no restore points."""
        self.drp("lab", "down")
        self.drp("lab", "up")

    def rebuild_recovery_host(self) -> None:
        self.drp("lab", "disaster", "site-loss", "--site", "recovery")
        self.drp("lab", "up")

    def down(self) -> None:
        """End what a failed test left running, and remove the lab."""
        for running in self.started:
            if running.runs():
                running.end(signal.SIGINT if "watch" in running.argv else signal.SIGKILL)
        self.drp("lab", "down", "--purge")

    def leftovers(self) -> list[str]:
        """What of the lab and of drp is still on the machine, once what is just ending has ended. Processes are told,
        and ended."""
        end = time.monotonic() + ENDING_SECONDS
        while self._left() and time.monotonic() < end:
            time.sleep(0.1)
        return self._left(kill=True)

    def _left(self, *, kill: bool = False) -> list[str]:
        mounts = Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
        here = os.fsencode(self.folder)
        processes = []
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError):
                if entry.name.isdecimal() and here in (entry / "cmdline").read_bytes():
                    processes.append(f"process {entry.name}: {(entry / 'cmdline').read_bytes()!r}")
                    if kill:
                        os.kill(int(entry.name), signal.SIGKILL)
        # The shared SSH connections of Ansible; see drp.adapters.actions.
        sockets = Path("/dev/shm") / f"drp-{os.getuid()}-{hashlib.sha256(here).hexdigest()[:10]}"
        return [
            *([f"folder {sockets}"] if sockets.exists() else []),
            *(f"lab process {process.pid}" for process in find_marked(self.names.marker)),
            *(f"interface {name}" for name in network.interfaces(self.names)),
            *(f"mount {line}" for line in mounts if str(self.folder) in line),
            *processes,
        ]

    def ssh(self, address: str, script: str, *, stdin: str | bytes = b"", check: bool = True) -> str:
        """Run a shell script on a host as its administrator would."""
        files = self.folder / "var/lab/ssh"
        options = ["UserKnownHostsFile", "GlobalKnownHostsFile", "StrictHostKeyChecking", "BatchMode", "ConnectTimeout"]
        values = [f'"{files / "pinned"}"', "/dev/null", "yes", "yes", "30"]
        if not (files / "pinned").exists():
            shutil.copy(files / "known_hosts", files / "pinned")  # tests break the other one
        arguments = [word for pair in zip(options, values, strict=True) for word in ("-o", "=".join(pair))]
        argv = ["ssh", "-F", "/dev/null", "-i", str(files / "id_ed25519"), *arguments, f"root@{address}", script]
        text = stdin.encode() if isinstance(stdin, str) else stdin
        done = subprocess.run(argv, input=text, capture_output=True, timeout=SSH_LIMIT_SECONDS, check=False)
        if done.returncode == 255 and b"kex_exchange_identification" in done.stderr:
            # The server had too many at its door, as on a busy machine; nothing was carried out.
            done = subprocess.run(argv, input=text, capture_output=True, timeout=SSH_LIMIT_SECONDS, check=False)
        assert done.returncode == 0 or not check, f"{script}: {done.stderr.decode()}{done.stdout.decode()}"
        return done.stdout.decode("utf-8", "surrogateescape")

    def sql(self, address: str, statements: str, database: str = SERVICE) -> str:
        """Run SQL on a host's cluster; the statements never stand in an argument."""
        psql = f"cd /; runuser -u postgres -- psql -XqAt -v ON_ERROR_STOP=1 -d {database}"
        return self.ssh(address, psql, stdin=statements)

    @contextlib.contextmanager
    def quiet(self) -> Iterator[None]:
        """Nobody writes meanwhile: citizens and drp watch pause, and what they had asked for is done."""
        writers = [process.pid for process in find_marked(self.names.marker, role=CLIENTS)]
        writers += [running.process.pid for running in self.started if "watch" in running.argv and running.runs()]
        for pid in writers:
            os.kill(pid, signal.SIGSTOP)
        try:
            active = "SELECT count(*) FROM pg_stat_activity WHERE state <> 'idle' AND pid <> pg_backend_pid()"
            eventually(lambda: self.sql(PRIMARY, active) == "0\n", "nobody writes")
            yield
        finally:
            for pid in writers:
                os.kill(pid, signal.SIGCONT)

    def acknowledged(self) -> list[dict[str, Any]]:
        """What citizens were told is stored: the ground truth."""
        lines = content_of(record_of(self.names, SERVICE)).split(b"\n")[:-1]  # there is none before the first
        return [json.loads(line) for line in lines]

    def repository(self) -> Path:
        """The plain files of the service's repository at the lab's DR centre."""
        return self.folder / "var/lab/s3/drc/drp-bogor" / SERVICE / PRIMARY_NAME

    def restic(self, *arguments: str, centre: str = "drc") -> str:
        """restic on the control node, with the keys of one of the lab's DR centres.

        To restic a comma in a certificate's path ends the path."""
        secrets = self.folder / "var/lab/secrets"
        keys = self.folder / "credentials"
        name, place, region, authority = {
            "drc": ("s3", f"{lab_address('3.10')}:9000/drp-bogor", "id-west-1", "ca.pem"),
            "kedua": ("kedua", f"{lab_address('4.10')}:9000/drp-bogor-salinan", "id-central-1", "kedua-ca.pem"),
        }[centre]
        keys.write_text(
            "[default]\n"
            f"aws_access_key_id = {(secrets / f'{name}-access-key-id').read_text().strip()}\n"
            f"aws_secret_access_key = {(secrets / f'{name}-secret-access-key').read_text().strip()}\n"
        )
        environment = self.environment(
            RESTIC_PASSWORD_FILE=str(secrets / "pengaduan-repository-password"),
            AWS_SHARED_CREDENTIALS_FILE=str(keys),
            RESTIC_CACHE_DIR=str(self.folder / "restic-cache"),
        )
        url = f"s3:https://{place}/{SERVICE}/{PRIMARY_NAME}"
        argv = ["restic", "-r", url, "--cacert", f"./{authority}", "-o", f"s3.region={region}", *arguments]
        folder = self.folder / "var/lab/tls"
        try:
            done = subprocess.run(
                argv, env=environment, cwd=folder, capture_output=True, text=True, timeout=300, check=False
            )
        finally:
            keys.unlink()
        assert done.returncode == 0, done.stderr
        return done.stdout

    def locks(self) -> list[str]:
        """The locks in the repository; its plain files are what `restic list locks` lists, and need no password.

        Without those that the S3 server still writes: they have a name of their own until they are whole. With the last
        lock the server takes the folder away too.
        """
        return sorted(path.name for path in files_below(self.repository() / "locks") if len(path.name) == 64)

    # -- breaking and mending ----------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def changed(self, name: str, change: Callable[[str], str]) -> Iterator[None]:
        """A file of the workspace has another content meanwhile."""
        path = self.folder / name
        content = path.read_bytes()
        new = change(content.decode())
        assert new.encode() != content, f"{name} was not changed"
        path.write_bytes(new.encode())
        try:
            yield
        finally:
            path.write_bytes(content)

    def declared(self, old: str, new: str) -> contextlib.AbstractContextManager[None]:
        """The service's file says something else meanwhile."""
        return self.changed(f"inventories/services/{SERVICE}.yaml", lambda text: text.replace(old, new))

    @contextlib.contextmanager
    def on_host(self, address: str, breaking: str, mending: str) -> Iterator[None]:
        """A host is broken meanwhile."""
        self.ssh(address, breaking)
        try:
            yield
        finally:
            self.ssh(address, mending)

    def program(self, name: str, script: str, address: str = PRIMARY) -> contextlib.AbstractContextManager[None]:
        """Another program stands before one of the host's own meanwhile."""
        path = f"/usr/local/sbin/{name}"
        self.ssh(address, f"cat >{path}.new && chmod 755 {path}.new", stdin=script)
        return self.on_host(address, f"mv {path}.new {path}", f"rm {path}")


def told(done: Done) -> str:
    """The one message of a failed command, which must come with a next step."""
    errors = [line for line in done.stderr.splitlines() if line.startswith(("error: ", "cancelled: "))]
    steps = [line for line in done.stderr.splitlines() if line.startswith("next: ")]
    assert len(errors) == 1, done.stderr
    assert len(steps) == 1, done.stderr
    assert len(steps[0]) > len("next: ")
    return errors[0]
