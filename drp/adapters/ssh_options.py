"""How drp calls the OpenSSH client: with pinned host keys and one key file, and with nothing else that a user's or a
system's settings, an agent or a prompt could bring in. It is read by workers of which many run at once, so it imports
next to nothing."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

CONNECT_LIMIT_SECONDS = 15
ALIVE_INTERVAL_SECONDS = 10
ALIVE_TRIES = 3

Hop = Mapping[str, Any]
"""A host as its model dumps it: name, address, port, user."""


def pinned(known_hosts: str) -> list[str]:
    """Only host keys of this file are known."""
    return [
        *("-o", f"UserKnownHostsFile={ssh_path(known_hosts)}", "-o", "GlobalKnownHostsFile=/dev/null"),
        *("-o", "StrictHostKeyChecking=yes", "-o", "UpdateHostKeys=no", "-o", "CheckHostIP=no"),
        *("-o", f"ConnectTimeout={CONNECT_LIMIT_SECONDS}", "-o", f"ServerAliveInterval={ALIVE_INTERVAL_SECONDS}"),
        *("-o", f"ServerAliveCountMax={ALIVE_TRIES}"),
    ]


def ssh_argv(hop: Hop, private_key: str, known_hosts: str, *, log: str = "", proxy: str = "") -> list[str]:
    """The client up to where the command follows. What it says of itself goes to the file `log`, apart from what the
    other side says; it connects through `proxy`, a command in a shell's words."""
    return [
        *("ssh", "-F", "none", "-a", "-x", "-T", *(("-E", log) if log else ())),
        *("-o", "BatchMode=yes", "-o", "PreferredAuthentications=publickey"),
        *("-o", f"IdentityFile={ssh_path(private_key)}", "-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none"),
        *("-o", "ControlPath=none", "-o", "ClearAllForwardings=yes", "-o", "EscapeChar=none"),
        *pinned(known_hosts),
        *(("-o", "ProxyCommand=" + proxy.replace("%", "%%")) if proxy else ()),
        *("-l", hop["user"], "-p", str(hop["port"])),
    ]


def proxy_through(
    jumps: Sequence[Hop], target: Hop, private_key: str, known_hosts: str, *, logs: Sequence[str] = ()
) -> str:
    """A command, in a shell's words, whose standard streams are a connection to the target through other hosts, the
    first of which is the nearest; empty where there are none. ssh's own -J cannot be told which keys a jump has."""
    proxy = ""
    for number, jump in enumerate(jumps):
        beyond = [*jumps[1:], target][number]
        argv = ssh_argv(jump, private_key, known_hosts, log=logs[number] if logs else "", proxy=proxy)
        proxy = shlex.join([*argv, "-W", f"[{beyond['address']}]:{beyond['port']}", "--", jump["address"]])
    return proxy


def ssh_path(path: str) -> str:
    """A path as ssh's own settings want it: in quotes, for its blanks, and with its percent signs doubled."""
    return '"' + path.replace("%", "%%") + '"'
