"""What datasets hold: their sentinel, what can be counted, and whether any of it is here at all."""

from __future__ import annotations

import json
import os

from .process import within
from .trouble import Trouble, now


def write_sentinel(host, dataset):
    """Put a time-stamped record into the dataset; it is read back after a recovery and dates the data."""
    sentinel = dataset["sentinel"]
    if sentinel["kind"] == "command":
        return json.loads(host.run(sentinel["write"]))
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
    try:
        if sentinel["kind"] == "command":
            return json.loads(host.run(sentinel["read"]))
        with open(os.path.join(sentinel["directory"], sentinel["name"])) as file:
            return json.load(file)
    except (OSError, ValueError, Trouble):
        return None


def inspect(host, dataset):
    """What a restored dataset holds: its sentinel and, where there are tables, the rows of each."""
    found = {"sentinel": read_sentinel(host, dataset)}
    if dataset.get("count"):
        found["rows"] = json.loads(within(dataset, host.run, dataset["count"]))
    return found


def absence(host):
    """Look for everything that the datasets would bring; drp wants to see that none of it is here yet."""
    looked_for, found = [], []
    for dataset in host.job["datasets"]:
        for item in dataset["absence"]:
            looked_for.append(item["what"])
            if item["kind"] == "path":
                present = os.path.lexists(item["path"])
            else:
                present = bool(within(dataset, host.run, item["command"]).strip())
            if present:
                found.append(item["what"])
    return {"looked_for": looked_for, "found": found, "host": os.uname().nodename}
