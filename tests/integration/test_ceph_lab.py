"""Backups and a drill of the lab with a Ceph for DR centre, where each host has keys of its own."""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from drp.domain.backups.keys import access_at
from drp.wiring import city_of
from tests.e2e.workbench import PRIMARY_NAME, RECOVERY_NAME, SERVICE, Workbench, lab_address, told
from tests.fakes.ceph import Ceph, CephUser, missing_programs, running_ceph

pytestmark = pytest.mark.integration
ADDRESS, BUCKET = lab_address("5.10"), "drp-ceph"
SECRETS = "var/lab/secrets"


def write_pair(bench: Workbench, name: str, user: CephUser) -> str:
    """Keep a user's keys as secrets of the workspace; gives what drp.yaml says of them."""
    for kind, text in (("id", user.access_key_id), ("secret", user.secret_access_key)):
        path = bench.folder / SECRETS / f"ceph-{name}-{kind}"
        path.write_text(text)
        path.chmod(0o600)
    files = [f"{{file: {SECRETS}/ceph-{name}-{kind}}}" for kind in ("id", "secret")]
    return f"access_key_id: {files[0]}, secret_access_key: {files[1]}"


@pytest.fixture
def ceph(bench: Workbench) -> Iterator[Ceph]:
    """The lab, whose first DR centre is a Ceph with the policy that drp prints. Afterwards the lab is a new one."""
    if os.geteuid() != 0 or missing_programs():
        pytest.skip(f"not root, or not installed: {', '.join(missing_programs())}")
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder, running_ceph(Path(folder) / "ceph") as found:
        found.join(bench.names.bridge, ADDRESS, 20)
        control, nobody = found.user("control"), found.user("nobody")
        client = found.client(control)
        client.create_bucket(Bucket=BUCKET, ObjectLockEnabledForBucket=True)
        hosts = access_at("drc", city_of(bench.folder).services.values())
        pairs = {host: write_pair(bench, "nobody", nobody) for host in hosts}
        for host in (PRIMARY_NAME, RECOVERY_NAME):
            pairs[host] = write_pair(bench, host, found.user(host))
        own = write_pair(bench, "control", control).replace(", secret", "\n    secret")
        host_keys = "".join(f"      {host}: {{{pair}}}\n" for host, pair in pairs.items())

        def with_ceph(text: str) -> str:
            start, end = text.index("\n  drc:\n"), text.index("\n  kedua:\n")
            block = re.sub(r"    (ca_certificate|access_key_id|secret_access_key):.*\n", "", text[start:end])
            block = re.sub(r"endpoint: .*", f"endpoint: http://{ADDRESS}:{found.port}", block)
            block = re.sub(r"bucket: .*", f"bucket: {BUCKET}\n    {own}\n    host_keys:\n{host_keys.rstrip()}", block)
            return text[:start] + block + text[end:]

        try:
            with bench.changed("drp.yaml", with_ceph):
                policy = bench.drp("dr-centre", "policy", "drc").stdout
                for host in (PRIMARY_NAME, RECOVERY_NAME):
                    assert f"arn:aws:iam:::user/{host}" in policy
                # Ceph refuses a policy that names a user who is not there.
                statements = [
                    item
                    for item in json.loads(policy)["Statement"]
                    if item["Principal"]["AWS"][0].rsplit("/", 1)[1] in (PRIMARY_NAME, RECOVERY_NAME)
                ]
                text = json.dumps({"Version": "2012-10-17", "Statement": statements})
                client.put_bucket_policy(Bucket=BUCKET, Policy=text)
                yield found
        finally:
            bench.rebuild()


def test_backup_and_drill_with_keys_of_each_host(bench: Workbench, ceph: Ceph) -> None:
    for _ in range(2):
        bench.drp("backup", "run", SERVICE, "--no-copy", limit_seconds=200)
    with bench.ledger() as ledger:
        newest = ledger.restore_points(SERVICE)[0]
    assert newest.repositories == {PRIMARY_NAME: f"s3:http://{ADDRESS}:{ceph.port}/{BUCKET}/{SERVICE}/{PRIMARY_NAME}"}
    result = bench.drp("drill", "run", SERVICE, "--json", limit_seconds=250).json()
    assert result["verdict"] == "MET"
    (found,) = bench.drp("dr-centre", "check", "drc", "--json", code=4).json()
    states = {look["what"]: (look["state"], look["text"]) for look in found["looked_at"]}
    assert states["versioning"][0] == "good", states
    assert states["object lock"][0] == "bad", "the bucket can lock, and does not"
    assert states["keys may delete versions"][0] == "bad", "the owner of a bucket may"
    # A host with another's keys is told as what it is, and nothing is lost.
    swapped = bench.changed(
        f"{SECRETS}/ceph-{PRIMARY_NAME}-id", lambda _: (bench.folder / SECRETS / "ceph-nobody-id").read_text()
    )
    secret = bench.changed(
        f"{SECRETS}/ceph-{PRIMARY_NAME}-secret", lambda _: (bench.folder / SECRETS / "ceph-nobody-secret").read_text()
    )
    before = bench.points()
    with swapped, secret:
        failed = bench.back_up(code=12)
    assert "refused the S3 keys" in told(failed)
    assert bench.points() == before
