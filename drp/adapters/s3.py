"""The DR centre's storage through boto3, from the control node."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from drp.domain.inventory import DrCentre
from drp.errors import DrpError, UnreachableError
from drp.ports import Secrets

if TYPE_CHECKING:
    from botocore.exceptions import ClientError
    from mypy_boto3_s3 import S3Client

_LOCK = re.compile("[0-9a-f]{64}")


class S3ObjectStore:
    """Implements `drp.ports.ObjectStore`."""

    def __init__(self, workspace: Path, secrets: Secrets) -> None:
        self.workspace, self.secrets = workspace, secrets

    def stored_at(self, centre: DrCentre, key: str) -> datetime | None:
        """The DR centre's own time stamp of an object, in UTC; None where there is no such object."""
        from botocore.exceptions import ClientError

        with self._client(centre) as client:
            try:
                stored: datetime = client.head_object(Bucket=centre.bucket, Key=key)["LastModified"]
                return stored.astimezone(UTC)
            except ClientError as error:
                if _code_of(error) in ("404", "NoSuchKey", "NotFound"):
                    return None
                raise

    def remove_lock(self, centre: DrCentre, prefix: str, lock: str) -> None:
        """Remove one of restic's locks. In a bucket with versions this leaves a delete marker, and the lock below."""
        if _LOCK.fullmatch(lock) is None:
            raise DrpError(f"{lock[:80]!r} is no lock of restic's", where=prefix, hint="nothing was removed")
        with self._client(centre) as client:
            client.delete_object(Bucket=centre.bucket, Key=f"{prefix}/locks/{lock}")

    @contextmanager
    def _client(self, centre: DrCentre) -> Iterator[S3Client]:
        """A connection whose troubles are told as drp's own."""
        import boto3
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError, ClientError

        client = boto3.client(
            "s3",
            endpoint_url=centre.endpoint,
            region_name=centre.region,
            aws_access_key_id=self.secrets.read(centre.access_key_id, "S3 access key id"),
            aws_secret_access_key=self.secrets.read(centre.secret_access_key, "S3 secret access key"),
            verify=str(self.workspace / centre.ca_certificate) if centre.ca_certificate else None,
            config=Config(
                connect_timeout=10,
                read_timeout=20,
                retries={"max_attempts": 3},
                s3={"addressing_style": "path"},
                # Not every S3 server knows the newer default checksums; rclone refuses requests with them.
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
            ),
        )
        try:
            yield client
        except ClientError as error:
            hint = "check the bucket and the keys in drp.yaml, and what they may do"
            raise UnreachableError(
                f"the DR centre refused: {_code_of(error)}", where=centre.endpoint, hint=hint
            ) from error
        except (BotoCoreError, OSError) as error:
            hint = "check the line, the address and the CA certificate in drp.yaml"
            text = f"the DR centre does not answer: {type(error).__name__}"
            raise UnreachableError(text, where=centre.endpoint, hint=hint) from error
        finally:
            client.close()


def _code_of(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))
