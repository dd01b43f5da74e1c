"""What datasets hold: their sentinel, what can be counted, and whether any of it is here at all."""

from __future__ import annotations

import json
import os
import re
from datetime import datetime, timezone
from urllib.parse import quote

from .copies import copy_of
from .process import within
from .trouble import Trouble, now

LOOK_LIMIT_SECONDS = 3600  # counting and checking every row takes longer than any other silence


def write_sentinel(host, dataset):
    """Put a time-stamped record into the dataset; it is read back after a recovery and dates the data.

    A dataset that holds none gets the time before its dump: what the restore point holds is at least as new, as far as
    the dump itself is; `token` is empty then.
    """
    sentinel = dataset["sentinel"]
    if sentinel is None:
        return {"token": "", "written_at": now()}
    if sentinel["kind"] == "freshness":
        newest_at, written_at = read_freshness(host, sentinel), now()
        if newest_at[:16] > written_at[:16]:  # both are UTC; a minute's difference is a clock's
            text = "the newest record is of %s, and it is only %s: that time is not in UTC" % (newest_at, written_at)
            raise Trouble("strange_answer", text)
        return {"token": "", "written_at": written_at, "newest_at": newest_at}
    if sentinel["kind"] == "command":
        time_stamp = now()
        write = filled(sentinel["write"], {"{now}": time_stamp})
        record = json.loads(host.run(write) or host.run(sentinel["read"]))
        if record["token"] != sentinel["token"]:
            raise Trouble("command", "the sentinel was not written: an older one stands there")
        return record
    directory = sentinel["directory"]
    if not os.path.isdir(directory) or os.path.islink(directory):
        raise Trouble("source_missing", "%s is not a directory, so the sentinel has no place" % directory)
    record = {"token": sentinel["token"], "written_at": now()}
    path = os.path.join(directory, sentinel["name"])
    number = os.open(path + ".new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o644)
    with os.fdopen(number, "w") as file:
        json.dump(record, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(path + ".new", path)
    return record


def read_sentinel(host, dataset):
    """The sentinel as it stands in the dataset now, or None."""
    sentinel = dataset["sentinel"]
    if sentinel is None:
        return None
    try:
        if sentinel["kind"] == "freshness":
            return {"newest_at": read_freshness(host, sentinel)}
        if sentinel["kind"] == "command":
            return json.loads(host.run(sentinel["read"]))
        with open(os.path.join(sentinel["directory"], sentinel["name"])) as file:
            return json.load(file)
    except (OSError, ValueError, Trouble):
        return None


def read_freshness(host, sentinel):
    """The time of the newest record in the data, as its own program tells it; Trouble where that is no time."""
    said = host.run(sentinel["read"]).strip()
    try:
        found = datetime.fromisoformat(re.sub(r"[Zz]$", "+00:00", said))
    except ValueError:
        raise Trouble("strange_answer", "the freshness command said %r, which is no ISO 8601 time" % said[:80])
    if found.tzinfo is None:
        raise Trouble("strange_answer", "the freshness command said %r, which names no time zone" % said[:80])
    return found.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def inspect(host, dataset):
    """What a restored dataset holds: its sentinel, where there are tables the rows of each, and which checks it passed.
    Trouble where it does not pass one."""
    found = {"sentinel": read_sentinel(host, dataset), "checks": [], "is_dated": dataset["sentinel"] is not None}
    if dataset.get("count"):
        found["rows"] = count_rows(host, dataset)
    for check in dataset.get("checks", []):
        within(dataset, host.run, check, LOOK_LIMIT_SECONDS)
        found["checks"].append(check["what"])
    return found


def count_rows(host, dataset):
    """The rows of every table, in every database where there are several."""
    rows = {}
    for command in expand(host, dataset, [dataset["count"]]):
        rows.update(json.loads(within(dataset, host.run, command, LOOK_LIMIT_SECONDS)))
    return rows


def expand(host, dataset, things):
    """Parts or commands, and one for each item where one of them stands for every item of a list."""
    for thing in things:
        if "each" not in thing:
            yield thing
            continue
        for item in json.loads(within(dataset, host.run, thing["each"])):
            values = {"{item}": item, "{item_name}": quote(item, safe="")}
            yield {key: filled(value, values) for key, value in thing.items() if key != "each"}


def filled(value, values):
    """The same with every {word} replaced, at any depth."""
    if isinstance(value, str):
        return re.sub("|".join(map(re.escape, values)), lambda found: values[found.group()], value)
    if isinstance(value, list):
        return [filled(item, values) for item in value]
    if isinstance(value, dict):
        return {key: filled(item, values) for key, item in value.items()}
    return value


def absence(host):
    """Look for everything that the datasets would bring; drp wants to see that none of it is here yet."""
    looked_for, found, copies = [], [], set()
    for dataset in host.job["datasets"]:
        found_before = len(found)
        for item in dataset["absence"]:
            looked_for.append(item["what"])
            if item["kind"] == "path":
                present = os.path.lexists(item["path"])
            elif item["kind"] == "unknown":
                present = True  # nobody can tell, so nobody may say that it is not there
            else:
                present = bool(within(dataset, host.run, item["command"]).strip())
            if present:
                found.append(item["what"])
        if len(found) > found_before:
            copies.add(copy_of(host.job, dataset))
    # Of one drill, or not known to be any drill's.
    copy = copies.pop() if len(copies) == 1 else ""
    names = ", ".join(dataset["id"] for dataset in host.job["datasets"])
    told = {"looked_for": looked_for, "found": found, "host": os.uname().nodename, "copy_of": copy}
    return dict(told, dataset=names)
