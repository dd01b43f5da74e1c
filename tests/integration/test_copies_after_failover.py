"""Copies after a failover, in the lab: each site has its own repository, and each copy is judged by what is in it."""

from __future__ import annotations

import pytest

from drp.lab import city
from tests.e2e.workbench import PRIMARY_NAME, RECOVERY_NAME, SERVICE, Workbench, eventually

pytestmark = pytest.mark.integration
SECOND = "kedua"
FAILOVER = ("failover", SERVICE, "--yes", "--reason", "banjir", "--by", "Ratna Kusumah")


def test_good_copies_of_both_sites_are_good_while_the_first_centre_is_down(bench: Workbench) -> None:
    bench.back_up()
    eventually(lambda: bench.drp("status", SERVICE, "--json").json()[0]["usable"], "drp watch sees the service")
    city.disaster(bench.folder, "site-loss", say=lambda _line: None)
    eventually(lambda: bench.drp("status", SERVICE, "--json").json()[0]["usable"] is False, "the loss is detected")
    bench.drp(*FAILOVER)
    done = bench.back_up()
    assert f"copied to {SECOND}" in done.stdout
    with bench.ledger() as ledger:
        newest, oldest, *_ = ledger.restore_points(SERVICE)
        assert (list(newest.repositories), list(oldest.repositories)) == ([RECOVERY_NAME], [PRIMARY_NAME])
    city.stop_dr_centre(bench.folder, "")
    try:
        result = bench.drp("backup", "check", SERVICE, "--all", "--json", code=12).json()[0]
    finally:
        city.start_dr_centre(bench.folder, "")
    copies = [item for item in result["result"]["repositories"] if item["dr_centre"] == SECOND]
    assert sorted((item["host"], item["good"], item["compared"]) for item in copies) == sorted(
        (name, True, "ledger") for name in (PRIMARY_NAME, RECOVERY_NAME)
    )
    gone = next((bench.folder / "var/lab/s3" / SECOND).rglob(f"{RECOVERY_NAME}/snapshots/*"))
    city.stop_dr_centre(bench.folder, SECOND)  # its server remembers listings
    gone.unlink()
    city.start_dr_centre(bench.folder, SECOND)
    assert f"missing: snapshots/{gone.name}" in bench.drp("backup", "check", SERVICE, code=(12, 13)).stderr
