"""The script of a planned move in which all goes well: what its backups, its playbooks and its switches tell."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from drp.domain.events import Body
from drp.domain.values import to_stamp
from tests.fakes.actions import Ending
from tests.fakes.clock import FakeClock
from tests.fakes.world import FakeWatch, task

ROWS = {"public.complaints": 12}
COUNTED = {"files": 7, "bytes": 7000}


class Moving:
    """Every action takes `takes`; users find the service from the end of the switch on."""

    def __init__(self, clock: FakeClock, watch: FakeWatch, takes: timedelta) -> None:
        self.clock, self.watch, self.takes = clock, watch, takes
        self.sentinel: Body = {}

    def __call__(self, name: str, spec: Body) -> Ending:
        if "job" in spec:
            return Ending(0, self._backed_up(spec["job"]), takes=self.takes)
        if name == "_probe":
            for service in spec["targets"]:
                self.watch.started.setdefault(service, self.clock.now())
            return Ending(running=True)
        stage, now = str(spec["playbook"]), self.clock.now()
        host = spec["hosts"][0]
        messages = [task(host, f"{stage} : work", now)]
        match stage:
            case "fence" | "unfence":
                for closed in spec["hosts"]:
                    fence = {"host": closed, "confirmed": True, "reasons": [], "how": "units", "details": {}}
                    messages.append(task(closed, "fence", now, result={"fence": fence}))
            case "look":
                messages += self._looked(host, ["PostgreSQL database pengaduan"])
            case "restore":
                messages += self._looked(host, []) + self._restored(host)
            case "cutover":
                self.watch.open_since[spec["variables"]["drp_service"]] = now + self.takes
        messages.append({"event": "runner.ended", "status": "successful", "rc": 0})
        return Ending(0, messages, takes=self.takes)

    def _looked(self, host: str, found: list[str]) -> list[Body]:
        looks: list[dict[str, Any]] = [
            {"looked_for": ["PostgreSQL database pengaduan"], "found": found, "host": host},
            {"looked_for": ["path /srv/pengaduan"], "found": [], "host": host},
        ]
        return [task(host, "absence", self.clock.now(), "item ok", result=look) for look in looks]

    def _backed_up(self, job: Body) -> list[Body]:
        at = self.clock.now()
        micros = int(at.timestamp() * 1e6)
        first = job["datasets"][0]["sentinel"]
        token = first.get("token") or first["write"]["argv"][-1]
        self.sentinel = {"token": token, "written_at": to_stamp(at)}
        parts = [
            {"dataset": dataset["id"], "part": part["name"], "snapshot": f"{abs(hash((token, part['name']))):08x}"[:8]}
            | COUNTED
            | {"duration_ms": 5}
            for dataset in job["datasets"]
            for part in dataset["parts"]
        ]
        result = {
            "sentinels": {dataset["id"]: self.sentinel for dataset in job["datasets"]},
            "content": {"database": {"rows": ROWS}, "files": COUNTED},
            "parts": parts,
            "tools": {"restic": "restic 0.14.0"},
        }
        hello = {"event": "hello", "host_time": to_stamp(at), "asked_at_us": micros, "answered_at_us": micros}
        return [hello, {"event": "result", "result": result}]

    def _restored(self, host: str) -> list[Body]:
        database: list[dict[str, Any]] = [
            {"dataset": "database", "part": part, "expected": {}, "actual": {}} for part in ("roles", "database")
        ]
        files = [{"dataset": "files", "part": "files", "expected": COUNTED, "actual": COUNTED}]
        content = {"database": {"sentinel": self.sentinel, "rows": ROWS}}
        results: list[dict[str, Any]] = [
            {"parts": database, "datasets": content},
            {"parts": files, "datasets": {"files": {"sentinel": self.sentinel}}},
        ]
        return [task(host, "restore", self.clock.now(), "item ok", result=result) for result in results]
