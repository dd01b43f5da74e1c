"""A DR centre's S3 through boto3: connections with limits, and what its refusals mean to a person."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from drp.domain.inventory import DrCentre
from drp.errors import DrpError, UnreachableError
from drp.ports import Secrets

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

LONGEST_BACK_OFF_SECONDS = 3


@dataclass(frozen=True, slots=True)
class Limits:
    """How long the DR centre may keep silent, and how often it is asked again."""

    connect_seconds: float = 10
    silence_seconds: float = 20
    attempts: int = 3

    @property
    def longest_seconds(self) -> float:
        """After how long a request that gets no answer has failed, at the latest."""
        return self.attempts * (self.connect_seconds + self.silence_seconds + LONGEST_BACK_OFF_SECONDS)


@dataclass(frozen=True, slots=True)
class KeyPair:
    access_key_id: str
    secret_access_key: str

    def __repr__(self) -> str:
        return "KeyPair(…)"


def control_keys(secrets: Secrets, centre: DrCentre) -> KeyPair:
    """The control node's own pair at a DR centre."""
    return KeyPair(
        secrets.read(centre.access_key_id, "S3 access key id"),
        secrets.read(centre.secret_access_key, "S3 secret access key"),
    )


def make_client(workspace: Path, centre: DrCentre, keys: KeyPair, limits: Limits, connections: int = 10) -> S3Client:
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError

    try:
        return boto3.client(
            "s3",
            endpoint_url=centre.endpoint,
            region_name=centre.region,
            aws_access_key_id=keys.access_key_id,
            aws_secret_access_key=keys.secret_access_key,
            verify=str(workspace / centre.ca_certificate) if centre.ca_certificate else None,
            config=Config(
                connect_timeout=limits.connect_seconds,
                read_timeout=limits.silence_seconds,
                retries={"total_max_attempts": limits.attempts, "mode": "standard"},
                max_pool_connections=connections,
                s3={"addressing_style": "path"},
                # Not every S3 server knows the newer default checksums; rclone refuses requests with them.
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
            ),
        )
    except (BotoCoreError, ValueError, OSError) as error:
        raise trouble_of(centre, error) from error


def code_of(error: Any) -> str:
    """The code of an answer that is a refusal: S3's own word, or the HTTP status."""
    return str(error.response.get("Error", {}).get("Code", ""))


def status_of(error: Any) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


ABSENT = ("404", "NoSuchKey", "NotFound")
REFUSED_KEYS = ("InvalidAccessKeyId", "SignatureDoesNotMatch", "AuthorizationHeaderMalformed", "InvalidToken")
DENIED = ("AccessDenied", "403", "Forbidden", "AllAccessDisabled")
FULL = ("QuotaExceeded", "XMinioStorageFull", "507", "InsufficientStorage", "InsufficientCapacity")


def place_of(centre: DrCentre) -> str:
    """How an error names a side."""
    return f"{centre.endpoint}/{centre.bucket}"


@contextmanager
def told(centre: DrCentre) -> Iterator[None]:
    """Whatever boto3 raises in here becomes a DrpError that names this DR centre."""
    from botocore.exceptions import BotoCoreError, ClientError
    from urllib3.exceptions import HTTPError

    try:
        yield
    except DrpError:
        raise  # some are told already
    except (ClientError, BotoCoreError, HTTPError, OSError) as error:
        raise trouble_of(centre, error) from error


def trouble_of(centre: DrCentre, error: Exception) -> DrpError:
    """What an exception of boto3 means: message, next step, exit code. It never carries a key."""
    from botocore.exceptions import BotoCoreError, ClientError, ConnectTimeoutError, ReadTimeoutError, SSLError
    from urllib3.exceptions import ReadTimeoutError as StreamTimeoutError

    where = place_of(centre)
    if isinstance(error, ClientError):
        return _refusal(where, code_of(error), status_of(error))
    if isinstance(error, SSLError):
        hint = "check ca_certificate of the DR centre in drp.yaml and the certificate's expiry"
        return UnreachableError("the DR centre's certificate is not trusted", where=where, hint=hint)
    silent = (ConnectTimeoutError, ReadTimeoutError, StreamTimeoutError, TimeoutError)
    what = "kept silent" if isinstance(error, silent) else type(error).__name__
    if isinstance(error, (BotoCoreError, OSError)) and not isinstance(error, silent) and "CERT" in str(error)[:200]:
        what = "its CA certificate cannot be read"
    hint = "check the line, the address and the CA certificate in drp.yaml"
    return UnreachableError(f"the DR centre does not answer: {what}", where=where, hint=hint)


def _refusal(where: str, code: str, status: int) -> DrpError:
    if code in REFUSED_KEYS:
        hint = "check access_key_id and secret_access_key of the DR centre in drp.yaml"
        return UnreachableError(f"the DR centre refused the S3 keys: {code}", where=where, hint=hint)
    if code in DENIED:
        hint = "check the S3 keys in drp.yaml, and what they may do: drp dr-centre check"
        return UnreachableError(f"the DR centre refused: the S3 keys may not do this ({code})", where=where, hint=hint)
    if code == "NoSuchBucket":
        hint = "check bucket of the DR centre in drp.yaml, or have it made"
        return UnreachableError("the DR centre has no such bucket", where=where, hint=hint)
    if code == "RequestTimeTooSkewed":
        hint = "set this machine's clock: S3 refuses requests that are more than 15 minutes off"
        return UnreachableError("the DR centre refused: its clock and ours differ", where=where, hint=hint)
    if code in FULL or status == 507:
        hint = "free space there, or have the DR centre give more"
        return DrpError(f"no space is left at the DR centre ({code})", where=where, hint=hint)
    if status >= 500 or code in ("SlowDown", "503", "500", "502", "504"):
        hint = "it is overloaded or in trouble: run the same command again later, and ask the DR centre if it repeats"
        return UnreachableError(f"the DR centre is in trouble: it answers {status} {code}", where=where, hint=hint)
    hint = "check endpoint, bucket and keys in drp.yaml: drp dr-centre check"
    return UnreachableError(f"the DR centre refused: {code or status}", where=where, hint=hint)
