"""The probe against a real server: what counts as use, and what a hostile server cannot do to it."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from drp.adapters.probes import http as http_probe
from drp.adapters.probes.base import Target, try_once
from drp.adapters.probes.http import HttpProbe
from drp.domain.checks import HttpCheck
from drp.domain.recovery.probing import Sample

Answer = Callable[[BaseHTTPRequestHandler, bytes], None]


class Server:
    """A server on this machine whose answers a test gives by path."""

    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {}
        self.requests: list[tuple[str, str, str]] = []
        self.released = threading.Event()
        server = self

        class Handler(BaseHTTPRequestHandler):
            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                server.requests.append((self.command, self.path, body.decode()))
                try:
                    server.answers[self.path](self, body)
                except (BrokenPipeError, ConnectionResetError):
                    pass

            do_GET = do_POST = answer  # noqa: N815 - the base class's names

            def log_message(self, *_arguments: Any) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.port = self.http.server_address[1]
        self.thread = threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self.thread.start()

    def journey(self, *steps: dict[str, Any], timeout: str = "2s", **options: Any) -> HttpProbe:
        record = {"type": "http", "id": "path", "port": self.port, "timeout": timeout, "steps": list(steps)}
        return HttpProbe(HttpCheck.model_validate(record), Target("127.0.0.1", **options))

    def close(self) -> None:
        self.released.set()
        self.http.shutdown()
        self.http.server_close()
        self.thread.join()


@pytest.fixture
def server() -> Iterator[Server]:
    found = Server()
    yield found
    found.close()


def text(content: str | bytes, status: int = 200) -> Answer:
    body = content.encode() if isinstance(content, str) else content

    def answer(handler: BaseHTTPRequestHandler, _body: bytes) -> None:
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return answer


def attempt(journey: HttpProbe) -> Sample:
    timeout = journey.check.timeout.total_seconds()
    return Sample.from_record(try_once("path", journey, timeout, lambda: datetime.now(UTC)))


def test_a_whole_user_path_carries_what_it_captured_from_step_to_step(server: Server) -> None:
    def create(handler: BaseHTTPRequestHandler, body: bytes) -> None:
        text('{"id": 7, "text": "%s"}' % body.decode(), 201)(handler, body)  # noqa: UP031 - braces of JSON

    server.answers = {"/complaints": create, "/complaints/7": text("saved")}
    journey = server.journey(
        {
            "request": "POST /complaints",
            "form": {"message": "drp ${random} &"},
            "expect_status": 201,
            "expect_text": "${random}",
            "capture": {"complaint": '"id": *([0-9]+)'},
        },
        {"request": "GET /complaints/${complaint}", "expect_text": "saved"},
    )
    first, second = attempt(journey), attempt(journey)
    assert first.succeeded, first.detail
    assert first.detail == "2 requests as expected"
    assert first.started_at < first.ended_at
    assert second.succeeded
    bodies = [body for method, _, body in server.requests if method == "POST"]
    assert bodies[0].startswith("message=drp+")
    assert bodies[0].endswith("+%26")
    assert bodies[0] != bodies[1]  # fresh text each time: an old page cannot pass for a new one


@pytest.mark.parametrize(
    ("answer", "step", "detail"),
    [
        (text("x", 500), {}, "GET /: status 500 instead of 200"),
        (text("x", 302), {}, "GET /: status 302 instead of 200"),
        (text("x"), {"expect_text": "y"}, "GET /: the answer lacks the expected text"),
        (text("x"), {"capture": {"a": "id=([0-9]+)"}}, "GET /: nothing to capture as a"),
        (text(""), {"expect_text": "y"}, "GET /: the answer lacks the expected text"),
        (text(b"\xff\xfe"), {"expect_text": "y"}, "GET /: the answer lacks the expected text"),
    ],
)
def test_what_is_not_as_expected_fails_and_the_answer_is_not_quoted(
    server: Server, answer: Answer, step: dict[str, Any], detail: str
) -> None:
    server.answers["/"] = answer
    sample = attempt(server.journey({"request": "GET /", **step}))
    assert (sample.succeeded, sample.detail) == (False, detail)


def test_a_redirect_is_not_followed(server: Server) -> None:
    def redirect(handler: BaseHTTPRequestHandler, _body: bytes) -> None:
        handler.send_response(302)
        handler.send_header("Location", "/elsewhere")
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    server.answers = {"/": redirect, "/elsewhere": text("x")}
    assert not attempt(server.journey({"request": "GET /"})).succeeded
    assert [path for _, path, _ in server.requests] == ["/"]


def test_nobody_there_is_connection_refused() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        record = {"type": "http", "id": "path", "port": port, "steps": [{"request": "GET /"}]}
        sample = attempt(HttpProbe(HttpCheck.model_validate(record), Target("127.0.0.1")))
    assert (sample.succeeded, sample.detail) == (False, "GET /: connection refused")


def test_silence_is_a_timeout(server: Server) -> None:
    def say_nothing(_handler: BaseHTTPRequestHandler, _body: bytes) -> None:
        server.released.wait(20)

    server.answers["/"] = say_nothing
    started = time.monotonic()
    sample = attempt(server.journey({"request": "GET /"}, timeout="150ms"))
    assert (sample.succeeded, sample.detail) == (False, "GET /: timed out")
    assert time.monotonic() - started < 2


def test_an_answer_that_only_drips_is_a_timeout_too(server: Server) -> None:
    """Each drop comes in time, the answer never does: without a limit on the whole the probe would look no more."""

    def drip(handler: BaseHTTPRequestHandler, _body: bytes) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "1000000")
        handler.end_headers()
        while not server.released.wait(0.02):
            handler.wfile.write(b"x")
            handler.wfile.flush()

    server.answers["/"] = drip
    timer = threading.Timer(5, server.released.set)  # so that a probe that hangs fails this test, and does not stop it
    timer.start()
    started = time.monotonic()
    sample = attempt(server.journey({"request": "GET /"}, timeout="200ms"))
    timer.cancel()
    assert (sample.succeeded, sample.detail) == (False, "GET /: timed out")
    assert time.monotonic() - started < 2


def test_a_huge_answer_is_read_to_a_limit_and_the_next_step_still_works(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_probe, "LARGEST_ANSWER_BYTES", 1000)
    server.answers = {"/huge": text(b"a" * 1000 + b"end" * 500_000), "/next": text("here")}
    steps = ({"request": "GET /huge", "expect_text": "aaa"}, {"request": "GET /next", "expect_text": "here"})
    assert attempt(server.journey(*steps)).succeeded
    assert not attempt(server.journey({"request": "GET /huge", "expect_text": "end"})).succeeded


def raw(content: bytes) -> Answer:
    def answer(handler: BaseHTTPRequestHandler, _body: bytes) -> None:
        handler.wfile.write(content)
        handler.connection.close()

    return answer


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: " + b"a" * 100_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: a\r\n" * 300 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc",
        b"\x00" * 1000,
    ],
)
def test_an_answer_that_is_no_answer_fails_and_breaks_nothing(server: Server, content: bytes) -> None:
    server.answers["/"] = raw(content)
    sample = attempt(server.journey({"request": "GET /", "expect_text": "never there"}))
    assert not sample.succeeded
    assert sample.detail.startswith("GET /: ")


def test_a_captured_text_cannot_leave_its_request(server: Server) -> None:
    injected = "x HTTP/1.1\r\nX-Evil: 1\r\n\r\n"
    server.answers = {"/": text(f"id={injected}."), "/next": text("")}
    steps = ({"request": "GET /", "capture": {"a": r"id=([^.]*\.1[^.]*)\."}}, {"request": "GET /next/${a}"})
    server.answers |= {"/next/x%20HTTP/1.1%0D%0AX-Evil:%201%0D%0A%0D%0A": text("")}
    attempt(server.journey(*steps))
    assert len(server.requests) == 2
    assert "X-Evil" in server.requests[1][1]  # it is a part of the path, and no header
    assert "\n" not in server.requests[1][1]


def test_old_content_is_learned_by_the_watch_and_compared_by_the_run(server: Server) -> None:
    server.answers["/1"] = text("a complaint of last year")
    step = {"request": "GET /1", "same_as_before": True}
    watch = server.journey(step, learn=True)
    assert attempt(watch).detail == "1 requests as expected"
    assert len(watch.target.baseline) == 1
    run = server.journey(step, baseline=dict(watch.target.baseline))
    assert attempt(run).detail == "1 requests as expected, old content unchanged"
    server.answers["/1"] = text("another")
    sample = attempt(run)
    assert (sample.succeeded, sample.detail) == (False, "GET /1: the answer differs from the one before the disruption")
    assert run.target.baseline == watch.target.baseline
    assert attempt(watch).succeeded  # the watch learns what is new
    assert attempt(server.journey(step, baseline=dict(watch.target.baseline))).succeeded


def test_without_a_baseline_nothing_is_said_to_be_unchanged(server: Server) -> None:
    server.answers["/1"] = text("a complaint of last year")
    assert attempt(server.journey({"request": "GET /1", "same_as_before": True})).detail == "1 requests as expected"


def test_a_failed_attempt_teaches_nothing(server: Server) -> None:
    server.answers = {"/1": text("x"), "/2": text("x", 500)}
    watch = server.journey({"request": "GET /1", "same_as_before": True}, {"request": "GET /2"}, learn=True)
    assert not attempt(watch).succeeded
    assert watch.target.baseline == {}
