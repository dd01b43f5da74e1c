"""Real name servers on loopback, with a zone that a key may update."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import dns.exception
import dns.message
import dns.query
import dns.rcode

from tests.e2e.workbench import free_port

SECRET = "a2FuYXJpLWt1bmNpLXpvbmEtNzIxYi1kcnAtMDEyMzQ="
"""base64 of a text that can be searched for."""
STRANGERS_SECRET = "c3RyYW5nZXJzLWtleS13aXRoLW5vLXJpZ2h0cy0wMTI="
ZONE = "kota.example"

ZONE_FILE = f"""$ORIGIN {ZONE}.
$TTL 300
@ SOA ns hostmaster 1 3600 600 86400 60
@ NS ns
ns A 192.0.2.53
www 300 A 192.0.2.80
www 300 AAAA 2001:db8:1::80
layanan 300 CNAME satu.{ZONE}.
satu A 192.0.2.81
dua A 192.0.2.82
"""

NAMED_CONF = """
options {{
    directory "{folder}"; pid-file "{folder}/pid"; session-keyfile "{folder}/session";
    listen-on port {port} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }}; recursion no; notify no; dnssec-validation no;
    managed-keys-directory "{folder}";
}};
controls {{ }};
key "drp" {{ algorithm hmac-sha256; secret "{secret}"; }};
key "stranger" {{ algorithm hmac-sha256; secret "{strangers_secret}"; }};
zone "{zone}" {{ type primary; file "{folder}/zone"; update-policy {{ grant drp zonesub ANY; }}; }};
"""

KNOT_CONF = """
server:
    rundir: "{folder}/run"
    listen: 127.0.0.1@{port}
database:
    storage: "{folder}/database"
key:
  - id: drp
    algorithm: hmac-sha256
    secret: {secret}
  - id: stranger
    algorithm: hmac-sha256
    secret: {strangers_secret}
acl:
  - id: update
    key: drp
    action: update
zone:
  - domain: {zone}
    storage: "{folder}"
    file: zone
    acl: update
    zonefile-sync: 0
"""


class NameServer:
    """BIND or Knot; `stop` and `start` as often as wanted, over the same zone."""

    def __init__(self, program: str, folder: Path) -> None:
        self.program, self.folder, self.port = program, folder, free_port()
        self.process: subprocess.Popen[bytes] | None = None
        (folder / "zone").write_text(ZONE_FILE)
        words = {"folder": folder, "port": self.port, "zone": ZONE, "secret": SECRET}
        words["strangers_secret"] = STRANGERS_SECRET
        for name in ("run", "database"):
            (folder / name).mkdir()
        text = NAMED_CONF if program == "named" else KNOT_CONF
        (folder / "conf").write_text(text.format(**words))

    def start(self) -> None:
        conf = str(self.folder / "conf")
        argv = {"named": ["named", "-g", "-n", "1", "-c", conf], "knotd": ["knotd", "-c", conf]}[self.program]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(argv, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        until = time.monotonic() + 180
        while not self.has_its_zone():
            assert self.process.poll() is None, (self.folder / "log").read_text()
            assert time.monotonic() < until, (self.folder / "log").read_text()
            time.sleep(0.05)

    def has_its_zone(self) -> bool:
        """It listens before it has read its zone."""
        question = dns.message.make_query(ZONE, "SOA")
        try:
            answer = dns.query.tcp(question, "127.0.0.1", port=self.port, timeout=10)
        except (OSError, EOFError, dns.exception.DNSException):
            return False
        return answer.rcode() == dns.rcode.NOERROR and bool(answer.answer)

    def stop(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            self.process = None


@contextlib.contextmanager
def name_server(program: str) -> Iterator[NameServer]:
    """A name server with a zone of its own."""
    with tempfile.TemporaryDirectory(dir="/var/tmp", prefix="drp-dns-") as folder:
        server = NameServer(program, Path(folder))
        server.start()
        try:
            yield server
        finally:
            server.stop()


def is_installed(program: str) -> bool:
    return os.geteuid() == 0 and shutil.which(program, path=os.environ["PATH"] + ":/usr/sbin") is not None
