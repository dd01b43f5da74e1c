"""Looking ahead: every host is asked once, what was found is in the ledger, and who cannot be asked is not well."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from drp.domain.events import Body
from drp.domain.protection.host_keys import HostKey, HostKeyLook
from drp.domain.values import to_stamp
from drp.workflows.backup_status import backup_status
from drp.workflows.preflight import BOTH, RECOVERY, preflight
from tests.fakes.actions import Ending
from tests.fakes.city import NOW, make_city
from tests.fakes.world import PINNED, SECRET, Stage, make_stage

GOOD: dict[str, Any] = {
    "missing": [],
    "versions": {"python": "3.11.2", "restic": "restic 0.14.0"},
    "places": [],
    "sources_missing": [],
    "repository": {"opens": True},
    "certificate": {"expires_at": int(NOW.timestamp()) + 86_400 * 90},
}


def answers(**changes: Any) -> Any:
    def script(_name: str, _spec: Body) -> Ending:
        hello: Body = {"event": "hello", "host_time": to_stamp(NOW)}
        asked = int(NOW.timestamp() * 1e6)
        hello |= {"asked_at_us": asked, "answered_at_us": asked}
        return Ending(0, [hello, {"event": "result", "result": GOOD | changes}])

    return script


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    found = make_stage(tmp_path)
    found.actions.script = answers()
    return found


def test_where_all_is_well_nothing_is_said_to_be_wrong(stage: Stage) -> None:
    results = preflight(stage.world, ["pengaduan", "identitas"], BOTH)
    assert all(result.is_good for result in results)
    assert stage.actions.started == [
        f"{purpose}-{service}-1" for service in ("pengaduan", "identitas") for purpose in BOTH
    ]
    hosts = [stage.actions.specs[name]["host"] for name in stage.actions.started]
    assert hosts == ["pengaduan-1", "drc-pengaduan-1", "identitas-1", "drc-identitas-1"]
    for result in results:
        row = stage.ledger.run(result.run)
        assert (row.kind, row.outcome, row.exit_code) == ("preflight", "done", 0)
    assert backup_status(stage.world, ["pengaduan"])[0].preflight == ()


def test_a_job_names_what_to_look_for_and_holds_no_secret(stage: Stage) -> None:
    preflight(stage.world, ["pengaduan"], BOTH)
    source = stage.actions.specs["backup-pengaduan-1"]["job"]
    assert SECRET not in repr(source)
    assert source["sources"] == ["/srv/pengaduan"]
    assert source["places"] == []
    assert source["endpoint"] == {"scheme": "https", "host": "192.0.2.10", "port": 9000}
    assert "pg_dump" in source["requires"]
    recovery = stage.actions.specs["recovery-pengaduan-1"]["job"]
    assert recovery["repository"]["url"].endswith("/pengaduan/pengaduan-1")
    assert [(place["path"], place["bytes"]) for place in recovery["places"]] == [
        ("/var/lib", 5100),
        ("/srv/pengaduan", 7000),
    ]


def test_what_stands_in_the_way_is_in_the_ledger_and_in_the_status(stage: Stage) -> None:
    stage.actions.script = answers(sources_missing=["/srv/pengaduan"])
    (result,) = preflight(stage.world, ["pengaduan"])
    assert not result.is_good
    assert stage.ledger.run(result.run).exit_code == 1
    (status,) = backup_status(stage.world, ["pengaduan"])
    assert status.preflight == (("error", "/srv/pengaduan does not exist"),)
    stage.actions.script = answers()
    preflight(stage.world, ["pengaduan"])
    assert backup_status(stage.world, ["pengaduan"])[0].preflight == ()


def test_a_host_that_cannot_be_asked_is_not_well(stage: Stage) -> None:
    stage.actions.script = lambda *_: Ending(
        1, [{"event": "trouble", "kind": "host_key", "text": "another key", "dataset": ""}]
    )
    (result,) = preflight(stage.world, ["pengaduan"])
    assert not result.is_good
    assert result.unreachable
    (finding,) = [one for one in result.all_findings if one.level == "error"]
    assert "not the pinned one" in finding.text


SHOWN = HostKey("ssh-ed25519", "SHA256:shown")


@pytest.mark.parametrize(
    ("look", "says", "level"),
    [
        (HostKeyLook(PINNED, (SHOWN, PINNED)), "it shows the pinned SSH key SHA256:pinned", "ok"),
        (HostKeyLook(SHOWN, (PINNED,)), "another SSH key than the pinned one: SHA256:shown", "error"),
        (HostKeyLook(SHOWN, ()), "no SSH key is pinned for it; it shows SHA256:shown", "error"),
        (HostKeyLook(SHOWN, (), authorities=True), "certificate authorities", "warning"),
        (HostKeyLook(None, (PINNED,), trouble="refused"), "shows no key: refused", "warning"),
    ],
)
def test_a_host_s_key_is_looked_at_before_any_login(stage: Stage, look: HostKeyLook, says: str, level: str) -> None:
    stage.host_keys.looks["pengaduan-1"] = look
    (result,) = preflight(stage.world, ["pengaduan"])
    (finding,) = [one for one in result.all_findings if one.what == "host key"]
    assert says in finding.text
    assert (finding.level, finding.host, bool(finding.hint)) == (level, "pengaduan-1", level != "ok")
    assert stage.actions.started == ([] if level == "error" else ["backup-pengaduan-1"])
    assert (result.is_good, result.unreachable) == (level != "error", level == "error")
    if level == "error" and look.pinned:
        assert "SHA256:pinned" in finding.text
        assert "ssh-keygen -R" in finding.hint


def test_a_host_behind_a_jump_host_is_left_to_its_login(tmp_path: Path) -> None:
    city = make_city()
    jumped = city.hosts["pengaduan-1"].model_copy(update={"jump_host": "identitas-1"})
    stage = make_stage(tmp_path, city.model_copy(update={"hosts": {**city.hosts, "pengaduan-1": jumped}}))
    stage.actions.script = answers()
    (result,) = preflight(stage.world, ["pengaduan"])
    (finding,) = [one for one in result.all_findings if one.what == "host key"]
    assert "not looked at, it is behind a jump host" in finding.text
    assert stage.actions.started == ["backup-pengaduan-1"]


def test_after_a_failover_there_is_nowhere_left_to_recover_at(stage: Stage) -> None:
    stage.ledger.open_run("failover-1", "failover", "0" * 64, ["pengaduan"], {})
    stage.ledger.append("failover-1", "site.activated", {"service": "pengaduan", "site": "recovery"})
    (result,) = preflight(stage.world, ["pengaduan"], RECOVERY)
    assert [finding.level for finding in result.all_findings] == ["ok", "warning"]
    assert stage.actions.started == []
