"""The DR centres' storage through boto3, from the control node."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from drp.adapters.s3_client import ABSENT, KeyPair, Limits, code_of, control_keys, make_client, place_of, told
from drp.domain.backups.copying import Flaw, StoredObject
from drp.domain.events import Body
from drp.domain.inventory import DrCentre
from drp.errors import DrpError, IntegrityError
from drp.ports import Secrets

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_LOCK = re.compile("[0-9a-f]{64}")
SMALL_BYTES = 16 * 1024 * 1024

TLS_LIMIT_SECONDS = 10


class S3ObjectStore:
    """Implements `drp.ports.ObjectStore`."""

    def __init__(self, workspace: Path, secrets: Secrets, limits: Limits | None = None) -> None:
        self.workspace, self.secrets, self.limits = workspace, secrets, limits or Limits()
        self.clients: dict[tuple[str, str, str | None, KeyPair], S3Client] = {}

    def get_ready(self) -> None:
        """Import boto3, which takes half a second."""
        import boto3  # noqa: F401

    def stored_at(self, centre: DrCentre, key: str) -> datetime | None:
        """The DR centre's own time stamp of an object, in UTC; None where there is no such object."""
        from botocore.exceptions import ClientError

        with told(centre):
            try:
                stored: datetime = self._client(centre).head_object(Bucket=centre.bucket, Key=key)["LastModified"]
            except ClientError as error:
                if code_of(error) in ABSENT:
                    return None
                raise
            return stored.astimezone(UTC)

    def objects(self, centre: DrCentre, prefix: str) -> Iterator[StoredObject]:
        """All objects below a prefix. A list that begins anew is refused: it would never end."""
        client = self._client(centre)
        token, known = "", set()
        while True:
            with told(centre):
                if token:
                    page = client.list_objects_v2(Bucket=centre.bucket, Prefix=prefix, ContinuationToken=token)
                else:
                    page = client.list_objects_v2(Bucket=centre.bucket, Prefix=prefix)
            for item in page.get("Contents", []):
                yield StoredObject(item["Key"], item["Size"], item["LastModified"].astimezone(UTC))
            token = page.get("NextContinuationToken", "")
            if not page.get("IsTruncated"):
                return
            if not token or token in known:
                raise IntegrityError(
                    "the DR centre's list of objects does not go on, so drp cannot know all of them",
                    where=place_of(centre),
                    hint="ask the DR centre which S3 server it runs, and tell drp's makers",
                )
            known.add(token)

    def read(self, centre: DrCentre, key: str) -> bytes | None:
        """The content of a small object (16 MB at most); None where there is no such object."""
        from botocore.exceptions import ClientError

        with told(centre):
            try:
                answer = self._client(centre).get_object(Bucket=centre.bucket, Key=key)
            except ClientError as error:
                if code_of(error) in ABSENT:
                    return None
                raise
            with answer["Body"] as body:
                if answer["ContentLength"] > SMALL_BYTES:
                    raise DrpError("the object is too large to be read whole", where=f"{place_of(centre)}/{key}")
                return bytes(body.read())

    def write(self, centre: DrCentre, key: str, content: bytes) -> None:
        """Store a small object. A locked bucket takes none without its checksum."""
        digest = base64.b64encode(hashlib.md5(content, usedforsecurity=False).digest()).decode()
        with told(centre):
            self._client(centre).put_object(Bucket=centre.bucket, Key=key, Body=content, ContentMD5=digest)

    def remove(self, centre: DrCentre, keys: Sequence[str]) -> None:
        """Remove objects, one by one: not every S3 server takes a list of them, and some answer for the list as a
        whole. DrpError at the first that is refused."""
        client = self._client(centre)
        for key in keys:
            with told(centre):
                client.delete_object(Bucket=centre.bucket, Key=key)

    def remove_lock(self, centre: DrCentre, prefix: str, lock: str) -> None:
        """Remove one of restic's locks. In a bucket with versions this leaves a delete marker, and the lock below."""
        if _LOCK.fullmatch(lock) is None:
            raise DrpError(f"{lock[:80]!r} is no lock of restic's", where=prefix, hint="nothing was removed")
        self.remove(centre, [f"{prefix}/locks/{lock}"])

    def copy(
        self,
        source: DrCentre,
        target: DrCentre,
        objects: Sequence[StoredObject],
        *,
        rate: int | None = None,
        on_copied: Callable[[StoredObject], None] = lambda _: None,
    ) -> None:
        """See `drp.adapters.object_copy`."""
        from drp.adapters.object_copy import Copier
        from drp.adapters.object_reading import Side

        sides = Side(source, self._client(source)), Side(target, self._client(target))
        Copier(*sides, self.workspace / "var", rate, self.limits).copy(objects, on_copied)

    def find_flaws(
        self,
        centre: DrCentre,
        objects: Sequence[StoredObject],
        *,
        rate: int | None = None,
        on_read: Callable[[StoredObject], None] = lambda _: None,
    ) -> dict[str, Flaw]:
        """See `drp.adapters.object_reading`."""
        from drp.adapters.object_reading import Reader, Side

        return Reader(Side(centre, self._client(centre)), rate, self.limits).find_flaws(objects, on_read)

    def certificate(self, centre: DrCentre) -> Body | None:
        """Until when the DR centre's certificate is good, or what is wrong with it; None without TLS."""
        import socket
        import ssl
        from urllib.parse import urlsplit

        endpoint = urlsplit(centre.endpoint)
        if endpoint.scheme != "https" or endpoint.hostname is None:
            return None
        try:
            authority = str(self.workspace / centre.ca_certificate) if centre.ca_certificate else None
            context = ssl.create_default_context(cafile=authority)
            address = (endpoint.hostname, endpoint.port or 443)
            with (
                socket.create_connection(address, timeout=TLS_LIMIT_SECONDS) as plain,
                context.wrap_socket(plain, server_hostname=endpoint.hostname) as wrapped,
            ):
                found = wrapped.getpeercert() or {}
                return {"expires_at": int(ssl.cert_time_to_seconds(str(found.get("notAfter"))))}
        except (OSError, ValueError) as error:
            return {"trouble": str(error)[:300]}

    def clock_ahead(self, centre: DrCentre) -> tuple[timedelta, timedelta] | None:
        """From the date of its answer: see `drp.adapters.s3_check.clock_of`."""
        from drp.adapters.s3_check import clock_of

        try:
            with told(centre):
                ahead, uncertainty = clock_of(self._client(centre), centre)
        except DrpError:
            return None
        return None if ahead is None else (ahead, uncertainty)

    def _client(self, centre: DrCentre) -> S3Client:
        """Made once for each pair of keys: to make one takes a tenth of a second. Keys may change while drp runs."""
        keys = control_keys(self.secrets, centre)
        known = (centre.endpoint, centre.region, centre.ca_certificate, keys)
        if known not in self.clients:
            self.clients[known] = make_client(self.workspace, centre, keys, self.limits)
        return self.clients[known]
