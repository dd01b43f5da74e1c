"""A world in which recoveries and backups run in no time: real decisions and a real ledger, fake tools."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from drp.adapters.ledger import SqliteLedger
from drp.domain.backups.copying import Flaw, StoredObject
from drp.domain.backups.restore_point import RestorePoint
from drp.domain.events import Body, Event
from drp.domain.inventory import AnsibleHost, City, DrCentre
from drp.domain.protection.host_keys import HostKey, HostKeyLook
from drp.domain.protection.status import ProtectionStatus
from drp.domain.recovery.probing import Sample
from drp.domain.secret import SecretReference
from drp.domain.values import to_stamp
from drp.errors import BusyError, IntegrityError, UnreachableError
from drp.ports import Delivery, Evidence, World
from tests.fakes.actions import Ending, FakeActions
from tests.fakes.city import NOW, make_city, make_restore_point
from tests.fakes.clock import FakeClock

SECRET = "rahasia-besar"


class Crash(BaseException):
    """drp's process dies here."""


class CrashingLedger(SqliteLedger):
    """The real ledger. `crash_at` counts appended events; the process dies just before or after that one. `on_append`
    is told of each event twice, before and after it is written, and may end the process too."""

    def __init__(self, path: Path, clock: FakeClock) -> None:
        super().__init__(path, clock.now)
        self.database.execute("PRAGMA synchronous = OFF")
        self.crash_at, self.crash_after, self.appended = 0, False, 0
        self.on_append: Callable[[str, Body, bool], None] = lambda _type, _body, _is_written: None

    def _append(self, run: str, type_: str, body: Body, genesis: str | None, after: int | None = None) -> Event:
        self.appended += 1
        if self.appended == self.crash_at and not self.crash_after:
            raise Crash
        self.on_append(type_, body, False)
        event = super()._append(run, type_, body, genesis, after)
        if self.appended == self.crash_at:
            raise Crash
        self.on_append(type_, body, True)
        return event


class FakeLocks:
    """Implements `drp.ports.Lock` within one process."""

    def __init__(self) -> None:
        self.held: dict[str, str] = {}

    def acquire(self, name: str, holder: str) -> None:
        if name in self.held:
            raise BusyError(f"{self.held[name]} is at work here", where=name, hint="wait until it has ended")
        self.held[name] = holder

    def release(self, name: str) -> None:
        self.held.pop(name, None)


class FakeStore:
    """Implements `drp.ports.ObjectStore` in memory. Of objects that nobody stored it says that they arrived at `at`,
    but for what is `missing`. `refusing` holds the buckets that do not answer; `damaged` the keys whose content is not
    what their name says; `copied` is the order in which objects arrived, `read_keys` that in which `find_flaws` read
    them. `on_request` is called before each request.
    """

    def __init__(self, at: datetime) -> None:
        self.at, self.missing = at, ""
        self.buckets: dict[str, dict[str, tuple[bytes, datetime]]] = {}
        self.removed: list[str] = []
        self.actions: FakeActions | None = None
        self.refusing: set[str] = set()
        self.damaged: set[str] = set()
        self.copied: list[str] = []
        self.read_keys: list[str] = []
        self.on_request: Callable[[str], None] = lambda _: None

    def bucket(self, centre: DrCentre) -> dict[str, tuple[bytes, datetime]]:
        if centre.bucket in self.refusing:
            raise UnreachableError("the DR centre does not answer", where=centre.bucket, hint="check the line")
        return self.buckets.setdefault(centre.bucket, {})

    def stored_at(self, centre: DrCentre, key: str) -> datetime | None:
        if key in self.removed or (self.missing and self.missing in key):
            return None
        return self.bucket(centre).get(key, (b"", self.at))[1]

    def objects(self, centre: DrCentre, prefix: str) -> Iterator[StoredObject]:
        self.on_request(prefix)
        stored = {key: (b"", self.at) for key in self.snapshots() if not (self.missing and self.missing in key)}
        for key, (content, at) in sorted((stored | self.bucket(centre)).items()):
            if key.startswith(prefix):
                yield StoredObject(key, len(content), at)

    def snapshots(self) -> set[str]:
        """Those of all backups that have ended well; 64 letters, of which a host may tell the first ones."""
        keys = set()
        for folder, started in self.actions.known.items() if self.actions else ():
            job = self.actions.specs[folder.name].get("job") if self.actions else None
            if job is None:
                continue  # a playbook
            for message in started.ending.messages:
                for part in message.get("result", {}).get("parts", ()):
                    keys.add(f"{job['service']}/{job['restic_host']}/snapshots/{part.get('snapshot', ''):0<64}")
        return keys

    def get_ready(self) -> None:
        pass

    def read(self, centre: DrCentre, key: str) -> bytes | None:
        return self.bucket(centre).get(key, (None, self.at))[0]

    def write(self, centre: DrCentre, key: str, content: bytes) -> None:
        self.on_request(key)
        self.bucket(centre)[key] = (content, self.at)

    def remove(self, centre: DrCentre, keys: Sequence[str]) -> None:
        for key in keys:
            self.on_request(key)
            self.bucket(centre).pop(key, None)

    def remove_lock(self, centre: DrCentre, prefix: str, lock: str) -> None:  # noqa: ARG002 - the port's signature
        self.removed.append(f"{prefix}/locks/{lock}")

    def copy(
        self,
        source: DrCentre,
        target: DrCentre,
        objects: Sequence[StoredObject],
        *,
        rate: int | None = None,  # noqa: ARG002 - the port's signature
        on_copied: Callable[[StoredObject], None] = lambda _: None,
    ) -> None:
        for item in objects:
            self.on_request(item.key)
            if item.key not in self.damaged:
                self.bucket(target)[item.key] = (self.bucket(source)[item.key][0], self.at)
                self.copied.append(item.key)
                on_copied(item)
        wrong = sorted(item.key for item in objects if item.key in self.damaged)
        if wrong:
            raise IntegrityError(f"damaged, and not copied: {', '.join(wrong)}", where=source.bucket)

    def find_flaws(
        self,
        centre: DrCentre,
        objects: Sequence[StoredObject],
        *,
        rate: int | None = None,  # noqa: ARG002 - the port's signature
        on_read: Callable[[StoredObject], None] = lambda _: None,
    ) -> dict[str, Flaw]:
        flaws: dict[str, Flaw] = {}
        for item in objects:
            self.on_request(item.key)
            self.read_keys.append(item.key)
            content = self.bucket(centre).get(item.key, (None, self.at))[0]
            if content is None:
                flaws[item.key] = "gone"
            elif len(content) != item.bytes or item.name not in ("config", hashlib.sha256(content).hexdigest()):
                flaws[item.key] = "damaged"
            on_read(item)
        return flaws

    def clock_ahead(self, centre: DrCentre) -> tuple[timedelta, timedelta] | None:
        return None if centre.bucket in self.refusing else (timedelta(milliseconds=-40), timedelta(milliseconds=510))

    def certificate(self, centre: DrCentre) -> Body | None:  # noqa: ARG002 - the port's signature
        return {"expires_at": int(self.at.timestamp()) + 86_400 * 200}


class FakeSecrets:
    def read(self, reference: SecretReference, purpose: str) -> str:  # noqa: ARG002 - the port's signature
        return SECRET


@dataclass
class FakeReachability:
    """Implements `drp.ports.Reachability`: only these hosts answer."""

    alive: set[str] = field(default_factory=set)

    def addresses(self, name: str) -> Collection[str]:  # noqa: ARG002 - the port's signature
        return ()

    def answers(self, host: AnsibleHost) -> bool:
        return host.name in self.alive


PINNED = HostKey("ssh-ed25519", "SHA256:pinned")


@dataclass
class FakeHostKeys:
    """Implements `drp.ports.HostKeyLooks`: all hosts show the pinned key, but for those in `looks`."""

    looks: dict[str, HostKeyLook] = field(default_factory=dict)

    def look_at(self, hosts: Sequence[AnsibleHost]) -> dict[str, HostKeyLook]:
        good = HostKeyLook(PINNED, (PINNED,))
        return {host.name: self.looks.get(host.name, good) for host in hosts if host.jump_host is None}


@dataclass
class FakeFigures:
    """Implements `drp.ports.Figures`: keeps what was published last."""

    wanted: bool = False
    published: list[ProtectionStatus] = field(default_factory=list)

    def is_wanted(self) -> bool:
        return self.wanted

    def publish(self, statuses: Sequence[ProtectionStatus]) -> list[str]:
        self.published = list(statuses)
        return []


@dataclass
class FakeMessenger:
    """Implements `drp.ports.Messenger`: one address, which takes messages unless it is `down`."""

    down: bool = False
    sent: list[tuple[str, str]] = field(default_factory=list)

    def send(self, title: str, body: str, *, is_bad: bool) -> Delivery:  # noqa: ARG002 - the port's signature
        if self.down:
            return Delivery(0, ("it did not take the message",))
        self.sent.append((title, body))
        return Delivery(1)


class FakeWatch:
    """Implements `drp.ports.WatchRecords`.

    A run's own probe looks every half second from its start; it succeeds from the moment at which the action that
    lets users in (`opens`) has ended well, but for the attempts in `relapses` (seconds after that moment). Checks in
    `more_checks` are tried too; those with False always fail. A trial at the recovery host succeeds, but for services
    in `unusable`.
    """

    def __init__(self, workspace: Path, clock: FakeClock) -> None:
        self.workspace, self.clock = workspace, clock
        self.seen: dict[str, list[Sample]] = {}
        self.open_since: dict[str, datetime] = {}
        self.started: dict[str, datetime] = {}
        self.relapses: set[float] = set()
        self.more_checks: dict[str, bool] = {}
        self.unusable: set[str] = set()

    def samples(self, service: str, since: datetime | None = None) -> list[Sample]:
        found = self.seen.get(service, [])
        return found if since is None else [sample for sample in found if sample.started_at >= since]

    def newest(self, service: str) -> Sample | None:
        return self.seen[service][-1] if self.seen.get(service) else None

    def look_before(self, service: str) -> dict[str, str]:
        return {"0": "0" * 64} if self.baseline(service).is_file() else {}

    def baseline(self, service: str) -> Path:
        return self.workspace / "var" / "watch" / service / "baseline.json"

    def forget(self, service: str) -> None:
        self.baseline(service).unlink(missing_ok=True)

    def keep(self, service: str, folder: Path, since: datetime) -> Evidence:  # noqa: ARG002 - the port's signature
        return Evidence(f"var/runs/{folder.name}/{service}-watch.jsonl", "0" * 64)

    def run_samples(self, folder: Path) -> list[Sample]:
        service, _, what = folder.name.partition("+")[0].rpartition("-")
        if what == "trial":
            return self._tried(service, self.started[folder.name]) if folder.name in self.started else []
        at, found = self.started[service], []
        while at + timedelta(milliseconds=20) <= self.clock.at:
            good = service in self.open_since and at >= self.open_since[service]
            if good:
                passed = round((at - self.open_since[service]).total_seconds() * 2) / 2
                good = passed not in self.relapses
            detail = "1 requests as expected" if good else "GET /: connection refused"
            clock = self.clock.reading()
            found.append(Sample(at, at + timedelta(milliseconds=20), good, detail, clock=clock))
            for name, works in self.more_checks.items():
                found.append(Sample(at, at + timedelta(milliseconds=20), good and works, "refused", name, clock))
            at += timedelta(milliseconds=500)
        return found

    def _tried(self, service: str, at: datetime) -> list[Sample]:
        """What a trial has seen since it began."""
        good = service not in self.unusable
        detail = "as expected" if good else "GET /1: the answer differs from the one before the disruption"
        count = max(0, int((self.clock.at - at).total_seconds() * 2))
        starts = [at + timedelta(milliseconds=500 * number) for number in range(count)]
        return [Sample(start, start + timedelta(milliseconds=20), good, detail) for start in starts]


def task(host: str, name: str, at: datetime, outcome: str = "ok", **more: Any) -> Body:
    """A message of the Ansible worker."""
    return {
        "event": "task",
        "host": host,
        "task": name,
        "outcome": outcome,
        "started_at": to_stamp(at),
        "duration_ms": 40,
        "changed": True,
        **more,
    }


class Recovering:
    """The script of a recovery in which all goes well, except where its attributes say otherwise: `away` holds what an
    action tells that loses its host, once; `killed` how often a worker is killed; `untold` whose supervisor is; `bad`
    the restore points of which a stage, named with it, fails."""

    def __init__(self, clock: FakeClock, watch: FakeWatch, city: City, points: dict[str, RestorePoint]) -> None:
        self.clock, self.watch, self.city, self.points = clock, watch, city, points
        self.failing: set[str] = set()
        self.endless: set[str] = set()
        self.found: dict[str, list[str]] = {}
        self.wrong: set[str] = set()
        self.hanging: list[Body] = []
        self.away: dict[str, list[Body]] = {}
        self.killed: dict[str, int] = {}
        self.untold: set[str] = set()
        self.bad: dict[str, str] = {}
        self.others: dict[str, list[RestorePoint]] = {}

    def __call__(self, name: str, spec: Body) -> Ending:
        now = self.clock.now()
        if name == "_probe":
            for service in spec["targets"]:
                self.watch.started.setdefault(service, now)
            return Ending(running=True)
        service, stage = name.partition("+")[0].rsplit("-", 1)
        if stage == "trial":
            self.watch.started[name] = now
            return Ending(running=True)
        host = f"drc-{service}-1"
        if name in self.endless:
            return Ending(130, self.hanging, running=True)
        if name in self.away:
            return Ending(4, self.away.pop(name))
        if self.killed.get(name, 0) > 0:
            self.killed[name] -= 1
            return Ending(128 + 9)
        if stage == "restore":
            self._take(service, spec)
        if name in self.failing or self.bad.get(self.points[service].id) == stage:
            return Ending(2, [task(host, f"{stage} : break", now, "failed", error="it broke", kind="command")])
        kind = spec["variables"]["drp_kind"]
        has_cutover = kind == "failover" and self.city.services[service].address is not None
        if stage == ("cutover" if has_cutover else "activate"):
            self.watch.open_since[service] = now
        messages = [task(host, f"{stage} : work", now)]
        if stage == "restore":
            messages += self._absences(service, host) + self._restored(service, host)
            if self.found.get(service) and not spec["variables"]["drp_replace_existing"]:
                text = "Stop where something is here already"
                return Ending(2, [*messages[:3], task(host, f"datasets : {text}", now, "failed", error="here")])
        ended: Body = {"event": "runner.ended", "status": "successful", "rc": 0}
        return Ending(0, [*messages, ended], lost=name in self.untold)

    def _take(self, service: str, spec: Body) -> None:
        """From now on the data is that of the restore point whose snapshots are to be restored."""
        parts = [part for job in spec["variables"]["drp_jobs"] for part in job["datasets"][0]["parts"]]
        wanted = {part["snapshot"] for part in parts}
        for point in self.others.get(service, ()):
            if {item.snapshot for item in point.snapshots} == wanted:
                self.points[service] = point
        if self.bad.get(self.points[service].id) == "trial":
            self.watch.unusable.add(service)
        else:
            self.watch.unusable.discard(service)

    def _absences(self, service: str, host: str) -> list[Body]:
        found = self.found.get(service, [])
        results = [
            {"looked_for": [f"PostgreSQL database {service}"], "found": found, "host": host},
            {"looked_for": [f"path /srv/{service}"], "found": [], "host": host},
        ]
        return [task(host, "absence", self.clock.now(), "item ok", result=result) for result in results]

    def _restored(self, service: str, host: str) -> list[Body]:
        point = self.points[service]
        token = "another" if "sentinel" in self.wrong else point.sentinel
        rows = {"public.complaints": 11 if "rows" in self.wrong else 12}
        sentinel = {"token": token, "written_at": to_stamp(point.sentinel_at)}
        counted = {"files": 7, "bytes": 7000}
        fewer = {"files": 6, "bytes": 6999} if "files" in self.wrong else counted
        return [
            task(
                host,
                "restore",
                self.clock.now(),
                "item ok",
                result={
                    "parts": [
                        {"dataset": "database", "part": "roles", "expected": {}, "actual": {}},
                        {"dataset": "database", "part": "database", "expected": {}, "actual": {}},
                    ],
                    "datasets": {"database": {"sentinel": sentinel, "rows": rows}},
                },
            ),
            task(
                host,
                "restore",
                self.clock.now(),
                "item ok",
                result={
                    "parts": [{"dataset": "files", "part": "files", "expected": counted, "actual": fewer}],
                    "datasets": {"files": {"sentinel": sentinel}},
                },
            ),
        ]


@dataclass
class Stage:
    """A fake world and its parts, typed as what they are."""

    world: World
    ledger: CrashingLedger
    clock: FakeClock
    actions: FakeActions
    watch: FakeWatch
    store: FakeStore
    locks: FakeLocks
    reachability: FakeReachability
    host_keys: FakeHostKeys
    figures: FakeFigures
    messenger: FakeMessenger
    script: Recovering
    points: dict[str, RestorePoint]
    said: list[str]

    def see_outage(self, service: str, *, lasting: float = 5.0) -> None:
        """Let `drp watch` have seen a service go, `lasting` seconds ago."""
        start = self.clock.at - timedelta(seconds=lasting + 2)
        for number in range(int((lasting + 2) * 2)):
            at = start + timedelta(seconds=number / 2)
            self.watch.seen.setdefault(service, []).append(
                Sample(
                    at,
                    at + timedelta(milliseconds=20),
                    number < 4,
                    "as expected" if number < 4 else "refused",
                    clock=self.clock.reading(),
                )
            )


def make_stage(folder: Path, city: City | None = None, *, restore_points: bool = True) -> Stage:
    """A world below `folder`, in which each service has been backed up five minutes ago."""
    clock = FakeClock(NOW)
    city = city or make_city()
    ledger = CrashingLedger(folder / "var" / "ledger.sqlite3", clock)
    watch = FakeWatch(folder, clock)
    points = {name: make_restore_point(name) for name in city.services}
    script = Recovering(clock, watch, city, points)
    actions = FakeActions(folder, clock, script)
    locks, store, reachability = FakeLocks(), FakeStore(NOW), FakeReachability()
    host_keys, figures, messenger = FakeHostKeys(), FakeFigures(), FakeMessenger()
    store.actions = actions
    said: list[str] = []
    if restore_points:
        for name, point in points.items():
            ledger.open_run(point.id, "backup", "0" * 64, [name], {})
            ledger.append(point.id, "restore_point.recorded", point.record())
            ledger.append(point.id, "run.closed", {"outcome": "done", "exit_code": 0})
    ledger.appended = 0
    world = World(
        workspace=folder,
        city=city,
        ledger=ledger,
        actions=actions,
        store=store,
        secrets=FakeSecrets(),
        locks=locks,
        clock=clock,
        watch=watch,
        reachability=reachability,
        host_keys=host_keys,
        figures=figures,
        messenger=messenger,
        say=said.append,
        operator="siti",
    )
    return Stage(
        world=world,
        ledger=ledger,
        clock=clock,
        actions=actions,
        watch=watch,
        store=store,
        locks=locks,
        reachability=reachability,
        host_keys=host_keys,
        figures=figures,
        messenger=messenger,
        script=script,
        points=points,
        said=said,
    )
