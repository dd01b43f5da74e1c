"""Keeps a drill's copies on this host away from production, until the drill has ended; see `isolation_rules`.

    STATE    which run isolates the host, what it has started here, and how the isolation was proved
    a table of nftables, or chains of iptables where the host has no nft
    /etc/hosts   names of production lead to the drill's copies; see `isolation_names`
    UNIT     under systemd: the table again after a restart, before there is a network

Begun again in the same run it changes nothing that is in force. Whoever ends it stops what the drill has started here
first: a copy must not be left that production can be reached from.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import shutil
import socket
import tempfile

from .isolation_names import with_names, without_names
from .isolation_rules import iptables_counts, iptables_rules, nft_counts, nft_table
from .process import Trouble, of_system, run
from .service_manager import manager_of

STATE = "/var/lib/drp/isolation/state.json"
RULES = "/var/lib/drp/isolation/rules.nft"
LOCK = "/run/drp-isolation.lock"
HOSTS = "/etc/hosts"
UNIT = "/etc/systemd/system/drp-isolation.service"
WANTED = "/etc/systemd/system/sysinit.target.wants/drp-isolation.service"
UNIT_TEXT = """# Written by drp: a drill of this host has not ended; see {state}
[Unit]
Description=Keep the copies of drp's drill {run} away from production
DefaultDependencies=no
Wants=network-pre.target
Before=network-pre.target
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart={nft} -f {rules}
"""
NAME = "drp-isolation-"
TRIAL_SECONDS = 3
SYSTEM_PATH = "/usr/sbin:/sbin:/usr/bin:/bin"


def carry_out(job):
    """What became of the isolation: {host, in_force, …} of `begin`, {host, was_there, …} of `end`."""
    try:
        with locked():
            return (begin if job["verb"] == "begin" else end)(job)
    except OSError as error:
        raise of_system(error, "isolation")


@contextlib.contextmanager
def locked():
    """One at a time: the stages of several services come to a host at once."""
    with open(LOCK, "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def begin(job):
    """Isolate the host for a run. Trouble where that is impossible, unless somebody has `accepted` that."""
    state = read_state()
    told = {"host": job["host"], "run": job["run"], "ended": None, "is_new": True, "was_gone": False}
    if state is not None and state["run"] != job["run"]:
        told["ended"] = end({"run": "", "host": job["host"], "force": False})
        state = None
    if state is not None and state.get("proof"):
        if is_there(state):
            return dict(told, in_force=True, is_new=False, tool=state["tool"], proof=state["proof"], reason="")
        told["was_gone"] = True
    try:
        return dict(told, **set_up(job))
    except Trouble as trouble:
        with contextlib.suppress(Trouble, OSError):
            take_away(read_state() or {"run": job["run"], "tool": ""})
        if not job["accepted"]:
            raise
        return dict(told, in_force=False, tool="", proof="", reason=trouble.text)


def set_up(job):
    job = dict(job, endpoints=[dict(item, addresses=found_here(item, job)) for item in job["endpoints"]])
    tool = tool_here()
    names = dict(job["names"])
    for item in job["endpoints"]:
        if item["name"] and item["addresses"]:
            names[item["name"]] = item["addresses"][0]  # its name server may be out of reach now
    state = {"run": job["run"], "tool": tool, "units": job["units"], "by": job["by"], "proof": "", "trial": []}
    write(STATE, json.dumps(state, indent=1) + "\n")
    apply_rules(job, tool)
    with open(HOSTS, encoding="utf-8", errors="surrogateescape") as file:
        replace_hosts(with_names(file.read(), job["run"], names))
    state["proof"], state["trial"] = prove(job, state)
    write(STATE, json.dumps(state, indent=1) + "\n")
    return {"in_force": True, "tool": tool, "proof": state["proof"], "reason": "", "names": names}


def found_here(item, job):
    """The addresses of an endpoint as this host knows it and as drp does; never production's."""
    known = set(item["addresses"])
    with contextlib.suppress(OSError):
        known |= {str(found[4][0]).partition("%")[0] for found in socket.getaddrinfo(item["name"], None)}
    return sorted(known - set(job["production"]))


def tool_here():
    for tool in ("nft", "iptables-restore"):
        if shutil.which(tool, path=SYSTEM_PATH):
            return "nft" if tool == "nft" else "iptables"
    raise Trouble("isolation", "the host has neither nft nor iptables (Debian: apt-get install nftables)")


def apply_rules(job, tool):
    if tool == "nft":
        write(RULES, nft_table(NAME + job["run"], job))
        run(["nft", "-f", RULES])
        if os.path.isdir("/run/systemd/system"):
            nft = shutil.which("nft", path=SYSTEM_PATH)
            write(UNIT, UNIT_TEXT.format(state=STATE, run=job["run"], rules=RULES, nft=nft), 0o644)
            os.makedirs(os.path.dirname(WANTED), exist_ok=True)
            if not os.path.lexists(WANTED):
                os.symlink(UNIT, WANTED)
        return
    remove_chains()
    for version, word in ((4, "iptables"), (6, "ip6tables")):
        if version == 6 and not os.path.isdir("/proc/sys/net/ipv6"):
            continue
        for text in iptables_rules(job, version):
            with tempfile.NamedTemporaryFile("w", suffix=".rules") as file:
                file.write(text)
                file.flush()
                run([word + "-restore", "--noflush", file.name])


def prove(job, state):
    """Try to reach production: refused, and counted. Gives how, in words, and what the trial has added to counts."""
    for address, port in job["trials"]:
        before = count_of(state, address)
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as trial:
            trial.settimeout(TRIAL_SECONDS)
            result = trial.connect_ex((address, port))
        if result in (errno.ENETUNREACH, errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
            continue  # no route: the packet never came to the rules
        counted = count_of(state, address) - before
        if result == 0 or counted < 1:
            raise Trouble("isolation", "the host's kernel does not apply the rules: %s:%d was tried" % (address, port))
        return "tried %s:%d: refused, and counted" % (address, port), [address, port, counted]
    return "no route leads from here to production; the rules were read back", []


def count_of(state, address):
    return sum(item[3] for item in counts(state)[0] if item[0] == address)


def counts(state):
    """(refused, led) so far; Trouble where the rules are gone."""
    if state["tool"] == "nft":
        return nft_counts(json.loads(run(["nft", "-j", "list", "table", "inet", NAME + state["run"]])[1] or "{}"))
    refused, led = [], {}
    for word in ("iptables", "ip6tables"):
        if word == "ip6tables" and not os.path.isdir("/proc/sys/net/ipv6"):
            continue
        for table, chain in (("filter", "DRP-JUDGE"), ("nat", "DRP-LEAD")):
            found = iptables_counts(run([word, "-t", table, "-nvxL", chain])[1])
            refused += found[0]
            led.update(found[1])
    return refused, led


def is_there(state):
    try:
        counts(state)
    except Trouble:
        return False
    return True


def end(job):
    """Stop what the drill has started here, and take its isolation away; of any drill where no `run` is named. With
    `force`, a copy that cannot be stopped keeps nobody from that: a failover starts the same units anew."""
    state = read_state()
    if state is None or (job["run"] and state["run"] != job["run"]):
        return {"host": job["host"], "was_there": False}
    try:
        refused, led = counts(state)
        was_gone = False
    except Trouble:
        refused, led, was_gone = [], {}, True
    for item in refused:
        # iptables does not count by port.
        if state["trial"] and item[:2] == [state["trial"][0], "tcp"] and item[2] in (state["trial"][1], 0):
            item[3] -= state["trial"][2]
    stopped, running = stop_units(state["units"])
    if running and not job["force"]:
        raise Trouble("isolation_kept", "; ".join(running))
    take_away(state)
    return {
        "host": job["host"],
        "run": state["run"],
        "was_there": True,
        "was_gone": was_gone,
        "refused": [item for item in refused if item[3] > 0],
        "led": {address: count for address, count in led.items() if count},
        "stopped": stopped,
        "running": running,
    }


def stop_units(units):
    """(stopped, why others still run)"""
    manager = manager_of("systemd" if os.path.isdir("/run/systemd/system") else "")
    stopped, running = [], []
    for unit in reversed(units):
        if manager is None or not manager.is_known(unit):
            continue
        try:
            manager.stop(unit)
            stopped.append(unit)
        except Trouble as trouble:
            running.append("%s could not be stopped: %s" % (unit, trouble.text))
    return stopped, running


def take_away(state):
    if state["tool"] == "nft":
        run(["nft", "delete", "table", "inet", NAME + state["run"]], check=False)
    elif state["tool"]:
        remove_chains()
    for path in (WANTED, UNIT, RULES):
        with contextlib.suppress(FileNotFoundError):
            os.remove(path)
    with open(HOSTS, encoding="utf-8", errors="surrogateescape") as file:
        text = file.read()
    if without_names(text) != text:
        replace_hosts(without_names(text))
    with contextlib.suppress(FileNotFoundError):
        os.remove(STATE)


def remove_chains():
    for word in ("iptables", "ip6tables"):
        if not shutil.which(word, path=SYSTEM_PATH):
            continue
        for table in ("filter", "nat"):
            listing = run([word + "-save", "-t", table], check=False)[1].splitlines()
            own = [line for line in listing if line.startswith("-A") and "DRP-" in line.split(" -j ")[-1]]
            for line in own:
                if not line.startswith("-A DRP-"):
                    run([word, "-t", table, "-D", *line.split()[1:]], check=False)
            chains = [line[1:].split()[0] for line in listing if line.startswith(":DRP-")]
            for option in ("-F", "-X"):
                for chain in chains:
                    run([word, "-t", table, option, chain], check=False)


def read_state():
    try:
        with open(STATE, encoding="utf-8") as file:
            return json.load(file)
    except FileNotFoundError:
        return None
    except ValueError:
        raise Trouble(
            "isolation", "%s is damaged; look what isolates the host (nft list tables), and remove it" % STATE
        )


def write(path, text, mode=0o600):
    os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
    with open(path + ".new", "w", encoding="utf-8") as file:
        os.fchmod(file.fileno(), mode)
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(path + ".new", path)


def replace_hosts(text):
    """Put another content into /etc/hosts, whole or not at all; in place where it is a mount of its own."""
    new = HOSTS + ".drp"
    with open(new, "w", encoding="utf-8", errors="surrogateescape") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    shutil.copystat(HOSTS, new)
    there = os.stat(HOSTS)
    os.chown(new, there.st_uid, there.st_gid)
    try:
        os.replace(new, HOSTS)
    except OSError:
        os.remove(new)
        with open(HOSTS, "w", encoding="utf-8", errors="surrogateescape") as file:
            file.write(text)
