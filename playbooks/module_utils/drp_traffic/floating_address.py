"""A floating address: taken by a host, let go by another one, or only looked for.

It is not written into the host's network configuration: after a restart it must be set again.
"""

from __future__ import annotations

import json

from .process import Trouble, run

HELD, ABSENT = "held", "absent"


def devices_of(address):
    """The devices of this host that have the address, with their prefix lengths."""
    listing = json.loads(run(["ip", "-json", "-4", "address", "show"])[1] or "[]")
    return [
        (link["ifname"], found["prefixlen"])
        for link in listing
        for found in link.get("addr_info", [])
        if found.get("local") == address
    ]


def read(way):
    return HELD if devices_of(way["address"]) else ABSENT


def take(way):
    """Add the address to the device that leads to its network, and tell the neighbours."""
    address = way["address"]
    held = devices_of(address)
    if not held:
        route = json.loads(run(["ip", "-json", "route", "get", address])[1])[0]
        if route.get("dev") in (None, "lo"):
            raise Trouble("traffic", "no device of this host leads to %s" % address)
        if "gateway" in route:
            # The next router would never ask here for it, so no user would arrive.
            raise Trouble("traffic", "%s is in no network of this host, but behind %s" % (address, route["gateway"]))
        run(["ip", "address", "replace", address + "/32", "dev", route["dev"]])
        held = devices_of(address)
    if not held or held[0][0] == "lo":
        return {"device": held[0][0] if held else "", "neighbours_told": False}
    return {"device": held[0][0], "neighbours_told": tell_neighbours(held[0][0], address)}


def tell_neighbours(device, address):
    """Whether they were told. If not, users' switches learn the new place within their own time, usually a minute."""
    try:
        return run(["arping", "-q", "-U", "-c", "1", "-w", "1", "-I", device, address], check=False)[0] == 0
    except Trouble:
        return False


def release(way):
    """Remove the address from every device of this host."""
    removed = []
    for device, length in devices_of(way["address"]):
        run(["ip", "address", "delete", "%s/%d" % (way["address"], length), "dev", device])
        removed.append(device)
    return {"devices": removed}


def carry_out(way):
    """Do what the way's verb says; gives what it was before, what it is now, and details."""
    before = read(way)
    if way["verb"] == "read":
        return before, before, {}
    if way["verb"] == "take":
        details = take(way)
        wanted = HELD
    else:
        details = release(way)
        wanted = ABSENT
    after = read(way)
    if after != wanted:
        raise Trouble("traffic_unchanged", "%s is %s on this host after all" % (way["address"], after))
    return before, after, details
