"""Look into restore points, and get single files out of them; nothing is written on any host."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from drp.domain.backups.restore_point import RestorePoint
from drp.domain.datasets import Procedure, read_dataset
from drp.domain.events import Body, hash_of
from drp.domain.recovery.restore_plan import PlannedJob, RestorePlan, compiled, is_below
from drp.domain.service import Service
from drp.errors import CancelledError, DrpError, ExitCode, IntegrityError, UnreachableError, UsageError
from drp.ports import NewFile, World
from drp.workflows.host_jobs import HostJob, keeper_of, start_or_adopt
from drp.workflows.naming import action_folder, new_run
from drp.workflows.repository import ca_certificate, centre_named, secrets_of, starting_to_read
from drp.workflows.restore_request import RestoreRequest, choose, printable, repository_host_of, url_at
from drp.workflows.restoring import job_on, look_on

READ_WAIT_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Entry:
    """Something that a restore point holds. A `stream` is a whole dump, loaded by `dataset`'s own tools. A name with
    bytes that are no UTF-8 cannot be shown as it is: then `is_exact` is false."""

    dataset: str
    part: str
    path: str
    type: str
    bytes: int
    modified_at: str
    mode: str = ""
    owner: str = ""
    target: str = ""
    is_exact: bool = True


@dataclass(frozen=True, slots=True)
class Listing:
    point: RestorePoint
    entries: list[Entry]
    left_off: int


@dataclass(frozen=True, slots=True)
class Downloaded:
    run: str
    point: RestorePoint
    bytes: int
    sha256: str
    type: str


def list_content(world: World, request: RestoreRequest, path: str, *, recursive: bool) -> Listing:
    """What lies in a folder of the restore point (`path`; empty: everything that was backed up, at its top)."""
    service = world.city.services[request.service]
    plan = _plan(world, service, request)
    jobs: dict[PlannedJob, Body] = {}
    streams = []
    for job in plan.jobs:
        looks = []
        for procedure in plan.procedures(job):
            for part in procedure["parts"]:
                if part["kind"] == "stream":
                    streams.append(_stream_entry(plan.point, procedure, part))
                else:
                    folders = _folders(part, path)
                    if folders:
                        common = {"dataset": procedure["id"], "part": part["name"], "snapshot": part["snapshot"]}
                        looks.append(common | {"folders": folders})
        if looks:
            body = job_on(world, plan, job, "", "list_snapshot", looks=looks, recursive=recursive, asked=path)
            jobs[job] = body | {"requires": ["restic"], "datasets": []}
    if path:
        streams = [entry for entry in streams if entry.path == path]
        if not jobs and not streams:
            raise _outside(plan, path)
    results = look_on(world, plan, jobs)
    entries = [Entry(**entry) for result in results for entry in result["entries"]]
    if path and not entries and not streams and all(not result["is_there"] for result in results):
        raise UsageError(f"{printable(path)} is not in {plan.point.id}", where=service.id, hint=_list_hint(service.id))
    return Listing(plan.point, [*streams, *entries], sum(result["left_off"] for result in results))


def download(world: World, request: RestoreRequest, path: str, open_file: Callable[[str], NewFile]) -> Downloaded:
    """Get one file, a dump, or a folder as a tar archive. `open_file` is asked for the file when it is known what it
    will be: file or dir. What arrives is compared with what the host sent, by size and SHA-256."""
    service = world.city.services[request.service]
    plan = _plan(world, service, request)
    job, part = _find(plan, path)
    run = new_run("download", world.clock.now())
    record = {
        "service": service.id,
        "restore_point": plan.point.id,
        "dr_centre": plan.dr_centre,
        "dataset": job.datasets[0],
        "snapshot": part["snapshot"],
        "path": printable(path),
        "host": job.host,
    }
    world.ledger.open_run(run, "download", hash_of(record), [service.id], {"plan": record, "by": world.operator})
    try:
        result = _receive(world, plan, job, part, path, run, open_file)
    except BaseException as error:
        _close_failed(world, run, error)
        if isinstance(error, KeyboardInterrupt):
            raise CancelledError("the download was cancelled; it left no file", where=service.id) from None
        raise
    world.ledger.append(run, "file.sent", {"bytes": result["bytes"], "sha256": result["sha256"]})
    world.ledger.append(run, "run.closed", {"outcome": "done", "exit_code": int(ExitCode.DONE)})
    return Downloaded(run, plan.point, result["bytes"], result["sha256"], result["type"])


def _receive(
    world: World,
    plan: RestorePlan,
    job: PlannedJob,
    part: Procedure,
    path: str,
    run: str,
    open_file: Callable[[str], NewFile],
) -> Body:
    service, centre = world.city.services[plan.service], centre_named(world, plan.dr_centre)
    wanted = "/" + part["file"] if part["kind"] == "stream" else path
    body = job_on(world, plan, job, run, "send", snapshot=part["snapshot"], path=wanted)
    incoming = world.actions.expect_data(action_folder(world, run, "send"))
    sending: HostJob | None = None
    file: NewFile | None = None
    digest, count = hashlib.sha256(), 0
    try:
        with starting_to_read(world, service, plan.dr_centre, "drp restore download"):
            sending = start_or_adopt(
                world,
                run,
                "send",
                job.host,
                lambda: body | {"requires": ["restic"], "datasets": []},
                secrets=lambda: secrets_of(world, service, job.host, centre),
                certificate=ca_certificate(world.workspace, centre),
                where=f"{plan.service} on {job.host}",
            )
        while True:
            has_ended = sending.has_ended()
            if file is None:
                known = next((message for message in sending.messages if message["event"] == "sending"), None)
                file = None if known is None else open_file(known["type"])
            piece = incoming.read(0 if has_ended else READ_WAIT_SECONDS) if file is not None or has_ended else b""
            if piece and file is not None:
                digest.update(piece)
                count += len(piece)
                file.write(piece)
            elif has_ended:
                break
            elif file is None:
                world.clock.sleep(READ_WAIT_SECONDS)
        result = sending.result()
        if file is None or (count, digest.hexdigest()) != (result["bytes"], result["sha256"]):
            text = f"{count} bytes arrived, which are not the {result['bytes']} that were sent"
            raise IntegrityError(text, where=plan.service, hint="download it again")
        file.commit()
        return result
    finally:
        incoming.close()
        if sending is not None and not sending.has_ended():
            sending.stop()
        if file is not None:
            file.discard()


def _close_failed(world: World, run: str, error: BaseException) -> None:
    if isinstance(error, KeyboardInterrupt):
        body: Body = {"outcome": "aborted", "exit_code": int(ExitCode.CANCELLED)}
    elif isinstance(error, DrpError):
        body = {"outcome": "failed", "exit_code": int(error.exit_code), "error": str(error)[:2000]}
    else:
        return  # drp itself dies: whoever looks at the ledger sees that it did not end
    world.ledger.append(run, "run.closed", body)


def _plan(world: World, service: Service, request: RestoreRequest) -> RestorePlan:
    choice, told = choose(world, request)
    point = choice.point
    names = request.datasets or told or tuple(point.datasets)
    unknown = [name for name in names if name not in point.datasets]
    if unknown:
        hint = f"it holds {', '.join(point.datasets)}"
        raise UsageError(f"restore point {point.id} has no dataset {', '.join(unknown)}", where=service.id, hint=hint)
    centre = request.from_centre or point.dr_centre
    jobs: dict[str, list[str]] = {}
    for name in point.datasets:
        if name in names:
            source = repository_host_of(service, point, read_dataset(point.datasets[name]))
            jobs.setdefault(source, []).append(name)
    planned = tuple(
        PlannedJob(_reader(world, service, source), source, url_at(world, service, point, centre, source), tuple(found))
        for source, found in jobs.items()
    )
    return RestorePlan(service.id, point, centre, planned)


def _reader(world: World, service: Service, host: str) -> str:
    """The host that reads a repository for us: the one that looks after it, or else the one that it belongs to."""
    names = [name for name in dict.fromkeys((keeper_of(service, host), host)) if name in world.city.hosts]
    for name in names:
        if world.reachability.answers(world.city.hosts[name]):
            return name
    hint = "check that it is up and the line to it"
    raise UnreachableError(f"no host answers that could read it: {', '.join(names)}", where=service.id, hint=hint)


def _folders(part: Procedure, path: str) -> list[str]:
    """What to ask a tree for: its own roots, or the path where that can lie in it."""
    roots = part["paths"]
    if not path:
        return list(roots)
    return [path] if any(is_below(path, root) or is_below(root, path) for root in roots) else []


def _find(plan: RestorePlan, path: str) -> tuple[PlannedJob, Procedure]:
    """The part that a path is in. A dump is named by its file; a file by where it lay."""
    for job in plan.jobs:
        for name in job.datasets:
            procedure = compiled(plan.point, read_dataset(plan.point.datasets[name]), plan.service)
            one = PlannedJob(job.host, job.repository_host, job.repository_url, (name,))
            for part in procedure["parts"]:
                if part["kind"] == "stream" and path.removeprefix("/") == part["file"]:
                    return one, part
                if part["kind"] == "tree" and any(is_below(path, root) for root in part["paths"]):
                    return one, part
    raise _outside(plan, path)


def _outside(plan: RestorePlan, path: str) -> UsageError:
    text = f"{printable(path)} is in none of the datasets {', '.join(plan.datasets)}"
    return UsageError(text, where=plan.service, hint=_list_hint(plan.service))


def _list_hint(service: str) -> str:
    return f"see what it holds: drp restore list {service}"


def _stream_entry(point: RestorePoint, procedure: Procedure, part: Procedure) -> Entry:
    return Entry(
        dataset=procedure["id"],
        part=part["name"],
        path="/" + part["file"],
        type="stream",
        bytes=part["bytes"],
        modified_at=point.record()["sentinel_at"],
        target=point.datasets[procedure["id"]]["type"],
    )
