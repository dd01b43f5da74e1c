"""Copies objects from one DR centre to another, through the control node.

Why not `restic copy`? It decrypts and encrypts everything anew, so it reads the whole repository and gives every
snapshot another name; it needs the passwords of both repositories; and both sides must take one and the same pair of
S3 keys, since restic has one environment. A repository's objects are immutable and named by their content. So copying
them as they are gives the same snapshots by the same names, sends only what is new, needs no password, works with two
providers' keys, goes on wherever it was cut off, and proves by each name that the source still holds what restic once
stored there.

Each object is read into a temporary file first and hashed meanwhile. Nothing is sent of one that is not what its name
says, and one that has to be sent again is not read again. Memory stays the same however large objects are.
"""

from __future__ import annotations

import base64
import hashlib
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING

from drp.adapters.s3_client import ABSENT, Limits, code_of, place_of, told
from drp.domain.backups.copying import StoredObject
from drp.domain.inventory import DrCentre
from drp.errors import DrpError, IntegrityError, UnreachableError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef

CONNECTIONS = 5
CHUNK_BYTES = 256 * 1024
SINGLE_PUT_BYTES = 64 * 1000 * 1000
PART_BYTES = 16 * 1024 * 1024
SLOWEST_BYTES_PER_SECOND = 8_000
"""An object that comes slower than this is given up: a server that trickles would hold the copy for ever."""
GRACE_SECONDS = 60
NAMES_TOLD = 5
UNCHECKED = "config"
"""The one object of a repository whose name says nothing of its content."""


@dataclass(frozen=True, slots=True)
class Side:
    centre: DrCentre
    client: S3Client


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


class Copier:
    """Copies between two sides. Temporary files lie in `folder`, without a name, so that a crash leaves none."""

    def __init__(self, source: Side, target: Side, folder: Path, rate: int | None, limits: Limits) -> None:
        self.source, self.target, self.folder, self.limits = source, target, folder, limits
        self.throttle = None if rate is None else Throttle(rate / 8)
        self.stopping = threading.Event()

    def copy(self, objects: Sequence[StoredObject], on_copied: Callable[[StoredObject], None]) -> None:
        """Copy all of them over several connections. Damaged ones are told at the end; any other trouble ends it."""
        damaged: list[str] = []
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with ThreadPoolExecutor(CONNECTIONS, thread_name_prefix="copy") as pool:
            try:
                for item, done in self._in_turn(pool, objects):
                    try:
                        done.result()
                        on_copied(item)
                    except Damaged:
                        damaged.append(item.key)
            except BaseException:
                self.stopping.set()
                raise
        if damaged:
            raise self._damage(damaged)

    def _in_turn(
        self, pool: ThreadPoolExecutor, objects: Sequence[StoredObject]
    ) -> Iterator[tuple[StoredObject, Future[None]]]:
        """Only a few are under way at once: a repository may have a million objects."""
        waiting = iter(objects)
        running: dict[Future[None], StoredObject] = {}
        while True:
            for item in waiting:
                running[pool.submit(self._copy_one, item)] = item
                if len(running) >= 2 * CONNECTIONS:
                    break
            if not running:
                return
            for done in wait(running, return_when=FIRST_COMPLETED).done:
                yield running.pop(done), done

    def _copy_one(self, item: StoredObject) -> None:
        if self.stopping.is_set():
            return
        with tempfile.TemporaryFile(dir=self.folder) as content:
            try:
                md5 = self._fetch(item, content)
            except Damaged:
                md5 = self._fetch(item, content)  # a transfer may go wrong; what lies there wrong is wrong again
            self._store(item, content, md5)

    def _fetch(self, item: StoredObject, content: IO[bytes]) -> bytes:
        """Read an object into a file; gives its MD5, which the target checks what it gets by."""
        for attempt in range(1, self.limits.attempts + 1):
            try:
                return self._fetch_once(item, content)
            except UnreachableError:
                # boto3 asks again only until the first byte has come.
                if attempt == self.limits.attempts or self.stopping.wait(attempt):
                    raise
        raise AssertionError("unreachable: the last attempt gives or raises")

    def _fetch_once(self, item: StoredObject, content: IO[bytes]) -> bytes:
        from botocore.exceptions import ClientError

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
                        raise UnreachableError("the copy was stopped", where=place_of(centre))
                    if self.throttle is not None:
                        limit += self.throttle.take(len(chunk))
                    if time.monotonic() > limit:
                        hint = "check the line and the DR centre, then run the same command again"
                        raise UnreachableError(f"{item.key} comes too slowly", where=place_of(centre), hint=hint)
                    sha256.update(chunk)
                    md5.update(chunk)
                    count += len(chunk)
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
            raise DrpError(text, where=str(self.folder), hint=hint) from error

    def _store(self, item: StoredObject, content: IO[bytes], md5: bytes) -> None:
        centre, client = self.target.centre, self.target.client
        content.seek(0)
        with told(centre):
            if item.bytes > SINGLE_PUT_BYTES:
                self._store_in_parts(item, content)
            else:
                digest = base64.b64encode(md5).decode()
                client.put_object(Bucket=centre.bucket, Key=item.key, Body=content, ContentMD5=digest)

    def _store_in_parts(self, item: StoredObject, content: IO[bytes]) -> None:
        """Object by parts; whatever happens, no half of it stays at the target."""
        bucket, client = self.target.centre.bucket, self.target.client
        upload = client.create_multipart_upload(Bucket=bucket, Key=item.key)["UploadId"]
        try:
            parts: list[CompletedPartTypeDef] = []
            while chunk := content.read(PART_BYTES):
                if self.stopping.is_set():
                    raise UnreachableError("the copy was stopped", where=place_of(self.target.centre))
                number = len(parts) + 1
                digest = base64.b64encode(hashlib.md5(chunk, usedforsecurity=False).digest()).decode()
                stored = client.upload_part(
                    Bucket=bucket, Key=item.key, UploadId=upload, PartNumber=number, Body=chunk, ContentMD5=digest
                )
                parts.append({"ETag": stored["ETag"], "PartNumber": number})
            client.complete_multipart_upload(
                Bucket=bucket,
                Key=item.key,
                UploadId=upload,
                MultipartUpload={"Parts": parts},
            )
        except BaseException:
            try:
                client.abort_multipart_upload(Bucket=bucket, Key=item.key, UploadId=upload)
            except Exception:  # noqa: BLE001, S110 - the first trouble is the one to tell; drp dr-centre check finds it
                pass
            raise

    def _gone(self, item: StoredObject) -> DrpError:
        text = f"{item.key} went while it was to be copied: somebody prunes or deletes there"
        hint = "see that nobody else works on this repository, then run the same command again"
        return DrpError(text, where=place_of(self.source.centre), hint=hint)

    def _damage(self, keys: Sequence[str]) -> IntegrityError:
        more = f" and {len(keys) - NAMES_TOLD} more" if len(keys) > NAMES_TOLD else ""
        text = f"damaged, and not copied: {', '.join(sorted(keys)[:NAMES_TOLD])}{more}; the content is not what the"
        hint = (
            "find out what else is: drp backup check; the copy still has what it had, and restores from it with --from"
        )
        return IntegrityError(f"{text} name says", where=place_of(self.source.centre), hint=hint)
