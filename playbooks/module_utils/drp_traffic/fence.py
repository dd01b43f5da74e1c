"""Closes a host for services, so that it serves none of them, also after a restart; and opens it again.

A file per service under MARKS says who closed it, when, in which run, and how its units were before.
"""

from __future__ import annotations

import glob
import json
import os
import re

from . import floating_address
from .process import Trouble
from .service_manager import manager_of

MARKS = "/var/lib/drp/fence"
ADDRESS_FILES = (
    "/etc/network/interfaces",
    "/etc/network/interfaces.d/*",
    "/etc/netplan/*",
    "/etc/systemd/network/*",
    "/etc/systemd/network/*/*",
    "/etc/NetworkManager/system-connections/*",
    "/etc/sysconfig/network-scripts/ifcfg-*",
    "/etc/keepalived/*.conf",
)
"""Where a restart finds the addresses that it sets."""


def mark_file(service):
    return os.path.join(MARKS, service + ".json")


def read_marks():
    """{service: mark} of all services that are closed here."""
    found = {}
    for path in glob.glob(os.path.join(glob.escape(MARKS), "*.json")):
        try:
            with open(path, encoding="utf-8") as file:
                found[os.path.basename(path)[: -len(".json")]] = json.load(file)
        except ValueError:
            raise Trouble("fence", "%s is damaged; look into it, and remove it once you know who closed what" % path)
    return found


def write_mark(service, mark):
    os.makedirs(MARKS, mode=0o755, exist_ok=True)
    path = mark_file(service)
    with open(path + ".new", "w", encoding="utf-8") as file:
        json.dump(mark, file, indent=1, sort_keys=True)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    os.replace(path + ".new", path)


def settings_with(address):
    """Files that would bring an address back with a restart."""
    pattern = re.compile(r"(?<![0-9.])" + re.escape(address) + r"(?![0-9.])")
    found = []
    for name in ADDRESS_FILES:
        for path in sorted(glob.glob(name)):
            if os.path.isfile(path):
                with open(path, encoding="utf-8", errors="replace") as file:
                    lines = [line for line in file if not line.lstrip().startswith(("#", ";"))]
                if any(pattern.search(line) for line in lines):
                    found.append(path)
    return found


def close(job, manager_name):
    """Close the host for services; gives {confirmed, reasons, details}."""
    manager = manager_of(manager_name)
    units = list(dict.fromkeys(unit for service in job["services"] for unit in service["units"]))
    addresses = list(dict.fromkeys(item for service in job["services"] for item in service["addresses"]))
    reasons = []
    known = [unit for unit in units if manager is not None and manager.is_known(unit)]
    if manager is None and units:
        reasons.append("drp cannot close units under %s" % manager_name)
    elif set(units) - set(known):
        names = ", ".join(unit for unit in units if unit not in known)
        reasons.append("the service manager has no %s: what runs there is unknown" % names)
    marks = mark_as_closing(job, manager, known)
    for address in addresses:
        # First: it takes users away at once, whatever the services do.
        floating_address.release({"address": address})
    for unit in reversed(known):
        try:
            manager.close(unit)
        except Trouble as trouble:
            reasons.append(trouble.text)
    for unit in known:
        reasons += manager.still_open(unit)
    for address in addresses:
        if floating_address.devices_of(address):
            reasons.append("%s is still an address of this host" % address)
        reasons += [
            "%s is set in %s: it comes back with a restart" % (address, path) for path in settings_with(address)
        ]
    for service, mark in marks.items():
        write_mark(service, dict(mark, state="closed" if not reasons else "partly closed", reasons=reasons))
    details = {
        "manager": manager.name if manager else manager_name,
        "units": known,
        "addresses": addresses,
        "marks": [mark_file(service) for service in marks],
    }
    return {"confirmed": not reasons, "reasons": reasons, "details": details}


def mark_as_closing(job, manager, known):
    """Write down how everything was before it is changed: what is cut off in the middle can still be opened again."""
    there = read_marks()
    before = {unit: state for mark in there.values() for unit, state in mark.get("units", {}).items()}
    marks = {}
    for service in job["services"]:
        own = {unit: before.get(unit) or manager.before(unit) for unit in service["units"] if unit in known}
        old = there.get(service["id"], {})
        units = dict(old.get("units", {}), **own)
        note = {name: old.get(name) or job["note"][name] for name in ("by", "at", "run", "reason")}
        marks[service["id"]] = dict(note, units=units, addresses=service["addresses"], state="closing")
        write_mark(service["id"], marks[service["id"]])
    return marks


def reopen(job, manager_name):
    """Take the fence away: units can be started again, and are as they were with the host's start. Starts nothing, and
    sets no address. What another service's mark keeps closed stays closed."""
    manager = manager_of(manager_name)
    there = read_marks()
    names = [service["id"] for service in job["services"] if service["id"] in there]
    kept = {unit for name, mark in there.items() if name not in names for unit in mark.get("units", {})}
    opened = []
    for name in names:
        for unit, before in there[name].get("units", {}).items():
            if unit in kept or unit in opened:
                continue
            if manager is None:
                raise Trouble("fence", "drp cannot open units under %s" % manager_name)
            if manager.is_known(unit):
                manager.open(unit, before)
                opened.append(unit)
    for name in names:
        os.remove(mark_file(name))
    details = {"units": opened, "kept_closed": sorted(kept), "services": names}
    return {"confirmed": True, "reasons": [], "details": details}


def carry_out(job, manager_name):
    """{confirmed, reasons, details}, and whether anything was changed."""
    try:
        if job["verb"] == "open":
            told = reopen(job, manager_name)
            return told, bool(told["details"]["services"])
        return close(job, manager_name), True
    except OSError as error:
        raise Trouble("fence", "%s: %s" % (error.filename or "the host", error.strerror or error))
