"""What every S3 server must do for drp, and what drp makes of one that does not: on rclone's and on Ceph's."""

from __future__ import annotations

import hashlib
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from drp.adapters import object_copy
from drp.adapters.s3 import S3ObjectStore
from drp.adapters.s3_client import Limits
from drp.adapters.secrets import WorkspaceSecrets
from drp.domain.inventory import DrCentre
from drp.errors import DrpError, IntegrityError, UnreachableError
from drp.lab.machine import find_rclone
from tests.fakes.ceph import missing_programs, running_ceph
from tests.fakes.relay import Fault, relay_to

LIMITS = Limits(connect_seconds=1, silence_seconds=1, attempts=2)
SECRET_KEY = "canarySecretKey0123456789abcdefghijklmno"


@dataclass(frozen=True)
class Server:
    """An S3 server: where it is, and the keys of a user who may make buckets there."""

    address: str
    port: int
    access_key_id: str
    secret_access_key: str


@pytest.fixture(scope="session")
def rclone() -> Iterator[Server]:
    program = find_rclone()
    if program is None:
        pytest.skip("there is no rclone here")
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        key = "RCLONEACCESSKEY00001"
        environment = {**os.environ, "RCLONE_AUTH_KEY": f'"{key},{SECRET_KEY}"', "RCLONE_CONFIG": "/dev/null"}
        argv = [program, "serve", "s3", folder, "--addr", "127.0.0.1:0"]
        with subprocess.Popen(argv, env=environment, stderr=subprocess.PIPE, text=True) as process:
            try:
                assert process.stderr is not None
                line = next(line for line in process.stderr if "http://" in line)
                port = int(line.split("http://127.0.0.1:")[1].split("/")[0])
                yield Server("127.0.0.1", port, key, SECRET_KEY)
            finally:
                process.kill()


@pytest.fixture(scope="session")
def ceph() -> Iterator[Server]:
    if os.geteuid() != 0 or missing_programs():
        pytest.skip(f"not root, or not installed: {', '.join(missing_programs())}")
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder, running_ceph(Path(folder) / "ceph") as found:
        user = found.user("drp")
        yield Server(found.address, found.port, user.access_key_id, user.secret_access_key)


@pytest.fixture(params=["rclone", pytest.param("ceph", marks=pytest.mark.integration)])
def server(request: pytest.FixtureRequest) -> Server:
    found: Server = request.getfixturevalue(request.param)
    return found


class Place:
    """A workspace with one or two buckets at a server."""

    def __init__(self, folder: Path, server: Server) -> None:
        self.folder, self.server = folder, server
        for name, text in (("id", server.access_key_id), ("secret", server.secret_access_key)):
            (folder / name).write_text(text)
            (folder / name).chmod(0o600)
        self.store = S3ObjectStore(folder, WorkspaceSecrets(folder), LIMITS)
        self.centre = self.centre_at(server.port)
        self.other = self.centre_at(server.port, "other")
        for centre in (self.centre, self.other):
            self.store._client(centre).create_bucket(Bucket=centre.bucket)

    def centre_at(self, port: int, bucket: str = "own", **changes: Any) -> DrCentre:
        name = hashlib.sha256(str(self.folder).encode()).hexdigest()[:12]
        record = {
            "title": "DR centre",
            "endpoint": f"http://{self.server.address if port == self.server.port else '127.0.0.1'}:{port}",
            "bucket": f"{bucket}-{name}",
            "access_key_id": {"file": "id"},
            "secret_access_key": {"file": "secret"},
        }
        return DrCentre.model_validate(record | changes)

    def names(self, centre: DrCentre, prefix: str = "") -> list[str]:
        return [item.key for item in self.store.objects(centre, prefix)]

    def put(self, content: bytes, *, name: str = "") -> str:
        """Store a pack of a repository, under its own name or a wrong one; gives its key."""
        name = name or hashlib.sha256(content).hexdigest()
        key = f"s/h/data/{name[:2]}/{name}"
        self.store._client(self.centre).put_object(Bucket=self.centre.bucket, Key=key, Body=content)
        return key

    def copy(self, **options: Any) -> list[str]:
        copied: list[str] = []
        objects = list(self.store.objects(self.centre, "s/"))
        self.store.copy(self.centre, self.other, objects, on_copied=lambda item: copied.append(item.key), **options)
        return copied


@pytest.fixture
def place(tmp_path: Path, server: Server) -> Place:
    return Place(tmp_path, server)


def test_what_is_stored_is_read_listed_dated_and_removed(place: Place) -> None:
    store, centre = place.store, place.centre
    before = datetime.now(UTC) - timedelta(seconds=1)
    assert (store.read(centre, "a/b"), store.stored_at(centre, "a/b")) == (None, None)
    store.write(centre, "a/b", b"one")
    store.write(centre, "a/b", b"two")
    store.write(centre, "empty", b"")
    assert store.read(centre, "a/b") == b"two"
    assert store.read(centre, "empty") == b""
    stamp = store.stored_at(centre, "a/b")
    assert stamp is not None
    assert before <= stamp <= datetime.now(UTC) + timedelta(seconds=1)
    (item,) = store.objects(centre, "a/")
    assert (item.key, item.bytes, item.name) == ("a/b", 3, "b")
    assert abs(item.stored_at - stamp) < timedelta(seconds=1)
    store.remove(centre, ["a/b", "never/there"])
    assert store.stored_at(centre, "a/b") is None
    assert place.names(centre) == ["empty"]


def test_more_than_a_thousand_objects_are_all_listed_once(place: Place) -> None:
    keys = [f"many/{number:05}" for number in range(1005)]
    client = place.store._client(place.centre)
    for key in keys:
        client.put_object(Bucket=place.centre.bucket, Key=key, Body=b"")
    assert place.names(place.centre, "many/") == keys
    assert place.names(place.centre, "many/0100") == keys[1000:]


def test_odd_names_come_back_as_they_are(place: Place) -> None:
    keys = sorted(["a b/c+d", "a%2Fb", "a&<b>'\"", "dots/.../x", "é/ü", "漢字", "tilde~(1)!*", "x" * 200])
    for key in keys:
        place.store.write(place.centre, key, key.encode())
    assert sorted(place.names(place.centre)) == keys
    for key in keys:
        assert place.store.read(place.centre, key) == key.encode()
        assert place.store.stored_at(place.centre, key) is not None
    place.store.remove(place.centre, keys)
    assert place.names(place.centre) == []


def test_only_restics_locks_can_be_removed_as_such(place: Place) -> None:
    lock = "a" * 64
    place.store.write(place.centre, f"s/h/locks/{lock}", b"lock")
    with pytest.raises(DrpError, match="no lock of restic's"):
        place.store.remove_lock(place.centre, "s/h", "../config")
    place.store.remove_lock(place.centre, "s/h", lock)
    assert place.names(place.centre) == []


def test_copies_are_equal_and_large_ones_travel_in_parts(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(object_copy, "SINGLE_PUT_BYTES", 1_000_000)
    monkeypatch.setattr(object_copy, "PART_BYTES", 5 * 1024 * 1024)
    small, large = os.urandom(1000), os.urandom(12_000_000)
    keys = sorted([place.put(small), place.put(large), place.put(b"")])
    place.store.write(place.centre, "s/h/config", b"config")
    assert sorted(place.copy()) == sorted([*keys, "s/h/config"])
    assert place.names(place.other) == sorted([*keys, "s/h/config"])
    for key in keys:
        assert place.store.read(place.other, key) == place.store.read(place.centre, key)
    assert list(place.folder.glob("var/*")) == []


def test_a_damaged_object_is_named_and_never_stored_and_the_others_are(place: Place) -> None:
    good = place.put(b"good")
    wrong = place.put(b"flipped", name=hashlib.sha256(b"as it was").hexdigest())
    with pytest.raises(IntegrityError, match="damaged, and not copied") as caught:
        place.copy()
    assert wrong in str(caught.value)
    assert place.centre.bucket in caught.value.where
    assert place.names(place.other) == [good]


def test_a_copy_keeps_to_its_rate(place: Place) -> None:
    for _ in range(4):
        place.put(os.urandom(500_000))
    started = time.monotonic()
    place.copy(rate=8_000_000)
    taken = time.monotonic() - started
    assert taken > 1.0, "2 MB at 1 MB/s; the last bytes wait for nobody"


def test_flaws_are_found_by_reading_and_nothing_is_kept(place: Place) -> None:
    keys = [place.put(os.urandom(size)) for size in (0, 1, 3_000_000)]
    wrong = place.put(b"flipped", name=hashlib.sha256(b"as it was").hexdigest())
    gone = place.put(b"soon gone")
    place.store.write(place.centre, "s/h/config", b"config")
    objects = list(place.store.objects(place.centre, "s/"))
    place.store.remove(place.centre, [gone])
    read: list[str] = []
    flaws = place.store.find_flaws(place.centre, objects, on_read=lambda item: read.append(item.key))
    assert flaws == {wrong: "damaged", gone: "gone"}
    assert sorted(read) == sorted([*keys, wrong, gone, "s/h/config"])
    assert list(place.folder.glob("var/*")) == []


def test_reading_keeps_to_its_rate_and_ends_where_the_line_breaks(place: Place) -> None:
    for _ in range(4):
        place.put(os.urandom(500_000))
    objects = list(place.store.objects(place.centre, "s/"))
    started = time.monotonic()
    assert place.store.find_flaws(place.centre, objects, rate=8_000_000) == {}
    assert time.monotonic() - started > 1.0, "2 MB at 1 MB/s"
    with relay_to(place.server.address, place.server.port) as relay:
        centre = place.centre_at(relay.port)
        relay.become("cut", cut_after=100_000)
        relay.stays_broken = True
        with pytest.raises(UnreachableError) as caught:
            place.store.find_flaws(centre, objects)
        assert caught.value.where == f"{centre.endpoint}/{centre.bucket}"


def test_wrong_keys_and_a_missing_bucket_are_told_as_that(place: Place) -> None:
    (place.folder / "wrong").write_text("W" * 40)
    (place.folder / "wrong").chmod(0o600)
    port = place.server.port
    with pytest.raises(UnreachableError, match=r"refused the S3 keys|may not do this") as caught:
        list(place.store.objects(place.centre_at(port, secret_access_key={"file": "wrong"}), ""))
    assert "drp.yaml" in caught.value.hint
    assert place.server.secret_access_key not in repr(caught.value) + str(caught.value.__cause__)
    nowhere = place.centre_at(port, "nowhere")
    with pytest.raises(UnreachableError, match="no such bucket"):
        list(place.store.objects(nowhere, ""))
    with pytest.raises(UnreachableError, match="no such bucket"):
        place.store.write(nowhere, "a", b"")


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("refuse", "does not answer"),
        ("hang", "does not answer: kept silent"),
        ("503", "in trouble: it answers 503"),
    ],
)
def test_a_line_or_a_server_in_trouble_is_told_within_the_limit(place: Place, fault: Fault, says: str) -> None:
    place.store.write(place.centre, "a", b"1")
    with relay_to(place.server.address, place.server.port) as relay:
        centre = place.centre_at(relay.port)
        # A signature covers the address: only reading what is said here matters.
        relay.become(fault)
        for attempt in (
            lambda: place.store.stored_at(centre, "a"),
            lambda: list(place.store.objects(centre, "")),
            lambda: place.store.read(centre, "a"),
            lambda: place.store.write(centre, "a", b"2"),
            lambda: place.store.remove(centre, ["a"]),
        ):
            started = time.monotonic()
            with pytest.raises(UnreachableError, match=says) as caught:
                attempt()
            assert time.monotonic() - started < LIMITS.longest_seconds
            assert centre.bucket in caught.value.where
        relay.become("none")
        assert place.store.read(centre, "a") == b"1"


@pytest.mark.parametrize("side", ["source", "target"])
@pytest.mark.parametrize("fault", ["cut", "hang"])
def test_a_copy_whose_line_breaks_says_which_side_and_goes_on_later(place: Place, side: str, fault: Fault) -> None:
    keys = sorted(place.put(os.urandom(400_000)) for _ in range(8))
    objects = list(place.store.objects(place.centre, "s/"))
    copied: list[str] = []
    with relay_to(place.server.address, place.server.port) as relay:
        centre = place.centre_at(relay.port, "own" if side == "source" else "other")
        sides = (centre, place.other) if side == "source" else (place.centre, centre)

        def on_copied(item: Any) -> None:
            copied.append(item.key)
            if len(copied) == 2:
                relay.become(fault, cut_after=100_000)
                if fault == "cut":
                    relay.stays_broken = True

        started = time.monotonic()
        with pytest.raises(UnreachableError) as caught:
            place.store.copy(*sides, objects, on_copied=on_copied)
        assert time.monotonic() - started < 3 * LIMITS.longest_seconds
        assert caught.value.where == f"{centre.endpoint}/{centre.bucket}"
        there = place.names(place.other)
        assert set(copied) <= set(there) < set(keys)
        relay.become("none")
        relay.stays_broken = False
        place.store.copy(*sides, [item for item in objects if item.key not in there])
    assert place.names(place.other) == keys
