"""Reads objects of a DR centre over several connections, and holds what comes against their names.

Each object of a restic repository but `config` has the SHA-256 of its content for a name. So whoever reads one knows
without any password whether it is still what restic once stored. Memory stays the same however large objects are.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING

from drp.adapters.s3_client import ABSENT, Limits, code_of, place_of, told
from drp.domain.backups.copying import Flaw, StoredObject
from drp.domain.inventory import DrCentre
from drp.errors import DrpError, UnreachableError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

CONNECTIONS = 5
CHUNK_BYTES = 256 * 1024
SLOWEST_BYTES_PER_SECOND = 8_000
"""An object that comes slower than this is given up: a server that trickles would hold drp for ever."""
GRACE_SECONDS = 60
UNCHECKED = "config"
"""The one object of a repository whose name says nothing of its content."""


@dataclass(frozen=True, slots=True)
class Side:
    centre: DrCentre
    client: S3Client


class Gone(DrpError):
    """An object that was listed is not there any more."""


class Damaged(Exception):
    """An object's content is not what its name says."""


@dataclass(slots=True)
class Throttle:
    """Lets all connections together have `bytes_per_second`."""

    bytes_per_second: float
    free_at: float = 0.0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, count: int) -> float:
        """Wait for the turn of `count` bytes; gives for how long."""
        with self.lock:
            now = time.monotonic()
            turn = max(self.free_at, now)
            self.free_at = turn + count / self.bytes_per_second
        time.sleep(turn - now)
        return turn - now


class Reader:
    """Reads objects of one side, at `rate` bits per second at most, all connections together. `place` is where what is
    kept of them lies."""

    def __init__(self, source: Side, rate: int | None, limits: Limits, place: str = "") -> None:
        self.source, self.limits, self.place = source, limits, place
        self.throttle = None if rate is None else Throttle(rate / 8)
        self.stopping = threading.Event()

    def find_flaws(self, objects: Sequence[StoredObject], on_read: Callable[[StoredObject], None]) -> dict[str, Flaw]:
        """Read all of them and keep nothing; gives those, by key, that are not what their names say."""
        flaws: dict[str, Flaw] = {}

        def note(item: StoredObject, done: Future[None]) -> None:
            try:
                done.result()
            except Damaged:
                flaws[item.key] = "damaged"
            except Gone:
                flaws[item.key] = "gone"
            on_read(item)

        self.each(objects, self._read_twice, note)
        return flaws

    def _read_twice(self, item: StoredObject) -> None:
        """A transfer may go wrong; what lies there wrong is wrong again."""
        if self.stopping.is_set():
            return
        try:
            self.fetch(item, None)
        except (Damaged, Gone):
            self.fetch(item, None)

    def each(
        self,
        objects: Sequence[StoredObject],
        work: Callable[[StoredObject], None],
        on_done: Callable[[StoredObject, Future[None]], None],
    ) -> None:
        """Do the work on all of them over several connections. What `on_done` raises ends it. Only a few are under way
        at once: a repository may have a million objects."""
        waiting = iter(objects)
        running: dict[Future[None], StoredObject] = {}
        with ThreadPoolExecutor(CONNECTIONS, thread_name_prefix="objects") as pool:
            try:
                while True:
                    for item in waiting:
                        running[pool.submit(work, item)] = item
                        if len(running) >= 2 * CONNECTIONS:
                            break
                    if not running:
                        return
                    for done in wait(running, return_when=FIRST_COMPLETED).done:
                        on_done(running.pop(done), done)
            except BaseException:
                self.stopping.set()
                raise

    def fetch(self, item: StoredObject, content: IO[bytes] | None) -> bytes:
        """Read an object, into a file if there is one; gives its MD5. Damaged where it is not what its name says."""
        for attempt in range(1, self.limits.attempts + 1):
            try:
                return self._fetch_once(item, content)
            except UnreachableError:
                # boto3 asks again only until the first byte has come.
                if attempt == self.limits.attempts or self.stopping.wait(attempt):
                    raise
        raise AssertionError("unreachable: the last attempt gives or raises")

    def _fetch_once(self, item: StoredObject, content: IO[bytes] | None) -> bytes:
        from botocore.exceptions import ClientError

        if content is not None:
            content.seek(0)
            content.truncate()
        sha256, md5, count = hashlib.sha256(), hashlib.md5(usedforsecurity=False), 0
        centre = self.source.centre
        limit = time.monotonic() + GRACE_SECONDS + item.bytes / SLOWEST_BYTES_PER_SECOND
        with told(centre):
            try:
                body = self.source.client.get_object(Bucket=centre.bucket, Key=item.key)["Body"]
            except ClientError as error:
                if code_of(error) in ABSENT:
                    raise self._gone(item) from error
                raise
            with body:
                while chunk := body.read(CHUNK_BYTES):
                    if self.stopping.is_set():
                        raise UnreachableError("it was stopped", where=place_of(centre))
                    if self.throttle is not None:
                        limit += self.throttle.take(len(chunk))
                    if time.monotonic() > limit:
                        hint = "check the line and the DR centre, then run the same command again"
                        raise UnreachableError(f"{item.key} comes too slowly", where=place_of(centre), hint=hint)
                    sha256.update(chunk)
                    md5.update(chunk)
                    count += len(chunk)
                    if content is not None:
                        self._keep(content, chunk)
        if count != item.bytes or (item.name != UNCHECKED and sha256.hexdigest() != item.name):
            raise Damaged
        return md5.digest()

    def _keep(self, content: IO[bytes], chunk: bytes) -> None:
        try:
            content.write(chunk)
        except OSError as error:
            hint = f"free some hundred megabytes there: {CONNECTIONS} objects are held at once"
            text = f"the control node cannot hold what it copies: {error.strerror}"
            raise DrpError(text, where=self.place, hint=hint) from error

    def _gone(self, item: StoredObject) -> Gone:
        text = f"{item.key} went while it was to be read: somebody prunes or deletes there"
        hint = "see that nobody else works on this repository, then run the same command again"
        return Gone(text, where=place_of(self.source.centre), hint=hint)
