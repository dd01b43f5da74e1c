"""How well a service is protected, on real parts: nothing is good before it is, what breaks is told once, and what
stands in the way of a backup or a recovery is found before it has to be."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.e2e.workbench import PRIMARY, PRIMARY_NAME, SERVICE, Workbench, content_of, files_below
from tests.fakes.http_receiver import Receiver, receiving

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with receiving() as found:
        yield found


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory, receiver: Receiver) -> Iterator[Workbench]:
    found = Workbench(tmp_path_factory.mktemp("protection"))
    with (found.folder / "drp.yaml").open("a", encoding="utf-8") as file:
        file.write(f"\nmetrics: {{textfile: var/drp.prom, push_gateway: 'http://{receiver.address}'}}\n")
        file.write("notifications: {urls: [{file: var/addresses}]}\n")
    try:
        found.up()
        addresses = found.folder / "var/addresses"
        addresses.write_text(f"json://{receiver.address}/duty\n")
        addresses.chmod(0o600)
        yield found
    finally:
        found.down()
        assert found.leftovers() == []


def findings(bench: Workbench, *options: str, code: int = 0) -> dict[str, list[dict[str, Any]]]:
    (row,) = bench.drp("backup", "preflight", SERVICE, "--json", *options, code=code).json()
    found: dict[str, list[dict[str, Any]]] = {"ok": [], "warning": [], "error": []}
    for finding in row["findings"]:
        found[finding["level"]].append(finding)
    return found


def messages(receiver: Receiver) -> list[str]:
    return [json.loads(request.body)["message"] for request in receiver.requests if request.path == "/duty"]


def of_the_service(bench: Workbench, code: int) -> dict[str, Any]:
    (row,) = bench.drp("backup", "status", SERVICE, "--json", code=code).json()
    found: dict[str, Any] = row
    return found


def test_before_the_first_backup_nothing_is_good(bench: Workbench) -> None:
    row = of_the_service(bench, code=4)
    assert row["dr_centres"][0]["data_age_ms"] is None
    assert row["problems"][0]["text"] == "nothing has ever been backed up"
    found = findings(bench)
    assert found["error"] == []
    assert {finding["what"] for finding in found["ok"]} >= {"program", "version", "space", "repository", "clock"}


def test_a_backup_is_seen_by_the_status_by_prometheus_and_by_people(bench: Workbench, receiver: Receiver) -> None:
    bench.back_up()
    row = of_the_service(bench, code=0)
    assert {centre["verdict"] for centre in row["dr_centres"]} == {"MET"}
    assert row["verdict"] == "NOT_TESTED", "its proofs are still to come"
    assert row["bytes"] > 1_000_000
    assert {proof["verdict"] for proof in row["proofs"]} == {"NOT_TESTED"}
    written = (bench.folder / "var/drp.prom").read_text(encoding="utf-8")
    pushed = [request.body.decode() for request in receiver.requests if request.method == "PUT"][-1]
    for text in (written, pushed):
        ages = {
            (sample.labels["service"], sample.labels["dr_centre"]): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == "drp_backup_data_age_seconds"
        }
        assert list(ages) == [(SERVICE, centre["dr_centre"]) for centre in row["dr_centres"]]
        assert all(0 < age < 300 for age in ages.values())
    first = messages(receiver)
    assert len(first) == 1, "the services that were never backed up, once"
    assert "nothing has ever been backed up" in first[0]
    bench.drp("schedule", "run", SERVICE, "--kind", "forget")
    assert messages(receiver) == first


def test_a_dataset_that_is_suddenly_almost_empty_is_told_until_a_person_accepts_it(
    bench: Workbench, receiver: Receiver
) -> None:
    bench.ssh(PRIMARY, "head -c 60M /dev/urandom >/srv/pengaduan/large")
    bench.back_up()
    bench.ssh(PRIMARY, "rm /srv/pengaduan/large")
    before = len(messages(receiver))
    bench.back_up()
    row = of_the_service(bench, code=4)
    (shrunk,) = row["shrunk"]
    assert (shrunk["dataset"], shrunk["unit"], shrunk["usual"] > 60_000_000 > 2 * shrunk["now"]) == (
        "files",
        "bytes",
        True,
    )
    (told,) = messages(receiver)[before:]
    assert "dataset files is suddenly much smaller" in told
    with bench.ledger() as ledger:
        assert ledger.restore_points(SERVICE)[0].id == row["dr_centres"][0]["restore_point"], "it stays"
    bench.drp("backup", "accept", SERVICE, "--reason", "the large file was a test")
    assert of_the_service(bench, code=0)["shrunk"] == []
    bench.drp("backup", "accept", SERVICE, "--reason", "again", code=2)


def test_a_recovery_would_find_what_it_needs(bench: Workbench) -> None:
    found = findings(bench, "--recovery")
    assert found["error"] == []
    assert any("the newest restore point was made with" in finding["text"] for finding in found["ok"])
    assert [finding["text"] for finding in found["ok"] if finding["what"] == "repository"] == [
        "the repository opens with its password and keys"
    ]


def test_a_wrong_password_is_found_and_told_until_it_is_mended(bench: Workbench, receiver: Receiver) -> None:
    (path,) = (bench.folder / "var/lab/secrets").glob(f"*{SERVICE}*password*")
    right = path.read_text(encoding="utf-8")
    before = len(messages(receiver))
    path.write_text("wrong", encoding="utf-8")
    try:
        (error,) = findings(bench, code=1)["error"]
        assert (error["what"], error["host"]) == ("repository", PRIMARY_NAME)
        assert error["hint"]
        bench.back_up(code=12)
    finally:
        path.write_text(right, encoding="utf-8")
    (told,) = messages(receiver)[before:]
    assert "the last backup failed" in told
    assert "preflight" in told
    assert of_the_service(bench, code=0)["failed_attempts"] == 1
    assert findings(bench)["error"] == []
    bench.back_up()
    (_, over) = messages(receiver)[before:]
    assert "its backups no longer fail" in over
    assert "nothing that preflight looks at stands in the way any more" in over


def test_a_host_whose_key_is_not_pinned_is_not_trusted(bench: Workbench) -> None:
    path = bench.folder / "var/lab/ssh/known_hosts"
    right = path.read_text(encoding="utf-8")
    path.write_text("", encoding="utf-8")
    try:
        (error,) = findings(bench, code=12)["error"]
        assert error["what"] == "host key"
        assert "no SSH key is pinned for it; it shows SHA256:" in error["text"]
    finally:
        path.write_text(right, encoding="utf-8")


def test_nobody_sees_the_addresses(bench: Workbench, receiver: Receiver) -> None:
    assert bench.drp("notify", "test").stdout == "told: 1 address\n"
    for path in files_below(bench.folder / "var"):
        if path.name != "addresses":
            assert b"/duty" not in content_of(path), path
    listed = subprocess.run(["ps", "axww", "-o", "args"], capture_output=True, text=True, check=True).stdout
    assert f"{receiver.address}/duty" not in listed


def test_the_figures_are_for_all_to_read(bench: Workbench) -> None:
    assert (bench.folder / "var/drp.prom").stat().st_mode & 0o777 == 0o644
