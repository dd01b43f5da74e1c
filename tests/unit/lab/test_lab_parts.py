"""The parts that need no namespaces: processes, state, credentials, the application's forms, the citizens."""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import ssl
import subprocess
import sys
import types
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from drp.errors import BusyError, IntegrityError, UnreachableError
from drp.lab import client, credentials, machine
from drp.lab.applications import APPLICATIONS
from drp.lab.applications.pengaduan import Pengaduan
from drp.lab.plan import LabDrCentre, LabFiles, LabHost, LabNames, LabPlan, names_of
from drp.lab.processes import (
    MARKER,
    ROLE,
    ProcessIdentity,
    find_marked,
    identify,
    is_running,
    kill,
    kill_marked,
    run,
    wait_until,
)
from drp.lab.state import DONE, LabState, Part, hold, load


@pytest.fixture
def names(tmp_path: Path) -> LabNames:
    return names_of(tmp_path)


@pytest.fixture
def plan(tmp_path: Path) -> LabPlan:
    secret = tmp_path / "secrets"
    files = LabFiles(secret / "ssh", secret / "known", {"a": secret / "a"})
    host = LabHost("app-1", "primary", "198.18.1.10")
    centre = LabDrCentre("drc", "https://198.18.3.10:9000", "bucket", secret / "ca.pem", secret / "id", secret / "key")
    return LabPlan(tmp_path, IPv4Network("198.18.0.0/16"), (host,), (), (centre,), files)


def test_a_process_is_found_by_its_marker_and_killed(names: LabNames) -> None:
    with (
        subprocess.Popen(["sleep", "60"], env={MARKER: names.marker}) as ours,
        subprocess.Popen(["sleep", "60"]) as other,
    ):
        assert wait_until(lambda: [item.pid for item in find_marked(names.marker)] == [ours.pid], limit_seconds=5)
        assert kill_marked(names.marker) == 1
        assert ours.wait(5) == -9
        assert other.poll() is None
        other.kill()


def test_looking_for_processes_that_are_gone_may_take_long(names: LabNames) -> None:
    assert kill_marked(names.marker, limit_seconds=0) == 0


def test_one_role_is_ended_alone(names: LabNames) -> None:
    argv, ours = ["sleep", "60"], {MARKER: names.marker}
    with subprocess.Popen(argv, env={**ours, ROLE: "a"}) as one, subprocess.Popen(argv, env={**ours, ROLE: "b"}) as two:
        assert wait_until(lambda: len(find_marked(names.marker)) == 2, limit_seconds=5)
        assert kill_marked(names.marker, role="a") == 1
        assert one.wait(5) == -9
        assert two.poll() is None
        assert kill_marked(names.marker) == 1


def test_a_reused_pid_is_not_the_same_process() -> None:
    with subprocess.Popen(["sleep", "60"]) as process:
        known = identify(process.pid)
        assert known is not None
        assert is_running(known)
        earlier = ProcessIdentity(known.pid, known.started - 1, known.boot)
        assert not is_running(earlier)
        kill([earlier])
        assert process.poll() is None
        kill([known])
        # A zombie until it is waited for: no longer running.
        assert identify(process.pid) is None


def test_a_failing_command_says_what_it_said() -> None:
    with pytest.raises(UnreachableError, match="no such thing"):
        run(["sh", "-c", "echo no such thing >&2; exit 3"], env={"PATH": "/usr/bin:/bin"})
    with pytest.raises(UnreachableError, match="did not end within"):
        run(["sleep", "5"], env={"PATH": "/usr/bin:/bin"}, limit_seconds=0.1)
    with pytest.raises(UnreachableError, match="not installed"):
        run(["no-such-program"], env={})


def test_the_state_comes_back_and_a_torn_one_is_told(names: LabNames, plan: LabPlan) -> None:
    assert load(names) is None
    state = LabState(plan, hosts={"app-1": Part(DONE, ProcessIdentity(1, 2, "boot"))})
    state.save(names)
    assert load(names) == state
    path = names.directory / "state.json"
    for content in (b"", b"[]", path.read_bytes()[:-20], b'{"plan": {}}'):
        path.write_bytes(content)
        with pytest.raises(IntegrityError):
            load(names)


def test_the_lock_is_held_once(names: LabNames) -> None:
    with hold(names), pytest.raises(BusyError), hold(names):
        pass
    with hold(names):
        pass


def test_credentials_are_made_once_and_fit_together(names: LabNames, plan: LabPlan) -> None:
    plan.files.ssh_known_hosts.parent.mkdir(mode=0o700)
    plan.files.ssh_known_hosts.write_text("203.0.113.9 ssh-ed25519 AAAA\n198.18.1.10 ssh-ed25519 outdated\n")
    credentials.make(names, plan)
    made = {path: path.read_bytes() for path in credentials.generated(names)}
    credentials.make(names, plan)
    assert made == {path: path.read_bytes() for path in credentials.generated(names)}
    assert len(plan.dr_centre().access_key_id.read_text()) == 20
    assert len(plan.dr_centre().secret_access_key.read_text()) == 40
    pinned = plan.files.ssh_known_hosts.read_text().splitlines()
    host_key = credentials.public_key_of(credentials.host_key(names, "app-1")).read_text().rsplit(" ", 1)[0]
    assert pinned == ["203.0.113.9 ssh-ed25519 AAAA", f"198.18.1.10 {host_key}"]
    certificate, key = credentials.server_certificate(names, plan.dr_centre())
    context = ssl.create_default_context(cafile=str(plan.dr_centre().ca_certificate))
    context.load_cert_chain(certificate, key)
    assert {path.stat().st_mode & 0o777 for path in made} == {0o600}


def test_a_certificate_is_made_anew_for_another_address(names: LabNames, plan: LabPlan) -> None:

    credentials.make(names, plan)
    certificate, _ = credentials.server_certificate(names, plan.dr_centre())
    before = certificate.read_bytes()
    moved = dataclasses.replace(plan.dr_centre(), endpoint="https://198.18.3.11:9000")
    credentials.make(names, dataclasses.replace(plan, dr_centres=(moved,)))
    assert certificate.read_bytes() != before


def test_what_the_machine_lacks_is_said_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "check_root", lambda: None)
    monkeypatch.setattr(machine, "SYSTEM_PATH", "/nonexistent")
    with pytest.raises(UnreachableError) as lacking:
        machine.check_machine()
    assert lacking.value.hint.startswith("apt install ")
    assert {"nginx", "restic", "openssh-server", "iproute2"} <= set(lacking.value.hint.split())


def test_without_root_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(UnreachableError, match="needs root"):
        machine.check_root()


@pytest.fixture
def application(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """The demonstration service's program; psycopg2 belongs to the hosts' Python and is not needed for its forms."""
    stand_in = types.ModuleType("psycopg2")
    monkeypatch.setitem(sys.modules, "psycopg2", stand_in)
    path = Path(client.__file__).parent / "pengaduan" / "application.py"
    spec = importlib.util.spec_from_file_location("pengaduan_under_test", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("number", [1, 10])
def test_the_application_reads_what_the_citizens_send(application: types.ModuleType, number: int) -> None:
    assert Pengaduan.citizens is not None
    method, path, content_type, body = client.compose(Pengaduan.citizens, number, "7", "Pengaduan warga 1f")
    assert (method, path) == ("POST", "/complaints")
    fields, upload = application.parse_form(content_type, body)
    assert fields["message"] == "Pengaduan warga 1f"
    assert (upload is not None) == (number == 10)


@pytest.mark.parametrize(
    ("content_type", "body", "status"),
    [
        ("", b"", 415),
        ("application/json", b"{}", 415),
        ("application/x-www-form-urlencoded", b"name=a&subject=b&message=%FF", 400),
        ("application/x-www-form-urlencoded", b"name=a&subject=b", 400),
        ("application/x-www-form-urlencoded", b"name=a&subject=b&message=%00", 400),
        ("application/x-www-form-urlencoded", b"name=a&subject=b&message=" + b"x" * 20_001, 400),
        ("multipart/form-data", b"--x", 415),
        ("multipart/form-data; boundary=x", b"--x\r\nno end", 400),
        ("multipart/form-data; boundary=x", b"--x\r\nno header\r\n--x--", 400),
    ],
)
def test_bad_forms_are_refused(application: types.ModuleType, content_type: str, body: bytes, status: int) -> None:
    with pytest.raises(application.RefusedError) as refused:
        application.parse_form(content_type, body)
    assert refused.value.status == status


def test_a_citizen_without_an_answer_records_nothing() -> None:
    # Port 9 (discard) of this machine: nobody listens.
    assert Pengaduan.citizens is not None
    assert client.submit(client.Writer(Pengaduan.citizens, "127.0.0.1", "pengaduan", "", port=9), 1) is None


def test_the_process_of_the_citizens_reads_what_the_lab_tells_it() -> None:
    written = [item.citizens for item in APPLICATIONS if item.citizens is not None]
    assert len(written) >= 5
    writers = [client.Writer(citizens, "198.18.0.80", "layanan.example", "/var/lab/x.jsonl") for citizens in written]
    assert client.load(client.save(writers)) == writers
