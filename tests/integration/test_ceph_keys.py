"""Keys per host, on a real Ceph with real policies: each host reaches its own repositories, takes nothing away there,
and no version of anything can be deleted with its keys."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from drp.domain.backups.keys import access_at, bucket_policy
from drp.domain.inventory import DrCentre
from drp.domain.service import Service
from tests.fakes.ceph import Ceph, CephUser, missing_programs, running_ceph
from tests.fakes.city import service_record
from tests.integration.test_restic_versions import fetch

pytestmark = pytest.mark.integration
BUCKET = "drp-bogor"
A, B, KEEPER = "pengaduan-1", "identitas-1", "drc-pengaduan-1"
OWN, OTHERS = f"pengaduan/{A}", f"identitas/{B}"


@pytest.fixture(scope="module")
def ceph() -> Iterator[Ceph]:
    if os.geteuid() != 0 or missing_programs():
        pytest.skip(f"not root, or not installed: {', '.join(missing_programs())}")
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder, running_ceph(Path(folder) / "ceph") as found:
        yield found


class City:
    """A bucket of the control node's with the policy that `drp dr-centre policy` prints, and a user for each host."""

    def __init__(self, ceph: Ceph, name: str, **options: Any) -> None:
        self.ceph, self.bucket = ceph, f"{BUCKET}-{name}"
        self.control = ceph.user(f"control-{name}")
        services = [Service.model_validate(service_record(service)) for service in ("pengaduan", "identitas")]
        accesses = access_at("drc", services)
        self.users = {host: ceph.user(f"{host}-{name}") for host in accesses}
        pair = {"access_key_id": {"env": "A"}, "secret_access_key": {"env": "B"}}
        centre = DrCentre.model_validate(
            {"title": "Ceph", "endpoint": ceph.endpoint, "bucket": self.bucket}
            | {"host_keys": {host: pair | {"user": user.name} for host, user in self.users.items()}}
            | pair
        )
        self.client = ceph.client(self.control)
        self.client.create_bucket(Bucket=self.bucket, ObjectLockEnabledForBucket=True)
        policy = bucket_policy(centre, accesses.values(), **options)
        self.client.put_bucket_policy(Bucket=self.bucket, Policy=json.dumps(policy))

    def lock(self, days: int) -> None:
        rule = {"DefaultRetention": {"Mode": "COMPLIANCE", "Days": days}}
        configuration = {"ObjectLockEnabled": "Enabled", "Rule": rule}
        self.client.put_object_lock_configuration(Bucket=self.bucket, ObjectLockConfiguration=configuration)

    def restic(self, program: str, user: CephUser, prefix: str, *arguments: str, code: int | None = 0) -> str:
        """Run restic with a user's keys on the repository below a prefix."""
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.ceph.folder),
            "RESTIC_PASSWORD": "rahasia",
            "RESTIC_CACHE_DIR": str(self.ceph.folder / "restic-cache"),
            "AWS_ACCESS_KEY_ID": user.access_key_id,
            "AWS_SECRET_ACCESS_KEY": user.secret_access_key,
        }
        argv = [program, "-r", f"s3:{self.ceph.endpoint}/{self.bucket}/{prefix}", "-o", "s3.region=us-east-1"]
        done = subprocess.run(
            [*argv, *arguments], env=environment, capture_output=True, text=True, timeout=400, check=False
        )
        assert code is None or done.returncode == code, f"{arguments}: {done.stderr}{done.stdout}"
        return done.stdout + done.stderr

    def begin(self, program: str, prefix: str) -> None:
        """What the control node does for a host: see `drp.workflows.new_repository`."""
        self.restic(program, self.control, prefix, "init")

    def keys(self, prefix: str = "") -> list[str]:
        return [
            item["Key"] for item in self.client.list_objects_v2(Bucket=self.bucket, Prefix=prefix).get("Contents", [])
        ]


@pytest.fixture(scope="module")
def city(ceph: Ceph) -> City:
    return City(ceph, "first")


@pytest.fixture(scope="module", params=["the one here", "Debian 13's"])
def restic(request: pytest.FixtureRequest) -> Iterator[str]:
    if request.param == "the one here":
        yield "restic"
        return
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        try:
            program = Path(folder) / "restic"
            program.write_bytes(fetch(Path(folder)))
        except (OSError, subprocess.SubprocessError) as error:
            pytest.skip(f"Debian 13's restic cannot be had here: {type(error).__name__}")
        program.chmod(0o755)
        yield str(program)


def refused(attempt: Callable[..., Any], **arguments: Any) -> None:
    """It must be denied, and for no other reason."""
    from botocore.exceptions import ClientError

    with pytest.raises(ClientError) as caught:
        attempt(**arguments)
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403, caught.value
    assert caught.value.response["Error"]["Code"] in ("AccessDenied", "403")


def test_a_host_backs_up_and_restores_with_its_own_keys(ceph: Ceph, restic: str, tmp_path: Path) -> None:
    city, prefix = City(ceph, "own" if restic == "restic" else "newer"), OWN
    city.begin(restic, prefix)
    (tmp_path / "data").write_bytes(os.urandom(3_000_000))
    user = city.users[A]
    city.restic(restic, user, prefix, "backup", str(tmp_path / "data"))
    assert len(json.loads(city.restic(restic, user, prefix, "snapshots", "--json").splitlines()[0])) == 1
    city.restic(restic, user, prefix, "check", "--read-data")
    city.restic(restic, user, prefix, "unlock")
    city.restic(restic, user, prefix, "restore", "latest", "--target", str(tmp_path / "back"))
    assert (tmp_path / f"back{tmp_path}/data").read_bytes() == (tmp_path / "data").read_bytes()
    assert city.keys(f"{prefix}/locks/") == []
    # It can forget nothing: neither by restic, nor behind its back.
    city.restic(restic, user, prefix, "forget", "--keep-last", "1")
    before = city.keys(f"{prefix}/snapshots/")
    city.restic(restic, user, prefix, "backup", str(tmp_path / "data"))
    city.restic(restic, user, prefix, "forget", "latest", code=None)  # it may end with 0 although it could not
    assert len(city.keys(f"{prefix}/snapshots/")) == len(before) + 1


def test_a_host_reaches_nothing_of_another(city: City, restic: str) -> None:
    user, client = city.users[A], city.ceph.client(city.users[A])
    if not city.keys(f"{OTHERS}/config"):
        city.begin("restic", OTHERS)
    key = city.keys(OTHERS)[0]
    text = city.restic(restic, user, OTHERS, "snapshots", "--no-lock", code=1)
    assert "Access Denied" in text or "AccessDenied" in text
    bucket = city.bucket
    refused(lambda: client.get_object(Bucket=bucket, Key=key))
    refused(lambda: client.put_object(Bucket=bucket, Key=f"{OTHERS}/data/00/x", Body=b""))
    refused(lambda: client.delete_object(Bucket=bucket, Key=f"{OTHERS}/locks/x"))
    refused(lambda: client.list_objects_v2(Bucket=bucket, Prefix=f"{OTHERS}/"))
    refused(lambda: client.list_objects_v2(Bucket=bucket))
    refused(lambda: client.list_object_versions(Bucket=bucket, Prefix=f"{OWN}/"))
    refused(lambda: client.put_object(Bucket=bucket, Key="elsewhere", Body=b""))
    refused(lambda: client.get_bucket_policy(Bucket=bucket))
    refused(lambda: client.delete_bucket_policy(Bucket=bucket))


def test_a_host_takes_nothing_away_of_its_own_but_locks(city: City) -> None:
    client, bucket = city.ceph.client(city.users[A]), city.bucket
    for folder in ("data/aa", "index", "snapshots", "keys"):
        key = f"{OWN}/{folder}/{'a' * 64}"
        version = client.put_object(Bucket=bucket, Key=key, Body=b"1")["VersionId"]
        refused(client.delete_object, Bucket=bucket, Key=key)
        refused(client.delete_object, Bucket=bucket, Key=key, VersionId=version)
    lock = f"{OWN}/locks/{'b' * 64}"
    version = client.put_object(Bucket=bucket, Key=lock, Body=b"1")["VersionId"]
    client.delete_object(Bucket=bucket, Key=lock)
    assert city.keys(lock) == []
    refused(lambda: client.delete_object(Bucket=bucket, Key=lock, VersionId=version))


@pytest.mark.parametrize("append_only", [False, True])
def test_the_keeper_prunes_unless_repositories_are_append_only(ceph: Ceph, append_only: bool, tmp_path: Path) -> None:
    city = City(ceph, f"keeper{append_only}".lower(), append_only=append_only)
    city.begin("restic", OWN)
    for number in range(2):
        (tmp_path / "data").write_bytes(os.urandom(500_000))
        city.restic("restic", city.users[A], OWN, "backup", str(tmp_path / "data"), "--tag", str(number))
    before = len(city.keys(f"{OWN}/data/"))
    keeper = city.users[KEEPER]
    city.restic("restic", keeper, OWN, "check")
    if append_only:
        client = ceph.client(keeper)
        for key in city.keys(f"{OWN}/data/"):
            refused(client.delete_object, Bucket=city.bucket, Key=key)
        return
    city.restic("restic", keeper, OWN, "forget", "--keep-last", "1", "--group-by", "host", "--prune")
    assert 0 < len(city.keys(f"{OWN}/data/")) < before
    city.restic("restic", keeper, OWN, "check", "--read-data")


def test_what_object_lock_keeps_even_the_control_nodes_keys_keep(ceph: Ceph, tmp_path: Path) -> None:
    """Everything is deleted with the strongest keys that drp has: only delete markers come of it. (To go back to what
    lies below them is `drp dr-centre rewind`, which is another issue's.)"""
    city = City(ceph, "locked")
    city.lock(days=1)
    city.begin("restic", OWN)
    (tmp_path / "data").write_bytes(os.urandom(500_000))
    city.restic("restic", city.users[A], OWN, "backup", str(tmp_path / "data"))
    kept = city.keys(f"{OWN}/")
    for key in kept:
        city.client.delete_object(Bucket=city.bucket, Key=key)
    assert city.keys(f"{OWN}/") == []
    listed = city.client.list_object_versions(Bucket=city.bucket, Prefix=f"{OWN}/")
    versions = [item for item in listed["Versions"] if "/locks/" not in item["Key"]]
    assert sorted(item["Key"] for item in versions) == sorted(kept)
    for item in versions:
        refused(city.client.delete_object, Bucket=city.bucket, Key=item["Key"], VersionId=item["VersionId"])
    refused_locks = [item for item in listed["Versions"] if "/locks/" in item["Key"]]
    assert refused_locks, "locks lie there too, below their delete markers"
