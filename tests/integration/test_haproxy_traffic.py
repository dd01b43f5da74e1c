"""Servers of a real HAProxy are taken in and out of rotation, as playbooks/library/drp_traffic.py does on its host."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from drp.domain.events import Body
from drp.domain.recovery.cutover import steps
from drp.domain.service import Service
from drp.domain.traffic import TrafficSite
from tests.e2e.workbench import free_port
from tests.fakes.city import service_record
from tests.fakes.host_driver import load_from

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(
        shutil.which("haproxy", path=os.environ["PATH"] + ":/usr/sbin") is None, reason="haproxy is not installed"
    ),
]

CONF = """
global
    stats socket {folder}/admin.sock mode 600 level {level}
    {state}
defaults
    mode http
    timeout connect 20s
    timeout client 60s
    timeout server 60s
    timeout check 20s
    load-server-state-from-file global
frontend users
    bind 127.0.0.1:{port}
    default_backend layanan
backend layanan
    option httpchk GET /
    server satu 127.0.0.1:{primary} {check}
    server dua 127.0.0.1:{recovery} {check} disabled
"""


CHECK = "check inter 100ms fall 3 rise 2"


class Site(ThreadingHTTPServer):
    """A site that says its name to everybody; connections stay open, as browsers hold them."""

    daemon_threads = True
    request_queue_size = 100

    def __init__(self, name: str) -> None:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Length", str(len(name)))
                self.end_headers()
                self.wfile.write(name.encode())

            def log_message(self, *words: Any) -> None:
                pass

        super().__init__(("127.0.0.1", 0), Handler)
        self.handle_error = lambda *_: None  # type: ignore[method-assign]  # a health check hangs up early
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.shutdown()
        self.server_close()


class Proxy:
    def __init__(self, folder: Path, sites: dict[str, Site], level: str = "admin", check: str = CHECK) -> None:
        self.folder, self.port = folder, free_port()
        ports = {site: server.server_address[1] for site, server in sites.items()}
        state = f"server-state-file {folder}/state"
        text = CONF.format(folder=folder, level=level, state=state, port=self.port, check=check, **ports)
        (folder / "haproxy.cfg").write_text(text)
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                ["haproxy", "-db", "-f", str(self.folder / "haproxy.cfg")], stdout=log, stderr=log
            )
        until = time.monotonic() + 180
        while not self.answer():
            assert time.monotonic() < until, (self.folder / "log").read_text()
            time.sleep(0.05)

    def stop(self) -> None:
        assert self.process is not None
        self.process.terminate()
        self.process.wait(60)

    def answer(self) -> str:
        """What a user gets: a site's name, the proxy's status, or nothing."""
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=30) as user:
            user.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            text = user.makefile("rb").read().decode()
            return text.split("\r\n\r\n")[1] if " 200 " in text.splitlines()[0] else text.split(" ")[1]
        return ""

    def way(self, site: TrafficSite | None, **changes: Any) -> Body:
        declared = {
            "type": "haproxy",
            "hosts": ["lb-1"],
            "socket": f"{self.folder}/admin.sock",
            "backend": "layanan",
            "primary": ["satu"],
            "recovery": ["dua"],
            "timeout": "30s",
        } | changes
        service = Service.model_validate(service_record() | {"address": "192.0.2.80", "traffic": [declared]})
        (found,) = steps(service, site, release=False)
        assert found["host"] == "lb-1"
        return found


@contextlib.contextmanager
def running(proxy: Proxy) -> Iterator[Proxy]:
    proxy.start()
    try:
        yield proxy
    finally:
        proxy.stop()


@pytest.fixture
def sites() -> Iterator[dict[str, Site]]:
    found = {"primary": Site("satu"), "recovery": Site("dua")}
    yield found
    for site in found.values():
        site.close()


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(dir="/var/tmp", prefix="drp-haproxy-") as found:
        yield Path(found)


@pytest.fixture
def proxy(folder: Path, sites: dict[str, Site]) -> Iterator[Proxy]:
    with running(Proxy(folder, sites)) as found:
        yield found


switch = load_from("drp_traffic", "main").switch
Trouble = load_from("drp_traffic", "process").Trouble


def test_users_are_led_there_and_back(proxy: Proxy) -> None:
    assert (switch(proxy.way(None))["after"], proxy.answer()) == ("primary", "satu")
    there = switch(proxy.way("recovery"))
    assert (there["before"], there["after"], there["changed"]) == ("primary", "recovery", True)
    assert there["details"]["servers"]["satu"].startswith("out")
    assert there["details"]["servers"]["dua"] == "in, up"
    assert proxy.answer() == "dua"
    again = switch(proxy.way("recovery"))
    assert (again["before"], again["after"], again["changed"]) == ("recovery", "recovery", False)
    back = switch(proxy.way("primary"))
    assert (back["before"], back["after"], proxy.answer()) == ("recovery", "primary", "satu")


def test_who_is_connected_already_is_led_away_too(proxy: Proxy) -> None:
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=30) as user:
        file = user.makefile("rb")

        def ask() -> str:
            user.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            length = 0
            while (line := file.readline()) not in (b"\r\n", b""):
                if line.lower().startswith(b"content-length:"):
                    length = int(line.split(b":")[1])
            return file.read(length).decode()

        assert ask() == "satu"
        switch(proxy.way("recovery"))
        assert ask() in ("dua", ""), "the connection is closed or goes to the other site, never on to the old one"


@pytest.mark.parametrize("check", [CHECK, "check inter 100ms fall 1 rise 1"])
def test_a_server_that_is_not_up_is_no_switch(folder: Path, sites: dict[str, Site], check: str) -> None:
    """HAProxy takes a server that comes into rotation for up until its checks have failed; that must not count."""
    with running(Proxy(folder, sites, check=check)) as proxy:
        assert switch(proxy.way("recovery"))["after"] == "recovery"
        assert switch(proxy.way("primary"))["after"] == "primary"
        sites["recovery"].close()
        with pytest.raises(Trouble, match=r"health check of dua did not pass within 1 s"):
            switch(proxy.way("recovery", timeout="1s"))
        assert proxy.answer() == "503"
        assert switch(proxy.way("primary"))["after"] == "primary"
        assert proxy.answer() == "satu"


def test_servers_without_health_checks_are_switched(folder: Path, sites: dict[str, Site]) -> None:
    with running(Proxy(folder, sites, check="")) as proxy:
        assert (switch(proxy.way("recovery"))["after"], proxy.answer()) == ("recovery", "dua")
        assert (switch(proxy.way("primary"))["after"], proxy.answer()) == ("primary", "satu")


def test_a_half_made_switch_is_told_and_finished(proxy: Proxy) -> None:
    ask = load_from("drp_traffic", "haproxy").ask
    ask(f"{proxy.folder}/admin.sock", "set server layanan/dua state ready")
    assert switch(proxy.way(None))["after"] == "both"
    ask(f"{proxy.folder}/admin.sock", "set server layanan/satu state maint")
    ask(f"{proxy.folder}/admin.sock", "set server layanan/dua state drain")
    assert switch(proxy.way(None))["after"] == "nowhere"
    assert switch(proxy.way("recovery"))["after"] == "recovery"
    assert proxy.answer() == "dua"


def test_names_that_the_proxy_does_not_have_are_told(proxy: Proxy) -> None:
    with pytest.raises(Trouble, match="has no server tiga"):
        switch(proxy.way("recovery", recovery=["tiga"]))
    with pytest.raises(Trouble, match="back end lain: "):
        switch(proxy.way("recovery", backend="lain"))
    with pytest.raises(Trouble, match="No such file"):
        switch(proxy.way("recovery", socket="/run/haproxy/none.sock"))
    assert proxy.answer() == "satu"


def test_a_proxy_that_is_down_or_lets_nobody_change_anything_is_told(folder: Path, sites: dict[str, Site]) -> None:
    with running(Proxy(folder, sites, level="user")) as proxy:
        with pytest.raises(Trouble, match=r"Permission denied|level admin"):
            switch(proxy.way("recovery"))
        assert proxy.answer() == "satu"
    with pytest.raises(Trouble, match=r"admin\.sock"):
        switch(proxy.way("recovery"))


def test_the_state_file_keeps_the_switch_over_a_restart(proxy: Proxy) -> None:
    switch(proxy.way("recovery"))
    proxy.stop()
    proxy.start()
    assert proxy.answer() == "satu", "without a state file HAProxy forgets"
    switch(proxy.way("recovery", state_file=f"{proxy.folder}/state"))
    proxy.stop()
    proxy.start()
    assert (switch(proxy.way(None))["after"], proxy.answer()) == ("recovery", "dua")
