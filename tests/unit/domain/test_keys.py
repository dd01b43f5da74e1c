"""What hosts may do at a DR centre, as a bucket policy. That a real server holds it: tests/integration."""

from __future__ import annotations

import json
from typing import Any

from drp.domain.backups.keys import Access, access_at, bucket_policy
from drp.domain.inventory import DrCentre
from drp.domain.service import Service
from tests.fakes.city import service_record, workspace_record

CENTRE = DrCentre.model_validate(workspace_record()["dr_centres"]["drc"])


def services(**backup: Any) -> list[Service]:
    records = [service_record(name) for name in ("pengaduan", "identitas")]
    records[0]["backup"] |= backup
    return [Service.model_validate(record) for record in records]


def test_a_host_writes_its_own_repositories_and_its_stand_in_keeps_them() -> None:
    accesses = access_at("drc", services())
    assert accesses["pengaduan-1"] == Access(
        "pengaduan-1", ("pengaduan/pengaduan-1",), (), ("pengaduan/drc-pengaduan-1",)
    ), "what its stand-in has backed up, a failback brings home"
    stand_in = "drc-pengaduan-1"
    assert accesses[stand_in] == Access(stand_in, (f"pengaduan/{stand_in}",), ("pengaduan/pengaduan-1",), ())
    assert sorted(accesses) == ["drc-identitas-1", stand_in, "identitas-1", "pengaduan-1"]


def test_at_a_copy_only_recovery_hosts_read() -> None:
    accesses = access_at("kedua", services(copies=[{"dr_centre": "kedua"}]))
    assert list(accesses) == ["drc-pengaduan-1"]
    access = accesses["drc-pengaduan-1"]
    assert (access.writes, access.keeps) == ((), ())
    assert access.reads == ("pengaduan/pengaduan-1", "pengaduan/drc-pengaduan-1")
    actions = actions_of(bucket_policy(CENTRE, [access]))
    assert "s3:PutObject" not in actions["Allow"]
    assert "s3:DeleteObject" not in actions["Allow"]


def actions_of(policy: dict[str, Any]) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {"Allow": set(), "Deny": set()}
    for statement in policy["Statement"]:
        found[statement["Effect"]] |= set(statement["Action"])
    return found


def deletable(policy: dict[str, Any]) -> set[str]:
    return {
        resource.removeprefix("arn:aws:s3:::drp-bogor/")
        for statement in policy["Statement"]
        if statement["Effect"] == "Allow" and "s3:DeleteObject" in statement["Action"]
        for resource in statement["Resource"]
    }


def test_nobody_may_delete_versions_and_only_keepers_may_delete_more_than_locks() -> None:
    accesses = access_at("drc", services())
    policy = bucket_policy(CENTRE, accesses.values())
    actions = actions_of(policy)
    assert "s3:DeleteObjectVersion" in actions["Deny"]
    assert not actions["Deny"] & actions["Allow"]
    assert not any("*" in action for action in actions["Allow"])
    own = bucket_policy(CENTRE, [accesses["pengaduan-1"]])
    assert deletable(own) == {"pengaduan/pengaduan-1/locks/*"}
    keeper = accesses["drc-pengaduan-1"]
    assert "pengaduan/pengaduan-1/*" in deletable(bucket_policy(CENTRE, [keeper]))
    appended = deletable(bucket_policy(CENTRE, [keeper], append_only=True))
    assert all(resource.endswith("/locks/*") for resource in appended)


def test_users_are_written_as_ceph_and_aws_have_them() -> None:
    access = access_at("drc", services())["pengaduan-1"]

    def principals(**options: Any) -> set[str]:
        statements = bucket_policy(CENTRE, [access], **options)["Statement"]
        return {name for statement in statements for name in statement["Principal"]["AWS"]}

    assert principals() == {"arn:aws:iam:::user/pengaduan-1"}
    assert principals(account="123456789012") == {"arn:aws:iam::123456789012:user/pengaduan-1"}


def test_each_statement_has_a_name_of_its_own_in_letters_and_digits() -> None:
    policy = bucket_policy(CENTRE, access_at("drc", services()).values())
    names = [statement["Sid"] for statement in policy["Statement"]]
    assert len(set(names)) == len(names)
    assert all(name.isalnum() for name in names)
    assert json.loads(json.dumps(policy)) == policy
