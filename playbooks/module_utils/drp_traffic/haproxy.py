"""Servers of a HAProxy back end, taken in and out of rotation through its runtime API."""

from __future__ import annotations

import os
import socket
import tempfile
import time

from .process import Trouble

POLL_SECONDS = 0.2
LARGEST_ANSWER_BYTES = 4194304
ANSWER_SECONDS = 10
OUT_OF_ROTATION = 0x01 | 0x02 | 0x08 | 0x10 | 0x20 | 0x40
"""srv_admin_state, a bit each: maintenance (forced, inherited), drain (forced, inherited), unresolved, no such name.
0x04 only says that the configuration once had it disabled, and stays when it is enabled."""
RUNNING = 2
"""srv_op_state of a server that gets requests."""
OTHER = {"primary": "recovery", "recovery": "primary"}


def ask(path, command):
    """One command's answer from the runtime API."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(ANSWER_SECONDS)
        try:
            connection.connect(path)
            connection.sendall(command.encode("ascii") + b"\n")
            answer = b""
            while len(answer) < LARGEST_ANSWER_BYTES:
                piece = connection.recv(65536)
                if not piece:
                    break
                answer += piece
        except OSError as error:
            raise Trouble("haproxy", "%s: %s" % (path, error.strerror or error))
    text = answer.decode("utf-8", "replace").strip()
    if "Permission denied" in text:
        raise Trouble("haproxy", "%s lets nobody change anything; write `level admin` at its stats socket" % path)
    return text


def states(way):
    """{server: (in rotation, sound)} of the back end. Sound is one that gets requests and whose newest health check, if
    it has any, passed."""
    rows = table(ask(way["socket"], "show servers state %s" % way["backend"]), " ", "back end %s" % way["backend"])
    checks = health_checks(way)
    found = {}
    for row in rows:
        name = row["srv_name"]
        rise, fall, health = checks.get(name) or (0, 1, 0)
        passed = health >= rise + fall - 1
        found[name] = (
            not int(row["srv_admin_state"]) & OUT_OF_ROTATION,
            int(row["srv_op_state"]) == RUNNING and passed,
        )
    wanted = way["servers"]["primary"] + way["servers"]["recovery"]
    missing = [name for name in wanted if name not in found]
    if missing:
        raise Trouble("haproxy", "back end %s has no server %s" % (way["backend"], ", ".join(missing)))
    return found


def health_checks(way):
    """{server: (rise, fall, health)} of those that are checked: health is rise + fall - 1 after a check that passed."""
    rows = table(ask(way["socket"], "show stat"), ",", "show stat")
    columns = ("check_rise", "check_fall", "check_health")
    return {
        row["svname"]: tuple(int(row[name]) for name in columns)
        for row in rows
        if row["pxname"] == way["backend"] and all(row.get(name) for name in columns)
    }


def table(answer, separator, what):
    """The rows of an answer whose line of column names begins with #."""
    lines = answer.splitlines()
    names = next((line[1:].strip(" " + separator).split(separator) for line in lines if line.startswith("#")), None)
    if names is None:
        raise Trouble("haproxy", "%s: %s" % (what, answer[:300] or "no answer"))
    rows = [line.split(separator) for line in lines if line and not line.startswith("#")]
    return [{name: row[place] for place, name in enumerate(names)} for row in rows if len(row) >= len(names)]


def site_of(way, found):
    """Where the back end leads: to the servers of one site, of both, of none, or to a part of one site's (mixed)."""
    ins = {site: [found[name][0] for name in way["servers"][site]] for site in ("primary", "recovery")}
    if all(ins["primary"]) and all(ins["recovery"]):
        return "both"
    for site in ("primary", "recovery"):
        if all(ins[site]) and not any(ins[OTHER[site]]):
            return site
    return "mixed" if any(ins["primary"] + ins["recovery"]) else "nowhere"


def order(way, *commands):
    for command in commands:
        said = ask(way["socket"], command)
        if said:
            raise Trouble("haproxy", "%s: %s" % (command, said[:300]))


def bring_in(way, name):
    """A server that comes into rotation counts as up before it was checked. Its first check shows in its health,
    except where one failure takes it down: such a one waits until it has passed its checks."""
    server = "%s/%s" % (way["backend"], name)
    order(way, "set server %s state ready" % server)
    check = health_checks(way).get(name)
    if check is not None and check[1] == 1:
        order(way, "set server %s health down" % server)


def save_state(way):
    """Write the state of all servers where HAProxy reads it when it starts."""
    path = way["state_file"]
    text = ask(way["socket"], "show servers state")
    number, new = tempfile.mkstemp(prefix=".drp-", dir=os.path.dirname(path))
    with os.fdopen(number, "w") as file:
        file.write(text + "\n")
    os.chmod(new, 0o644)
    os.replace(new, path)


def carry_out(way):
    found = states(way)
    before = site_of(way, found)
    if way["verb"] == "read":
        return before, before, told(way, found)
    site = way["site"]
    # Out first: while both were in, some users would write to one site and some to the other.
    for name in way["servers"][OTHER[site]]:
        if found[name][0]:
            server = "%s/%s" % (way["backend"], name)
            order(way, "set server %s state maint" % server)
        # What is connected already would go on there.
        order(way, "shutdown sessions server %s/%s" % (way["backend"], name))
    for name in way["servers"][site]:
        if not found[name][0]:
            bring_in(way, name)
    until = time.monotonic() + way["timeout_seconds"]
    while True:
        found = states(way)
        sick = [name for name in way["servers"][site] if not found[name][1]]
        if site_of(way, found) == site and not sick:
            break
        if time.monotonic() > until:
            if site_of(way, found) != site:
                raise Trouble("traffic_unchanged", "HAProxy still leads to %s" % site_of(way, found))
            text = "the health check of %s did not pass within %g s" % (", ".join(sick), way["timeout_seconds"])
            raise Trouble("haproxy", text)
        time.sleep(POLL_SECONDS)
    if way["state_file"]:
        save_state(way)
    return before, site, told(way, found)


def told(way, found):
    names = way["servers"]["primary"] + way["servers"]["recovery"]
    return {
        "servers": {
            name: "%s, %s" % ("in" if found[name][0] else "out", "up" if found[name][1] else "not up") for name in names
        }
    }
