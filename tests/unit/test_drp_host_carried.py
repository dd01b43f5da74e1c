"""The restic that drp carries along is used where the host's own will not do, and only if it is whole."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.unit.test_drp_host import FAKES, SECRETS, Host

PROGRAM = (FAKES / "restic").read_bytes()
SHA256 = hashlib.sha256(PROGRAM).hexdigest()
OLD = "#!/bin/sh\necho restic 0.9.6 compiled\n"
NONE = "#!/bin/sh\nexit 127\n"


class Bench(Host):
    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.state = folder / "state"
        self.path = self.state / "restic" / SHA256 / "restic"
        self.asked = 0

    def own(self, script: str) -> None:
        (self.programs / "restic").write_text(script)

    def job(self, dump: str, **changes: Any) -> dict[str, Any]:
        carried = {"sha256": SHA256, "size": len(PROGRAM), "prefer": "host"} | changes.pop("carried", {})
        return super().job(dump, state_directory=str(self.state), carried_restic=carried, **changes)

    def told(self, job: dict[str, Any], sent: bytes = PROGRAM, *, then_close: bool = False) -> list[dict[str, Any]]:
        """Carry the job out; where the program is asked for, it is sent."""
        messages = []
        with subprocess.Popen(
            [sys.executable, "-m", "tests.fakes.host_driver", self.programs],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=FAKES.parents[1],
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(json.dumps({"job": job, "secrets": SECRETS, "ca_pem": ""}).encode() + b"\n")
            process.stdin.flush()
            for line in process.stdout:
                messages.append(json.loads(line))
                if messages[-1]["event"] == "restic.wanted":
                    self.asked += 1
                    process.stdin.write(sent)
                    process.stdin.flush()
                    if then_close:
                        process.stdin.close()
        return messages

    def left(self) -> list[str]:
        return sorted(path.name for path in self.state.rglob("*") if path.is_file())


@pytest.fixture
def host(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_the_hosts_own_restic_is_used_where_it_will_do(host: Bench) -> None:
    last = host.told(host.job("printf x"))[-1]
    assert last["event"] == "result", last
    assert (host.asked, host.has("committed")) == (0, True)


@pytest.mark.parametrize("own", [OLD, NONE])
def test_one_that_is_too_old_or_does_not_run_is_replaced_once(host: Bench, own: str) -> None:
    host.own(own)
    for _ in range(2):
        last = host.told(host.job("printf x"))[-1]
        assert last["event"] == "result"
        assert last["result"]["tools"]["restic"].startswith("restic 0.14.0")
    assert host.asked == 1
    assert (host.path.parent / "committed").read_text() == "x"
    assert host.path.read_bytes() == PROGRAM
    assert [path.stat().st_mode & 0o777 for path in (host.path, host.path.parent, host.state)] == [0o700] * 3


def test_the_carried_one_is_preferred_where_that_is_declared(host: Bench) -> None:
    assert host.told(host.job("printf x", carried={"prefer": "carried"}))[-1]["event"] == "result"
    assert (host.asked, host.has("committed")) == (1, False)


def test_what_arrives_otherwise_than_declared_is_never_used(host: Bench) -> None:
    host.own(OLD)
    last = host.told(host.job("printf x"), b"#" + PROGRAM[1:-1] + b"?")[-1]
    assert (last["event"], last["kind"]) == ("trouble", "carried_restic")
    assert host.left() == []


def test_a_transfer_that_breaks_off_leaves_nothing(host: Bench) -> None:
    host.own(OLD)
    last = host.told(host.job("printf x"), PROGRAM[:-5], then_close=True)[-1]
    assert (last["event"], last["kind"]) == ("trouble", "control_gone")
    assert host.left() == []


def test_a_transfer_that_stalls_leaves_nothing(host: Bench) -> None:
    host.own(OLD)
    last = host.told(host.job("printf x", stall_seconds=1), PROGRAM[:-5])[-1]
    assert (last["event"], last["kind"]) == ("trouble", "stalled")
    assert host.left() == []


@pytest.mark.parametrize("change", ["content", "mode", "link"])
def test_one_that_was_changed_on_the_host_is_asked_for_anew(host: Bench, change: str, tmp_path: Path) -> None:
    host.own(OLD)
    host.told(host.job("printf x"))
    if change == "content":
        host.path.write_bytes(PROGRAM + b"\n# and more\n")
    elif change == "mode":
        host.path.chmod(0o722)
    else:
        host.path.rename(tmp_path / "elsewhere")
        host.path.symlink_to(tmp_path / "elsewhere")
    last = host.told(host.job("printf x"))[-1]
    assert last["event"] == "result", last
    assert host.asked == 2
    assert not host.path.is_symlink()
    assert host.path.read_bytes() == PROGRAM


def test_a_folder_that_others_may_write_is_refused(host: Bench) -> None:
    host.own(OLD)
    host.path.parent.mkdir(parents=True)
    os.chmod(host.path.parent, 0o777)
    last = host.told(host.job("printf x"))[-1]
    assert (last["event"], last["kind"]) == ("trouble", "not_own")


def test_a_carried_one_that_is_too_old_is_not_used_either(host: Bench) -> None:
    host.own(OLD)
    old = OLD.encode()
    carried = {"sha256": hashlib.sha256(old).hexdigest(), "size": len(old)}
    last = host.told(host.job("printf x", carried=carried), old)[-1]
    assert (last["event"], last["kind"]) == ("trouble", "wrong_restic")


def test_a_playbook_learns_whether_to_copy_it(host: Bench) -> None:
    job = host.job("", verb="find_restic")
    assert host.told(job)[-1]["result"] == {"wanted": False, "path": str(host.path)}
    host.own(OLD)
    assert host.told(job)[-1]["result"]["wanted"] is True
    host.path.write_bytes(PROGRAM)
    host.path.chmod(0o700)
    assert host.told(job)[-1]["result"]["wanted"] is False
