"""Hosts that are asked whether they answer: a lost one takes seconds, and a site is lost with all of them."""

from __future__ import annotations

import threading
from collections import Counter
from pathlib import Path

import pytest

from drp.domain.inventory import AnsibleHost
from drp.domain.runbooks.model import Runbook
from drp.errors import UnreachableError
from drp.workflows.planned_move import MoveRequest, move
from drp.workflows.recover import RecoveryRequest, recover
from tests.fakes.city import make_city, runbook_record, service_record
from tests.fakes.world import Stage, make_stage

FAILOVER = RecoveryRequest(kind="failover", services=("pengaduan",), runbook="site-loss", by="siti", reason="flood")
MOVE = MoveRequest(kind="switchover", services=("identitas", "pengaduan"), runbook="site-loss", by="s", reason="power")


class LostSite:
    """No host answers, and none is given up before all were asked."""

    def __init__(self, stage: Stage, hosts: int) -> None:
        self.asked: Counter[str] = Counter()
        self.all_asked = threading.Barrier(hosts, timeout=60)
        stage.reachability.answers = self.answers  # type: ignore[method-assign]

    def answers(self, host: AnsibleHost) -> bool:
        self.asked[host.name] += 1
        self.all_asked.wait()
        return False


def test_a_failover_asks_all_lost_primaries_at_once_and_each_only_once(tmp_path: Path) -> None:
    stage = make_stage(tmp_path)
    for name in stage.world.city.services:
        stage.see_outage(name)
    lost = LostSite(stage, 2)
    recover(stage.world, FAILOVER)
    assert lost.asked == {"identitas-1": 1, "pengaduan-1": 1}


def test_a_move_asks_all_hosts_of_both_sites_at_once(tmp_path: Path) -> None:
    started = {"start": ["postgresql", "own"]}
    records = (service_record(name, recovery=started, rto="4h", rpo="4h") for name in MOVE.services)
    stage = make_stage(tmp_path, make_city(*records))
    planned = Runbook.model_validate(runbook_record() | {"operation": "switchover"})
    stage.world.city.runbooks["site-loss"] = planned
    lost = LostSite(stage, 4)
    with pytest.raises(UnreachableError, match="host identitas-1 of the primary site does not answer"):
        move(stage.world, MOVE)
    assert set(lost.asked.values()) == {1}
    assert len(lost.asked) == 4
