"""A planned move to the recovery site and home again, while citizens write: nothing that was acknowledged is lost."""

from __future__ import annotations

import signal
from typing import Any

import pytest

from tests.e2e.workbench import ADDRESS, PRIMARY, RECOVERY, SERVICE, Done, Workbench, eventually, processes_of, told

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1500)]
DECIDED = ("--by", "Ratna Kusumah")
THERE = ("switchover", SERVICE, "--yes", "--reason", "power works", *DECIDED)
HOME = ("failback", SERVICE, "--yes", "--reason", "power is back", *DECIDED)

GONE = "ls -d /srv/pengaduan /etc/pengaduan /etc/nginx/sites-enabled/pengaduan 2>/dev/null || true"


def lost(bench: Workbench, address: str) -> list[dict[str, Any]]:
    """Complaints that citizens were told are stored, and that the database at an address does not have."""
    acknowledged = bench.acknowledged()
    rows = bench.sql(address, "SELECT encode(sha256(convert_to(message, 'UTF8')), 'hex') FROM complaints")
    stored = set(rows.split())
    return [line for line in acknowledged if line["message_sha256"] not in stored]


def writes_arrive(bench: Workbench) -> None:
    before = len(bench.acknowledged())
    eventually(lambda: len(bench.acknowledged()) > before + 10, "citizens write")


def moved(bench: Workbench, done: Done) -> dict[str, Any]:
    result = done.json()
    assert (result["verdict"], result["exit_code"]) == ("MET", 0), done.stderr
    (service,) = result["services"]
    assert service["rpa_ms"] == 0, "the last backup is younger than the stop"
    assert service["rta_ms"] > 0
    assert service["exceptions"] == []
    bench.drp("report", "verify", result["report"][1])
    outcomes = {
        event["body"]["step"].split("/")[1]: event["body"]["outcome"]
        for event in bench.events(result["run"])
        if event["type"] == "step.ended"
    }
    spare = {"reopen", "return"} | ({"cleanup"} if result["run"].startswith("switchover") else {"close-again"})
    assert {stage: outcomes.pop(stage) for stage in spare} == dict.fromkeys(spare, "skipped")
    assert set(outcomes.values()) == {"ok"}
    return dict(result)


def active_site(bench: Workbench) -> str:
    with bench.ledger() as ledger:
        return ledger.active_site(SERVICE)


def test_there_and_home_again(bench: Workbench) -> None:
    bench.back_up()
    writes_arrive(bench)
    assert "not at the recovery site" in told(bench.drp(*HOME, code=2))

    there = moved(bench, bench.drp(*THERE, "--json"))
    assert active_site(bench) == "recovery"
    writes_arrive(bench)
    assert lost(bench, RECOVERY) == []
    assert ADDRESS not in bench.ssh(PRIMARY, "ip -4 address"), "the primary has given the address up"
    with bench.ledger() as ledger:
        newest = ledger.restore_points(SERVICE)[0]
    assert newest.site == "recovery", "the first backup from the new site has arrived"
    assert bench.drp("backup", "status", SERVICE, code=(0, 4)).stdout

    # What only the old primary has: written there after the move, by somebody who did not know.
    assert bench.ssh(PRIMARY, "service postgresql status >/dev/null; echo $?") != "0\n", "the primary is closed"
    bench.ssh(
        PRIMARY, "pg_lsclusters --no-header | while read version name rest; do pg_ctlcluster $version $name start; done"
    )
    bench.sql(PRIMARY, "INSERT INTO complaints (name, subject, message) VALUES ('Warga', 'tersisa', 'hanya di sini')")
    home = moved(bench, bench.drp(*HOME, "--json"))
    assert active_site(bench) == "primary"
    writes_arrive(bench)
    assert lost(bench, PRIMARY) == []
    assert bench.sql(PRIMARY, "SELECT count(*) FROM complaints WHERE message = 'hanya di sini'") == "0\n"
    assert bench.ssh(RECOVERY, GONE) == "", "the recovery host is free for the next time"
    assert ADDRESS not in bench.ssh(RECOVERY, "ip -4 address")

    # It was kept, and is no restore point that anything recovers from by itself.
    (kept,) = bench.drp("backup", "list", SERVICE, "--stranded", "--json").json()
    assert kept["site"] == "primary"
    assert kept["id"] not in bench.points()
    scratch = "/var/tmp/tersisa"
    bench.drp("restore", "run", SERVICE, "--restore-point", kept["id"], "--dataset", "database", "--scratch", scratch)
    assert there["run"] != home["run"]
    assert {row.outcome for kind in ("switchover", "failback") for row in bench.runs(kind)} == {"done"}


def test_a_move_that_fails_gives_users_their_service_back(bench: Workbench) -> None:
    bench.back_up()
    with bench.on_host(RECOVERY, "mkdir /etc/pengaduan && echo mine >/etc/pengaduan/theirs", "rm -r /etc/pengaduan"):
        done = bench.drp(*THERE, "--json", code=4)
        assert bench.ssh(RECOVERY, "cat /etc/pengaduan/theirs") == "mine\n"
    assert "already holds path /etc/pengaduan" in done.stderr
    assert done.json()["verdict"] == "NOT_MET"
    assert active_site(bench) == "primary"
    writes_arrive(bench)
    assert lost(bench, PRIMARY) == []


def test_a_move_that_is_killed_goes_on(bench: Workbench) -> None:
    """Killed with -9 in the middle of each stage: resumed, nothing done twice, nothing lost."""
    bench.back_up()
    going, run = bench.start(*THERE), ""
    for said in ("stopping …", "backing up what users wrote last …", "restoring …", "switching traffic …"):
        going.until(said)
        run = bench.open_run("switchover")
        assert going.end(signal.SIGKILL).code == -signal.SIGKILL
        going = bench.start("run", "resume", run, "--json")
    moved(bench, going.end())
    assert len([event for event in bench.events(run) if event["type"] == "run.resumed"]) == 4
    writes_arrive(bench)
    assert lost(bench, RECOVERY) == []
    started = [event["body"]["step"] for event in bench.events(run) if event["type"] == "step.ended"]
    assert len(started) == len(set(started))
    moved(bench, bench.drp(*HOME, "--json"))
    assert lost(bench, PRIMARY) == []


def test_a_move_that_a_person_gives_up_goes_back(bench: Workbench) -> None:
    bench.back_up()
    going = bench.start(*THERE)
    going.until("restoring …")
    run = bench.open_run("switchover")
    aborted = bench.drp("run", "abort", run, "--reason", "the minister visits", code=130)
    assert going.end().code == 130
    assert "its users are at the primary site" in aborted.stderr
    assert active_site(bench) == "primary"
    (row,) = [row for row in bench.runs("switchover") if row.run == run]
    assert (row.outcome, row.verdict) == ("aborted", "ABORTED")
    eventually(lambda: processes_of(run) == [], "nothing of the move is left at work")
    assert bench.ssh(RECOVERY, GONE) == "", "what it had begun is removed"
    writes_arrive(bench)
    assert lost(bench, PRIMARY) == []


def test_home_to_a_new_primary_after_a_disaster(bench: Workbench) -> None:
    """The old primary burnt down; what stands there now is empty."""
    bench.back_up()
    writes_arrive(bench)
    bench.drp("lab", "disaster", "site-loss")
    bench.drp("failover", SERVICE, "--yes", "--reason", "fire", "--by", "Ratna Kusumah", code=(0, 4))
    writes_arrive(bench)
    bench.drp("lab", "up")
    before = len(lost(bench, RECOVERY))
    done = bench.drp(*HOME, "--json")
    assert "nothing of it lies there" in done.stderr
    moved(bench, done)
    writes_arrive(bench)
    assert len(lost(bench, PRIMARY)) == before, "the failover lost something; the failback nothing more"


DOOR = """schema: 1
id: door
title: {en: Close the door, id: Tutup pintu}
purpose: {en: Send users away first, id: Pengguna diminta menunggu lebih dahulu}
kind: full
operation: switchover
hold: 4s
steps:
  - id: close-the-door
    kind: manual
    title: {en: Put up the maintenance page, id: Pasang halaman pemeliharaan}
    instructions: {en: Nobody enters anything from now on., id: Tidak ada entri lagi.}
    expected: 1m
    before: start
"""


def test_a_service_is_unusable_from_when_users_are_sent_away(bench: Workbench) -> None:
    """Not only from when drp stops it: the outside probe saw it, and RTA counts from there."""
    (bench.folder / "runbooks/door.yaml").write_text(DOOR)
    bench.back_up()
    going = bench.start(*THERE, "--runbook", "door", "--json")
    going.until("waits for")
    run = bench.open_run("switchover")
    samples = bench.folder / f"var/runs/{run}/{SERVICE}-probe/samples.jsonl"
    eventually(lambda: samples.exists() and '"succeeded": true' in samples.read_text(), "the probe sees it work")
    bench.ssh(PRIMARY, "service nginx stop")
    eventually(lambda: samples.read_text().count('"succeeded": false') >= 3, "the probe sees users sent away")
    bench.drp("run", "approve", run, "close-the-door", "--by", "Siti")
    going.end()
    events = bench.events(run)
    t0 = next(event["body"] for event in events if event["type"] == "mark" and event["body"]["mark"] == "T0")
    begun = [event for event in events if event["type"] == "step.started"]
    stop = next(event["at"] for event in begun if event["body"]["step"] == f"{SERVICE}/stop")
    assert "outside probe" in t0["evidence"]
    assert t0["at"] < stop
    (bench.folder / "runbooks/door.yaml").unlink()
    moved(bench, bench.drp(*HOME, "--json"))
