"""Fencing under systemd: a real one, process 1 of namespaces of its own, that starts nothing but the test's units."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from drp.adapters.drill_guard import NotInForceError, own_group
from tests.e2e.workbench import eventually, files_below
from tests.fakes.host_driver import HOST_PROGRAM

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(os.geteuid() != 0, reason="a systemd of its own needs root"),
    pytest.mark.skipif(not Path("/lib/systemd/systemd").exists(), reason="systemd is not installed"),
]

STAGE = """
set -eu
folder=$1
mount --make-rprivate /
for name in etc var/lib usr/local/lib; do
    mount -t overlay overlay -o "lowerdir=/$name,upperdir=$folder/$name/upper,workdir=$folder/$name/work" "/$name"
done
mount -t tmpfs tmpfs /run
umount -R /sys/fs/cgroup
mount -t cgroup2 none /sys/fs/cgroup
mount -t proc proc /proc
exec env -i container=drp-test PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --unit=lab.target \\
    --log-target=console --show-status=no --log-level=warning
"""
TARGET = "[Unit]\nDefaultDependencies=no\nAllowIsolate=yes\n"
SERVICE = """[Unit]
DefaultDependencies=no
[Service]
ExecStart=/bin/sleep infinity
Restart=always
RestartSec=100ms
[Install]
WantedBy=lab.target
"""
CALL = """
import json, sys
sys.path.insert(0, sys.argv[1])
from drp_traffic.fence import carry_out
print(json.dumps(carry_out(json.load(sys.stdin), "systemd")))
"""


class Machine:
    """Its /etc and /var/lib outlive a restart, as on a disk."""

    def __init__(self, folder: Path, group: Path) -> None:
        self.folder, self.group = folder, group
        self.outer: subprocess.Popen[bytes] | None = None
        for name in ("etc", "var/lib", "usr/local/lib"):
            for part in ("upper", "work"):
                (folder / name / part).mkdir(parents=True)
        units = folder / "etc/upper/systemd/system"
        units.mkdir(parents=True)
        os.chmod(folder / "etc/upper", 0o755)
        (units / "lab.target").write_text(TARGET)

    def unit(self, name: str, place: str = "etc/upper/systemd/system") -> None:
        folder = self.folder / place
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.service").write_text(SERVICE)

    def start(self) -> None:
        script = f'echo $$ >{self.group}/cgroup.procs; exec "$@"'
        spaces = ["--mount", "--pid", "--uts", "--ipc", "--net", "--cgroup", "--fork", "--kill-child"]
        argv = ["sh", "-c", script, "sh", "unshare", *spaces, "bash", "-c", STAGE, "bash", str(self.folder)]
        with (self.folder / "log").open("ab") as log:
            self.outer = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        eventually(lambda: self.says("is-system-running", "") in ("running", "degraded"), self.log())

    def log(self) -> str:
        return (self.folder / "log").read_text()

    def inside(self, *argv: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        assert self.outer is not None
        children = Path(f"/proc/{self.outer.pid}/task/{self.outer.pid}/children").read_text().split()
        spaces = ["--mount", "--pid", "--uts", "--ipc", "--net", "--cgroup"]
        whole = ["nsenter", "--target", children[0] if children else "0", *spaces, "--", *argv]
        return subprocess.run(whole, input=stdin, capture_output=True, text=True, timeout=240, check=False)

    def says(self, *words: str) -> str:
        return self.inside("systemctl", *(word for word in words if word)).stdout.strip()

    def stop(self) -> None:
        """Cut its power."""
        if self.outer is not None:
            os.kill(self.outer.pid, signal.SIGKILL)
            self.outer.wait(60)
            self.outer = None
            # What ran in it dies a moment later, and has the disk until then.
            eventually(lambda: not self.processes(), "nothing of it runs any more")

    def processes(self) -> list[str]:
        found = []
        for path in files_below(self.group):
            with contextlib.suppress(OSError):  # the group goes with its last process
                found += path.read_text().split() if path.name == "cgroup.procs" else []
        return found

    def restart(self) -> None:
        self.stop()
        self.start()

    def carry_out(self, verb: str, *units: str) -> dict[str, Any]:
        note = {"by": "Siti", "at": "2026-11-20T07:00:00.000000Z", "run": "failover-1", "reason": "fire"}
        job = {"verb": verb, "services": [{"id": "layanan", "units": units, "addresses": []}], "note": note}
        argv = ["/usr/bin/python3", "-c", CALL, str(HOST_PROGRAM.parent)]
        done = self.inside(*argv, stdin=json.dumps(job))
        assert done.returncode == 0, done.stderr
        told: dict[str, Any] = json.loads(done.stdout)[0]
        return told


@pytest.fixture
def machine() -> Iterator[Machine]:
    try:
        _, own = own_group()
    except NotInForceError as error:
        pytest.skip(str(error))
    # The upper layer of an overlay must not lie on one itself.
    with tempfile.TemporaryDirectory(dir="/dev/shm", prefix="drp-systemd-") as folder:
        group = own / Path(folder).name
        group.mkdir()
        found = Machine(Path(folder), group)
        try:
            yield found
        finally:
            found.stop()
            remove_group(group)


def remove_group(group: Path) -> None:
    until = time.monotonic() + 180
    while group.exists():
        assert time.monotonic() < until, f"{group} does not become empty"
        for path in sorted((path for path in group.rglob("*") if path.is_dir()), reverse=True):
            try:
                path.rmdir()
            except OSError:
                pass
        try:
            group.rmdir()
        except OSError:
            time.sleep(0.05)


def test_a_closed_unit_stays_closed_and_comes_back_as_it_was(machine: Machine) -> None:
    """One unit stands in /etc, as those that a recovery restores, and one where packages put theirs."""
    machine.unit("app")
    machine.unit("other", "usr/local/lib/upper/systemd/system")
    machine.start()
    assert machine.inside("systemctl", "enable", "--now", "app").returncode == 0
    assert machine.inside("systemctl", "start", "other").returncode == 0
    machine.restart()
    assert machine.says("is-active", "app") == "active", "what is not closed starts again with the host"

    told = machine.carry_out("close", "app", "other")
    assert told["reasons"] == []
    assert told["confirmed"]
    assert (told["details"]["manager"], told["details"]["units"]) == ("systemd", ["app", "other"])
    assert machine.says("is-active", "app") == "inactive"
    assert machine.inside("systemctl", "start", "app").returncode != 0
    machine.restart()
    assert machine.says("is-active", "app") == "inactive"
    assert machine.inside("systemctl", "start", "app").returncode != 0
    assert machine.carry_out("close", "app", "other")["confirmed"], "twice is no fault"

    opened = machine.carry_out("open", "app", "other")
    assert sorted(opened["details"]["units"]) == ["app", "other"]
    assert machine.says("is-active", "app") == "inactive", "opening starts nothing"
    machine.restart()
    assert machine.says("is-active", "app") == "active"
    assert machine.says("is-active", "other") == "inactive", "it was not enabled before"
    assert machine.inside("systemctl", "start", "other").returncode == 0


def test_a_unit_that_is_not_there_is_not_confirmed(machine: Machine) -> None:
    machine.unit("app")
    machine.start()
    told = machine.carry_out("close", "app", "container-app")
    assert not told["confirmed"]
    assert told["reasons"] == ["the service manager has no container-app: what runs there is unknown"]


ISOLATE = """
import json, sys
sys.path.insert(0, sys.argv[1])
from drp_traffic.isolation import carry_out
print(json.dumps(carry_out(json.load(sys.stdin))))
"""


@pytest.mark.skipif(shutil.which("nft", path="/usr/sbin:/sbin") is None, reason="nftables is not installed")
def test_a_drills_host_is_isolated_from_its_start_on_and_its_copies_are_stopped_first(machine: Machine) -> None:
    def isolation(**job: Any) -> dict[str, Any]:
        argv = ["/usr/bin/python3", "-c", ISOLATE, str(HOST_PROGRAM.parent)]
        done = machine.inside(*argv, stdin=json.dumps({"run": "drill-1", "host": "drc-1", **job}))
        assert done.returncode == 0, done.stderr
        told: dict[str, Any] = json.loads(done.stdout)
        return told

    machine.unit("copy")
    machine.start()
    nothing: dict[str, Any] = {"peers": [], "endpoints": [], "allowed": [], "redirects": {}, "names": {}}
    begun = isolation(
        verb="begin",
        by="siti",
        accepted=False,
        ssh_port=22,
        production=["192.0.2.7"],
        trials=[["192.0.2.7", 22]],
        units=["copy"],
        **nothing,
    )
    assert begun["proof"] == "no route leads from here to production; the rules were read back"
    assert machine.inside("systemctl", "start", "copy").returncode == 0
    # The test's machine starts less than others do: not sysinit.target, which wants the unit.
    folder = machine.folder / "etc/upper/systemd/system"
    assert (folder / "sysinit.target.wants/drp-isolation.service").is_symlink()
    (folder / "lab.target.wants").mkdir()
    (folder / "lab.target.wants/drp-isolation.service").symlink_to("../drp-isolation.service")
    machine.restart()
    assert "drp-isolation-drill-1" in machine.inside("nft", "list", "tables").stdout
    assert machine.inside("systemctl", "start", "copy").returncode == 0
    ended = isolation(verb="end", force=False)
    assert (ended["was_gone"], ended["stopped"], ended["running"]) == (False, ["copy"], [])
    assert machine.says("is-active", "copy") == "inactive"
    assert machine.inside("nft", "list", "tables").stdout == ""
    machine.restart()
    assert machine.inside("nft", "list", "tables").stdout == ""
    assert machine.says("is-failed", "drp-isolation") != "failed"


UNITS = """
import json, sys
sys.path.insert(0, sys.argv[1])
from drp_traffic.process import Trouble
from drp_traffic.units import carry_out
lists = ("accounts", "tests", "start", "restart", "reload", "stop", "running", "stopped", "asks")
nothing = {"isolation": {}, "enabled": None, "seconds": 1, **{name: [] for name in lists}}
try:
    carry_out(dict(nothing, **json.load(sys.stdin)))
except Trouble as trouble:
    print(trouble.kind, trouble.text)
"""


def test_units_are_started_stopped_and_looked_at(machine: Machine) -> None:
    def wants(**wanted: Any) -> str:
        """What a stage is told that wants this of units; nothing where it got it."""
        done = machine.inside("/usr/bin/python3", "-c", UNITS, str(HOST_PROGRAM.parent), stdin=json.dumps(wanted))
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def process() -> str:
        return machine.says("show", "--property=MainPID", "--value", "web")

    machine.unit("database")
    machine.start()
    account = {"name": "layanan", "uid": 861, "home": "/srv/layanan"}
    for _ in range(2):
        assert wants(accounts=[account]) == ""
        assert machine.inside("id", "layanan").stdout == "uid=861(layanan) gid=861(layanan) groups=861(layanan)\n"
    assert machine.inside("getent", "passwd", "layanan").stdout.strip().endswith(":/srv/layanan:/usr/sbin/nologin")
    told = wants(accounts=[{**account, "uid": 862}])
    assert told.startswith("account the account layanan has the number 861 on this host instead of 862")
    machine.unit("web")  # restored since: systemd has not read it
    broken = {"unit": "web", "argv": ["sh", "-c", "echo line 3 is wrong; exit 1"]}
    assert "the configuration of web: sh ended with 1: line 3 is wrong" in wants(tests=[broken], restart=["web"])
    assert machine.says("is-active", "web") == "inactive"
    assert wants(start=["database"], restart=["web"], enabled=True, running=["database", "web"]) == ""
    assert machine.says("is-enabled", "web", "database").split() == ["enabled", "disabled"]
    first = process()
    assert wants(start=["web"]) == ""
    assert process() == first, "it ran"
    assert wants(restart=["web"]) == ""
    assert process() != first
    assert wants(stopped=["web"]) == "unit web runs, and must not"
    assert wants(stop=["web", "never-restored"], enabled=False, stopped=["web", "never-restored"]) == ""
    assert machine.says("is-enabled", "web") == "disabled"
    assert wants(running=["database", "web"]) == "unit web is inactive"
    assert "unit never-restored could not be started: " in wants(start=["never-restored"])
    # What can read its configuration again without a restart does so, and is started where it does not run.
    folder = machine.folder / "etc/upper/systemd/system"
    (folder / "web.service").write_text(SERVICE.replace("Restart=", "ExecReload=/bin/touch /run/was-read\nRestart="))
    assert wants(restart=["web"], reload=["web"]) == ""
    first = process()
    assert wants(restart=["web"], reload=["web"]) == ""
    assert process() == first
    assert machine.inside("cat", "/run/was-read").returncode == 0
