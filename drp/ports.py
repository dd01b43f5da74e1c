"""What workflows need from the world. Each Protocol has one real adapter, and a fake where tests need one."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from drp.domain.backups.copying import Flaw, StoredObject
from drp.domain.backups.record import (
    Arrival,
    BackupState,
    Copy,
    DataTimes,
    Deferral,
    Mark,
    Notice,
    Proof,
    RepositoryCheck,
)
from drp.domain.backups.restore_point import RestorePoint
from drp.domain.events import Body, Event
from drp.domain.inventory import AnsibleHost, City, DrCentre
from drp.domain.protection.facts import Facts
from drp.domain.recovery.clocks import ClockReading
from drp.domain.recovery.probing import Sample
from drp.domain.secret import SecretReference

if TYPE_CHECKING:
    from drp.domain.protection.host_keys import HostKeyLook
from drp.domain.protection.status import ProtectionStatus

Say = Callable[[str], None]
"""Takes one line of progress for people."""

Follow = Callable[[str], AbstractContextManager[None]]
"""Shows people, while the context lasts, how far the run of this name is. Never raises, never ends a recovery."""


def show_nobody(run: str) -> AbstractContextManager[None]:  # noqa: ARG001 - the signature of `Follow`
    """Follows no run."""
    return nullcontext()


@dataclass(frozen=True, slots=True)
class RunRow:
    """A run as the ledger's projection knows it."""

    run: str
    kind: str
    genesis: str
    services: tuple[str, ...]
    opened_at: str
    closed_at: str | None
    outcome: str | None
    verdict: str | None
    exit_code: int | None


class Clock(Protocol):
    """Wall-clock time in UTC, for stamps; and a clock that never jumps, for waiting."""

    def now(self) -> datetime: ...
    def reading(self) -> ClockReading:
        """How the wall clock stands to one that nobody sets: whether it was set is told by two of them."""
        ...

    def monotonic(self) -> float: ...
    def sleep(self, seconds: float) -> None: ...


class Ledger(Protocol):
    """The append-only, hash-chained record of all that happened."""

    def open_run(self, run: str, kind: str, genesis: str, services: list[str], body: Body) -> Event: ...
    def append(self, run: str, type_: str, body: Body) -> Event: ...
    def append_next(self, run: str, type_: str, body: Body, after: int) -> Event | None:
        """Add an event right behind the one of number `after`; None where another one stands there by now."""
        ...

    def events(self, run: str, after: int = 0) -> list[Event]: ...
    def runs(self, *, kinds: tuple[str, ...] = (), limit: int = 1000, only_open: bool = False) -> list[RunRow]: ...
    def run(self, run: str) -> RunRow: ...
    def restore_points(self, service: str, limit: int = 1000) -> list[RestorePoint]: ...
    def stranded(self, service: str) -> list[RestorePoint]: ...
    def active_site(self, service: str) -> str: ...
    def arrivals(self, service: str = "", since: datetime | None = None) -> list[Arrival]: ...
    def backup_states(self, kind: str = "backup") -> dict[str, BackupState]: ...
    def copy_states(self) -> dict[tuple[str, str], BackupState]: ...
    def deferrals(self) -> list[Deferral]: ...
    def active_sites(self) -> dict[str, tuple[str, datetime]]: ...
    def data_times(self) -> list[DataTimes]: ...
    def copies(self, service: str = "") -> list[Copy]: ...
    def proofs(self, service: str = "") -> list[Proof]: ...
    def checks(self, service: str = "", since: datetime | None = None) -> list[RepositoryCheck]: ...
    def notices(self) -> dict[str, Notice]: ...
    def marks(self, service: str = "") -> list[Mark]: ...
    def protection(
        self, copies_of: Mapping[str, tuple[str, ...]], now: datetime, since: datetime
    ) -> dict[str, Facts]: ...
    def verify(self, run: str) -> None: ...


class ActionState(StrEnum):
    """`lost`: it was started and is gone without a result, as after a power cut."""

    ABSENT = "absent"
    RUNNING = "running"
    ENDED = "ended"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class Evidence:
    """A file that a run left, and its SHA-256."""

    path: str
    sha256: str

    def record(self) -> dict[str, str]:
        return {"path": self.path, "sha256": self.sha256}


class IncomingData(Protocol):
    """The bytes that an action on a host sends, as they come."""

    def read(self, wait_seconds: float) -> bytes:
        """The next bytes; none where nothing came in that time."""
        ...

    def close(self) -> None: ...


class NewFile(Protocol):
    """A file that is there whole or not at all."""

    def write(self, piece: bytes) -> None: ...
    def commit(self) -> None:
        """Let it appear under its name; UsageError where something has that name by now."""
        ...

    def discard(self) -> None:
        """Leave nothing of it. Harmless after `commit`."""
        ...


@dataclass(frozen=True, slots=True)
class ProbeTarget:
    """What a run's outside probe tries of a service: its checks, at an address. `baseline` is what old content looked
    like before; `secrets` are by check. Samples go into `samples.jsonl` in `folder`."""

    address: str
    checks: Sequence[Body]
    baseline: Mapping[str, str]
    secrets: Mapping[str, str]
    folder: Path


class Actions(Protocol):
    """Outside actions, each in a detached supervisor process of its own that outlives drp.

    `folder` names an action within a workspace. Starting is refused where one runs already: BusyError.
    `playbooks_at_once` is how many playbooks this control node carries side by side: with more, each takes longer, and
    all end later.
    """

    @property
    def playbooks_at_once(self) -> int: ...

    def start_remote(self, folder: Path, host: AnsibleHost, job: Body, secrets: Body, ca_certificate: str) -> None: ...
    def start_playbook(
        self,
        folder: Path,
        playbook: str,
        hosts: Sequence[str],
        variables: Body,
        secrets: Body,
        ca_certificate: str,
        *,
        kept_from: Sequence[str] = (),
        must_be_kept: bool = False,
    ) -> None:
        """`kept_from` are addresses to which nothing that the playbook starts on the control node may send. Its worker
        tells {event: guard, in_force, reason} and, at the end, {event: guard.ended, refused: {address: packets}}. Where
        it cannot be had, the playbook runs all the same, unless it `must_be_kept`."""
        ...

    def start_probe(self, folder: Path, targets: Mapping[str, ProbeTarget]) -> None:
        """Try the checks of services until stopped."""
        ...

    def expect_data(self, folder: Path) -> IncomingData:
        """Be ready for the bytes that an action sends; to be called before it is started."""
        ...

    def state(self, folder: Path) -> ActionState: ...
    def exit_code(self, folder: Path) -> int: ...
    def ended_at(self, folder: Path) -> datetime:
        """When an action that has ended did so, by the wall clock, also where nobody looked then."""
        ...

    def messages(self, folder: Path, skip: int) -> list[Body]: ...
    def stop(self, folder: Path) -> None: ...
    def evidence(self, folder: Path) -> list[Evidence]: ...
    def close_connections(self) -> None: ...


class ObjectStore(Protocol):
    """The DR centres' storage, seen from the control node, with its keys.

    Everything ends within a limit. UnreachableError says which DR centre does not answer, refuses, or has no bucket.
    """

    def stored_at(self, centre: DrCentre, key: str) -> datetime | None:
        """When the DR centre says an object was stored; None where there is no such object."""
        ...

    def certificate(self, centre: DrCentre) -> Body | None:
        """Until when its TLS certificate is good, {expires_at: seconds since 1970}, or what is wrong with it,
        {trouble}; None where it is asked without TLS. Never raises."""
        ...

    def clock_ahead(self, centre: DrCentre) -> tuple[timedelta, timedelta] | None:
        """How far its clock is ahead of ours, and how sure that is; None where it does not tell. Never raises."""
        ...

    def remove_lock(self, centre: DrCentre, prefix: str, lock: str) -> None:
        """Remove a lock of restic's from the repository at `prefix`; nothing else can be removed."""
        ...

    def get_ready(self) -> None:
        """Do what takes long before the first question, while there is nothing else to do."""
        ...

    def objects(self, centre: DrCentre, prefix: str) -> Iterator[StoredObject]:
        """All objects whose keys begin with `prefix`, however many."""
        ...

    def read(self, centre: DrCentre, key: str) -> bytes | None:
        """The content of a small object; None where there is no such object."""
        ...

    def write(self, centre: DrCentre, key: str, content: bytes) -> None:
        """Store a small object, or put another in its place."""
        ...

    def remove(self, centre: DrCentre, keys: Sequence[str]) -> None:
        """Remove objects; those that are not there are passed over. In a versioned bucket their versions stay."""
        ...

    def copy(
        self,
        source: DrCentre,
        target: DrCentre,
        objects: Sequence[StoredObject],
        *,
        rate: int | None = None,
        on_copied: Callable[[StoredObject], None] = lambda _: None,
    ) -> None:
        """Copy objects from one DR centre to the other, at `rate` bits per second at most, under the same keys.

        Each whose name is a SHA-256 must have that content: one that does not is never stored at the target.
        IntegrityError names those at the end, when all others have been copied.
        """
        ...

    def find_flaws(
        self,
        centre: DrCentre,
        objects: Sequence[StoredObject],
        *,
        rate: int | None = None,
        on_read: Callable[[StoredObject], None] = lambda _: None,
    ) -> dict[str, Flaw]:
        """Read objects, at `rate` bits per second at most, and give those, by key, whose content is not what their name
        says (a SHA-256; of `config` only its size is looked at), or that are gone. Each such one was looked at twice.
        """
        ...


class WatchRecords(Protocol):
    """What probes from outside have seen: `drp watch`, and the probe of a run."""

    def samples(self, service: str, since: datetime | None = None) -> list[Sample]:
        """The samples of `drp watch` of the two newest days, or those begun since a moment; empty if there are none."""
        ...

    def newest(self, service: str) -> Sample | None:
        """The newest sample of `drp watch`, without reading all of them."""
        ...

    def look_before(self, service: str) -> dict[str, str]:
        """What old content looked like when `drp watch` last saw it well; empty if it never did."""
        ...

    def forget(self, service: str) -> None:
        """Forget the look of old content: it is new."""
        ...

    def keep(self, service: str, folder: Path, since: datetime) -> Evidence:
        """Copy the samples begun since a moment into a run's folder, as its evidence."""
        ...

    def run_samples(self, folder: Path) -> list[Sample]:
        """The samples of a run's own probe."""
        ...


class Reachability(Protocol):
    def answers(self, host: AnsibleHost) -> bool:
        """Whether a host still takes connections on its SSH port."""
        ...

    def addresses(self, name: str) -> Collection[str]:
        """All addresses that a name has here; none for one that is unknown."""
        ...


class HostKeyLooks(Protocol):
    def look_at(self, hosts: Sequence[AnsibleHost]) -> Mapping[str, HostKeyLook]:
        """Which SSH key each host shows, and which are pinned for it, by the host's name; without a login. Those behind
        jump hosts are left out. Each host is given ten seconds; never raises for what a host does."""
        ...


class Secrets(Protocol):
    def read(self, reference: SecretReference, purpose: str) -> str:
        """A secret's value; DrpError says what is missing, never what was read."""
        ...


class Lock(Protocol):
    def acquire(self, name: str, holder: str) -> None:
        """Hold a named lock until the process ends; BusyError names the holder."""
        ...

    def release(self, name: str) -> None: ...


class Figures(Protocol):
    """Where the figures of the protection go, for other programs."""

    def is_wanted(self) -> bool: ...
    def publish(self, statuses: Sequence[ProtectionStatus]) -> list[str]:
        """Give them away, within a few seconds; what could not be done, a line each. Never raises."""
        ...


@dataclass(frozen=True, slots=True)
class Delivery:
    """How many addresses took a message, and of the others a line each that names none of them."""

    reached: int
    failures: tuple[str, ...] = ()


class Messenger(Protocol):
    """Tells people, wherever they want to be told."""

    def send(self, title: str, body: str, *, is_bad: bool) -> Delivery:
        """Send to all addresses, within a minute. Never raises, never names an address."""
        ...


@dataclass(frozen=True, slots=True)
class World:
    """A workspace with everything that workflows need around it."""

    workspace: Path
    city: City
    ledger: Ledger
    actions: Actions
    store: ObjectStore
    secrets: Secrets
    locks: Lock
    clock: Clock
    watch: WatchRecords
    reachability: Reachability
    host_keys: HostKeyLooks
    figures: Figures
    messenger: Messenger
    say: Say
    operator: str
    follow: Follow = show_nobody
