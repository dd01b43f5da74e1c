"""The way to hosts, on real ssh servers: what is told of each thing that can go wrong on it, and what it leaves."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from drp.adapters.actions import SupervisedActions
from drp.adapters.host_keys import SshHostKeys
from drp.adapters.watch_records import TcpReachability
from drp.domain.backups.settings import ResticProgram
from drp.domain.inventory import AnsibleHost, SshAccess
from drp.domain.protection.host_keys import HostKey, HostKeyLook
from drp.ports import ActionState
from tests.e2e.workbench import PASSWORD_CANARY, REPOSITORY, S3_CANARY, eventually, free_port

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.geteuid() != 0, reason="an ssh server needs root"),
]

SSHD = "/usr/sbin/sshd"


@dataclass
class Server:
    """An ssh server on this machine, with a host key of its own."""

    folder: Path
    name: str
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None
    host: AnsibleHost = field(init=False)

    def __post_init__(self) -> None:
        self.host = AnsibleHost(name=self.name, site="primary", address="127.0.0.1", port=self.port)
        keygen(self.folder / f"{self.name}-host-key")

    def up(self, *options: str) -> None:
        settings = self.folder / f"{self.name}.conf"
        settings.write_text(
            f"ListenAddress 127.0.0.1\nPort {self.port}\nHostKey {self.folder}/{self.name}-host-key\nPidFile none\n"
            f"AuthorizedKeysFile {self.folder}/authorized\nStrictModes no\nUsePAM no\nPasswordAuthentication no\n"
            "KbdInteractiveAuthentication no\n" + "".join(option + "\n" for option in options)
        )
        # The server wants a folder in /run; it gets a /run of its own, and this machine's stays as it is.
        script = 'mount -t tmpfs tmpfs /run && mkdir /run/sshd && exec "$0" -D -e -f "$1"'
        with open(self.folder / f"{self.name}.log", "ab") as log:
            self.process = subprocess.Popen(
                ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", script, SSHD, str(settings)],
                stderr=log,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        eventually(lambda: self.answers() or self.process is None or self.process.poll(), f"{self.name} listens")
        assert self.process.poll() is None, (self.folder / f"{self.name}.log").read_text()

    def answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), 10) as connection:
                return bool(connection.recv(1))
        except OSError:
            return False

    def down(self) -> None:
        """It is gone at once with all its connections, as a host that loses power is."""
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None
            # The server is a child of what was waited for: on a busy machine its socket lives a moment longer.
            eventually(self.refuses, f"{self.name} is gone")

    def refuses(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), 10).close()
        except ConnectionRefusedError:
            return True
        except OSError:
            pass
        return False

    def connections(self) -> list[int]:
        """The processes that serve somebody who has logged in, in the server's own process namespace."""
        assert self.process is not None
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        (listener,) = children.read_text().split()
        listed = subprocess.run(["ps", "-eo", "pid=,pidns=,args="], capture_output=True, text=True, check=True).stdout
        found = []
        for line in listed.splitlines():
            pid, space, words = line.split(maxsplit=2)
            if f"pid:[{space}]" == os.readlink(f"/proc/{listener}/ns/pid") and words.startswith("sshd: root@notty"):
                found.append(int(pid))
        assert found, "nobody has logged in"
        return found

    @property
    def known(self) -> str:
        kind, key = (self.folder / f"{self.name}-host-key.pub").read_text().split()[:2]
        return f"[127.0.0.1]:{self.port} {kind} {key}\n"


def keygen(path: Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(path)], check=True)


class Bench:
    """A workspace with a key and known hosts, and the jobs that run in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        keygen(folder / "key")
        (folder.parent / "authorized").write_bytes((folder / "key.pub").read_bytes())
        self.servers: list[Server] = []
        self.others: list[subprocess.Popen[bytes]] = []
        self.count = 0

    def server(self, name: str, *options: str) -> Server:
        found = Server(self.folder.parent, name)
        self.servers.append(found)
        found.up(*options)
        return found

    def pin(self, *servers: Server) -> None:
        (self.folder / "known_hosts").write_text("".join(server.known for server in servers))

    def actions(self, **hosts: AnsibleHost) -> SupervisedActions:
        access = SshAccess(private_key="key", known_hosts="known_hosts")
        named = {host.name: host for host in hosts.values()}
        return SupervisedActions(self.folder, access, REPOSITORY / "playbooks", self.folder / "hosts.yaml", named)

    def start(
        self, host: AnsibleHost, job: dict[str, Any], *others: AnsibleHost, actions: SupervisedActions | None = None
    ) -> Job:
        self.count += 1
        actions = actions or self.actions(**{other.name: other for other in others})
        folder = self.folder / "var" / "runs" / "run-1" / f"action-{self.count}"
        secrets = {"password": PASSWORD_CANARY, "access_key_id": "a", "secret_access_key": S3_CANARY}
        actions.start_remote(folder, host, job, secrets, "")
        return Job(actions, folder)

    def down(self) -> None:
        for server in self.servers:
            server.down()
        for other in self.others:
            other.kill()
            other.wait()


@dataclass(frozen=True)
class Job:
    actions: SupervisedActions
    folder: Path

    def messages(self) -> list[dict[str, Any]]:
        return self.actions.messages(self.folder, 0)

    def end(self) -> dict[str, Any]:
        """Wait for its end; its last message."""
        eventually(lambda: self.actions.state(self.folder) is ActionState.ENDED, "the action ends")
        return self.messages()[-1]

    @property
    def code(self) -> int:
        return self.actions.exit_code(self.folder)


ABSENCE = {"verb": "absence", "datasets": [{"id": "x", "absence": [{"kind": "path", "what": "x", "path": "/nowhere"}]}]}


def waiting(folder: Path) -> dict[str, Any]:
    """A job that goes on until it is ended; that it runs is told by a file."""
    script = f"touch '{folder}/runs'; sleep 600 & trap 'kill $!; touch \"{folder}/ended\"; exit 1' INT; wait"
    command = {"argv": ["sh", "-c", script], "stdin": ""}
    return {
        "verb": "absence",
        "stall_seconds": 300,
        "datasets": [{"id": "x", "absence": [{"kind": "command", "what": "x", "command": command}]}],
    }


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    folder = tmp_path / "with blanks, and 100%"
    folder.mkdir()
    found = Bench(folder)
    yield found
    found.down()


def test_a_job_runs_and_its_clock_is_measured(bench: Bench) -> None:
    server = bench.server("app")
    bench.pin(server)
    started = datetime.now(UTC)
    job = bench.start(server.host, ABSENCE)
    assert job.end()["result"]["found"] == []
    ended = datetime.now(UTC)
    assert job.code == 0
    (hello,) = [message for message in job.messages() if message["event"] == "hello"]
    asked, answered = (datetime.fromtimestamp(hello[name] / 1e6, UTC) for name in ("asked_at_us", "answered_at_us"))
    assert started < asked < answered < ended
    assert [path.name for path in job.folder.glob("ssh-*")] == []


def host_unknown(bench: Bench, _server: Server) -> None:
    (bench.folder / "known_hosts").write_text("")


def nothing_pinned(bench: Bench, _server: Server) -> None:
    (bench.folder / "known_hosts").unlink()


def other_host_key(bench: Bench, server: Server) -> None:
    other = Server(bench.folder.parent, "other", port=server.port)
    (bench.folder / "known_hosts").write_text(other.known)


def other_key(bench: Bench, _server: Server) -> None:
    for name in ("key", "key.pub"):
        (bench.folder / name).unlink()
    keygen(bench.folder / "key")


def key_for_all_to_read(bench: Bench, _server: Server) -> None:
    (bench.folder / "key").chmod(0o644)


def no_key(bench: Bench, _server: Server) -> None:
    (bench.folder / "key").unlink()


def nobody_listens(_bench: Bench, server: Server) -> None:
    server.down()


def no_ssh_there(bench: Bench, server: Server) -> None:
    """Something else listens on the port."""
    server.down()
    script = f"import socket;s=socket.create_server(('127.0.0.1',{server.port}));c,_=s.accept();c.close()"
    deaf = subprocess.Popen(["/usr/bin/python3", "-c", script])
    bench.others.append(deaf)
    listens = f" 0100007F:{server.port:04X} 00000000:0000 0A "
    eventually(lambda: listens in Path("/proc/net/tcp").read_text(), "it listens")


@pytest.mark.parametrize(
    ("breaking", "kind", "says"),
    [
        (host_unknown, "host_key", "host key is known for"),
        (nothing_pinned, "host_key", "known_hosts does not exist"),
        (other_host_key, "host_key", "another key than the pinned one"),
        (other_key, "ssh_login", "Permission denied (publickey)"),
        (key_for_all_to_read, "ssh_login", "bad permissions"),
        (no_key, "ssh_login", "no such identity"),
        (nobody_listens, "ssh", "Connection refused"),
        (no_ssh_there, "ssh", "Connection"),
    ],
)
def test_a_way_that_is_closed(bench: Bench, breaking: Callable[[Bench, Server], None], kind: str, says: str) -> None:
    server = bench.server("app")
    bench.pin(server)
    breaking(bench, server)
    job = bench.start(server.host, ABSENCE)
    trouble = job.end()
    assert (trouble["event"], trouble["kind"]) == ("trouble", kind), trouble
    assert says in trouble["text"], trouble
    assert job.code == 1


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"python": "/nowhere/python3"}, "/nowhere/python3"),
        ({"python": "/bin/true"}, "no reason given"),
        ({"become": True, "python": "/nowhere/python3"}, "sudo"),
    ],
)
def test_a_host_on_which_the_program_cannot_run(bench: Bench, changes: dict[str, Any], says: str) -> None:
    server = bench.server("app")
    bench.pin(server)
    trouble = bench.start(server.host.model_copy(update=changes), ABSENCE).end()
    assert trouble["kind"] == "host_program", trouble
    assert says in trouble["text"], trouble


def test_an_address_that_answers_nothing(bench: Bench) -> None:
    (bench.folder / "known_hosts").write_text("")
    host = AnsibleHost(name="gone", site="primary", address="192.0.2.1")
    trouble = bench.start(host, ABSENCE).end()
    assert trouble["kind"] == "ssh", trouble


@pytest.mark.parametrize("whole_server", [True, False])
def test_a_connection_that_is_cut_in_the_middle(bench: Bench, whole_server: bool) -> None:
    server = bench.server("app")
    bench.pin(server)
    job = bench.start(server.host, waiting(bench.folder))
    eventually((bench.folder / "runs").exists, "the job runs")
    if whole_server:
        server.down()
    else:
        # Only the process of this connection: this machine has many more, of other tests' hosts.
        for pid in server.connections():
            os.kill(pid, signal.SIGKILL)
    trouble = job.end()
    assert trouble["kind"] == "connection_lost", trouble


def test_an_interrupt_ends_the_work_on_the_host_before_the_action(bench: Bench) -> None:
    server = bench.server("app")
    bench.pin(server)
    job = bench.start(server.host, waiting(bench.folder))
    eventually((bench.folder / "runs").exists, "the job runs")
    job.actions.stop(job.folder)
    assert job.end()["kind"] == "cancelled"
    assert job.code == 130
    assert (bench.folder / "ended").exists(), "the host ended its command first"


def test_a_worker_that_is_killed_ends_the_work_on_the_host(bench: Bench) -> None:
    server = bench.server("app")
    bench.pin(server)
    job = bench.start(server.host, waiting(bench.folder))
    eventually((bench.folder / "runs").exists, "the job runs")
    _supervisor, worker = (int(word) for word in (job.folder / "pid").read_text().split())
    os.kill(worker, signal.SIGKILL)
    eventually((bench.folder / "ended").exists, "the host ends its command")


def behind(server: Server, jump: Server) -> AnsibleHost:
    return server.host.model_copy(update={"jump_host": jump.name})


def connections(server: Server) -> int:
    return (server.folder / f"{server.name}.log").read_text().count("Accepted publickey")


def test_a_host_behind_two_jump_hosts(bench: Bench) -> None:
    outer, inner, app = bench.server("outer"), bench.server("inner"), bench.server("app")
    bench.pin(outer, inner, app)
    way = behind(inner, outer)
    job = bench.start(behind(app, inner), ABSENCE, outer.host, way)
    assert job.end()["event"] == "result"
    assert [connections(server) for server in (outer, inner, app)] == [1, 1, 1]


@pytest.mark.parametrize(
    ("broken", "kind", "says"),
    [("key", "host_key", "jump host outer: "), ("down", "ssh", "jump host outer: "), ("beyond", "ssh", "refused")],
)
def test_a_jump_host_that_cannot_be_passed(bench: Bench, broken: str, kind: str, says: str) -> None:
    outer, app = bench.server("outer"), bench.server("app")
    bench.pin(*([app] if broken == "key" else [outer, app]))
    for server in {"down": [outer], "beyond": [app], "key": []}[broken]:
        server.down()
    trouble = bench.start(behind(app, outer), ABSENCE, outer.host).end()
    assert trouble["kind"] == kind, trouble
    assert says in trouble["text"], trouble


def test_ansible_takes_the_same_way(bench: Bench) -> None:
    outer, app = bench.server("outer"), bench.server("app")
    bench.pin(outer, app)
    host = behind(app, outer)
    (bench.folder / "hosts.yaml").write_text(
        json.dumps({"all": {"hosts": {"app": {"ansible_host": host.address, "ansible_port": host.port}}}})
    )
    playbooks = bench.folder / "playbooks"
    playbooks.mkdir()
    (playbooks / "try.yml").write_text("- hosts: all\n  gather_facts: false\n  tasks: [{ansible.builtin.raw: id -u}]\n")
    access = SshAccess(private_key="key", known_hosts="known_hosts")
    hosts = {"app": host, "outer": outer.host}
    actions = SupervisedActions(bench.folder, access, playbooks, bench.folder / "hosts.yaml", hosts)
    folder = bench.folder / "var" / "runs" / "run-1" / "try"
    actions.start_playbook(folder, "try", ["app"], {}, {}, "")
    try:
        assert Job(actions, folder).end()["rc"] == 0, (folder / "stdout").read_text()
    finally:
        actions.close_connections()
    assert [connections(server) for server in (outer, app)] == [1, 1]


def test_restic_is_carried_over_the_same_connection(bench: Bench) -> None:
    server = bench.server("app")
    bench.pin(server)
    program = b"#!/bin/sh\necho restic 0.18.9 carried\n" + os.urandom(3_000_000)
    (bench.folder / "restic").write_bytes(program)
    job = {
        "verb": "backup",
        "run": "run-1",
        "service": "s",
        "restic_host": "app",
        "repository": {"url": "s3:https://192.0.2.1/b", "region": "r"},
        "state_directory": str(bench.folder / "state"),
        "cache_directory": str(bench.folder / "cache"),
        "requires": ["restic", "a-program-that-is-not-here"],
        "datasets": [],
    }
    for expected in (["hello", "restic.carried", "trouble"], ["hello", "trouble"]):
        actions = bench.actions()
        actions.carried_restic = ResticProgram(
            file="restic", sha256=hashlib.sha256(program).hexdigest(), prefer="carried"
        )
        started = bench.start(server.host, job, actions=actions)
        assert started.end()["kind"] == "no_program"
        assert [message["event"] for message in started.messages()] == expected
    (kept,) = [path for path in (bench.folder / "state").rglob("*") if path.is_file()]
    assert kept.read_bytes() == program


def test_a_host_behind_others_is_tried_through_them(bench: Bench) -> None:
    """A failover must not take a primary host for lost only because it never answers directly."""
    outer, inner, app = bench.server("outer"), bench.server("inner"), bench.server("app")
    bench.pin(outer, inner)
    hosts = {"outer": outer.host, "inner": behind(inner, outer), "app": behind(app, inner)}
    found = TcpReachability(hosts, str(bench.folder / "key"), str(bench.folder / "known_hosts"))
    for host in hosts.values():
        eventually(lambda: found.answers(host), f"{host.name} answers")  # noqa: B023 - asked at once
    app.down()
    assert not found.answers(hosts["app"])
    outer.down()
    assert not any(found.answers(host) for host in hosts.values())


# -- which key a server shows ----------------------------------------------------------------------------------------


def looked_at(bench: Bench, host: AnsibleHost, limit_seconds: float = 10) -> HostKeyLook:
    return SshHostKeys(bench.folder / "known_hosts", limit_seconds).look_at([host])[host.name]


def fingerprint_of(server: Server) -> str:
    """As OpenSSH tells it."""
    argv = ["ssh-keygen", "-lf", str(server.folder / f"{server.name}-host-key.pub")]
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout.split()[1]


def test_the_shown_key_is_held_against_the_pinned_one_without_a_login(
    bench: Bench, capfd: pytest.CaptureFixture[str]
) -> None:
    server, other = bench.server("one"), Server(bench.folder.parent, "other")
    bench.pin(server)
    look = looked_at(bench, server.host)
    assert look.shown == HostKey("ssh-ed25519", fingerprint_of(server))
    assert (look.pinned, look.trouble) == ((look.shown,), "")
    kind, key = other.known.split()[1:]
    wrong = f"[127.0.0.1]:{server.port} {kind} {key}\n"
    (bench.folder / "known_hosts").write_text(wrong)
    look = looked_at(bench, server.host)
    assert (look.shown, look.pinned) == (
        HostKey("ssh-ed25519", fingerprint_of(server)),
        (HostKey("ssh-ed25519", fingerprint_of(other)),),
    )
    (bench.folder / "known_hosts").write_text("# none\nnonsense\n" + wrong + server.known)
    look = looked_at(bench, server.host)
    assert look.shown in look.pinned, "one of two pinned keys of a kind is enough, as for OpenSSH"
    (bench.folder / "known_hosts").write_text("@cert-authority * " + " ".join(server.known.split()[1:]))
    look = looked_at(bench, server.host)
    assert (look.pinned, look.authorities) == ((), True)
    (bench.folder / "known_hosts").unlink()
    assert looked_at(bench, server.host).pinned == ()
    assert "Accepted" not in (server.folder / f"{server.name}.log").read_text()
    assert capfd.readouterr() == ("", "")


def test_names_that_are_hashed_and_other_kinds_of_keys_are_found(bench: Bench) -> None:
    path = bench.folder.parent / "second-key"
    subprocess.run(["ssh-keygen", "-q", "-t", "rsa", "-b", "2048", "-N", "", "-f", str(path)], check=True)
    server = bench.server("one", f"HostKey {path}")
    public = (bench.folder.parent / "second-key.pub").read_text().split()[:2]
    (bench.folder / "known_hosts").write_text(f"[127.0.0.1]:{server.port} {public[0]} {public[1]}\n")
    subprocess.run(["ssh-keygen", "-H", "-f", str(bench.folder / "known_hosts")], check=True, capture_output=True)
    assert "127.0.0.1" not in (bench.folder / "known_hosts").read_text()
    look = looked_at(bench, server.host)
    assert look.shown is not None
    assert (look.shown.kind, look.pinned) == ("ssh-rsa", (look.shown,))


def test_a_server_that_is_down_or_keeps_silent_is_told_within_the_limit(
    bench: Bench, capfd: pytest.CaptureFixture[str]
) -> None:
    server = bench.server("one")
    bench.pin(server)
    server.down()
    look = looked_at(bench, server.host)
    assert look.shown is None
    assert "refused" in look.trouble
    with socket.create_server(("127.0.0.1", 0)) as silent:
        host = server.host.model_copy(update={"port": silent.getsockname()[1]})
        started = time.monotonic()
        look = looked_at(bench, host, 1)
        assert time.monotonic() - started < 60, "it would be silent for ever"
    assert look.shown is None
    assert look.trouble
    behind = server.host.model_copy(update={"jump_host": "gate"})
    assert SshHostKeys(bench.folder / "known_hosts").look_at([behind]) == {}
    assert capfd.readouterr() == ("", "")
