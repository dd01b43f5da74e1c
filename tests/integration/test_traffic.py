"""Traffic is switched through Ansible as a recovery does it: on hosts, from the control node, there and back."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from drp.adapters.ansible_worker import literal
from drp.domain.recovery import cutover
from drp.domain.traffic import TrafficSite
from drp.errors import DrpError, UsageError
from drp.workflows.traffic import finish_switch, start_switch
from tests.e2e.workbench import ADDRESS, PRIMARY, PRIMARY_NAME, RECOVERY, RECOVERY_NAME, SERVICE, Workbench
from tests.integration.ansible_runs import Control, Ended, Events, recorded
from tests.integration.name_servers import SECRET, ZONE, NameServer, is_installed, name_server

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(not is_installed("named") or not is_installed("haproxy"), reason="bind9 or haproxy is missing"),
]
IS_WATCHED = False

HAPROXY = f"""
global
    stats socket /run/haproxy.sock mode 600 level admin
    daemon
    pidfile /run/haproxy.pid
defaults
    mode tcp
    timeout connect 20s
    timeout client 60s
    timeout server 60s
frontend users
    bind :8080
    default_backend layanan
backend layanan
    server satu {PRIMARY}:22 check inter 200ms
    server dua 127.0.0.1:22 check inter 200ms disabled
"""


@pytest.fixture(scope="module")
def control(bench: Workbench) -> Control:
    return Control(bench)


@pytest.fixture(scope="module")
def names(bench: Workbench) -> Iterator[NameServer]:
    secret = bench.folder / "var/lab/secrets/zone-key"
    secret.write_text(SECRET)
    secret.chmod(0o600)
    with name_server("named") as server:
        yield server


@pytest.fixture(scope="module")
def proxy(bench: Workbench) -> Iterator[None]:
    bench.ssh(RECOVERY, "cat >/etc/drp-haproxy.cfg", stdin=HAPROXY)
    with bench.on_host(RECOVERY, "haproxy -f /etc/drp-haproxy.cfg", "kill $(cat /run/haproxy.pid)"):
        yield


def switch(control: Control, site: TrafficSite | None, *, release: bool = True, kind: str = "switchover") -> Ended:
    return control.carry_out(
        lambda world, folder: start_switch(world, folder, SERVICE, site, run="r-1", kind=kind, release=release)
    )


def finished(control: Control, ended: Ended, site: TrafficSite, *, release: bool = True) -> Events:
    events: Events = []
    assert ended.code == 0, ended.failures
    finish_switch(control.world(), SERVICE, site, ended.messages, recorded(events), release=release)
    return events


def leads_to(control: Control) -> dict[int, str]:
    ended = switch(control, None)
    assert ended.code == 0, ended.failures
    events = cutover.events_of(SERVICE, ended.messages)
    assert not any(event["changed"] for event in events)
    return cutover.where_traffic_goes(events, control.world().city.services[SERVICE])


def holds(bench: Workbench, address: str) -> bool:
    return ADDRESS in bench.ssh(address, "ip -4 address show")


def test_a_floating_address_moves_and_comes_back(bench: Workbench, control: Control) -> None:
    """`address` alone still means a floating one."""
    assert leads_to(control) == {0: "primary"}
    events = finished(control, switch(control, "recovery"), "recovery")
    assert [(body["verb"], body["host"], body["before"], body["after"]) for _, body in events] == [
        ("release", PRIMARY_NAME, "held", "absent"),
        ("take", RECOVERY_NAME, "absent", "held"),
    ]
    assert (holds(bench, PRIMARY), holds(bench, RECOVERY)) == (False, True)
    assert leads_to(control) == {0: "recovery"}
    again = finished(control, switch(control, "recovery"), "recovery")
    assert [body["changed"] for _, body in again] == [False, False]

    # Where the primary is lost it is not asked, and may still hold it: fencing takes it away.
    bench.ssh(PRIMARY, f"ip address add {ADDRESS}/20 dev eth0")
    assert leads_to(control) == {0: "both"}
    lost = finished(control, switch(control, "recovery", release=False), "recovery", release=False)
    assert [body["host"] for _, body in lost] == [RECOVERY_NAME]

    back = finished(control, switch(control, "primary"), "primary")
    assert [(body["verb"], body["host"]) for _, body in back] == [("release", RECOVERY_NAME), ("take", PRIMARY_NAME)]
    assert (holds(bench, PRIMARY), holds(bench, RECOVERY)) == (True, False)


def test_a_drill_switches_nothing(bench: Workbench, control: Control, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="a drill switches no traffic"):
        start_switch(control.world(), tmp_path, SERVICE, "recovery", run="drill-1", kind="drill", release=True)
    steps = cutover.steps(control.world().city.services[SERVICE], "recovery", release=False)
    variables = {"drp_kind": "drill", "drp_site": "recovery", "drp_traffic": steps}
    ended = control.carry_out(
        lambda world, folder: world.actions.start_playbook(folder, "cutover", [RECOVERY_NAME], variables, {}, "")
    )
    assert ended.code != 0
    assert any("a drill switches no traffic" in message["error"] for message in ended.failures)
    assert not holds(bench, RECOVERY)


def declare(bench: Workbench, text: str) -> Any:
    return bench.declared("datasets:\n", f"traffic:\n{text}datasets:\n")


def dns_way(server: NameServer, key: str = "drp") -> str:
    return f"""  - type: dns
    server: 127.0.0.1
    port: {server.port}
    zone: {ZONE}
    ttl: 30s
    timeout: 30s
    key: {{name: {key}, secret: {{file: var/lab/secrets/zone-key}}}}
    records:
      - {{name: www.{ZONE}, type: A, primary: [192.0.2.80], recovery: [192.0.2.90]}}
"""


HAPROXY_WAY = f"""  - type: haproxy
    hosts: [{RECOVERY_NAME}]
    socket: /run/haproxy.sock
    backend: layanan
    primary: [satu]
    recovery: [dua]
    timeout: 60s
"""


def command_way(folder: Path, host: str = "") -> str:
    words = {word: f"[sh, -c, 'echo {word} >\"$1\"', sh, {folder}/where]" for word in ("primary", "recovery")}
    place = f"    host: {host}\n" if host else ""
    return f"""  - type: command
{place}    to_recovery: {words["recovery"]}
    to_primary: {words["primary"]}
    state: [cat, {folder}/where]
"""


def test_all_other_ways_there_and_back_with_the_key_in_no_file(
    bench: Workbench, control: Control, names: NameServer, proxy: None, tmp_path: Path
) -> None:
    (tmp_path / "where").write_text("primary\n")
    bench.ssh(RECOVERY, "mkdir -p /var/lib/switch; echo primary >/var/lib/switch/where")
    ways = dns_way(names) + HAPROXY_WAY + command_way(tmp_path) + command_way(Path("/var/lib/switch"), RECOVERY_NAME)
    with declare(bench, ways):
        assert leads_to(control) == dict.fromkeys(range(4), "primary")
        there = switch(control, "recovery")
        events = finished(control, there, "recovery")
        assert [body["type"] for _, body in events] == ["dns", "haproxy", "command", "command"]
        assert {(body["before"], body["after"], body["changed"]) for _, body in events} == {
            ("primary", "recovery", True)
        }
        assert (tmp_path / "where").read_text() == "recovery\n"
        assert bench.ssh(RECOVERY, "cat /var/lib/switch/where") == "recovery\n"
        assert leads_to(control) == dict.fromkeys(range(4), "recovery")
        again = finished(control, switch(control, "recovery"), "recovery")
        assert {body["changed"] for _, body in again} == {False}
        finished(control, switch(control, "primary"), "primary")
        assert leads_to(control) == dict.fromkeys(range(4), "primary")
    assert there.files_with(SECRET) == []
    assert there.files_with(ZONE) != [], "the search finds what is there"
    answer = subprocess.run(
        ["grep", "-rlF", "--", SECRET, str(bench.folder / "var"), "/dev/shm"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.stdout.split("\n")[:-1] == [str(bench.folder / "var/lab/secrets/zone-key")]


def test_a_refused_update_fails_the_switch_with_the_servers_word(
    bench: Workbench, control: Control, names: NameServer
) -> None:
    with declare(bench, dns_way(names, key="stranger")):
        ended = switch(control, "recovery")
    assert ended.code != 0
    (failure,) = ended.failures
    assert failure["kind"] == "traffic_refused"
    assert "BADSIG" in failure["error"]
    assert f"www.{ZONE} at 127.0.0.1" in failure["error"]
    assert ended.files_with(SECRET) == []
    with declare(bench, dns_way(names)), pytest.raises(DrpError, match="no answer"):
        finish_switch(control.world(), SERVICE, "recovery", ended.messages, recorded([]), release=True)


def test_a_command_that_fails_hangs_or_lies_is_told(bench: Workbench, control: Control, tmp_path: Path) -> None:
    (tmp_path / "where").write_text("primary\n")
    for command, more, told in (
        ("[sh, -c, 'echo the line is down; exit 3']", "", "sh ended with 3: the line is down"),
        ("[sleep, '60']", "    timeout: 1s\n", "sleep did not end within 1 s and was ended"),
        ("['true']", "", "cat still says primary"),
        ("[no-such-program]", "", "no-such-program does not start"),
    ):
        way = f"  - type: command\n    to_recovery: {command}\n    to_primary: ['true']\n{more}"
        with declare(bench, f"{way}    state: [cat, {tmp_path}/where]\n"):
            ended = switch(control, "recovery")
            assert ended.code != 0
            assert told in ended.failures[-1]["error"], ended.failures


def test_what_a_file_declares_is_no_template(bench: Workbench, control: Control, tmp_path: Path) -> None:
    """Ansible would carry it out on the control node."""
    mark, where = tmp_path / "mark", tmp_path / "where"
    template = "{{ lookup('pipe', 'touch " + str(mark) + "') }}{% raw %}{# x"
    way = f"""  - type: command
    to_recovery: [sh, -c, 'printf "%s" "$1" >"$2"', sh, "{template}", {where}]
    to_primary: ['true']
"""
    with declare(bench, way):
        ended = switch(control, "recovery")
        finished(control, ended, "recovery")
    assert not mark.exists()
    assert where.read_text() == template
    assert literal({"a": ["x", template]}) == {"a": ["x", {"__ansible_unsafe": template}]}


def test_a_host_of_the_proxy_that_is_down_is_told(bench: Workbench, control: Control) -> None:
    with declare(bench, HAPROXY_WAY.replace("/run/haproxy.sock", "/run/no.sock")):
        ended = switch(control, "recovery")
    assert ended.code != 0
    assert "/run/no.sock: No such file or directory" in ended.failures[-1]["error"]
    assert ended.failures[-1]["kind"] == "haproxy"
