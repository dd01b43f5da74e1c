"""Figures for Prometheus: what its own parser reads back is what drp knows; a gateway in trouble harms nothing."""

from __future__ import annotations

import stat
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from drp.adapters import metrics
from drp.adapters.metrics import PrometheusFigures, registry_of, text_of
from drp.domain.backups.settings import Metrics
from tests.fakes.http_receiver import Receiver, receiving
from tests.fakes.protection import BLANK, good, judged, with_copy


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


def read(content: bytes) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(content.decode())
        for sample in family.samples
    }


def value(content: bytes, name: str, **labels: str) -> float | None:
    return read(content).get((name, tuple(sorted({"service": "pengaduan", **labels}.items()))))


def test_the_figures_are_those_of_the_status() -> None:
    status = judged(good())
    content = text_of(registry_of([status]))
    assert value(content, "drp_backup_up") == 1
    assert value(content, "drp_backup_data_age_seconds", dr_centre="drc") == 300
    assert value(content, "drp_backup_rpo_seconds") == 900
    assert value(content, "drp_backup_worst_gap_seconds") == 900
    assert value(content, "drp_backup_restore_point_bytes") == 1000
    assert status.main.held is not None
    arrived = value(content, "drp_backup_last_arrival_timestamp_seconds", dr_centre="drc")
    assert arrived == status.main.held.arrived_at.timestamp()
    assert value(content, "drp_backup_last_proof_timestamp_seconds", dataset="files") is not None
    assert value(content, "drp_backup_bad_parts", dr_centre="drc", host="pengaduan-1") == 0
    assert value(content, "drp_backup_failed_attempts") == 0
    assert value(content, "drp_backup_status_timestamp_seconds") == status.at.timestamp()


def test_what_is_not_known_is_left_out_and_never_a_zero() -> None:
    content = text_of(registry_of([judged(BLANK, backup=with_copy())]))
    names = {name for name, _ in read(content)}
    assert value(content, "drp_backup_up") == 0
    for name in ("data_age_seconds", "worst_gap_seconds", "restore_point_bytes", "last_proof_timestamp_seconds"):
        assert f"drp_backup_{name}" not in names


def test_nothing_of_this_process_is_among_them() -> None:
    families = list(text_string_to_metric_families(text_of(registry_of([judged(good())])).decode()))
    assert all(family.name.startswith("drp_backup_") for family in families)
    assert all(family.type == "gauge" and family.documentation for family in families)


@given(st.text(max_size=30), st.text(max_size=30))
def test_names_of_any_kind_come_back_as_they_were(service: str, dataset: str) -> None:
    proof = judged(good()).proofs[0]
    status = replace(judged(good()), service=service, proofs=(replace(proof, dataset=dataset),))
    if "\r" in service + dataset or any(char in service + dataset for char in "\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"):
        return  # the parser itself splits lines there; Prometheus does not, and inventories let no such name in
    found = read(text_of(registry_of([status])))
    labels = tuple(sorted({"service": service, "dataset": dataset}.items()))
    assert ("drp_backup_last_proof_timestamp_seconds", labels) in found


def test_the_file_is_whole_at_any_moment_and_readable_by_all(tmp_path: Path) -> None:
    figures = PrometheusFigures(tmp_path, Metrics(textfile="drp.prom"))
    path = tmp_path / "drp.prom"
    assert figures.is_wanted()
    assert figures.publish([judged(good())]) == []
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    stop = threading.Event()
    seen: list[int] = []

    def look() -> None:
        while not stop.is_set():
            seen.append(len(read(path.read_bytes())))

    reader = threading.Thread(target=look)
    reader.start()
    statuses = [replace(judged(good()), service=f"service-{number}") for number in range(40)]
    for _ in range(10):
        figures.publish(statuses)
    stop.set()
    reader.join()
    assert set(seen) <= {len(read(path.read_bytes())), len(read(text_of(registry_of([judged(good())]))))}
    assert [file.name for file in tmp_path.iterdir()] == ["drp.prom"]


def test_a_file_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (line,) = PrometheusFigures(tmp_path, Metrics(textfile="missing/drp.prom")).publish([judged(good())])
    assert "missing/drp.prom cannot be written: No such file or directory" in line


def test_a_link_in_the_place_of_the_file_is_replaced_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "other").write_text("mine")
    (tmp_path / "drp.prom").symlink_to(tmp_path / "other")
    assert PrometheusFigures(tmp_path, Metrics(textfile="drp.prom")).publish([judged(good())]) == []
    assert (tmp_path / "other").read_text() == "mine"


def test_the_gateway_gets_them_under_a_key_of_their_own(tmp_path: Path, receiver: Receiver) -> None:
    figures = PrometheusFigures(tmp_path, Metrics(push_gateway=f"http://{receiver.address}"))
    assert figures.publish([judged(good())]) == []
    (request,) = receiver.requests
    assert request.method == "PUT"
    assert request.path.startswith("/metrics/job/drp/instance/")
    assert f"/workspace/{tmp_path.name}" in request.path
    assert value(request.body, "drp_backup_up") == 1


def test_a_gateway_that_is_down_or_refuses_is_one_line(tmp_path: Path, receiver: Receiver) -> None:
    figures = PrometheusFigures(tmp_path, Metrics(push_gateway=f"http://{receiver.address}"))
    receiver.status = 503
    (line,) = figures.publish([judged(good())])
    assert "took nothing: HTTP 503" in line
    down = PrometheusFigures(tmp_path, Metrics(push_gateway="http://127.0.0.1:9"))
    (line,) = down.publish([judged(good())])
    assert "took nothing" in line
    assert "\n" not in line


def test_a_gateway_that_is_silent_is_not_waited_for(
    tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics, "PUSH_LIMIT_SECONDS", 0.5)
    receiver.silent = True
    started = time.monotonic()
    (line,) = PrometheusFigures(tmp_path, Metrics(push_gateway=f"http://{receiver.address}")).publish([judged(good())])
    assert time.monotonic() - started < 5
    assert "took nothing" in line or "no answer in time" in line


def test_nobody_who_wants_none_gets_any(tmp_path: Path) -> None:
    for settings in (None, Metrics()):
        figures = PrometheusFigures(tmp_path, settings)
        assert not figures.is_wanted()
        assert figures.publish([judged(good())]) == []
