"""Probes of TCP ports, programs and DNS servers against real ones, and what hostile ones cannot do to them."""

from __future__ import annotations

import os
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from drp.adapters.probes import probe_of
from drp.adapters.probes.base import Deadline, Probe, Target, try_once
from drp.domain.checks import read_check
from drp.domain.recovery.probing import Sample

Talk = Callable[[socket.socket], None]


def attempt(probe: Probe, timeout: float = 2) -> Sample:
    return Sample.from_record(try_once("check", probe, timeout, lambda: datetime.now(UTC)))


@contextmanager
def serving(talk: Talk, context: ssl.SSLContext | None = None) -> Iterator[int]:
    """A server on this machine that talks to each caller as a test says; gives its port."""
    over = threading.Event()

    def serve() -> None:
        while not over.is_set():
            try:
                line, _ = listening.accept()
            except OSError:
                return
            try:
                line.settimeout(10)
                with context.wrap_socket(line, server_side=True) if context else line as talking:
                    talk(talking)
            except OSError:
                pass

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listening.getsockname()[1]
        over.set()
        with socket.create_connection(listening.getsockname()):
            pass
    thread.join(15)
    assert not thread.is_alive()


def tcp(port: int, **more: Any) -> Probe:
    check = read_check({"type": "tcp", "id": "check", "port": port, **more})
    return probe_of(check, Target("127.0.0.1"))


def greet(line: socket.socket) -> None:
    line.sendall(b"220 mail.example ready\r\n")
    if line.recv(100) == b"QUIT\r\n":
        line.sendall(b"221 bye\r\n")


@pytest.mark.parametrize(
    ("more", "detail"),
    [
        ({}, "takes connections"),
        ({"expect_text": "220 "}, "answers as expected"),
        ({"expect_hex": "32 32 30".replace(" ", "")}, "answers as expected"),
        ({"send": "QUIT\r\n", "expect_text": "221 bye"}, "answers as expected"),
        ({"send_hex": b"QUIT\r\n".hex(), "expect_text": "221 bye"}, "answers as expected"),
    ],
)
def test_a_port_answers(more: dict[str, str], detail: str) -> None:
    with serving(greet) as port:
        sample = attempt(tcp(port, **more))
    assert (sample.succeeded, sample.detail) == (True, f"port {port} {detail}")


def test_a_port_that_says_something_else_fails_and_is_not_quoted() -> None:
    with serving(greet) as port:
        sample = attempt(tcp(port, send="BYE\r\n", expect_text="221"))
    assert (sample.succeeded, sample.detail) == (False, f"port {port}: it hung up before what is expected")


def test_nobody_there_is_connection_refused() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        sample = attempt(tcp(unused.getsockname()[1]))
    assert (sample.succeeded, sample.detail) == (False, "connection refused")


def silence(line: socket.socket) -> None:
    while line.recv(1000):
        pass


def endless(line: socket.socket) -> None:
    while True:
        line.sendall(os.urandom(65_536))


def drip(line: socket.socket) -> None:
    while True:
        line.sendall(b"\0")
        time.sleep(0.02)


@pytest.mark.parametrize("talk", [silence, endless, drip])
@pytest.mark.parametrize("tls", [False, True])
def test_a_hostile_answer_ends_within_the_timeout(talk: Talk, tls: bool) -> None:
    """With TLS it comes instead of a handshake."""
    with serving(talk) as port:
        started = time.monotonic()
        sample = attempt(tcp(port, expect_text="never", tls=tls), timeout=0.3)
        assert time.monotonic() - started < 0.8
    assert not sample.succeeded
    if talk is not endless:
        assert sample.detail == "timed out" or (tls and talk is drip), sample.detail


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for the name db.example, with its key in the same file."""
    file = tmp_path_factory.mktemp("tls") / "server.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=db.example"]
    command += ["-addext", "subjectAltName=DNS:db.example", "-keyout", str(file), "-out", str(file.with_name("c.pem"))]
    subprocess.run(command, check=True, capture_output=True)
    file.write_text(file.read_text() + file.with_name("c.pem").read_text())
    return file


@pytest.mark.parametrize(
    ("more", "succeeded", "detail"),
    [
        ({"server_name": "db.example", "ca_certificate": "c.pem"}, True, "answers as expected"),
        ({"server_name": "other.example", "ca_certificate": "c.pem"}, False, "does not prove its name"),
        ({"ca_certificate": "c.pem"}, False, "does not prove its name"),
        ({"server_name": "db.example"}, False, "does not prove its name"),
    ],
)
def test_tls_must_prove_the_servers_name(certificate: Path, more: dict[str, str], succeeded: bool, detail: str) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with serving(greet, context) as port:
        check = read_check({"type": "tcp", "id": "check", "port": port, "tls": True, "expect_text": "220", **more})
        sample = attempt(probe_of(check, Target("127.0.0.1", certificate.parent)))
    assert sample.succeeded is succeeded
    assert sample.detail.endswith(detail)


# -- programs ---------------------------------------------------------------------------------------------------------


def command(*argv: str, folder: Path | None = None, **more: Any) -> Probe:
    check = read_check({"type": "command", "id": "check", "argv": list(argv), **more})
    return probe_of(check, Target("192.0.2.80", folder or Path("/")))


PYTHON = sys.executable


@pytest.mark.parametrize(
    ("argv", "more", "detail"),
    [
        (("true",), {}, ""),
        (("false",), {"expect_exit": 1}, ""),
        (("false",), {}, "exit code 1 instead of exit code 0"),
        (("echo", "at ${address}; $HOME `id`"), {"expect_text": "at 192.0.2.80; $HOME `id`"}, ""),
        (("echo", "no"), {"expect_text": "yes"}, "its output lacks the expected text"),
        (("printf", r"\377\000yes"), {"expect_text": "yes"}, ""),
        (("/nonexistent/program",), {}, "/nonexistent/program cannot be run: No such file or directory"),
        (("sh", "-c", "kill -9 $$"), {}, "signal 9 instead of exit code 0"),
        (("sh", "-c", "echo yes >&2"), {"expect_text": "yes"}, "its output lacks the expected text"),
    ],
)
def test_a_program_tells_by_its_end_and_its_output(argv: tuple[str, ...], more: dict[str, Any], detail: str) -> None:
    sample = attempt(command(*argv, **more))
    assert sample.succeeded == (not detail)
    assert sample.detail.endswith(detail or "ended as expected")


def test_a_program_gets_nothing_of_the_environment_and_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DRP_SECRET", "rahasia")
    look = "import os, sys; print(sorted(os.environ), sys.stdin.read() == '')"
    assert attempt(command(PYTHON, "-c", look, expect_text="True")).succeeded
    assert not attempt(command(PYTHON, "-c", look, expect_text="DRP_SECRET")).succeeded


def test_it_runs_where_the_workspace_is(tmp_path: Path) -> None:
    (tmp_path / "probe").write_text("#!/bin/sh\necho here\n")
    (tmp_path / "probe").chmod(0o700)
    assert attempt(command("./probe", folder=tmp_path, expect_text="here")).succeeded


@pytest.mark.parametrize("script", ["sleep 60", "sleep 60 & echo", "trap '' INT TERM; sleep 60", "yes >&2", "yes"])
def test_a_program_ends_within_the_timeout_with_all_that_it_started(tmp_path: Path, script: str) -> None:
    """Also one whose first process ends at once while others hold its output open."""
    mark = f"mark-{time.monotonic_ns()}"
    started = time.monotonic()
    sample = attempt(command("sh", "-c", script, mark, expect_text="never"), timeout=0.4)
    assert time.monotonic() - started < 1.5
    assert not sample.succeeded
    limit = time.monotonic() + 5
    while left := running_with(mark):
        assert time.monotonic() < limit, left  # what was killed takes a moment to go


def running_with(mark: str) -> list[str]:
    """Processes that have a word among their arguments."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            if mark.encode() in Path(f"/proc/{name}/cmdline").read_bytes():
                found.append(name)
        except OSError:
            continue  # it has just ended
    return found


# -- DNS --------------------------------------------------------------------------------------------------------------


@contextmanager
def naming(answer: Callable[[bytes], bytes | None]) -> Iterator[int]:
    """A DNS server that answers a question as a test says; gives its port."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
        line.bind(("127.0.0.1", 0))
        line.settimeout(0.05)
        over = threading.Event()

        def serve() -> None:
            while not over.is_set():
                try:
                    question, caller = line.recvfrom(4096)
                except TimeoutError:
                    continue
                said = answer(question)
                if said is not None:
                    line.sendto(said, caller)

        thread = threading.Thread(target=serve)
        thread.start()
        yield line.getsockname()[1]
        over.set()
        thread.join()


def record(address: str, kind: int = 1) -> bytes:
    data = socket.inet_aton(address) if kind == 1 else b"\xc0\x0c"
    return b"\xc0\x0c" + struct.pack(">2HIH", kind, 1, 60, len(data)) + data


def reply(*records: bytes, flags: int = 0x8180, count: int | None = None) -> Callable[[bytes], bytes]:
    def answer(question: bytes) -> bytes:
        header = question[:2] + struct.pack(">5H", flags, 1, len(records) if count is None else count, 0, 0)
        return header + question[12:] + b"".join(records)

    return answer


@pytest.mark.parametrize(
    ("answer", "detail"),
    [
        (reply(record("192.0.2.80")), ""),
        (reply(record("x", 5), record("192.0.2.81"), record("192.0.2.80")), ""),
        (reply(record("192.0.2.81")), "pengaduan.example: the answer lacks 192.0.2.80"),
        (reply(), "pengaduan.example: the answer lacks 192.0.2.80"),
        (reply(flags=0x8183), "no such name"),
        (reply(flags=0x8182), "the server failed"),
        (reply(flags=0x8380), "the answer is too long for a datagram"),
        (reply(record("192.0.2.80"), flags=0x0100), "the answer is to another question"),
        (reply(record("192.0.2.80"), count=40_000), "the answer is damaged"),
        (reply(record("192.0.2.80")[:-3]), "the answer is damaged"),
        (lambda question: question[:2] + os.urandom(400), None),
        (lambda question: b"\xff\xff" + question[2:] if question[:2] != b"\xff\xff" else None, "timed out"),
        (lambda _: b"", "timed out"),
        (lambda _: None, "timed out"),
    ],
)
def test_a_name_has_its_addresses(answer: Callable[[bytes], bytes | None], detail: str | None) -> None:
    with naming(answer) as port:
        wanted = {"name": "pengaduan.example", "port": port, "expect": ["192.0.2.80"]}
        check = read_check({"type": "dns", "id": "check", **wanted})
        sample = attempt(probe_of(check, Target("127.0.0.1")), timeout=0.5)
    assert sample.succeeded == (detail == "")
    if detail is not None:
        assert sample.detail == (detail or "pengaduan.example has its addresses")


def test_a_real_tool_says_the_same_of_our_server() -> None:
    """So that the test's server and the probe are not wrong together."""
    with naming(reply(record("192.0.2.80"))) as port:
        argv = ["dig", "@127.0.0.1", "-p", str(port), "+short", "+noedns", "+tries=1", "pengaduan.example"]
        said = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    assert said == "192.0.2.80\n"


# -- all kinds --------------------------------------------------------------------------------------------------------


def test_an_error_that_nobody_thought_of_is_a_failed_attempt() -> None:
    class Broken:
        def attempt(self, deadline: Deadline) -> str:  # noqa: ARG002 - the protocol's signature
            raise RecursionError("deep in a library")

    sample = attempt(Broken())
    assert (sample.succeeded, sample.detail) == (False, "RecursionError")


@pytest.mark.parametrize(
    "check",
    [
        {"type": "tcp", "port": 0},
        {"type": "tcp", "port": 1, "send": "a", "send_hex": "00"},
        {"type": "tcp", "port": 1, "server_name": "a.example"},
        {"type": "tcp", "port": 1, "expect_hex": "0"},
        {"type": "tcp", "port": 1, "send": "a\x1b"},
        {"type": "tcp", "port": 1, "interval": "50ms"},
        {"type": "command", "argv": []},
        {"type": "command", "argv": ["a\0b"]},
        {"type": "command", "argv": "rm -rf /"},
        {"type": "dns", "name": "a" * 64 + ".example"},
        {"type": "dns", "name": "a..example"},
        {"type": "dns", "name": "a.example", "expect": ["example"]},
        {"type": "ping"},
    ],
)
def test_what_is_no_check_is_refused(check: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        read_check({"id": "check", **check})


SQL = {"type": "sql", "id": "check", "engine": "mariadb", "database": "x", "user": "x", "password": {"env": "X"}}


@pytest.mark.parametrize(
    "query",
    [
        "\\! id",
        "SELECT 1 \\! id",
        "SELECT 1; system id",
        "SELECT 1\nsystem id",
        "system id",
        "source /etc/passwd",
        "DELETE FROM people",
        "delimiter x",
        "selection",
        "",
    ],
)
def test_a_query_is_one_question_and_no_command_of_the_client_program(query: str) -> None:
    read_check(SQL | {"query": "SELECT count(*) FROM people"})
    with pytest.raises(ValidationError):
        read_check(SQL | {"query": query})
