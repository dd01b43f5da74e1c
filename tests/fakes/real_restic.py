"""A world whose jobs are carried out by the real program on hosts, with a real restic, on repositories in a folder.

What a lab adds is SSH, S3 and several machines; here a job runs in this machine, and an address of S3 is a folder.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from drp.domain.events import Body
from drp.domain.inventory import AnsibleHost, DrCentre
from drp.domain.values import to_stamp
from drp.ports import ActionState, Evidence, IncomingData, ProbeTarget
from tests.fakes.city import make_city, service_record
from tests.fakes.clock import FakeClock
from tests.fakes.world import SECRET, FakeStore, Stage, make_stage

ROOT = Path(__file__).parents[2]
HOST, SERVICE = "pengaduan-1", "pengaduan"


class Died(BaseException):
    """The control node loses its power."""


@dataclass
class RealActions:
    """Implements `drp.ports.Actions` by running each job to its end when it is started. After the action that
    `power_fails_after` names the control node loses its power: the work was done, but its result is lost."""

    bucket: Path
    programs: Path
    clock: FakeClock
    power_fails_after: str = ""
    found: dict[Path, list[Body]] = field(default_factory=dict)
    started: list[str] = field(default_factory=list)
    jobs: dict[str, Body] = field(default_factory=dict)
    executors: dict[str, str] = field(default_factory=dict)
    running: set[Path] = field(default_factory=set)
    lies: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Files whose times of change (of content, of the rest) the host's disk tells otherwise than they are."""

    playbooks_at_once: int = 100

    def start_remote(self, folder: Path, host: AnsibleHost, job: Body, secrets: Body, ca_certificate: str) -> None:
        self.started.append(folder.name)
        self.jobs[folder.name], self.executors[folder.name] = job, host.name
        folder.mkdir(parents=True, exist_ok=True)
        self.found[folder] = self._carry_out(job, secrets, ca_certificate)
        if folder.name == self.power_fails_after:
            self.found[folder], self.power_fails_after = [], ""
            raise Died

    def _carry_out(self, job: Body, secrets: Body, ca_certificate: str) -> list[Body]:
        repository = dict(job["repository"])
        repository["url"] = str(self.bucket / repository["url"].split("/drp-bogor/")[1])
        job = job | {"repository": repository, "cache_directory": str(self.bucket.parent / "cache")}
        request = json.dumps({"job": job, "secrets": secrets, "ca_pem": ca_certificate}) + "\n"
        with subprocess.Popen(
            [sys.executable, "-m", "tests.fakes.host_driver", str(self.programs)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=ROOT,
            env=os.environ | {"DRP_TEST_LIES": json.dumps(self.lies)},
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            assert process.stderr is not None
            process.stdin.write(request.encode())
            process.stdin.flush()  # it stays open: its end would mean that drp has gone
            messages = [json.loads(line) for line in process.stdout]
            errors = process.stderr.read().decode()
        assert messages, errors
        assert messages[-1]["event"] in ("result", "trouble"), errors
        return messages

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
        raise NotImplementedError

    def start_probe(self, folder: Path, targets: Mapping[str, ProbeTarget]) -> None:
        raise NotImplementedError

    def state(self, folder: Path) -> ActionState:
        if folder in self.running:
            return ActionState.RUNNING
        if folder not in self.found:
            return ActionState.ABSENT
        return ActionState.ENDED if self.found[folder] else ActionState.LOST

    def ended_at(self, folder: Path) -> datetime:
        return datetime.fromtimestamp(folder.stat().st_mtime, UTC)

    def exit_code(self, folder: Path) -> int:
        return 0 if self.found[folder][-1]["event"] == "result" else 1

    def messages(self, folder: Path, skip: int) -> list[Body]:
        return self.found.get(folder, [])[skip:]

    def stop(self, folder: Path) -> None:
        self.running.discard(folder)

    def evidence(self, folder: Path) -> list[Evidence]:  # noqa: ARG002 - the port's signature
        return []

    def expect_data(self, folder: Path) -> IncomingData:
        raise AssertionError(f"nothing here sends data: {folder.name}")

    def close_connections(self) -> None:
        pass


class FolderStore(FakeStore):
    """Implements what upkeep needs of `drp.ports.ObjectStore` on the same folder."""

    def __init__(self, folder: Path) -> None:
        super().__init__(datetime.now(UTC))
        self.folder = folder

    def get_ready(self) -> None:
        pass

    def stored_at(self, centre: DrCentre, key: str) -> datetime | None:  # noqa: ARG002 - the port's signature
        path = self.folder / key
        return datetime.fromtimestamp(path.stat().st_mtime, UTC) if path.exists() else None

    def certificate(self, centre: DrCentre) -> Body | None:  # noqa: ARG002 - the port's signature
        return None

    def remove_lock(self, centre: DrCentre, prefix: str, lock: str) -> None:  # noqa: ARG002 - the port's signature
        self.removed.append(lock)
        (self.folder / prefix / "locks" / lock).unlink()


class Bench:
    """A service with files on one host, its repository, and a world that works on it."""

    def __init__(self, folder: Path, restic: Path, **settings: object) -> None:
        self.source = folder / "source"
        self.source.mkdir()
        self.write("old", "that never changes\n" * 4000)
        record = service_record(SERVICE)
        record["datasets"] = [{"id": "files", "type": "files", "host": HOST, "paths": [str(self.source)]}]
        workspace = settings.pop("workspace", None)
        record["backup"] |= settings
        stage = make_stage(folder, make_city(record, workspace=workspace), restore_points=False)  # type: ignore[arg-type]
        programs = folder / "programs"
        programs.mkdir()
        (programs / "restic").symlink_to(restic)
        self.bucket = folder / "bucket"
        self.actions = RealActions(self.bucket, programs, stage.clock)
        self.store = FolderStore(self.bucket)
        self.stage: Stage = replace(stage, world=replace(stage.world, actions=self.actions, store=self.store))
        self.restic_program, self.folder = restic, folder
        self.repository = self.bucket / SERVICE / HOST
        self.restic("init")
        self.world, self.ledger, self.clock = self.stage.world, stage.ledger, stage.clock

    def write(self, name: str, text: str) -> None:
        (self.source / name).write_text(text)

    def restic(self, *arguments: str, code: int | None = 0) -> str:
        done = subprocess.run(
            [str(self.restic_program), "-r", str(self.repository), *arguments],
            env={"RESTIC_PASSWORD": SECRET, "RESTIC_CACHE_DIR": str(self.folder / "cache"), "PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            timeout=400,
            check=False,
        )
        assert code is None or done.returncode == code, done.stderr
        return done.stdout

    def snapshots(self) -> set[str]:
        """Their IDs, which are the names of their files."""
        return {path.name for path in (self.repository / "snapshots").iterdir()}

    def snapshot(self, at: datetime, *, host: str = HOST, tags: Sequence[str] = ()) -> str:
        """A snapshot made by hand, dated as said; its whole ID."""
        known = self.snapshots()
        self.write("new", f"{at}\n")
        words = [word for tag in tags for word in ("--tag", tag)]
        time = f"{at.astimezone():%Y-%m-%d %H:%M:%S}"
        self.restic("backup", "--host", host, "--time", time, *words, str(self.source))
        (new,) = self.snapshots() - known
        return new

    def back_up(self, at: datetime, *, tags: Sequence[str] = (), outcome: str = "done", site: str = "primary") -> str:
        """What a backup of the service at a moment leaves: its snapshot, and a restore point if it ended well. Gives
        the run's name."""
        run = f"backup-{at:%Y%m%d-%H%M%S}-0000"
        ours = ["drp", f"service:{SERVICE}", f"run:{run}", "dataset:files", "part:files", *tags]
        snapshot = self.snapshot(at, tags=ours)
        present, self.clock.at = self.clock.at, at
        self.ledger.open_run(run, "backup", "0" * 64, [SERVICE], {})
        if outcome == "done":
            self.ledger.append(run, "restore_point.recorded", self._point(run, at, snapshot, site))
        if outcome != "open":
            self.ledger.append(run, "run.closed", {"outcome": outcome, "exit_code": 0 if outcome == "done" else 1})
        self.clock.at = present
        return run

    def _point(self, run: str, at: datetime, snapshot: str, site: str) -> Body:
        return {
            "id": run,
            "service": SERVICE,
            "site": site,
            "sentinel": "token",
            "sentinel_at": to_stamp(at),
            "arrived_at": to_stamp(at),
            "dr_centre": "drc",
            "repositories": {HOST: f"s3:https://192.0.2.10:9000/drp-bogor/{SERVICE}/{HOST}"},
            "snapshots": [
                {"dataset": "files", "part": "files", "snapshot": snapshot, "files": 2, "bytes": 9, "duration_ms": 5}
            ],
            "tools": {},
            "content": {"files": {}},
            "datasets": {},
            "clocks": {HOST: {"offset_ms": 0, "uncertainty_ms": 1}},
        }

    def points(self) -> list[str]:
        """The restore points that the ledger counts, newest first."""
        return [point.id for point in self.ledger.restore_points(SERVICE)]

    def marks(self, mark: str) -> set[str]:
        return {row.restore_point for row in self.ledger.marks(SERVICE) if row.mark == mark}

    def locks(self) -> list[str]:
        """Without those that are still being written."""
        return sorted(path.name for path in (self.repository / "locks").iterdir() if len(path.name) == 64)
