"""A real Ceph object gateway for tests: keys with policies, versions, and Object Lock that is enforced.

One monitor, one manager, one object store in memory and one gateway, in a network namespace of their own that a cable
connects with the test's. All of it are children of the test and end with it; what they wrote lies in one folder.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.e2e.workbench import WORKER

PROGRAMS = ("ceph", "ceph-mon", "ceph-mgr", "ceph-osd", "ceph-authtool", "monmaptool", "radosgw", "radosgw-admin")
PORT = 7480
_LINK = 4 * WORKER  # of each test process its own /30
ADDRESS, OUR_ADDRESS = f"198.51.100.{_LINK + 2}", f"198.51.100.{_LINK + 1}"
START_LIMIT_SECONDS = 400
END_LIMIT_SECONDS = 60

CONFIGURATION = """
[global]
fsid = {fsid}
mon host = [v2:127.0.0.1:3300,v1:127.0.0.1:6789]
keyring = {folder}/keyring
run dir = {folder}
admin socket = {folder}/$name.socket
pid file =
log file = {folder}/$name.log
crash dir = {folder}
osd objectstore = memstore
memstore device bytes = 3221225472
osd memory target = 939524096
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 4
osd pool default pgp num = 4
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
mon allow pool size one = true
mon max pg per osd = 1000
mon data avail warn = 1
[mon.a]
mon data = {folder}/mon
[mgr.x]
mgr data = {folder}/mgr
mgr initial modules =
[osd.0]
osd data = {folder}/osd
[client.rgw]
rgw data = {folder}/rgw
rgw frontends = beast endpoint=0.0.0.0:{port}
"""
KEYS = {
    "mon.": ("mon", "allow *"),
    "client.admin": ("mon", "allow *", "osd", "allow *", "mgr", "allow *"),
    "client.rgw": ("mon", "allow *", "osd", "allow *", "mgr", "allow *"),
    "mgr.x": ("mon", "allow profile mgr", "osd", "allow *"),
    "osd.0": ("mon", "allow profile osd", "mgr", "allow profile osd", "osd", "allow *"),
}


def missing_programs() -> list[str]:
    return [name for name in PROGRAMS if shutil.which(name) is None]


@dataclass(frozen=True)
class CephUser:
    """A user of the gateway, and its pair of keys."""

    name: str
    access_key_id: str
    secret_access_key: str


@dataclass
class Ceph:
    """A gateway that runs. `address` is where the test's own network finds it."""

    folder: Path
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    namespace: int = 0
    address: str = ADDRESS
    port: int = PORT

    @property
    def endpoint(self) -> str:
        return f"http://{self.address}:{self.port}"

    def start(self) -> None:
        self.folder.mkdir(mode=0o700)
        self._make_namespace()
        self._configure()
        self._daemon("ceph-mon", "-i", "a")
        key = self._run("ceph-authtool", "-p", "-n", "osd.0", str(self.folder / "keyring")).strip()
        store = str(uuid.uuid4())
        self._run("ceph", *self._options, "osd", "new", store, "-i", "-", stdin=json.dumps({"cephx_secret": key}))
        self._run("ceph-osd", *self._options, "-i", "0", "--mkfs", "--osd-uuid", store)
        self._daemon("ceph-osd", "-i", "0")
        self._daemon("ceph-mgr", "-i", "x")
        self._daemon("radosgw", "-n", "client.rgw")
        self._await_answer()

    def user(self, name: str) -> CephUser:
        """Make a user with a new pair of keys."""
        found = CephUser(name, secrets.token_hex(10).upper(), secrets.token_hex(20))
        keys = ["--access-key", found.access_key_id, "--secret", found.secret_access_key]
        self._run("radosgw-admin", *self._options, "user", "create", "--uid", name, "--display-name", name, *keys)
        return found

    def join(self, bridge: str, address: str, prefix_length: int) -> None:
        """Lay another cable, to a bridge of the test's network. It goes with the namespace, at the latest."""
        near = f"cephb{self.namespace}"[:15]
        far = ["peer", "name", "eth1", "netns", str(self.namespace)]
        self._plain("ip", "link", "add", near, "type", "veth", *far)
        self._plain("ip", "link", "set", near, "master", bridge, "up")
        self._run("ip", "address", "add", f"{address}/{prefix_length}", "dev", "eth1")
        self._run("ip", "link", "set", "eth1", "up")

    def client(self, user: CephUser) -> Any:
        """boto3's own client, to look behind drp's back."""
        import boto3
        from botocore.config import Config

        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            region_name="default",
            aws_access_key_id=user.access_key_id,
            aws_secret_access_key=user.secret_access_key,
            config=Config(
                s3={"addressing_style": "path"},
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
            ),
        )

    def stop(self) -> None:
        for process in reversed(self.processes):
            process.send_signal(signal.SIGKILL)  # the store is in memory: there is nothing to end cleanly
            process.wait(END_LIMIT_SECONDS)
        self.processes.clear()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _make_namespace(self) -> None:
        holder = subprocess.Popen(["unshare", "--net", "sleep", "infinity"])
        self.processes.append(holder)
        self.namespace = holder.pid
        own = os.readlink("/proc/self/ns/net")
        end = time.monotonic() + END_LIMIT_SECONDS
        while os.readlink(f"/proc/{holder.pid}/ns/net") == own:
            assert time.monotonic() < end, "unshare made no network"
            time.sleep(0.01)
        near = f"ceph{holder.pid}"
        far = ["peer", "name", "eth0", "netns", str(holder.pid)]
        self._plain("ip", "link", "add", near, "type", "veth", *far)
        self._plain("ip", "address", "add", f"{OUR_ADDRESS}/30", "dev", near)
        self._plain("ip", "link", "set", near, "up")
        for words in (["link", "set", "lo", "up"], ["address", "add", f"{ADDRESS}/30", "dev", "eth0"]):
            self._run("ip", *words)
        self._run("ip", "link", "set", "eth0", "up")

    def _configure(self) -> None:
        fsid = str(uuid.uuid4())
        text = CONFIGURATION.format(fsid=fsid, folder=self.folder, port=PORT)
        (self.folder / "ceph.conf").write_text(text)
        keyring, monmap = str(self.folder / "keyring"), str(self.folder / "monmap")
        for number, (name, caps) in enumerate(KEYS.items()):
            create = ["--create-keyring"] if number == 0 else []
            pairs = [word for kind, cap in zip(caps[::2], caps[1::2], strict=True) for word in ("--cap", kind, cap)]
            self._run("ceph-authtool", *create, keyring, "--gen-key", "-n", name, *pairs)
        addresses = "[v2:127.0.0.1:3300,v1:127.0.0.1:6789]"
        self._run("monmaptool", "--create", "--addv", "a", addresses, "--fsid", fsid, monmap)
        for name in ("mon", "mgr", "osd", "rgw"):
            (self.folder / name).mkdir()
        self._run("ceph-mon", *self._options, "--mkfs", "-i", "a", "--monmap", monmap, "--keyring", keyring)

    @property
    def _options(self) -> list[str]:
        return ["-c", str(self.folder / "ceph.conf")]

    def _inside(self, *argv: str) -> list[str]:
        return ["nsenter", f"--net=/proc/{self.namespace}/ns/net", "--", *argv]

    def _daemon(self, program: str, *arguments: str) -> None:
        with (self.folder / f"{program}.out").open("wb") as output:
            argv = self._inside(program, *self._options, "-f", *arguments)
            self.processes.append(subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output))

    def _run(self, *argv: str, stdin: str = "") -> str:
        return self._plain(*self._inside(*argv), stdin=stdin)

    def _plain(self, *argv: str, stdin: str = "") -> str:
        done = subprocess.run(
            argv, input=stdin, capture_output=True, text=True, timeout=START_LIMIT_SECONDS, check=False
        )
        assert done.returncode == 0, f"{argv}: {done.stderr}"
        return done.stdout

    def _await_answer(self) -> None:
        end = time.monotonic() + START_LIMIT_SECONDS
        while True:
            with contextlib.suppress(urllib.error.URLError, OSError), urllib.request.urlopen(self.endpoint, timeout=30):
                return
            gone = [process.args for process in self.processes if process.poll() is not None]
            assert not gone, f"ended: {gone}; see {self.folder}"
            assert time.monotonic() < end, f"the gateway does not answer; see {self.folder}"
            time.sleep(0.2)


@contextlib.contextmanager
def running_ceph(folder: Path) -> Iterator[Ceph]:
    """A gateway in a folder that must not be there yet; the folder is removed with it."""
    ceph = Ceph(folder)
    try:
        ceph.start()
        yield ceph
    finally:
        ceph.stop()
