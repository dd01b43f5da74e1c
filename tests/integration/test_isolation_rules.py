"""The rules that isolate a host, with the kernel's own packet filter: by nft, and by iptables where there is no nft.

Each case has a network of its own: `here` is the isolated host, `there` is the line that production, the DR centre and
the rest of the world are on, and `box` is a container on the host.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.host_driver import HOST_PROGRAM

SYSTEM_PATH = "/usr/sbin:/sbin:/usr/bin:/bin"
pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.geteuid() != 0, reason="networks of its own need root"),
    pytest.mark.skipif(shutil.which("nft", path=SYSTEM_PATH) is None, reason="nftables is not installed"),
    pytest.mark.skipif(shutil.which("iptables", path=SYSTEM_PATH) is None, reason="iptables is not installed"),
]

SCRIPT = r"""
import json, os, shutil, socket, subprocess, sys, threading
sys.path.insert(0, sys.argv[1])
folder, tool = sys.argv[2:]
from drp_traffic import isolation
for name in ("STATE", "RULES", "LOCK", "HOSTS", "UNIT", "WANTED"):
    setattr(isolation, name, os.path.join(folder, name.lower()))
open(isolation.HOSTS, "w").write("127.0.0.1 localhost\n10.9.0.7 db-1\n")
if tool == "iptables":
    for name in ("iptables", "iptables-restore", "iptables-save", "ip6tables", "ip6tables-restore", "ip6tables-save"):
        os.symlink(shutil.which(name, path="/usr/sbin:/sbin"), os.path.join(folder, name))
    isolation.SYSTEM_PATH = folder

def sh(text):
    subprocess.run(["sh", "-ec", text], check=True)

def in_namespace(pid):
    number = os.open("/proc/%d/ns/net" % pid, os.O_RDONLY)
    libc = __import__("ctypes").CDLL(None, use_errno=True)
    assert libc.setns(number, 0) == 0

def namespace():
    process = subprocess.Popen(["unshare", "--net", "sh", "-c", "echo; exec sleep 600"], stdout=subprocess.PIPE)
    process.stdout.readline()
    return process

there, box = namespace(), namespace()
try:
    sh("ip link set lo up; ip link add line type veth peer name line netns %d; ip link set line up" % there.pid)
    sh("ip address add 10.9.0.1/24 dev line; ip -6 address add fd09::1/64 dev line nodad")
    sh("ip link add veth-box type veth peer name eth0 netns %d; ip link set veth-box up" % box.pid)
    sh("ip address add 10.8.0.1/24 dev veth-box; echo 1 >/proc/sys/net/ipv4/ip_forward")
    outside = "nsenter --net=/proc/%d/ns/net " % there.pid
    sh(outside + "sh -ec 'ip link set line up; ip link set lo up'")
    for last in (2, 6, 7, 8, 53, 99):
        sh(outside + "ip address add 10.9.0.%d/24 dev line" % last)
    sh(outside + "ip route replace 10.8.0.0/24 via 10.9.0.1")
    for last in (2, 7):
        sh(outside + "ip -6 address add fd09::%d/64 dev line nodad" % last)
    sh("nsenter --net=/proc/%d/ns/net sh -ec 'ip link set lo up; ip link set eth0 up;"
       " ip address add 10.8.0.2/24 dev eth0; ip route add default via 10.8.0.1'" % box.pid)

    def listen(pid, port, family=socket.AF_INET):
        # A thread may enter another network: its sockets stay there.
        def serve():
            in_namespace(pid)
            server = socket.socket(family, socket.SOCK_STREAM)
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            server.bind(("", port))
            server.listen(50)
            ready.set()
            while True:
                client = server.accept()[0]
                client.sendall(b"%d" % pid)
                client.close()
        ready = threading.Event()
        threading.Thread(target=serve, daemon=True).start()
        assert ready.wait(120)

    PORTS = (22, 25, 53, 80, 5432, 9000)
    for port in PORTS:
        listen(there.pid, port)
        listen(os.getpid(), port)
    listen(there.pid, 5432, socket.AF_INET6)
    NAMES = {there.pid: "there", os.getpid(): "here", box.pid: "box"}

    def attempt(address, port, pid=0):
        found = []
        def go():
            if pid:
                in_namespace(pid)
            with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as client:
                client.settimeout(30)
                try:
                    client.connect((address, port))
                    found.append(NAMES[int(client.recv(20))])
                except OSError as error:
                    found.append(type(error).__name__)
        thread = threading.Thread(target=go)
        thread.start()
        thread.join()
        return found[0]

    def all_attempts():
        return {
            "loopback": attempt("127.0.0.1", 80),
            "itself": attempt("10.9.0.1", 80),
            "peer": attempt("10.9.0.2", 5432),
            "mail at a peer": attempt("10.9.0.2", 25),
            "DR centre": attempt("10.9.0.8", 9000),
            "DR centre, another port": attempt("10.9.0.8", 5432),
            "production": attempt("10.9.0.7", 5432),
            "copied production": attempt("10.9.0.6", 5432),
            "ssh of copied production": attempt("10.9.0.6", 22),
            "allowed name server": attempt("10.9.0.53", 53),
            "allowed host, another port": attempt("10.9.0.53", 80),
            "mail": attempt("10.9.0.99", 25),
            "anything": attempt("10.9.0.99", 80),
            "peer by IPv6": attempt("fd09::2", 5432),
            "production by IPv6": attempt("fd09::7", 5432),
            "who comes in": attempt("10.9.0.1", 80, there.pid),
            "a container to production": attempt("10.9.0.7", 5432, box.pid),
            "a container to a peer": attempt("10.9.0.2", 5432, box.pid),
        }

    job = {
        "verb": "begin", "run": "drill-1", "host": "here", "by": "siti", "accepted": False, "ssh_port": 22,
        "peers": ["10.9.0.1", "10.9.0.2", "fd09::1", "fd09::2"],
        "endpoints": [{"name": "", "addresses": ["10.9.0.8"], "port": 9000}],
        "allowed": [{"network": "10.9.0.53/32", "ports": [53]}],
        "production": ["10.9.0.6", "10.9.0.7", "fd09::7"], "redirects": {"10.9.0.6": "10.9.0.1"},
        "names": {"db-1": "10.9.0.1"}, "trials": [["192.0.2.1", 22], ["10.9.0.7", 22]], "units": [],
    }
    told = {"before": all_attempts(), "begun": isolation.carry_out(job), "meanwhile": all_attempts()}
    told["again"] = isolation.carry_out(job)
    if tool == "nft":
        sh("nft delete table inet drp-isolation-drill-1")
        told["after a restart"] = isolation.carry_out(job)
        told["meanwhile"] = all_attempts()
    told["hosts"] = open(isolation.HOSTS).read()
    told["other"] = isolation.carry_out(dict(job, run="drill-2"))["ended"]
    told["not its own"] = isolation.carry_out({"verb": "end", "run": "drill-1", "host": "here", "force": False})
    all_attempts()
    told["ended"] = isolation.carry_out({"verb": "end", "run": "", "host": "here", "force": False})
    told["after"] = all_attempts()
    isolation.SYSTEM_PATH = "/nowhere"
    told["accepted"] = isolation.carry_out(dict(job, accepted=True))
    try:
        isolation.carry_out(job)
    except isolation.Trouble as trouble:
        told["not accepted"] = [trouble.kind, trouble.text]
    told["left"] = sorted(set(os.listdir(folder)) - {"lock", "hosts"} - set(os.listdir(folder)) & {
        name for name in os.listdir(folder) if name.startswith("ip")})
    told["rules"] = subprocess.run(["nft", "list", "ruleset"], capture_output=True, text=True, check=True).stdout
    told["hosts after"] = open(isolation.HOSTS).read()
    print(json.dumps(told))
finally:
    there.kill(); box.kill()
    there.wait(); box.wait()
    sys.stdout.flush()
    os._exit(0)
"""


@pytest.mark.parametrize("tool", ["nft", "iptables"])
def test_what_gets_out_of_an_isolated_host(tmp_path: Path, tool: str) -> None:
    argv = ["unshare", "--net", sys.executable, "-c", SCRIPT, str(HOST_PROGRAM.parent), str(tmp_path), tool]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=550, check=False)
    assert done.stdout, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    free, kept = told["before"], told["meanwhile"]
    assert {*free.values()} == {"here", "there"}, "there are ways"
    refused = "ConnectionRefusedError"
    assert kept == {
        "loopback": "here",
        "itself": "here",
        "peer": "there",
        "mail at a peer": "there",
        "DR centre": "there",
        "DR centre, another port": refused,
        "production": refused,
        "copied production": "here",
        "ssh of copied production": refused,
        "allowed name server": "there",
        "allowed host, another port": refused,
        "mail": refused,
        "anything": refused,
        "peer by IPv6": "there",
        "production by IPv6": refused,
        "who comes in": "here",
        "a container to production": refused,
        "a container to a peer": "there",
    }
    assert (told["begun"]["in_force"], told["begun"]["tool"]) == (True, tool)
    assert told["begun"]["proof"] == "tried 10.9.0.7:22: refused, and counted"
    assert (told["again"]["is_new"], told["again"]["was_gone"]) == (False, False)
    assert "10.9.0.1 db-1" in told["hosts"]
    # Another drill begins: what an older one has left is ended, and what it was refused is told. The trial is not.
    counted = {(address, port): count for address, _, port, count in told["other"]["refused"]}
    if tool == "nft":
        assert (told["after a restart"]["was_gone"], told["after a restart"]["in_force"]) == (True, True)
        assert counted == {
            ("10.9.0.8", 5432): 1,
            ("10.9.0.7", 5432): 2,
            ("10.9.0.6", 22): 1,
            ("10.9.0.53", 80): 1,
            ("10.9.0.99", 25): 1,
            ("10.9.0.99", 80): 1,
            ("fd09::7", 5432): 1,
        }
        assert told["other"]["led"] == {"10.9.0.6": 1}
    else:
        assert counted["anywhere", 25] == 1
        assert counted["10.9.0.6", 0] == 1
        assert counted["fd09::7", 0] == 1
    assert told["not its own"]["was_there"] is False
    assert told["ended"]["run"] == "drill-2"
    assert told["after"] == free
    # A host that has neither tool: nobody is isolated, which somebody accepts, or the stage fails.
    why = "the host has neither nft nor iptables (Debian: apt-get install nftables)"
    assert (told["accepted"]["in_force"], told["accepted"]["reason"]) == (False, why)
    assert told["not accepted"] == ["isolation", why]
    assert told["left"] == []
    assert not [line for line in told["rules"].splitlines() if "drp" in line.lower()]
    assert told["hosts after"] == "127.0.0.1 localhost\n10.9.0.7 db-1\n"
