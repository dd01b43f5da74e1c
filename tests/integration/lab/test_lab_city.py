"""One lab, from the first look to the loss of its primary site. The tests of this file run in order."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import socket
import stat
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from drp.errors import BusyError, UsageError
from drp.lab import city
from drp.lab.plan import LabHost, LabPlan, names_of
from drp.lab.state import hold
from tests.e2e.workbench import eventually, lab_address

pytestmark = pytest.mark.integration
PRIMARY, RECOVERY, SERVICE = lab_address("1.10"), lab_address("2.10"), lab_address("0.80")
Shell = Callable[..., str]


def silent(line: str) -> None:
    del line


def request(
    path: str, body: bytes | None = None, content_type: str = "application/x-www-form-urlencoded"
) -> tuple[int, bytes]:
    headers = {"Content-Type": content_type} if body is not None else {}
    asked = urllib.request.Request(f"http://{SERVICE}{path}", body, headers)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(asked, timeout=30) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, refused.read()


def form(**fields: str) -> bytes:
    return urllib.parse.urlencode({"name": "Siti", "subject": "Lampu", **fields}).encode()


@pytest.fixture(scope="module")
def s3(plan: LabPlan) -> Iterator[Any]:
    client = connect(plan, plan.dr_centre().secret_access_key.read_text())
    yield client
    client.close()


def connect(plan: LabPlan, secret: str, name: str = "") -> Any:
    centre = plan.dr_centre(name)
    return boto3.client(
        "s3",
        endpoint_url=centre.endpoint,
        aws_access_key_id=centre.access_key_id.read_text(),
        aws_secret_access_key=secret,
        region_name="id-west-1",
        verify=str(centre.ca_certificate),
        config=Config(
            retries={"total_max_attempts": 1},
            connect_timeout=60,
            read_timeout=60,
            # boto3 1.36 and newer sends checksums behind the body by default, which rclone refuses.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        ),
    )


@pytest.mark.parametrize(
    ("address", "name"), [(PRIMARY, "app-1"), (RECOVERY, "standby-1")], ids=["primary", "recovery"]
)
def test_hosts_answer_with_pinned_keys_and_are_themselves(shell: Shell, address: str, name: str) -> None:
    assert shell(address, "hostname").strip() == name
    assert shell(address, "cat /proc/1/comm").strip() == "lab-init"
    # The unspecified route is the way out: there is none, also not to this machine's other addresses.
    assert "default" not in shell(address, "ip route; ip -6 route")
    assert "unreachable" in shell(address, "ip route get 192.0.2.2 2>&1 || true").lower()
    assert shell(address, "ip -6 address").strip() == ""


def test_a_host_with_another_key_is_refused(plan: LabPlan, shell: Shell) -> None:
    pinned = plan.files.ssh_known_hosts.read_text()
    lines = pinned.splitlines()
    keys = [line.split(" ", 1)[1] for line in lines]
    plan.files.ssh_known_hosts.write_text(f"{PRIMARY} {keys[1]}\n{RECOVERY} {keys[0]}\n")
    try:
        assert shell(PRIMARY, "echo reached", check=False) == ""
    finally:
        plan.files.ssh_known_hosts.write_text(pinned)
    assert shell(PRIMARY, "echo reached") == "reached\n"


def test_hosts_share_no_files_and_see_nothing_of_the_control_node(plan: LabPlan, shell: Shell) -> None:
    shell(PRIMARY, "echo secret >/etc/only-here; echo secret >/srv/only-here; echo secret >/tmp/only-here")
    assert "only-here" not in shell(RECOVERY, "ls -A /etc /srv /tmp")
    assert not Path("/etc/only-here").exists()
    assert (plan.workspace / "var/lab/secrets").is_dir()
    for address in (PRIMARY, RECOVERY):
        assert shell(address, f"stat -c %F '{plan.workspace}'; ls -A '{plan.workspace}'") == "directory\n"
        assert shell(address, "ls -A /root /home | grep -v : || true").strip() == ""
    assert int(shell(PRIMARY, "ls /proc | grep -c '^[0-9]*$'")) < 50


def test_a_host_cannot_change_what_all_share(shell: Shell) -> None:
    assert "Operation not permitted" in shell(PRIMARY, "date -s 2020-01-01 2>&1", check=False)
    assert "Read-only" in shell(PRIMARY, "bash -c 'echo 1 >/proc/sys/vm/swappiness' 2>&1", check=False)
    assert shell(PRIMARY, "ls /dev | grep -c -e vda -e sda -e mem || true").strip() == "0"


def test_the_disk_of_a_host_fills_up_and_stays_its_own(shell: Shell) -> None:
    said = shell(RECOVERY, "dd if=/dev/zero of=/var/full bs=1M count=600 2>&1", check=False)
    assert "No space left" in said
    assert shell(PRIMARY, "echo fits >/var/fits && cat /var/fits") == "fits\n"
    shell(RECOVERY, "rm /var/full && echo fits >/var/fits")


def test_the_recovery_host_is_prepared_and_empty(shell: Shell) -> None:
    found = shell(RECOVERY, "ls -A /srv /etc/nginx/sites-enabled; ls /etc/init.d/pengaduan /etc/pengaduan 2>&1; true")
    assert "cannot access '/etc/init.d/pengaduan'" in found
    assert "cannot access '/etc/pengaduan'" in found
    assert "default" not in found
    assert shell(RECOVERY, "id pengaduan || echo nobody").strip() == "nobody"
    shell(RECOVERY, "service postgresql start")
    command = "cd / && runuser -u postgres -- psql -Atc 'SELECT datname FROM pg_database ORDER BY 1'"
    assert shell(RECOVERY, command).split() == ["postgres", "template0", "template1"]
    shell(RECOVERY, "service postgresql stop")


@pytest.mark.usefixtures("plan")
def test_a_citizen_complains_and_reads_it_back() -> None:
    status, body = request("/complaints", form(message="Jalan berlubang é mohon diperbaiki"))
    assert status == 201
    answer = json.loads(body)
    assert answer["message"] == "Jalan berlubang é mohon diperbaiki"
    status, first = request(f"/complaints/{answer['id']}")
    assert status == 200
    assert json.loads(first)["message"] == answer["message"]
    assert first.endswith(b"}\n")
    assert request(f"/complaints/{answer['id']}")[1] == first
    status, listed = request(f"/complaints?since={answer['id'] - 1}")
    assert json.loads(listed)["complaints"][0] == json.loads(first)
    assert request("/complaints/999999999")[0] == 404
    assert request("/complaints", form(message=" "))[0] == 400
    assert request("/complaints", b"no form", "multipart/form-data; boundary=x")[0] == 400
    assert request("/complaints", b"{}", "application/json")[0] == 415
    status, page = request("/")
    assert status == 200
    assert "Layanan Pengaduan Masyarakat" in page.decode()


def test_attachments_come_back_byte_for_byte() -> None:
    content = os.urandom(5000) + b"\r\n--not-the-boundary\r\n\n\r" + os.urandom(5000)
    parts = b"".join(
        f'--bb\r\nContent-Disposition: form-data; name="{name}"\r\n\r\nisi\r\n'.encode()
        for name in ("name", "subject", "message")
    )
    head = b'--bb\r\nContent-Disposition: form-data; name="file"; filename="../foto.jpg"\r\n\r\n'
    status, body = request(
        "/complaints", parts + head + content + b"\r\n--bb--\r\n", "multipart/form-data; boundary=bb"
    )
    assert status == 201
    number = json.loads(body)["id"]
    described = json.loads(request(f"/complaints/{number}")[1])["attachment"]
    assert described["sha256"] == hashlib.sha256(content).hexdigest()
    assert described["bytes"] == len(content)
    assert "/" not in described["name"]
    assert request(f"/complaints/{number}/attachment") == (200, content)


def test_the_service_says_that_its_database_is_away_and_comes_back_by_itself(shell: Shell) -> None:
    shell(PRIMARY, "service postgresql stop")
    assert request("/health")[0] == 503
    status, body = request("/complaints", form(message="hilang"))
    assert status == 503
    assert "error" in json.loads(body)
    shell(PRIMARY, "service postgresql start")
    eventually(lambda: request("/health")[0] == 200, "it is back by itself")
    assert request("/complaints", form(message="ada lagi"))[0] == 201


def test_the_init_script_tells_the_truth(shell: Shell) -> None:
    assert "is running" in shell(PRIMARY, "service pengaduan status")
    shell(PRIMARY, "service pengaduan stop")
    assert "not running" in shell(PRIMARY, "service pengaduan status || test $? = 3 && echo not running")
    assert request("/health")[0] == 502
    shell(PRIMARY, "echo 1 >/run/pengaduan.pid; service pengaduan start && service pengaduan restart")
    eventually(lambda: request("/health")[0] == 200, "it is back")
    # The unit was never run here, as there is no systemd; its syntax is checked.
    assert shell(PRIMARY, "systemd-analyze verify /etc/systemd/system/pengaduan.service 2>&1 || true").strip() == ""


def test_s3_takes_and_gives_over_tls(s3: Any, plan: LabPlan) -> None:
    content = os.urandom(100_000)
    s3.put_object(Bucket=plan.dr_centre().bucket, Key="a/b", Body=content)
    with s3.get_object(Bucket=plan.dr_centre().bucket, Key="a/b")["Body"] as body:
        assert body.read() == content


def test_another_dr_centre_holds_nothing_of_the_first(s3: Any, plan: LabPlan) -> None:
    other = connect(plan, plan.dr_centre("other").secret_access_key.read_text(), "other")
    s3.put_object(Bucket="drp-test", Key="first/only", Body=b"1")
    assert [item["Key"] for item in other.list_objects_v2(Bucket="drp-test").get("Contents", [])] == []
    other.close()


def test_s3_refuses_a_wrong_key_and_shows_its_own_nowhere(plan: LabPlan) -> None:
    stranger = connect(plan, "x" * 40)
    with pytest.raises(ClientError) as refused:
        stranger.list_objects_v2(Bucket=plan.dr_centre().bucket)
    stranger.close()
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403
    secret = plan.dr_centre().secret_access_key.read_bytes()
    for arguments in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            assert secret not in arguments.read_bytes()
        except OSError:
            continue
    for file in (plan.workspace / "var/lab").glob("*.json"):
        assert secret not in file.read_bytes()


def test_hosts_reach_the_dr_centre(plan: LabPlan, shell: Shell) -> None:
    command = f"curl -sk -o /dev/null -w '%{{http_code}}' {plan.dr_centre().endpoint}/"
    # It answers, and gives nothing to somebody without a key.
    assert shell(RECOVERY, command).strip() in {"400", "403"}


def test_the_dr_centre_can_be_lost_and_keeps_its_data(s3: Any, plan: LabPlan) -> None:
    city.stop_dr_centre(plan.workspace)
    lost, other = city.status(plan.workspace).dr_centres
    assert (lost.name, lost.up, lost.pid) == ("drc", False, None)
    assert other.up, "the other DR centre goes on"
    city.stop_dr_centre(plan.workspace)
    city.start_dr_centre(plan.workspace)
    with s3.get_object(Bucket=plan.dr_centre().bucket, Key="a/b")["Body"] as body:
        assert len(body.read()) == 100_000


def test_secrets_are_readable_for_root_alone(plan: LabPlan) -> None:
    files = plan.files
    paths = [
        path
        for centre in plan.dr_centres
        for path in (centre.ca_certificate, centre.access_key_id, centre.secret_access_key)
    ]
    for path in [*paths, files.ssh_private_key, files.ssh_known_hosts, *files.repository_passwords.values()]:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_up_again_changes_nothing(plan: LabPlan) -> None:
    before = {path: path.read_bytes() for path in (plan.workspace / "var/lab/secrets").iterdir()}
    pids = [host.pid for host in city.status(plan.workspace).hosts]
    said: list[str] = []
    city.up(plan, say=said.append)
    assert "the lab was already up" in said
    assert [host.pid for host in city.status(plan.workspace).hosts] == pids
    assert before == {path: path.read_bytes() for path in (plan.workspace / "var/lab/secrets").iterdir()}


def test_two_commands_exclude_each_other(plan: LabPlan) -> None:
    with hold(names_of(plan.workspace)), pytest.raises(BusyError):
        city.disaster(plan.workspace, "site-loss", say=silent)


def test_another_lab_on_the_same_network_is_refused(plan: LabPlan, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="in use on this machine"):
        city.up(dataclasses.replace(plan, workspace=tmp_path), say=silent)
    city.down(tmp_path, say=silent)


def test_a_running_lab_does_not_become_another(plan: LabPlan) -> None:
    moved = (LabHost("app-1", "primary", lab_address("1.11")), plan.hosts[1])
    with pytest.raises(UsageError, match="app-1 runs in the lab"):
        city.up(dataclasses.replace(plan, hosts=moved), say=silent)


def test_everything_acknowledged_is_in_the_database(plan: LabPlan) -> None:
    eventually(lambda: city.status(plan.workspace).clients[0].acknowledged >= 12, "citizens write")
    record = Path(city.status(plan.workspace).clients[0].record)
    lines = [json.loads(line) for line in record.read_text().splitlines()[:-1]]
    stored: dict[int, Any] = {}
    while found := json.loads(request(f"/complaints?since={max(stored, default=200)}")[1])["complaints"]:
        stored |= {item["id"]: item for item in found}
    for line in lines:
        message = stored[line["id"]]["message"]
        assert hashlib.sha256(message.encode()).hexdigest() == line["message_sha256"]
    assert any(item["attachment"] for item in stored.values())


def test_an_unknown_disaster_is_refused(plan: LabPlan) -> None:
    with pytest.raises(UsageError, match="meteor"):
        city.disaster(plan.workspace, "meteor", say=silent)


def test_a_disaster_takes_the_primary_site_and_nothing_else(plan: LabPlan, shell: Shell, s3: Any) -> None:
    at = city.disaster(plan.workspace, "site-loss", say=silent)
    recorded = json.loads((plan.workspace / "var/lab/disasters.jsonl").read_text().splitlines()[-1])
    assert recorded == {"at": at.isoformat(), "scenario": "site-loss", "site": "primary", "hosts": ["app-1"]}
    with pytest.raises(OSError, match=r".*"):
        request("/health")
    status = city.status(plan.workspace)
    assert [host.state for host in status.hosts] == ["down", "up"]
    assert status.clients[0].up
    assert status.clients[0].last_acknowledged_at is not None
    assert json.dumps(dataclasses.asdict(status))
    assert shell(RECOVERY, "echo here") == "here\n"
    s3.head_object(Bucket=plan.dr_centre().bucket, Key="a/b")
    # The address can move: everybody learns at once that it is at another host now.
    shell(RECOVERY, f"ip address add {SERVICE}/20 dev eth0 && arping -q -U -c 1 -I eth0 {SERVICE}")
    with socket.create_connection((SERVICE, 22), timeout=60) as connection:
        assert connection.recv(4) == b"SSH-"
    shell(RECOVERY, f"ip address delete {SERVICE}/20 dev eth0")
    with pytest.raises(UsageError, match="no host of site"):
        city.disaster(plan.workspace, "site-loss", say=silent)


def test_after_a_disaster_up_gives_new_empty_hosts(plan: LabPlan, shell: Shell) -> None:
    city.up(plan, say=silent)
    assert [host.state for host in city.status(plan.workspace).hosts] == ["up", "up"]
    assert shell(PRIMARY, "ls -A /srv; ls /etc/only-here /etc/pengaduan 2>/dev/null; true").strip() == ""
    assert SERVICE not in shell(PRIMARY, "ip address")
