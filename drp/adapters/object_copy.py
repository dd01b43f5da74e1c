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
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import IO, TYPE_CHECKING

from drp.adapters.object_reading import Damaged, Reader, Side
from drp.adapters.s3_client import Limits, place_of, told
from drp.domain.backups.copying import StoredObject
from drp.errors import IntegrityError, UnreachableError

if TYPE_CHECKING:
    from mypy_boto3_s3.type_defs import CompletedPartTypeDef

SINGLE_PUT_BYTES = 64 * 1000 * 1000
PART_BYTES = 16 * 1024 * 1024
NAMES_TOLD = 5


class Copier(Reader):
    """Copies between two sides. Temporary files lie in `folder`, without a name, so that a crash leaves none."""

    def __init__(self, source: Side, target: Side, folder: Path, rate: int | None, limits: Limits) -> None:
        super().__init__(source, rate, limits, str(folder))
        self.target, self.folder = target, folder

    def copy(self, objects: Sequence[StoredObject], on_copied: Callable[[StoredObject], None]) -> None:
        """Copy all of them over several connections. Damaged ones are told at the end; any other trouble ends it."""
        damaged: list[str] = []

        def note(item: StoredObject, done: Future[None]) -> None:
            try:
                done.result()
                on_copied(item)
            except Damaged:
                damaged.append(item.key)

        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.each(objects, self._copy_one, note)
        if damaged:
            raise self._damage(damaged)

    def _copy_one(self, item: StoredObject) -> None:
        if self.stopping.is_set():
            return
        with tempfile.TemporaryFile(dir=self.folder) as content:
            try:
                md5 = self.fetch(item, content)
            except Damaged:
                md5 = self.fetch(item, content)  # a transfer may go wrong; what lies there wrong is wrong again
            self._store(item, content, md5)

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

    def _damage(self, keys: Sequence[str]) -> IntegrityError:
        more = f" and {len(keys) - NAMES_TOLD} more" if len(keys) > NAMES_TOLD else ""
        text = f"damaged, and not copied: {', '.join(sorted(keys)[:NAMES_TOLD])}{more}; the content is not what the"
        hint = (
            "find out what else is: drp backup check; the copy still has what it had, and restores from it with --from"
        )
        return IntegrityError(f"{text} name says", where=place_of(self.source.centre), hint=hint)
