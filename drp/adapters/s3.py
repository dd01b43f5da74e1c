"""The DR centre's storage through boto3, from the control node."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from drp.domain.inventory import DrCentre
from drp.errors import UnreachableError
from drp.ports import Secrets


class S3ObjectStore:
    """Implements `drp.ports.ObjectStore`."""

    def __init__(self, workspace: Path, secrets: Secrets) -> None:
        self.workspace, self.secrets = workspace, secrets

    def stored_at(self, centre: DrCentre, key: str) -> datetime | None:
        """The DR centre's own time stamp of an object, in UTC; None where there is no such object."""
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
            stored: datetime = client.head_object(Bucket=centre.bucket, Key=key)["LastModified"]
            return stored.astimezone(UTC)
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", ""))
            if code in ("404", "NoSuchKey", "NotFound"):
                return None
            hint = "check the bucket and the keys in drp.yaml, and what they may do"
            raise UnreachableError(f"the DR centre refused: {code}", where=centre.endpoint, hint=hint) from error
        except (BotoCoreError, OSError) as error:
            hint = "check the line, the address and the CA certificate in drp.yaml"
            text = f"the DR centre does not answer: {type(error).__name__}"
            raise UnreachableError(text, where=centre.endpoint, hint=hint) from error
        finally:
            client.close()
