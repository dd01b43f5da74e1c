"""What a restore will do: which datasets of which restore point come from where and go where. Decided before anything
is touched, kept in the ledger, and read back from there when a restore goes on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from drp.domain.backups.restore_point import RestorePoint
from drp.domain.datasets import DatasetType, Procedure, Scratch, read_dataset, with_snapshots
from drp.domain.events import Body

SPACE_FACTOR_PERCENT = 120
"""What a restore needs free, of the size of what it brings."""


@dataclass(frozen=True, slots=True)
class PlannedJob:
    """The datasets that one host takes out of one repository. `repository_host` is whose repository it is."""

    host: str
    repository_host: str
    repository_url: str
    datasets: tuple[str, ...]

    @property
    def name(self) -> str:
        """What tells it from the other jobs of a run."""
        return self.host if self.host == self.repository_host else f"{self.host}-from-{self.repository_host}"


@dataclass(frozen=True, slots=True)
class RestorePlan:
    """`production` are the hosts on which it would write over what is in use; empty with a `scratch` place. With
    `paths`, only these come back, and what lies beside them stays."""

    service: str
    point: RestorePoint
    dr_centre: str
    jobs: tuple[PlannedJob, ...]
    scratch: Scratch | None = None
    production: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()

    @property
    def datasets(self) -> tuple[str, ...]:
        return tuple(name for job in self.jobs for name in job.datasets)

    def bytes_of(self, dataset: str) -> int:
        return sum(part.bytes for part in self.point.snapshots if part.dataset == dataset)

    def procedures(self, job: PlannedJob) -> list[Procedure]:
        """The procedures of a job's datasets, with the restore point's snapshots and sizes in their parts."""
        procedures = [
            compiled(self.point, dataset, self.service, self.scratch_of(dataset.id))
            for dataset in self._declared(job.datasets)
        ]
        return [only(procedure, self.paths) for procedure in procedures] if self.paths else procedures

    def scratch_of(self, dataset: str) -> Scratch | None:
        """A dataset's own part of the scratch place, so that none gets in another one's way."""
        if self.scratch is None:
            return None
        number = list(self.point.datasets).index(dataset)
        job = next(job for job in self.jobs if dataset in job.datasets)
        return Scratch(f"{self.scratch.name}_{number}", f"{self.folder_of(job)}/{dataset}")

    def folder_of(self, job: PlannedJob) -> str:
        """The folder on its host that a job restores below. Jobs on one host get in nobody's way."""
        assert self.scratch is not None, "the plan has a place apart"
        beside = [other for other in self.jobs if other.host == job.host]
        number = beside.index(job)
        return f"{self.scratch.folder}-{number + 1}" if number else self.scratch.folder

    def places(self, dataset: str) -> tuple[str, ...]:
        """Where a dataset goes on its host."""
        if self.paths:
            own = self.scratch_of(dataset)
            (job,) = [job for job in self.jobs if dataset in job.datasets]
            (procedure,) = [found for found in self.procedures(job) if found["id"] == dataset]
            return tuple((own.folder if own else "") + path for part in procedure["parts"] for path in part["paths"])
        if self.scratch is None:
            return self._declared([dataset])[0].places
        own = self.scratch_of(dataset)
        assert own is not None, "there is a scratch place"
        procedure = self._declared([dataset])[0].procedure(self.service, scratch=own)
        return tuple(item["what"] for item in procedure["absence"])

    def _declared(self, names: Sequence[str]) -> list[DatasetType]:
        return [read_dataset(self.point.datasets[name]) for name in names]

    def record(self) -> Body:
        return {
            "service": self.service,
            "restore_point": self.point.record(),
            "dr_centre": self.dr_centre,
            "jobs": [
                {
                    "host": job.host,
                    "repository_host": job.repository_host,
                    "repository_url": job.repository_url,
                    "datasets": list(job.datasets),
                }
                for job in self.jobs
            ],
            "scratch": None if self.scratch is None else {"name": self.scratch.name, "folder": self.scratch.folder},
            "production": list(self.production),
            "paths": list(self.paths),
        }

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> RestorePlan:
        scratch = record["scratch"]
        return cls(
            service=record["service"],
            point=RestorePoint.from_record(record["restore_point"]),
            dr_centre=record["dr_centre"],
            jobs=tuple(
                PlannedJob(job["host"], job["repository_host"], job["repository_url"], tuple(job["datasets"]))
                for job in record["jobs"]
            ),
            scratch=None if scratch is None else Scratch(scratch["name"], scratch["folder"]),
            production=tuple(record["production"]),
            paths=tuple(record["paths"]),
        )


def compiled(point: RestorePoint, dataset: DatasetType, service: str, scratch: Scratch | None = None) -> Procedure:
    """A dataset's procedure with the snapshot of the restore point, and its size, in each part."""
    procedure = with_snapshots(dataset.procedure(service, scratch=scratch), point.snapshots_of(dataset.id))
    sizes = {part.snapshot: part.bytes for part in point.snapshots}
    return procedure | {"parts": [part | {"bytes": sizes[part["snapshot"]]} for part in procedure["parts"]]}


def only(procedure: Procedure, paths: Sequence[str]) -> Procedure:
    """A procedure that brings only some paths of a dataset's trees back, and takes nothing away."""
    parts, absence = [], []
    for part in procedure["parts"]:
        wanted = [path for path in paths if any(is_below(path, root) for root in part.get("paths", ()))]
        if wanted:
            parts.append(part | {"paths": wanted})
            places = [part.get("target", "") + path for path in wanted]
            absence += [{"kind": "path", "what": f"path {place}", "path": place} for place in places]
    return procedure | {"parts": parts, "absence": absence, "prepare_restore": []}


def is_below(path: str, root: str) -> bool:
    """Whether a path is another one or lies in it."""
    return path == root or path.startswith(root.rstrip("/") + "/")
