"""The lab's network: one bridge on the machine, one cable per host, no way out.

Hosts get an address and no route. The bridge does not forward, and has no IPv6. Network namespaces are anonymous: each
lives exactly as long as the processes in it, so nothing is left in /run/netns, and removing a host is one kill.
"""

from __future__ import annotations

import json
import socket
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

from drp.errors import UsageError
from drp.lab.plan import LabNames, LabPlan
from drp.lab.processes import ProcessIdentity, environment, run


def _ip(
    names: LabNames, *arguments: str, stdin: bytes | None = None, namespace: ProcessIdentity | None = None
) -> bytes:
    inside = [] if namespace is None else ["nsenter", f"--net=/proc/{namespace.pid}/ns/net", "--"]
    return run([*inside, "ip", *arguments], env=environment(names.marker, "network"), stdin=stdin, where="lab network")


def _links(names: LabNames) -> list[str]:
    found: list[dict[str, Any]] = json.loads(_ip(names, "-json", "link", "show") or b"[]")
    return [link["ifname"] for link in found]


def interfaces(names: LabNames) -> list[str]:
    """The lab's interfaces on the machine, found by name alone."""
    return [link for link in _links(names) if link == names.bridge or link.startswith(names.interface_prefix)]


def bridge_exists(names: LabNames) -> bool:
    # Not by /sys: that shows the network that was there when it was mounted, which in a container may be another one.
    return any(name == names.bridge for _, name in socket.if_nameindex())


def check_free(names: LabNames, network: IPv4Network) -> None:
    """Raise UsageError when something of the machine other than this lab has addresses of the network."""
    found: list[dict[str, Any]] = json.loads(_ip(names, "-json", "address", "show") or b"[]")
    for link in found:
        for address in link.get("addr_info", []):
            if address.get("family") != "inet" or link["ifname"] == names.bridge:
                continue
            other = IPv4Network(f"{address['local']}/{address['prefixlen']}", strict=False)
            if other.overlaps(network):
                _refuse(network, f"interface {link['ifname']} has {address['local']}/{address['prefixlen']}")
    routes: list[dict[str, Any]] = json.loads(_ip(names, "-json", "-4", "route", "show") or b"[]")
    for route in routes:
        if route["dst"] == "default" or route.get("dev") == names.bridge:
            continue
        if IPv4Network(route["dst"]).overlaps(network):
            _refuse(network, f"a route leads to {route['dst']} through {route.get('dev', 'another interface')}")


def _refuse(network: IPv4Network, because: str) -> None:
    raise UsageError(
        f"the lab's network {network} is in use on this machine: {because}",
        hint="take that lab down (drp lab down in its workspace), or give this one another network under lab: in "
        "drp.yaml, and its hosts other addresses",
    )


def make_bridge(names: LabNames, plan: LabPlan) -> None:
    """Make the bridge with the network's first address. The network must be free (`check_free`)."""
    if not bridge_exists(names):
        _ip(names, "link", "add", "name", names.bridge, "address", names.mac("bridge"), "type", "bridge")
    settings = Path("/proc/sys/net")
    # Of its own, whatever the machine's other interfaces do: a router's or Docker's machine forwards by default.
    (settings / "ipv4/conf" / names.bridge / "forwarding").write_text("0", encoding="ascii")
    ipv6 = settings / "ipv6/conf" / names.bridge / "disable_ipv6"
    if ipv6.exists():
        ipv6.write_text("1", encoding="ascii")
    _ip(names, "address", "replace", f"{plan.gateway}/{plan.network.prefixlen}", "dev", names.bridge)
    _ip(names, "link", "set", names.bridge, "up")


def plug_in(names: LabNames, name: str, namespace: ProcessIdentity, address: str, prefix_length: int) -> None:
    """Lay the cable from the bridge into a namespace, and give the far end (eth0) its address. Adds no route."""
    near = names.interface(name)
    mac = names.mac(name)
    unplug(names, name)
    far = ["peer", "name", "eth0", "address", mac, "netns", str(namespace.pid)]
    _ip(names, "link", "add", near, "type", "veth", *far)
    _ip(names, "link", "set", near, "master", names.bridge, "up")
    commands = f"link set lo up\nlink set eth0 up\naddress add {address}/{prefix_length} brd + dev eth0\n"
    no_ipv6 = 'for f in all default; do echo 1 >/proc/sys/net/ipv6/conf/$f/disable_ipv6; done 2>/dev/null; exec "$@"'
    # The machine's /proc shows this shell its own (the namespace's) /proc/sys/net.
    argv = ["nsenter", f"--net=/proc/{namespace.pid}/ns/net", "--", "sh", "-c", no_ipv6, "sh", "ip", "-batch", "-"]
    run(argv, env=environment(names.marker, "network"), stdin=commands.encode(), where=name)


def unplug(names: LabNames, name: str) -> None:
    """Remove a host's cable if it is there. The kernel may be removing it itself, as its namespace has just ended."""
    near = names.interface(name)
    script = f"ip link delete {near} 2>/dev/null; ! ip link show {near} >/dev/null 2>&1"
    run(["sh", "-c", script], env=environment(names.marker, "network"), where=name)


def remove_all(names: LabNames) -> int:
    """Remove every interface of the lab, and return how many there were."""
    found = interfaces(names)
    for interface in found:
        script = f"ip link delete {interface} 2>/dev/null; ! ip link show {interface} >/dev/null 2>&1"
        run(["sh", "-c", script], env=environment(names.marker, "network"), where="lab network")
    return len(found)
