"""A small lab in the tests' own network. Needs root."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Callable, Iterator
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from drp.lab import city, network
from drp.lab.plan import LabDrCentre, LabFiles, LabHost, LabPlan, LabService, names_of
from drp.lab.processes import find_marked
from tests.e2e.workbench import LAB_NETWORK, SSH_LIMIT_SECONDS, lab_address

PRIMARY, RECOVERY, SERVICE = lab_address("1.10"), lab_address("2.10"), lab_address("0.80")


def make_dr_centre(lab: Path, name: str, address: str) -> LabDrCentre:
    return LabDrCentre(
        name,
        f"https://{address}:9000",
        "drp-test",
        ca_certificate=lab / f"tls/{name}-ca.pem",
        access_key_id=lab / f"secrets/{name}-access-key-id",
        secret_access_key=lab / f"secrets/{name}-secret-access-key",
    )


def make_plan(workspace: Path) -> LabPlan:
    lab = workspace / "var" / "lab"
    return LabPlan(
        workspace=workspace,
        network=IPv4Network(LAB_NETWORK),
        hosts=(
            LabHost("app-1", "primary", PRIMARY, disk_bytes=512 * 1024**2),
            LabHost("standby-1", "recovery", RECOVERY, disk_bytes=512 * 1024**2),
        ),
        services=(LabService("pengaduan", "app-1", SERVICE),),
        dr_centres=(make_dr_centre(lab, "drc", lab_address("3.10")), make_dr_centre(lab, "other", lab_address("4.10"))),
        files=LabFiles(
            ssh_private_key=lab / "ssh/id_ed25519",
            ssh_known_hosts=lab / "ssh/known_hosts",
            repository_passwords={"pengaduan": lab / "secrets/pengaduan-repository-password"},
        ),
    )


def silent(line: str) -> None:
    del line


def leftovers(workspace: Path) -> list[str]:
    """What of the lab is still on the machine: processes, interfaces, mounts."""
    names = names_of(workspace)
    mounts = Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines()
    return [
        *(f"process {process.pid}" for process in find_marked(names.marker)),
        *(f"interface {name}" for name in network.interfaces(names)),
        *(f"mount {line}" for line in mounts if str(workspace) in line),
    ]


Shell = Callable[..., str]


def make_shell(plan: LabPlan) -> Shell:
    def shell(address: str, command: str, *, check: bool = True) -> str:
        options = {
            "UserKnownHostsFile": f'"{plan.files.ssh_known_hosts}"',
            "GlobalKnownHostsFile": "/dev/null",
            "StrictHostKeyChecking": "yes",
            "BatchMode": "yes",
            "ConnectTimeout": "30",
        }
        arguments = [text for name, value in options.items() for text in ("-o", f"{name}={value}")]
        argv = ["ssh", "-F", "/dev/null", "-i", str(plan.files.ssh_private_key), *arguments, f"root@{address}", command]
        done = subprocess.run(
            argv, capture_output=True, text=True, timeout=SSH_LIMIT_SECONDS, check=False, stdin=subprocess.DEVNULL
        )
        assert done.returncode == 0 or not check, f"{command}: {done.stderr}"
        return done.stdout

    return shell


@pytest.fixture(scope="module")
def plan() -> Iterator[LabPlan]:
    """A lab that is up, for the tests of one file, in order.

    Not in pytest's own directory: that is under /tmp, which every host has for itself, and hides the workspace anyway.
    """
    with tempfile.TemporaryDirectory(dir="/var/tmp", prefix="drp, lab:test ") as directory:
        plan = make_plan(Path(directory))
        try:
            city.up(plan, say=silent)
            yield plan
        finally:
            city.down(plan.workspace, say=silent)
        assert leftovers(plan.workspace) == []


@pytest.fixture(scope="module")
def shell(plan: LabPlan) -> Shell:
    return make_shell(plan)


@pytest.fixture
def new_plan(tmp_path: Path) -> Iterator[LabPlan]:
    """The plan of a lab that is not up; whatever the test builds is removed."""
    yield make_plan(tmp_path)
    city.down(tmp_path, say=silent)
    assert leftovers(tmp_path) == []


@pytest.fixture
def leftovers_of() -> Callable[[Path], list[str]]:
    return leftovers
