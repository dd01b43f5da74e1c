"""Damaged data that was backed up before anybody noticed: drp turns the bad restore points down by the service's own
checks, takes each away again, and comes back with the newest good one; so does a rehearsal, while production runs.
Where none is good, it stops the last one again."""

from __future__ import annotations

import signal
import socket
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from drp.domain.backups.restore_point import RestorePoint
from drp.lab import city
from tests.e2e.workbench import PRIMARY, RECOVERY, SERVICE, Workbench, eventually

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1500)]
RUNBOOK = "database-corruption"
ENCRYPTED = "head -c 2000 /dev/urandom >/etc/nginx/sites-available/pengaduan"
"""The server goes on with what it has read; whoever starts it anew has nothing to read."""
LIMIT_SECONDS = 700
"""An attempt takes twenty seconds on a quiet machine, and a minute on a busy one."""


@dataclass(frozen=True)
class Damaged:
    """A service whose two newest restore points hold the damage."""

    older: RestorePoint
    good: RestorePoint
    rewritten: RestorePoint
    encrypted: RestorePoint
    at: datetime


def stamp(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")


@pytest.fixture(scope="module")
def damaged(bench: Workbench) -> Damaged:
    path = bench.folder / "runbooks" / f"{RUNBOOK}.yaml"
    text = path.read_text(encoding="utf-8").partition("\nsteps:\n")[0]  # nobody is here for people's steps
    assert "patience: 60s" in text
    path.write_text(text.replace("patience: 60s", "patience: 30s") + "\n", encoding="utf-8")
    for _ in range(2):
        count = len(bench.acknowledged())
        eventually(lambda: len(bench.acknowledged()) > count + 10, "citizens write")  # noqa: B023 - asked at once
        bench.back_up()
    watch = next(running for running in bench.started if "watch" in running.argv)
    watch.end(signal.SIGINT)  # it would take what is there now for how it should be
    at = datetime.now(UTC)
    bench.sql(PRIMARY, "UPDATE complaints SET message = md5(message)")
    bench.back_up()
    bench.ssh(PRIMARY, ENCRYPTED)
    bench.back_up()
    with bench.ledger() as ledger:
        encrypted, rewritten, good, older = ledger.restore_points(SERVICE)
    return Damaged(older, good, rewritten, encrypted, at)


@dataclass(frozen=True)
class Walked:
    """A recovery, and what it left."""

    run: str
    service: dict[str, Any]
    events: list[dict[str, Any]]

    def bodies(self, type_: str) -> list[dict[str, Any]]:
        return [event["body"] for event in self.events if event["type"] == type_]

    def marks(self) -> dict[str, datetime]:
        return {body["mark"]: datetime.fromisoformat(body["at"]) for body in self.bodies("mark")}


@pytest.fixture(scope="module")
def drilled(damaged: Damaged, bench: Workbench) -> Walked:
    """A rehearsal that begins with the second restore point, so that it has only one to turn down."""
    words = ("drill", "run", SERVICE, "--runbook", RUNBOOK, "--before", stamp(damaged.rewritten.arrived_at), "--json")
    done = bench.drp(*words, code=(0, 4), limit_seconds=LIMIT_SECONDS)
    (service,) = done.json()["services"]
    return Walked(done.json()["run"], service, bench.events(done.json()["run"]))


def test_a_drill_walks_back_as_a_failover_does(damaged: Damaged, drilled: Walked) -> None:
    (tried,) = drilled.service["turned_down"]
    assert (tried["restore_point"], tried["step"]) == (damaged.rewritten.id, f"{SERVICE}/trial")
    assert "differs from the one before the disruption" in tried["reason"]
    assert drilled.service["restore_point"] == damaged.good.id
    assert drilled.service["rta_ms"] is not None
    ends = Counter((body["step"].partition("/")[2], body["outcome"]) for body in drilled.bodies("step.ended"))
    assert ends["restore", "ok"] == 2
    assert ends["trial", "failed"] == ends["trial", "ok"] == ends["usable", "ok"] == 1
    assert drilled.marks()["Tb"] == damaged.good.sentinel_at


def test_a_drill_that_walked_back_leaves_nothing(drilled: Walked, bench: Workbench) -> None:
    ends = {body["step"]: body["outcome"] for body in drilled.bodies("step.ended")}
    assert ends[f"{SERVICE}/cleanup"] == ends[f"{SERVICE}/unisolate"] == "ok"
    assert bench.ssh(RECOVERY, "ls -d /srv/pengaduan /etc/pengaduan 2>/dev/null || true") == ""
    assert bench.sql(RECOVERY, "SELECT datname FROM pg_database WHERE datname = 'pengaduan'", "postgres") == ""


@pytest.fixture(scope="module")
def hopeless(damaged: Damaged, drilled: Walked, bench: Workbench) -> Walked:
    """A failover with a bad restore point, and no other to take."""
    del drilled  # it needs the same host
    words = ("failover", SERVICE, "--runbook", RUNBOOK, "--yes", "--reason", "wrong update", "--by", "Ratna Kusumah")
    only = ("--restore-point", damaged.rewritten.id, "--accept-unfenced", "--disrupted-at", stamp(damaged.at))
    done = bench.drp(*words, *only, "--json", code=4, limit_seconds=LIMIT_SECONDS)
    (service,) = done.json()["services"]
    service["causes"] = done.json()["causes"]
    return Walked(done.json()["run"], service, bench.events(done.json()["run"]))


def test_a_bad_copy_that_nothing_can_replace_is_stopped_and_kept(hopeless: Walked, bench: Workbench) -> None:
    ends = {body["step"]: body["outcome"] for body in hopeless.bodies("step.ended")}
    assert (ends[f"{SERVICE}/trial"], ends[f"{SERVICE}/cutover"]) == ("failed", "skipped")
    assert ends[f"{SERVICE}/withdraw"] == "ok"
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((RECOVERY, 80), timeout=30).close()
    assert "pengaduan" not in bench.ssh(RECOVERY, "ps -eo user,args | grep -v postgres")
    assert int(bench.sql(RECOVERY, "SELECT count(*) FROM complaints WHERE message ~ '^[0-9a-f]{32}$'")) > 10
    (told,) = [item["text"] for item in hopeless.service["causes"] if item["kind"] == "none_passed"]
    assert "--restore-point ID --replace-existing" in told
    assert hopeless.service["rta_ms"] is None
    page = (bench.folder / "var/reports" / hopeless.run / "report.html").read_text()
    assert "the data is kept there" in page
    assert bench.drp("status", SERVICE, "--json").json()[0]["active_site"] == "primary"


@pytest.fixture(scope="module")
def cleared(hopeless: Walked, bench: Workbench) -> None:
    """Whoever has looked into it clears it away."""
    del hopeless
    bench.sql(RECOVERY, f"DROP DATABASE {SERVICE}", "postgres")
    units = "/etc/init.d/pengaduan /etc/systemd/system/pengaduan.service"
    bench.ssh(RECOVERY, f"rm -rf /srv/pengaduan /etc/pengaduan {units} /etc/nginx/sites-*/pengaduan")


@pytest.fixture(scope="module")
def walked(damaged: Damaged, cleared: None, bench: Workbench) -> Walked:
    """drp is killed while it restores the second restore point, and goes on."""
    del cleared
    city.disaster(bench.folder, "site-loss", say=lambda _line: None)
    words = ("failover", SERVICE, "--runbook", RUNBOOK, "--yes", "--reason", "wrong update", "--by", "Ratna Kusumah")
    when = ("--before", stamp(datetime.now(UTC)), "--disrupted-at", stamp(damaged.at))
    failover = bench.start(*words, *when)
    failover.until(f"restore point {damaged.encrypted.id} is turned down", LIMIT_SECONDS)
    run = bench.open_run("failover")
    told = bench.folder / "var/runs" / run / f"{SERVICE}-restore+2" / "messages.jsonl"
    eventually(lambda: told.exists() and "looked_for" in told.read_text(), "the next one is restored", LIMIT_SECONDS)
    failover.end(signal.SIGKILL)
    done = bench.drp("run", "resume", run, "--json", code=(0, 4), limit_seconds=LIMIT_SECONDS)
    (service,) = done.json()["services"]
    return Walked(run, service, bench.events(run))


def test_the_bad_ones_are_turned_down_by_the_services_own_checks(damaged: Damaged, walked: Walked) -> None:
    assert walked.service["restore_point"] == damaged.good.id
    tried = {item["restore_point"]: item for item in walked.service["turned_down"]}
    assert list(tried) == [damaged.encrypted.id, damaged.rewritten.id]
    assert tried[damaged.encrypted.id]["step"] == f"{SERVICE}/activate"
    assert "the configuration of nginx" in tried[damaged.encrypted.id]["reason"]
    assert tried[damaged.rewritten.id]["step"] == f"{SERVICE}/trial"
    assert "differs from the one before the disruption" in tried[damaged.rewritten.id]["reason"]


def test_no_attempt_is_made_twice_though_drp_was_killed_in_one(walked: Walked) -> None:
    ends = Counter((body["step"].partition("/")[2], body["outcome"]) for body in walked.bodies("step.ended"))
    assert ends["restore", "ok"] == 3
    assert ends["trial", "failed"] == ends["trial", "ok"] == ends["cutover", "ok"] == ends["usable", "ok"] == 1
    assert len(walked.bodies("restore_points.turned_down")) == 2
    assert len([event for event in walked.events if event["type"] == "run.resumed"]) == 1


def test_the_time_of_all_attempts_and_the_loss_of_the_good_one_are_measured(damaged: Damaged, walked: Walked) -> None:
    at = walked.marks()
    assert at["T0"] == damaged.at
    assert at["Tb"] == damaged.good.sentinel_at
    assert walked.service["rpa_ms"] == (at["T0"] - at["Tb"]) // timedelta(milliseconds=1)
    assert walked.service["rta_ms"] == (at["T5"] - at["T0"]) // timedelta(milliseconds=1)
    refused = [event["at"] for event in walked.events if event["type"] == "restore_points.turned_down"]
    first, second = (datetime.fromisoformat(found) for found in refused)
    assert at["T0"] < at["T3"] < first < second < at["T4"] < at["T5"]


def test_citizens_work_with_the_good_data(damaged: Damaged, walked: Walked, bench: Workbench) -> None:
    newest = walked.marks()["Tb"]
    assert newest > damaged.older.arrived_at
    count = len(bench.acknowledged())
    eventually(lambda: len(bench.acknowledged()) > count + 3, "citizens write again")
    assert bench.sql(RECOVERY, "SELECT count(*) FROM complaints WHERE message ~ '^[0-9a-f]{32}$'") == "0\n"
    before = [line for line in bench.acknowledged() if datetime.fromisoformat(line["acknowledged_at"]) < newest]
    assert len(before) > 10
    known = bench.sql(RECOVERY, "SELECT encode(sha256(convert_to(message, 'UTF8')), 'hex') FROM complaints").split()
    assert [line for line in before if line["message_sha256"] not in known] == []


def test_the_report_shows_what_was_tried_and_verifies(damaged: Damaged, walked: Walked, bench: Workbench) -> None:
    folder = bench.folder / "var/reports" / walked.run
    page = (folder / "report.html").read_text()
    for text in (damaged.encrypted.id, damaged.rewritten.id, damaged.good.id, "differs from the one before"):
        assert text in page
    bench.drp("report", "verify", str(folder / "report.json"))
