"""What the keys of each host may do at a DR centre, as a bucket policy in the words of S3.

A host backs up into its own repositories and may never take anything away there but locks; the host that keeps a
repository (the stand-in at the recovery site) may delete what prune frees, unless the repositories are to be
append-only. Nobody may delete a version: what object lock keeps, the keys of a host that was broken into keep too.

What a policy cannot hold back: a host may overwrite its own objects. In a versioned bucket that makes a new version
and leaves the old one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from drp.domain.inventory import DrCentre
from drp.domain.service import Service

AWS_POLICY_BYTES = 20_480
"""How large a bucket policy may be at AWS. Others take more."""

_READ = ("s3:GetObject",)
_WRITE = ("s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts")
_NEVER = ("s3:DeleteObjectVersion", "s3:BypassGovernanceRetention", "s3:PutObjectRetention", "s3:PutObjectLegalHold")


@dataclass(frozen=True, slots=True)
class Access:
    """The repositories that a host reaches at a DR centre, by their prefixes in its bucket: those that it backs up
    into, those that it keeps for another host, and those that it only reads (copies, to restore from)."""

    host: str
    writes: tuple[str, ...]
    keeps: tuple[str, ...]
    reads: tuple[str, ...]

    @property
    def prefixes(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*self.writes, *self.keeps, *self.reads)))


def prefix_of(service: str, host: str) -> str:
    """A repository belongs to one service on one host, so that a host's keys need to reach nothing else."""
    return f"{service}/{host}"


def access_at(centre: str, services: Iterable[Service]) -> dict[str, Access]:
    """What each host needs at a DR centre, by the host's name."""
    writes: dict[str, list[str]] = {}
    keeps: dict[str, list[str]] = {}
    reads: dict[str, list[str]] = {}
    for service in services:
        if service.backup is None:
            continue
        is_own = service.backup.dr_centre == centre
        is_copy = any(copy.dr_centre == centre for copy in service.backup.copies)
        sources = dict.fromkeys(dataset.host for dataset in service.datasets)
        for source in sources:
            stand_in = service.recovers_on.get(source)
            if is_own:
                writes.setdefault(source, []).append(prefix_of(service.id, source))
            if stand_in is not None and stand_in != source:
                if is_own:
                    # After a failover it is the one that backs up, into a repository of its own.
                    writes.setdefault(stand_in, []).append(prefix_of(service.id, stand_in))
                    keeps.setdefault(stand_in, []).append(prefix_of(service.id, source))
                    # A failback brings home what the stand-in has backed up.
                    reads.setdefault(source, []).append(prefix_of(service.id, stand_in))
                elif is_copy:
                    reads.setdefault(stand_in, []).append(prefix_of(service.id, source))
                    reads.setdefault(stand_in, []).append(prefix_of(service.id, stand_in))
    return {
        host: Access(
            host,
            tuple(dict.fromkeys(writes.get(host, ()))),
            tuple(dict.fromkeys(keeps.get(host, ()))),
            tuple(dict.fromkeys(reads.get(host, ()))),
        )
        for host in sorted({*writes, *keeps, *reads})
    }


def bucket_policy(
    centre: DrCentre,
    accesses: Iterable[Access],
    *,
    account: str = "",
    append_only: bool = False,
) -> dict[str, Any]:
    """The policy of the bucket of a DR centre. A host's user has the host's name unless `host_keys` names another.

    `account` is the account at AWS, or the tenant at Ceph; most Ceph users have none. With `append_only`, hosts that
    keep repositories may not delete either: prune then runs with other keys, or never.

    A host cannot even ask whether its repository is there: S3 has no right for that which would not let it list the
    names of all others. So the control node stores the first objects of a repository: see `workflows.repository`.
    """
    statements: list[dict[str, Any]] = []
    for access in accesses:
        keys = centre.host_keys.get(access.host)
        user = access.host if keys is None or keys.user is None else keys.user
        principal = {"AWS": [f"arn:aws:iam::{account}:user/{user}"]}
        statements += _statements(centre.bucket, access, principal, append_only=append_only)
    return {"Version": "2012-10-17", "Statement": statements}


def _statements(
    bucket: str, access: Access, principal: dict[str, list[str]], *, append_only: bool
) -> list[dict[str, Any]]:
    whole = f"arn:aws:s3:::{bucket}"

    def statement(what: str, actions: Iterable[str], resources: Iterable[str], effect: str = "Allow") -> dict[str, Any]:
        return {
            "Sid": f"{what}For{''.join(part.capitalize() for part in _words(access.host))}",
            "Effect": effect,
            "Principal": principal,
            "Action": list(actions),
            "Resource": list(resources),
        }

    def below(prefixes: Iterable[str], folder: str = "*") -> list[str]:
        return [f"{whole}/{prefix}/{folder}" for prefix in prefixes]

    listing = statement("List", ["s3:ListBucket"], [whole])
    listing["Condition"] = {"StringLike": {"s3:prefix": [f"{prefix}/*" for prefix in access.prefixes]}}
    found = [listing]
    changed = (*access.writes, *access.keeps)
    if changed:
        found.append(statement("Store", _WRITE, below(changed)))
        deletable = below(changed, "locks/*") + ([] if append_only else below(access.keeps))
        found.append(statement("Clear", ["s3:DeleteObject"], deletable))
    if access.reads:
        found.append(statement("Read", _READ, below(access.reads)))
    found.append(statement("Never", _NEVER, [f"{whole}/*"], "Deny"))
    return found


def _words(name: str) -> list[str]:
    """The letters and digits of a name: a statement's name may have no others."""
    return "".join(char if char.isalnum() else " " for char in name).split()
