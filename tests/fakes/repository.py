"""A repository as restic lays it out, small enough to see through: blobs in packs, indexes that say where, snapshots
that say which. Its content is readable here, and its names are the SHA-256 of it, as in a real one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from itertools import count
from typing import Any

Bucket = dict[str, tuple[bytes, datetime]]


class FakeRepository:
    """One repository in a bucket of `tests.fakes.world.FakeStore`."""

    def __init__(self, bucket: Bucket, prefix: str, now: datetime) -> None:
        self.bucket, self.prefix, self.now = bucket, prefix, now
        self.numbers = count(1)
        self.bucket[f"{prefix}config"] = (b"the repository's number", now)
        self.key = self._put("keys", {"user": "root"})

    def _put(self, folder: str, content: Mapping[str, Any]) -> str:
        """Store an object; a number in it makes that no two are alike."""
        data = json.dumps({"number": next(self.numbers), **content}).encode()
        name = hashlib.sha256(data).hexdigest()
        place = f"data/{name[:2]}" if folder == "data" else folder
        self.bucket[f"{self.prefix}{place}/{name}"] = (data, self.now)
        return name

    def back_up(self, blobs: Iterable[int]) -> str:
        """Store what is new of these blobs, and a snapshot of all of them; gives its name."""
        wanted = sorted(set(blobs))
        known = {blob for held in packs_of(self.bucket, self.prefix).values() for blob in held}
        new = [blob for blob in wanted if blob not in known]
        if new:
            pack = self._put("data", {"blobs": new})
            self._put("index", {"packs": {pack: new}})
        return self._put("snapshots", {"blobs": wanted})

    def forget(self, snapshot: str) -> None:
        del self.bucket[f"{self.prefix}snapshots/{snapshot}"]

    def prune(self) -> None:
        """Drop what no snapshot needs; packs that are needed in part are written anew."""
        used = {
            blob for content in contents(self.bucket, self.prefix, "snapshots").values() for blob in content["blobs"]
        }
        old_indexes = list(contents(self.bucket, self.prefix, "index"))
        index, old_packs = {}, []
        for pack, held in packs_of(self.bucket, self.prefix).items():
            kept = sorted(set(held) & used)
            if kept == sorted(held):
                index[pack] = kept
                continue
            old_packs.append(pack)
            if kept:
                index[self._put("data", {"blobs": kept})] = kept
        self._put("index", {"packs": index})
        for name in old_indexes:
            del self.bucket[f"{self.prefix}index/{name}"]
        for name in old_packs:
            del self.bucket[f"{self.prefix}data/{name[:2]}/{name}"]


def contents(bucket: Bucket, prefix: str, folder: str) -> dict[str, Any]:
    """What lies in a folder of a repository, by name."""
    start = f"{prefix}{folder}/"
    return {key.rsplit("/", 1)[-1]: json.loads(data) for key, (data, _) in bucket.items() if key.startswith(start)}


def packs_of(bucket: Bucket, prefix: str) -> dict[str, list[int]]:
    """The packs that are there and that an index names, with their blobs."""
    there = contents(bucket, prefix, "data")
    indexes = contents(bucket, prefix, "index").values()
    return {pack: held for index in indexes for pack, held in index["packs"].items() if pack in there}


def unrestorable(bucket: Bucket, prefix: str) -> list[str]:
    """The snapshots that lack something."""
    held = {blob for blobs in packs_of(bucket, prefix).values() for blob in blobs}
    usable = f"{prefix}config" in bucket and bool(contents(bucket, prefix, "keys"))
    snapshots = contents(bucket, prefix, "snapshots")
    return [name for name, content in snapshots.items() if not usable or not set(content["blobs"]) <= held]
