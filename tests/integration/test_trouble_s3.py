"""What a DR centre and the line to it do to a backup: a relay in the lab's S3 server's own network takes what comes to
its port. Each time: one clear message, nothing lost, no lock that stays, and the next backup is good."""

from __future__ import annotations

import contextlib
import ssl
import subprocess
import time
from collections.abc import Iterator

import pytest

from drp.lab.processes import find_marked
from tests.e2e.workbench import PRIMARY, SERVICE, Workbench, told
from tests.fakes.relay import Fault, Relay, relay_to
from tests.integration.test_trouble_backup import good_backup, impatient

pytestmark = pytest.mark.integration
IS_WATCHED = False
PORT = 9000
LARGE = "head -c 60M /dev/urandom >/srv/pengaduan/large", "rm /srv/pengaduan/large"


def server_of(bench: Workbench) -> int:
    """The process of the lab's first DR centre."""
    (process,) = find_marked(bench.names.marker, role="dr-centre-drc")
    return process.pid


def iptables(pid: int, *rule: str) -> None:
    argv = ["nsenter", f"--net=/proc/{pid}/ns/net", "--", "iptables", "--wait", *rule]
    subprocess.run(argv, check=True, capture_output=True, timeout=120)


@contextlib.contextmanager
def rule_at(pid: int, *rule: str) -> Iterator[None]:
    """A rule of the DR centre's own firewall meanwhile; `rule` begins with the table and the chain."""
    table, chain, *rest = rule
    iptables(pid, "-t", table, "-A", chain, *rest)
    try:
        yield
    finally:
        iptables(pid, "-t", table, "-D", chain, *rest)


@pytest.fixture
def relay(bench: Workbench) -> Iterator[Relay]:
    pid = server_of(bench)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    folder = bench.folder / "var/lab/tls"
    context.load_cert_chain(folder / "drc-server.pem", folder / "drc-server-key.pem")
    with (
        relay_to("127.0.0.1", PORT, "0.0.0.0", namespace=f"/proc/{pid}/ns/net", tls=context) as found,
        rule_at(
            pid, "nat", "PREROUTING", "-p", "tcp", "--dport", str(PORT), "-j", "REDIRECT", "--to-ports", str(found.port)
        ),
    ):
        yield found


@pytest.fixture
def known(bench: Workbench) -> list[str]:
    """The restore points before; there is at least one."""
    if not bench.points():
        bench.back_up()
    return bench.points()


@pytest.mark.parametrize("fault", ["refuse", "hang", "503"])
def test_a_dr_centre_in_trouble_is_told_and_loses_nothing(
    bench: Workbench, known: list[str], relay: Relay, fault: Fault
) -> None:
    relay.become(fault)
    with impatient(bench):
        started = time.monotonic()
        failed = bench.back_up(code=12)
        # Without them it would take more than a quarter of an hour: restic itself tries for that long.
        assert time.monotonic() - started < 300, "the limits of opening a repository and of ending restic hold"
    message = told(failed)
    assert "does not answer" in message or "stalled" in message, message
    assert relay.connections > 0
    assert bench.points() == known
    relay.become("none")
    good_backup(bench, known)


def test_connections_that_are_cut_once_in_the_middle_cost_nothing(
    bench: Workbench, known: list[str], relay: Relay
) -> None:
    """restic sends again what was cut, and the backup is good."""
    with bench.on_host(PRIMARY, *LARGE):
        relay.become("cut", cut_after=20_000_000)
        done = bench.drp("backup", "run", SERVICE, "--no-copy", limit_seconds=400)
        assert relay.passed > 20_000_000, "it was cut"
        relay.become("none")
    assert done.code == 0
    assert bench.points()[1:] == known
    assert bench.locks() == []
    bench.restic("check", "--read-data")


def test_a_line_that_breaks_in_the_middle_fails_the_backup_and_the_next_sends_only_the_rest(
    bench: Workbench, known: list[str], relay: Relay
) -> None:
    with bench.on_host(PRIMARY, *LARGE):
        relay.become("cut", cut_after=20_000_000)
        relay.stays_broken = True
        with impatient(bench):
            failed = bench.drp("backup", "run", SERVICE, code=12, limit_seconds=400)
        message = told(failed)
        assert "stalled" in message or "does not answer" in message, message
        assert bench.points() == known
        relay.stays_broken = False
        relay.become("none")
        good_backup(bench, known)
    bench.restic("check", "--read-data")


def test_a_line_that_loses_one_packet_of_a_hundred_is_slower_and_good(bench: Workbench, known: list[str]) -> None:
    loss = ["-m", "statistic", "--mode", "random", "--probability", "0.01", "-j", "DROP"]
    pid = server_of(bench)
    with (
        bench.on_host(PRIMARY, *LARGE),
        rule_at(pid, "filter", "INPUT", "-p", "tcp", *loss),
        rule_at(pid, "filter", "OUTPUT", "-p", "tcp", *loss),
    ):
        bench.drp("backup", "run", SERVICE, "--no-copy", limit_seconds=400)
    assert bench.points()[1:] == known
    assert bench.locks() == []
    bench.restic("check", "--read-data")
