"""A primary host is closed so that it cannot serve again when it comes back, and opened for the failback."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from drp.domain.recovery.fencing import HostFenced, unconfirmed
from drp.errors import UsageError
from drp.lab import city
from drp.workflows.fencing import finish_fence, finish_unfence, plan_fences, start_fence, start_unfence
from tests.e2e.workbench import ADDRESS, PRIMARY, PRIMARY_NAME, SERVICE, Workbench, eventually
from tests.integration.ansible_runs import Control, Events, recorded

pytestmark = pytest.mark.integration
IS_WATCHED = False

UNITS = ("postgresql", "pengaduan", "nginx")
BOOT = "for unit in " + " ".join(UNITS) + '; do for link in /etc/rc2.d/S??$unit; do "$link" start; done; done; true'
"""What init does in runlevel 2: the lab's process 1 starts nothing but sshd."""


@pytest.fixture(scope="module")
def control(bench: Workbench) -> Control:
    bench.ssh(PRIMARY, "for unit in postgresql pengaduan nginx; do update-rc.d $unit defaults; done")
    return Control(bench)


def fence(control: Control) -> tuple[HostFenced, Events]:
    fences = plan_fences(control.world(), [SERVICE])
    events: Events = []
    ended = control.carry_out(
        lambda world, folder: start_fence(
            world, folder, fences, by="Siti", run="failover-1", kind="failover", reason="site loss"
        )
    )
    assert ended.code == 0, ended.failures
    (found,) = finish_fence(fences, ended.messages, recorded(events))
    return found, events


def unfence(control: Control) -> HostFenced:
    fences = plan_fences(control.world(), [SERVICE])
    ended = control.carry_out(
        lambda world, folder: start_unfence(
            world, folder, fences, by="Siti", run="failback-1", kind="failback", reason="back"
        )
    )
    assert ended.code == 0, ended.failures
    (found,) = finish_unfence(fences, ended.messages, recorded([]))
    return found


def restart(bench: Workbench) -> None:
    """A power cut, and the host starts again with all that it had on disk. Its service address is its administrator's:
    as in the lab, it is not in the host's network configuration."""
    (host,) = (host for host in city.status(bench.folder).hosts if host.name == PRIMARY_NAME)
    assert host.pid is not None
    os.kill(host.pid, signal.SIGHUP)
    eventually(lambda: bench.ssh(PRIMARY, "pgrep -x nginx || echo up", check=False) == "up\n", "it is up and empty")
    bench.ssh(PRIMARY, BOOT)


def comes_to_serve(address: str, why: str) -> None:
    eventually(lambda: serves(address), why)


def serves(address: str) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((address, 80), timeout=10) as user:
        user.sendall(b"GET /health HTTP/1.0\r\n\r\n")
        return b" 200 " in user.recv(100)
    return False


def test_a_closed_host_stays_closed_when_it_comes_back(bench: Workbench, control: Control) -> None:
    restart(bench)
    comes_to_serve(PRIMARY, "what is not closed serves again after a restart")
    comes_to_serve(ADDRESS, "for its users too")

    found, events = fence(control)
    assert (found.host, found.confirmed, found.how, found.reasons) == (PRIMARY_NAME, True, "host", ())
    assert [type_ for type_, _ in events] == ["host.fenced"]
    assert found.details["units"] == list(UNITS)
    assert unconfirmed([found]) == []
    assert not serves(PRIMARY)
    assert ADDRESS not in bench.ssh(PRIMARY, "ip -4 address show")
    mark = json.loads(bench.ssh(PRIMARY, f"cat /var/lib/drp/fence/{SERVICE}.json"))
    assert (mark["by"], mark["run"], mark["reason"], mark["state"]) == ("Siti", "failover-1", "site loss", "closed")
    assert re.fullmatch(r"20\d\d-\d\d-\d\dT[0-9:.]+Z", mark["at"])

    restart(bench)
    assert not serves(PRIMARY)
    bench.ssh(PRIMARY, "service nginx start; service pengaduan start; service postgresql start", check=False)
    assert bench.ssh(PRIMARY, "pgrep -l 'nginx|postgres' || true") == ""
    assert not serves(PRIMARY)
    assert ADDRESS not in bench.ssh(PRIMARY, "ip -4 address show")

    again, _ = fence(control)
    assert (again.confirmed, again.how) == (True, "host")
    assert json.loads(bench.ssh(PRIMARY, f"cat /var/lib/drp/fence/{SERVICE}.json"))["at"] == mark["at"]

    opened = unfence(control)
    assert opened.confirmed
    assert sorted(opened.details["units"]) == sorted(UNITS)
    assert bench.ssh(PRIMARY, "ls /var/lib/drp/fence") == ""
    assert not serves(PRIMARY), "opening starts nothing"
    restart(bench)
    comes_to_serve(PRIMARY, "what was opened serves again after a restart")
    bench.ssh(PRIMARY, f"ip address add {ADDRESS}/20 dev eth0")
    assert unfence(control).confirmed, "twice is no fault"


def test_a_closed_host_on_which_something_still_serves_is_not_confirmed(bench: Workbench, control: Control) -> None:
    """An init script that says that it stopped and did not; an address that the next start sets again."""
    script = "/etc/init.d/nginx"
    deaf = f"cp -p {script} /root/nginx.init && sed -i '2i [ \"$1\" = stop ] && exit 0' {script}"
    mend = f"mv /root/nginx.init {script}"
    settings = f"mkdir -p /etc/network/interfaces.d && echo 'address {ADDRESS}/32' >/etc/network/interfaces.d/users"
    with bench.on_host(PRIMARY, deaf, mend), bench.on_host(PRIMARY, settings, "rm /etc/network/interfaces.d/users"):
        found, _ = fence(control)
        assert (found.confirmed, found.how) == (False, "nothing")
        told = unconfirmed([found])[0]
        assert "nginx still runs" in told
        assert f"{ADDRESS} is set in /etc/network/interfaces.d/users: it comes back with a restart" in told
        assert "no drp_fence_command" in told
        unfence(control)
    bench.ssh(PRIMARY, f"service postgresql start; service pengaduan start; ip address add {ADDRESS}/20 dev eth0")
    eventually(lambda: serves(ADDRESS), "the service is back")


def test_a_drill_closes_nothing(bench: Workbench, control: Control, tmp_path: Path) -> None:
    world = control.world()
    with pytest.raises(UsageError, match="a drill fences nothing"):
        start_fence(world, tmp_path, plan_fences(world, [SERVICE]), by="x", run="drill-1", kind="drill", reason="x")
    # Nor where the playbook itself is called.
    ended = control.carry_out(
        lambda world, folder: world.actions.start_playbook(
            folder, "fence", [PRIMARY_NAME], {"drp_kind": "drill", "drp_fences": {}}, {}, ""
        )
    )
    assert ended.code != 0
    assert any("a drill fences nothing" in message["error"] for message in ended.failures)
    comes_to_serve(ADDRESS, "it still serves")


@contextlib.contextmanager
def deaf_host(bench: Workbench) -> Iterator[str]:
    """The host's ssh is cut off from the control node, while its users still reach it. Gives the name of its cable."""
    bench.ssh(PRIMARY, "iptables -I INPUT -p tcp --dport 22 -j REJECT --reject-with tcp-reset; true", check=False)
    cable = bench.names.interface(PRIMARY_NAME)
    comes_to_serve(ADDRESS, "users still reach it")
    try:
        yield cable
    finally:
        subprocess.run(["ip", "link", "set", cable, "up"], check=True)
        (host,) = (host for host in city.status(bench.folder).hosts if host.name == PRIMARY_NAME)
        argv = ["nsenter", f"--net=/proc/{host.pid}/ns/net", "--", "iptables", "-F", "INPUT"]
        subprocess.run(argv, check=True)


def with_host_variables(bench: Workbench, text: str) -> contextlib.AbstractContextManager[None]:
    line = f"          ansible_host: {PRIMARY}\n"
    return bench.changed("inventories/hosts.yaml", lambda old: old.replace(line, line + text))


def test_a_host_that_cannot_be_told_is_closed_by_the_inventorys_command(bench: Workbench, control: Control) -> None:
    with deaf_host(bench) as cable:
        nobody, _ = fence(control)
        assert (nobody.confirmed, nobody.how) == (False, "nothing")
        assert "the host cannot be reached" in nobody.reasons[0]
        comes_to_serve(ADDRESS, "and rightly not confirmed: it still serves")

        cut = f"          drp_fence_command: [ip, link, set, {cable}, down]\n"
        check = bench.folder / "is-cut.sh"
        check.write_text(f"#!/bin/sh\ntest $(cat /sys/class/net/{cable}/operstate) = down\n")
        check.chmod(0o755)
        quoted = json.dumps([str(check)])
        with with_host_variables(
            bench, f"          drp_fence_command: ['true']\n          drp_fence_check: {quoted}\n"
        ):
            useless, _ = fence(control)
        assert (useless.confirmed, useless.how) == (False, "nothing")
        assert "is-cut.sh ended with 1" in useless.reasons[-1]
        comes_to_serve(ADDRESS, "it still serves")

        with with_host_variables(
            bench, "          drp_fence_command: [sleep, '60']\n          drp_fence_timeout: 1s\n"
        ):
            slow, _ = fence(control)
        assert (slow.confirmed, slow.reasons[-1]) == (False, "sleep did not end within 1 s and was ended")

        with with_host_variables(bench, f"{cut}          drp_fence_check: {quoted}\n"):
            found, _ = fence(control)
        assert (found.confirmed, found.how, found.reasons) == (True, "command", ())
        assert "the host cannot be reached" in found.details["instead_of"][0]
        assert not serves(ADDRESS)
    eventually(lambda: serves(ADDRESS), "the cable is in again")


def test_a_host_that_was_cut_off_comes_back_by_the_inventorys_command(bench: Workbench, control: Control) -> None:
    cable = bench.names.interface(PRIMARY_NAME)
    commands = f"          drp_fence_command: ['true']\n          drp_unfence_command: [ip, link, set, {cable}, up]\n"
    subprocess.run(["ip", "link", "set", cable, "down"], check=True)
    with with_host_variables(bench, commands):
        assert unfence(control).confirmed
    comes_to_serve(ADDRESS, "it serves again")
