"""A look at a DR centre: what it is, and what the control node's keys may do there. What it stores it removes again."""

from __future__ import annotations

import base64
import hashlib
import secrets
import socket
import ssl
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from drp.adapters.s3_client import DENIED, Limits, code_of, control_keys, make_client, status_of, told
from drp.domain.backups.centre_check import OLD_UPLOAD, CentreFacts
from drp.domain.inventory import DrCentre
from drp.ports import Secrets

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

PROBES = "drp-check/"
NO_LOCK = ("ObjectLockConfigurationNotFoundError", "NoSuchObjectLockConfiguration", "InvalidRequest")


def look_at(workspace: Path, secret: Secrets, centre: DrCentre, limits: Limits | None = None) -> CentreFacts:
    """UnreachableError where it does not answer, refuses the keys, or has no such bucket."""
    limits = limits or Limits()
    client = make_client(workspace, centre, control_keys(secret, centre), limits)
    try:
        with told(centre):
            ahead, uncertainty = clock_of(client, centre)
            versioned = _is_versioned(client, centre)
            knows, mode, lock_time = _object_lock(client, centre)
            is_tls = centre.endpoint.startswith("https:")
            return CentreFacts(
                is_tls=is_tls,
                certificate_left=_certificate_left(workspace, centre, limits) if is_tls else None,
                clock_ahead=ahead,
                clock_uncertainty=uncertainty,
                is_versioned=versioned,
                lock_mode=mode,
                lock_time=lock_time,
                knows_locks=knows,
                may=_rights(client, centre),
                old_uploads=_old_uploads(client, centre),
            )
    finally:
        client.close()


def clock_of(client: S3Client, centre: DrCentre) -> tuple[timedelta | None, timedelta]:
    """How far its clock is ahead, and how sure that is: half the exchange, and the half second that HTTP's date drops.
    This is also what shows that the bucket is there."""
    client.head_bucket(Bucket=centre.bucket)  # the first one also opens the connection
    asked, started = datetime.now(UTC), time.monotonic()
    answer = client.head_bucket(Bucket=centre.bucket)
    taken = timedelta(seconds=time.monotonic() - started)
    uncertainty = taken / 2 + timedelta(milliseconds=500)
    text = answer["ResponseMetadata"]["HTTPHeaders"].get("date", "")
    try:
        theirs = parsedate_to_datetime(text).astimezone(UTC) + timedelta(milliseconds=500)
    except ValueError:
        return None, uncertainty
    return theirs - (asked + taken / 2), uncertainty


def _certificate_left(workspace: Path, centre: DrCentre, limits: Limits) -> timedelta | None:
    parts = urlsplit(centre.endpoint)
    authority = str(workspace / centre.ca_certificate) if centre.ca_certificate else None
    context = ssl.create_default_context(cafile=authority)
    address = (str(parts.hostname), parts.port or 443)
    with socket.create_connection(address, limits.connect_seconds) as line:
        line.settimeout(limits.silence_seconds)
        with context.wrap_socket(line, server_hostname=parts.hostname) as secured:
            certificate = secured.getpeercert() or {}
    ends = certificate.get("notAfter")
    if not isinstance(ends, str):
        return None
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(ends), UTC) - datetime.now(UTC)


def _asked(question: Callable[[], Any], *, absent: tuple[str, ...] = ()) -> tuple[bool, Any]:
    """Whether it answered, and what. It does not know everything that S3 knows, and the keys may not ask everything."""
    from botocore.exceptions import ClientError, ParamValidationError
    from botocore.parsers import ResponseParserError

    try:
        return True, question()
    except ClientError as error:
        return code_of(error) in absent, None
    except (ParamValidationError, ResponseParserError):
        return False, None


def _is_versioned(client: S3Client, centre: DrCentre) -> bool | None:
    answered, found = _asked(lambda: client.get_bucket_versioning(Bucket=centre.bucket))
    return found.get("Status") == "Enabled" if answered else None


def _object_lock(client: S3Client, centre: DrCentre) -> tuple[bool, str | None, timedelta | None]:
    answered, found = _asked(lambda: client.get_object_lock_configuration(Bucket=centre.bucket), absent=NO_LOCK)
    rule = ((found or {}).get("ObjectLockConfiguration") or {}).get("Rule", {}).get("DefaultRetention", {})
    days = rule.get("Days", 0) + 365 * rule.get("Years", 0)
    return answered, rule.get("Mode"), timedelta(days=days) if days else None


def _old_uploads(client: S3Client, centre: DrCentre) -> int | None:
    answered, found = _asked(lambda: client.list_multipart_uploads(Bucket=centre.bucket))
    if not answered:
        return None
    limit = datetime.now(UTC) - OLD_UPLOAD
    return len([upload for upload in found.get("Uploads", []) if upload["Initiated"] < limit])


def _rights(client: S3Client, centre: DrCentre) -> dict[str, bool | None]:
    """Try each thing on a small object of our own. Where versions cannot be deleted, one of a few bytes stays."""
    bucket, key = centre.bucket, f"{PROBES}{secrets.token_hex(8)}"
    may: dict[str, bool | None] = {"list": _may(lambda: client.list_objects_v2(Bucket=bucket, Prefix=PROBES))}
    may["store"] = _may(lambda: client.put_object(Bucket=bucket, Key=key, Body=_CONTENT, ContentMD5=_MD5))
    if not may["store"]:
        return may
    may["read"] = _may(lambda: client.get_object(Bucket=bucket, Key=key)["Body"].read())
    may["delete"] = _may(lambda: client.delete_object(Bucket=bucket, Key=key))
    answered, found = _asked(lambda: client.list_object_versions(Bucket=bucket, Prefix=key))
    versions = [*found.get("Versions", []), *found.get("DeleteMarkers", [])] if answered else []
    tried = [
        _may(lambda version=version: client.delete_object(Bucket=bucket, Key=key, VersionId=version["VersionId"]))  # type: ignore[misc]
        for version in versions
        if version["VersionId"] not in ("", "null")
    ]
    of_content = tried[: len(found.get("Versions", []))] if answered else []
    # Without versions there is none to delete: that versioning is off is told apart.
    may["delete versions"] = any(of_content) if of_content else (False if answered else None)
    return may


_CONTENT = b"drp"
_MD5 = base64.b64encode(hashlib.md5(_CONTENT, usedforsecurity=False).digest()).decode()


def _may(attempt: Callable[[], Any]) -> bool | None:
    from botocore.exceptions import ClientError

    try:
        attempt()
    except ClientError as error:
        return False if code_of(error) in DENIED or status_of(error) == 403 else None
    return True
