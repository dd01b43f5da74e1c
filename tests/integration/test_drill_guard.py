"""A drill's playbook that wants to reach a primary host does not: the primaries' packet counters stay at zero."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Self

import pytest

from drp.adapters import drill_guard
from drp.domain.recovery.guard import forbidden_addresses, touches
from drp.lab import city
from drp.ports import World
from drp.workflows.traffic import connection_variables
from tests.e2e.workbench import (
    ADDRESS,
    PRIMARY,
    PRIMARY_NAME,
    RECOVERY,
    RECOVERY_NAME,
    Workbench,
    eventually,
    lab_address,
)
from tests.integration.ansible_runs import Control, Ended

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.geteuid() != 0, reason="guarding needs root"),
    pytest.mark.skipif(shutil.which("nft", path="/usr/sbin:/sbin") is None, reason="nftables is not installed"),
]
IS_WATCHED = False

CONTROL_NODE = lab_address("0.1")
KEY = "var/lab/ssh/id_ed25519"
SSH = "ssh -F none -o BatchMode=yes -o ConnectTimeout=5 -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null"


@pytest.fixture(scope="module")
def control(bench: Workbench) -> Control:
    return Control(bench)


def in_primary(bench: Workbench, *argv: str) -> str:
    """A command in the primary host's network, from the machine below it: no packet is needed for that."""
    (host,) = (host for host in city.status(bench.folder).hosts if host.name == PRIMARY_NAME)
    whole = ["nsenter", f"--net=/proc/{host.pid}/ns/net", "--", *argv]
    return subprocess.run(whole, capture_output=True, text=True, check=True).stdout


class Counter:
    """Packets that arrive at the primary host from the control node."""

    def __init__(self, bench: Workbench) -> None:
        self.bench = bench

    def __enter__(self) -> Self:
        in_primary(self.bench, "iptables", "-I", "INPUT", "-s", CONTROL_NODE)
        return self

    def packets(self) -> int:
        lines = in_primary(self.bench, "iptables", "-nvxL", "INPUT").splitlines()
        return int(next(line for line in lines if CONTROL_NODE in line).split()[0])

    def __exit__(self, *_: object) -> None:
        in_primary(self.bench, "iptables", "-D", "INPUT", "-s", CONTROL_NODE)


def hostile(bench: Workbench) -> str:
    """All ways from the control node to a primary that a playbook has, and some out of the guard."""
    ssh = f"{SSH} -i '{bench.folder / KEY}' root@{PRIMARY} true"
    later = ssh.replace("'", '"')
    touch = f"exec 3<>/dev/tcp/{PRIMARY}/22"
    groups = "for file in /sys/fs/cgroup/cgroup.procs /sys/fs/cgroup/unified/cgroup.procs; do echo $$ >$file; done"
    tables = f"for table in $(nft list tables | grep -o {drill_guard.NAME}.*); do nft delete table inet $table; done"
    mounts = "for mount in /sys/fs/cgroup /sys/fs/cgroup/unified; do mount -o remount,bind,rw $mount; done"
    ways = {
        "a raw ssh": ssh,
        "a new session that stays": f"setsid sh -c 'sleep 2; {later}' >/dev/null 2>&1 </dev/null &",
        "another user": f"setpriv --reuid=65534 --regid=65534 --clear-groups bash -c '{touch}'",
        "a ping": f"ping -c 1 -W 1 {PRIMARY}",
        "users' address": f"bash -c 'exec 3<>/dev/tcp/{ADDRESS}/80'",
        "a datagram": f"bash -c 'echo >/dev/udp/{PRIMARY}/53'",
        "out of the group": f"sh -c '{groups}; exec bash -c \"{touch}\"'",
        "without the table": f"sh -c '{tables}; exec bash -c \"{touch}\"'",
        "another network": f"nsenter --target 1 --net bash -c '{touch}'",
        "the groups mounted anew": f"sh -c '{mounts}; {groups}; exec bash -c \"{touch}\"'",
    }
    tasks = "".join(
        f"    - name: {name}\n      ansible.builtin.debug:\n        msg: >-\n"
        f"          {{{{ lookup('ansible.builtin.pipe', way + ' 2>&1; true') }}}}\n"
        f"      vars:\n        way: >-\n          {command}\n"
        for name, command in ways.items()
    )
    return f"""- hosts: {RECOVERY_NAME}
  gather_facts: false
  tasks:
    - name: what a drill may do
      ansible.builtin.ping:
    - name: delegated
      ansible.builtin.ping:
      delegate_to: {PRIMARY_NAME}
      ignore_unreachable: true
    - name: a url
      ansible.builtin.debug: {{msg: "{{{{ lookup('ansible.builtin.url', 'http://{PRIMARY}/', errors='ignore') }}}}"}}
{tasks}"""


def run_hostile(bench: Workbench, control: Control, kept_from: Callable[[World], list[str]]) -> Ended:
    path = bench.folder / "playbooks/hostile.yml"
    path.write_text(hostile(bench))
    try:
        return control.carry_out(
            lambda world, folder: world.actions.start_playbook(
                folder, "hostile", [RECOVERY_NAME], {}, {}, "", kept_from=kept_from(world), must_be_kept=True
            )
        )
    finally:
        path.unlink()


def primaries(world: World) -> list[str]:
    return forbidden_addresses(world.city, lambda _name: [])


def at_work(words: str) -> bool:
    return subprocess.run(["pgrep", "-f", words], capture_output=True, check=False).returncode == 0


def leftovers(bench: Workbench) -> list[str]:
    """Tables and groups of this workspace; other tests' drills have theirs on this machine at the same time."""
    own = drill_guard.NAME + hashlib.sha256(str(bench.folder).encode()).hexdigest()[:10]
    tables = subprocess.run(["nft", "list", "tables"], capture_output=True, text=True, check=True).stdout
    groups = [f"{folder}/{name}" for folder, names, _ in os.walk("/sys/fs/cgroup") for name in names if own in name]
    return re.findall(rf"{own}\S*", tables) + groups


def nothing_is_left(bench: Workbench) -> bool:
    drill_guard.remove_left()
    return leftovers(bench) == []


def test_whatever_a_playbook_tries_the_primaries_hear_nothing(bench: Workbench, control: Control) -> None:
    with bench.quiet(), Counter(bench) as counter:
        time_of_quiet = counter.packets()
        ended = run_hostile(bench, control, primaries)
        # What the playbook left in the background tries a while after its end.
        eventually(lambda: not at_work(f"root@{PRIMARY}"), "what it left in the background has ended")
        assert counter.packets() == time_of_quiet == 0
        assert ended.code == 0, ended.failures
        told = {message["event"]: message for message in ended.messages if message["event"].startswith("guard")}
        assert told["guard"]["in_force"]
        assert set(told["guard.ended"]["refused"]) == {PRIMARY, ADDRESS}
        outcomes = {message["task"]: message["outcome"] for message in ended.messages if message["event"] == "task"}
        assert outcomes["what a drill may do"] == "ok"
        assert outcomes["delegated"] == "unreachable"
        assert (ended.folder / "stdout").read_text().count("No route to host") >= 6

        # The same without the guard: the counters do count, and the ways are ways.
        free = run_hostile(bench, control, lambda _world: [])
        assert free.code == 0, free.failures
        assert counter.packets() > 50
        eventually(lambda: not at_work(f"root@{PRIMARY}"), "what it left in the background has ended")
    eventually(lambda: nothing_is_left(bench), "its group and its table are gone")


def test_a_playbook_that_fails_under_guard_is_run_once(bench: Workbench, control: Control, tmp_path: Path) -> None:
    path, mark = bench.folder / "playbooks/failing.yml", tmp_path / "runs"
    path.write_text(f"""- hosts: {RECOVERY_NAME}
  gather_facts: false
  tasks:
    - ansible.builtin.debug: {{msg: "{{{{ lookup('ansible.builtin.pipe', 'echo run >>{mark}') }}}}"}}
    - ansible.builtin.fail: {{msg: on purpose}}
""")
    ended = control.carry_out(
        lambda world, folder: world.actions.start_playbook(
            folder, "failing", [RECOVERY_NAME], {}, {}, "", kept_from=primaries(world)
        )
    )
    path.unlink()
    assert ended.code == 2
    assert mark.read_text() == "run\n"
    assert [message["error"] for message in ended.failures] == ["on purpose"]
    assert ended.messages[-1] == {"event": "guard.ended", "refused": {}}


def test_a_killed_drill_leaves_its_children_under_guard(bench: Workbench, control: Control, tmp_path: Path) -> None:
    mark = tmp_path / "tried"
    text = f"""- hosts: {RECOVERY_NAME}
  gather_facts: false
  tasks:
    - ansible.builtin.debug:
        msg: "{{{{ lookup('ansible.builtin.pipe', way) }}}}"
      vars:
        way: "touch {mark}; sleep 3; bash -c 'exec 3<>/dev/tcp/{PRIMARY}/22'; echo $? >{mark}.code"
"""
    path = bench.folder / "playbooks/slow.yml"
    path.write_text(text)
    world = control.world()
    folder = bench.folder / "var/runs/test/killed"
    with bench.quiet(), Counter(bench) as counter:
        world.actions.start_playbook(
            folder, "slow", [RECOVERY_NAME], {}, {}, "", kept_from=primaries(world), must_be_kept=True
        )
        eventually(mark.exists, "the playbook is at work")
        assert leftovers(bench) != [], "it is under guard"
        supervisor, worker = (int(word) for word in (folder / "pid").read_text().split())
        for pid in (supervisor, worker):
            os.kill(pid, 9)
        eventually(Path(f"{mark}.code").exists, "the orphan has tried")
        assert Path(f"{mark}.code").read_text() != "0\n"
        assert counter.packets() == 0
    path.unlink()
    world.actions.stop(folder)
    world.actions.close_connections()
    eventually(lambda: nothing_is_left(bench), "the orphans have ended, and nothing is left")


def test_where_nothing_can_be_guarded_nothing_runs_that_must_be(bench: Workbench, control: Control) -> None:
    refused = run_hostile(bench, control, lambda _world: ["no address"])
    assert refused.code == 1
    assert refused.messages[0] == {"event": "guard", "in_force": False, "reason": "'no address' is no address"}
    assert refused.messages[1]["kind"] == "guard"
    assert not [message for message in refused.messages if message["event"] == "task"]


def test_what_drp_itself_tells_a_drill_touches_no_primary(control: Control) -> None:
    world = control.world()
    variables = connection_variables(world, [RECOVERY_NAME])
    assert touches(variables, [RECOVERY_NAME], world.city.hosts, lambda _name: []) == []
    assert set(primaries(world)) >= {PRIMARY, ADDRESS}
    assert RECOVERY not in primaries(world)
