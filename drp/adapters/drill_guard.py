"""Keeps what a drill starts on the control node from the primaries' addresses, whatever it tries.

    a control group of its own (cgroup 2): every process that a playbook starts is in it, and stays in it
    a table of nftables: packets of sockets of that group to these addresses are refused, and counted

Needs root, cgroup 2 and nftables (`nft`); tried each time, with an address of this machine, before anything is started.
It holds against mistakes and against tools that go where they should not: delegate_to, lookups, a raw ssh. A program
that is root here and means to leave could still ask another one to do its work, as cron or systemd; programs of the
playbook are started without the rights to change the table, the group or the network.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

NAME = "drp-drill-"
NFT_ROOT = Path("/sys/fs/cgroup")
"""nft finds the groups that its rules name below this folder, wherever cgroup 2 is mounted."""
TRIAL_ADDRESS = "127.61.68.80"
"""Of this machine: a packet to it goes nowhere, even where the rules do not work."""
SYSTEM_PATH = "/usr/sbin:/sbin:/usr/bin:/bin"
LIMIT_SECONDS = 20
TRIAL_SECONDS = 2
RETRY_SECONDS = 0.05

_PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS = 24, 38
_CLONE_NEWNS = 0x20000
_MS_RDONLY, _MS_REMOUNT, _MS_BIND, _MS_REC, _MS_PRIVATE = 0x1, 0x20, 0x1000, 0x4000, 0x40000
_DROPPED = {
    "NET_ADMIN": 12,  # change the table
    "NET_RAW": 13,  # packet sockets pass by the table
    "SYS_MODULE": 16,
    "SYS_RAWIO": 17,
    "SYS_PTRACE": 19,  # become another process
    "SYS_ADMIN": 21,  # enter another network, mount the groups anew
    "MKNOD": 27,
    "PERFMON": 38,
    "BPF": 39,
}


class NotInForceError(Exception):
    """The primaries' addresses cannot be kept from a playbook here; the reason."""


@dataclass(frozen=True)
class Guard:
    """One playbook's group and table."""

    name: str
    group: Path
    mounted_at: Path

    def enter(self, trial_port: int) -> None:
        """Put this process under guard, and make sure that it holds. It cannot leave again."""
        (self.group / "cgroup.procs").write_text(str(os.getpid()))
        with socket.socket() as trial:
            trial.settimeout(TRIAL_SECONDS)
            if trial.connect_ex((TRIAL_ADDRESS, trial_port)) == 0:
                raise NotInForceError("the kernel does not apply the rules to this group")
        library = ctypes.CDLL(None, use_errno=True)
        _must(library.unshare(_CLONE_NEWNS))
        _must(library.mount(b"none", b"/", None, _MS_REC | _MS_PRIVATE, None))
        groups = str(self.mounted_at).encode()
        _must(library.mount(groups, groups, None, _MS_BIND, None))
        _must(library.mount(b"none", groups, None, _MS_REMOUNT | _MS_BIND | _MS_RDONLY, None))
        for number in _DROPPED.values():
            # An older kernel may not know the newest ones.
            library.prctl(_PR_CAPBSET_DROP, number, 0, 0, 0)
        _must(library.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))

    def remove(self) -> None:
        """Take the group and the table away, unless something of the playbook still runs."""
        _remove(self.group)

    def refused(self) -> dict[str, int]:
        """How many packets to each address were refused so far."""
        listing = json.loads(_nft("-j", "list", "table", "inet", self.name) or "{}")
        found = {}
        for item in listing.get("nftables", []):
            for entry in item.get("set", {}).get("elem", []):
                address, packets = entry["elem"]["val"], entry["elem"]["counter"]["packets"]
                if packets and address != TRIAL_ADDRESS:
                    found[address] = packets
        return found


def set_up(folder: Path, addresses: Sequence[str], tag: str = "") -> Guard:
    """Make the group and the table of an action; `tag` is its workspace's. NotInForceError where it is impossible."""
    if os.geteuid() != 0:
        raise NotInForceError("drp does not run as root")
    if shutil.which("nft", path=SYSTEM_PATH) is None:
        raise NotInForceError("nft is not installed (Debian: apt-get install nftables)")
    mounted_at, own = own_group()
    remove_left()
    # With its owner's number: what a living one is setting up, or counts at its end, nobody else may take away.
    name = f"{NAME}{tag}{hashlib.sha256(str(folder).encode()).hexdigest()[:12]}-{os.getpid()}"
    group = own / name
    try:
        group.mkdir(exist_ok=True)
    except OSError as error:
        raise NotInForceError(f"{group}: {error.strerror}") from error
    try:
        level = len(group.relative_to(mounted_at).parts)
        _nft("-f", "-", text=_table(name, level, os.path.relpath(group, NFT_ROOT), addresses))
    except NotInForceError:
        group.rmdir()
        raise
    return Guard(name, group, mounted_at)


def remove_left(tag: str = "", wait_seconds: float = 0) -> None:
    """Remove groups of drills in which nothing runs any more and whose owners are gone, and their tables; wait so long
    for what is just ending. With a `tag`, only those of that workspace."""
    try:
        _, own = own_group()
    except NotInForceError:
        return
    limit = time.monotonic() + wait_seconds
    while _still_left(own, tag) and time.monotonic() < limit:
        time.sleep(RETRY_SECONDS)


def _still_left(own: Path, tag: str) -> bool:
    """Remove what can be removed; whether something is left in which a process still runs."""
    is_left = False
    for group in own.glob(f"{NAME}{tag}*"):
        owner = group.name.rpartition("-")[2]
        if owner.isdecimal() and Path("/proc", owner).is_dir():
            continue
        _remove(group)
        is_left = is_left or group.is_dir()
    return is_left


def _remove(group: Path) -> None:
    # Only an empty group can be removed. Whatever still runs in one stays under its rules.
    with suppress(OSError):
        group.rmdir()
        with suppress(NotInForceError):
            _nft("delete", "table", "inet", group.name)


def own_group() -> tuple[Path, Path]:
    """Where cgroup 2 is mounted, and this process's own group there (not that of a drill it may be in)."""
    mounts = [line.split() for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()]
    points = [words[4] for words in mounts if words[words.index("-") + 1] == "cgroup2"]
    lines = Path("/proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    own = next((line.removeprefix("0::") for line in lines if line.startswith("0::")), None)
    if not points or own is None:
        raise NotInForceError("this machine has no cgroup 2")
    group = Path(points[0]) / own.strip("/")
    if not group.is_dir():
        raise NotInForceError(f"its own control group is not visible at {group}")
    return Path(points[0]), group


def _table(name: str, level: int, path: str, addresses: Sequence[str]) -> str:
    families: dict[int, list[str]] = {4: [TRIAL_ADDRESS], 6: []}
    for address in addresses:
        try:
            found = ip_address(address)
        except ValueError:
            raise NotInForceError(f"{address!r} is no address") from None
        families[found.version].append(str(found))
    sets = {
        version: f"elements = {{ {', '.join(sorted(set(found)))} }}" for version, found in families.items() if found
    }
    own = f'socket cgroupv2 level {level} "{path}"'
    return f"""
table inet {name}
delete table inet {name}
table inet {name} {{
    set primaries4 {{ type ipv4_addr; counter; {sets.get(4, "")} }}
    set primaries6 {{ type ipv6_addr; counter; {sets.get(6, "")} }}
    chain output {{
        type filter hook output priority -150; policy accept;
        {own} ip daddr @primaries4 reject with icmp admin-prohibited
        {own} ip6 daddr @primaries6 reject with icmpv6 admin-prohibited
    }}
}}
"""


def _nft(*arguments: str, text: str = "") -> str:
    try:
        done = subprocess.run(
            ["nft", *arguments],
            input=text,
            capture_output=True,
            text=True,
            env={"PATH": SYSTEM_PATH, "LC_ALL": "C"},
            timeout=LIMIT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotInForceError(f"nft: {error}") from error
    if done.returncode:
        raise NotInForceError(f"nft refused: {done.stderr.strip().splitlines()[0] if done.stderr.strip() else '?'}")
    return done.stdout


def _must(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise NotInForceError(os.strerror(number))


def listen_for_trial() -> socket.socket:
    """A listener of this machine that a process under guard must not reach."""
    listener = socket.socket()
    listener.bind((TRIAL_ADDRESS, 0))
    listener.listen(1)
    return listener
