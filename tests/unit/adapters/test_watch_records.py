"""What probes leave: samples by day, and a copy beside the run that used them."""

from __future__ import annotations

import hashlib
import json
import socket
from datetime import datetime, timedelta
from pathlib import Path

from drp.adapters.probing import load_baseline, read_samples, save_baseline
from drp.adapters.watch_records import FileWatchRecords, TcpReachability
from drp.domain.inventory import AnsibleHost
from drp.domain.values import to_stamp
from tests.fakes.city import NOW


def record(at: datetime, succeeded: bool = True) -> dict[str, object]:
    end = at + timedelta(milliseconds=5)
    return {"started_at": to_stamp(at), "ended_at": to_stamp(end), "succeeded": succeeded, "detail": "é"}


def fill(records: FileWatchRecords, days: int) -> None:
    for day in range(days):
        at = NOW - timedelta(days=days - 1 - day)
        path = records.file("pengaduan", at)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(record(at), ensure_ascii=False) + "\n", encoding="utf-8")


def test_the_two_newest_days_are_read_in_order(tmp_path: Path) -> None:
    records = FileWatchRecords(tmp_path)
    assert records.samples("pengaduan") == []
    fill(records, 3)
    assert [sample.started_at for sample in records.samples("pengaduan")] == [NOW - timedelta(days=1), NOW]


def test_the_newest_sample_is_found_without_reading_all(tmp_path: Path) -> None:
    records = FileWatchRecords(tmp_path)
    assert records.newest("pengaduan") is None
    fill(records, 3)
    path = records.file("pengaduan", NOW)
    for second in range(100):
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record(NOW + timedelta(seconds=second)), ensure_ascii=False) + "\n")
    newest = records.newest("pengaduan")
    assert newest is not None
    assert newest.started_at == NOW + timedelta(seconds=99)
    path.write_text("")
    assert records.newest("pengaduan") is None


def test_a_half_written_sample_is_not_read_yet(tmp_path: Path) -> None:
    line = json.dumps(record(NOW), ensure_ascii=False).encode() + b"\n"
    for length in range(len(line)):
        (tmp_path / "samples.jsonl").write_bytes(line + line[:length])
        assert len(read_samples(tmp_path / "samples.jsonl")) == 1, length


def test_what_a_run_used_is_kept_beside_it(tmp_path: Path) -> None:
    records = FileWatchRecords(tmp_path)
    fill(records, 3)
    evidence = records.keep("pengaduan", tmp_path / "var/runs/run-1", NOW - timedelta(days=1, hours=1))
    content = (tmp_path / evidence.path).read_bytes()
    assert evidence.path == "var/runs/run-1/pengaduan-watch.jsonl"
    assert content.count(b"\n") == 2
    assert evidence.sha256 == hashlib.sha256(content).hexdigest()
    assert (tmp_path / evidence.path).stat().st_mode & 0o077 == 0


def test_what_is_old_is_not_read_and_nothing_that_is_asked_for_is_left_out(tmp_path: Path) -> None:
    """A day and a half, a sample each ten seconds, of two checks that are a little out of order."""
    records = FileWatchRecords(tmp_path)
    first = NOW - timedelta(hours=36)
    for number in range(36 * 360):
        at = first + timedelta(seconds=10 * number) - timedelta(seconds=25 * (number % 2))
        path = records.file("pengaduan", at)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record(at) | {"check": "ab"[number % 2]}, ensure_ascii=False) + "\n")
    everything = records.samples("pengaduan")
    for hours in (0, 0.01, 1, 8, 30, 100):
        since = NOW - timedelta(hours=hours)
        wanted = [sample for sample in everything if sample.started_at >= since]
        assert records.samples("pengaduan", since) == wanted
    kept = records.keep("pengaduan", tmp_path / "var/runs/run-1", NOW - timedelta(minutes=10))
    assert (tmp_path / kept.path).stat().st_size < 100_000


def test_the_samples_of_a_run_are_read_as_they_come(tmp_path: Path) -> None:
    records, path = FileWatchRecords(tmp_path), tmp_path / "samples.jsonl"
    assert records.run_samples(tmp_path) == []
    line = json.dumps(record(NOW), ensure_ascii=False).encode() + b"\n"
    for content, count in ((line, 1), (line + line[:9], 1), (line + line, 2), (line, 1)):
        path.write_bytes(content)
        assert len(records.run_samples(tmp_path)) == count
    path.unlink()
    assert records.run_samples(tmp_path) == []


def test_a_look_of_old_content_reads_back_and_damage_is_none(tmp_path: Path) -> None:
    file = tmp_path / "baseline.json"
    assert load_baseline(file) == {}
    save_baseline(file, {"2": "0" * 64})
    assert load_baseline(file) == {"2": "0" * 64}
    for damage in ("", "{", "5", "[1]", "null"):
        file.write_text(damage)
        assert load_baseline(file) == {}, damage


def test_a_host_answers_where_its_ssh_port_takes_connections() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        host = AnsibleHost(name="a", site="primary", address="127.0.0.1", port=port)
        assert TcpReachability().answers(host)
    assert not TcpReachability().answers(host)
