"""Look ahead: would a backup, or a recovery, of a service find what it needs on its hosts and at the DR centre?"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from urllib.parse import urlsplit

from drp.domain.backups.restore_point import RestorePoint
from drp.domain.events import Body, hash_of
from drp.domain.inventory import DrCentre
from drp.domain.protection.host_keys import judge_host_key
from drp.domain.protection.preflight import Expected, Finding, Purpose, certificate, judge, judge_answer
from drp.domain.service import Service
from drp.domain.values import to_stamp
from drp.errors import CancelledError, DrpError, ExitCode, UnreachableError
from drp.ports import World
from drp.workflows.asking import Asking
from drp.workflows.backup_status import backup_status
from drp.workflows.host_jobs import HostJob, repository_job, start_or_adopt
from drp.workflows.naming import new_run
from drp.workflows.repository import ca_certificate, centre_of, secrets_of

KIND = "preflight"
CONTROL_NODE = "control node"
DATABASES_LIE_IN = "/var/lib"
"""Where a database's data will lie at the recovery site, as far as drp knows."""

BACKUP: tuple[Purpose, ...] = ("backup",)
RECOVERY: tuple[Purpose, ...] = ("recovery",)
BOTH = (*BACKUP, *RECOVERY)


@dataclass(slots=True)
class PreflightResult:
    """What was found for one service; `unreachable` where a host or the DR centre could not be asked."""

    service: str
    run: str
    findings: dict[Purpose, list[Finding]] = field(default_factory=dict)
    unreachable: bool = False

    @property
    def all_findings(self) -> list[Finding]:
        return [finding for found in self.findings.values() for finding in found]

    @property
    def is_good(self) -> bool:
        """Nothing that was looked at is an error; where nothing was looked at, nothing is good."""
        findings = self.all_findings
        return bool(findings) and all(finding.level != "error" for finding in findings)


@dataclass(frozen=True, slots=True)
class _Look:
    """One host to look at: `host` is the one that the repository belongs to, `executor` the one that looks."""

    service: Service
    purpose: Purpose
    host: str
    executor: str
    point: RestorePoint | None
    result: PreflightResult


def preflight(
    world: World,
    services: Sequence[str],
    purposes: Collection[Purpose] = BACKUP,
    due: Mapping[str, datetime] | None = None,
) -> list[PreflightResult]:
    """Look at the hosts of each service, several at once, and record what was found: one run for each service.

    `backup` looks at the hosts where the service runs, `recovery` at those that stand in for them.
    """
    results: list[PreflightResult] = []
    looks: list[_Look] = []
    for name in services:
        service = world.city.services[name]
        result = PreflightResult(name, _open(world, service, purposes, (due or {}).get(name)))
        results.append(result)
        looks += _looks(world, service, purposes, result)
    running: deque[tuple[_Look, HostJob]] = deque()
    try:
        _look_at_centres(world, results, purposes)
        for look in _with_right_keys(world, looks):
            if len(running) >= world.city.workspace.backups.limits.at_once:
                _end(world, *running.popleft())
            _begin(world, look, running)
        while running:
            _end(world, *running.popleft())
    except KeyboardInterrupt:
        for _, job in running:
            job.stop()
        for result in results:
            _close(world, result, "aborted", ExitCode.CANCELLED)
        raise CancelledError("the preflight was cancelled; nothing was changed") from None
    for result in results:
        for purpose, findings in result.findings.items():
            records = [finding.record() for finding in findings]
            body: Body = {"service": result.service, "purpose": purpose, "findings": records}
            world.ledger.append(result.run, "preflight.recorded", body)
        _close(world, result, "done", ExitCode.DONE if result.is_good else ExitCode.FAILED)
    return results


def _open(world: World, service: Service, purposes: Collection[Purpose], due_at: datetime | None) -> str:
    run = new_run(KIND, world.clock.now())
    plan: Body = {"service": service.id, "purposes": list(purposes)}
    body: Body = {"plan": plan, "by": world.operator}
    if due_at is not None:
        body["due_at"] = to_stamp(due_at)
    world.ledger.open_run(run, KIND, hash_of(plan), [service.id], body)
    return run


def _close(world: World, result: PreflightResult, outcome: str, code: ExitCode) -> None:
    world.ledger.append(result.run, "run.closed", {"outcome": outcome, "exit_code": int(code)})


def _looks(world: World, service: Service, purposes: Collection[Purpose], result: PreflightResult) -> Iterator[_Look]:
    site = world.ledger.active_site(service.id)
    point = next(iter(world.ledger.restore_points(service.id, limit=1)), None)
    hosts = dict.fromkeys(dataset.host for dataset in service.datasets)
    if "backup" in purposes:
        result.findings["backup"] = []
        for host in dict.fromkeys(service.stand_in(host, site) for host in hosts):
            yield _Look(service, "backup", host, host, point, result)
    if "recovery" in purposes:
        findings = result.findings["recovery"] = []
        if site != "primary":
            text = f"the service runs at the {site} site: there is none left to recover it at"
            findings.append(Finding("warning", "", "site", text, "plan the way back: a failback"))
            return
        for host in hosts:
            if host in service.recovers_on:
                yield _Look(service, "recovery", host, service.recovers_on[host], point, result)
            else:
                text, hint = f"no recovery host stands in for {host}", f"name one in the file of {service.id}"
                findings.append(Finding("error", host, "host", text, hint))


def _look_at_centres(world: World, results: Sequence[PreflightResult], purposes: Collection[Purpose]) -> None:
    """The DR centres as the control node sees them: once for all services that use one, and whether each still holds
    the newest restore point that it is said to hold."""
    seen: dict[str, Finding] = {}
    for result in results:
        centre = centre_of(world, world.city.services[result.service])
        if centre.endpoint not in seen:
            found = world.store.certificate(centre)
            seen[centre.endpoint] = certificate(CONTROL_NODE, found, world.clock.now())
        for purpose in purposes:
            result.findings.setdefault(purpose, []).insert(0, seen[centre.endpoint])
    first = next(iter(purposes))
    asking = Asking(world)
    for status, result in zip(backup_status(world, [result.service for result in results]), results, strict=True):
        result.findings[first] += [judge_answer(answer) for answer in asking.ask(status).values()]


def _with_right_keys(world: World, looks: Sequence[_Look]) -> list[_Look]:
    """Which SSH key each host shows, before anything logs in there. Gives the looks at those where that may be done:
    with another key than the pinned one it would be refused anyway, with no more than that to say."""
    names = dict.fromkeys(look.executor for look in looks)
    hosts = {name: world.city.hosts[name] for name in names if name in world.city.hosts}
    shown = world.host_keys.look_at(list(hosts.values()))
    going_on = []
    for look in looks:
        host = hosts.get(look.executor)
        if host is None:
            going_on.append(look)  # that the inventory has no such host is said where it is called
            continue
        finding = judge_host_key(host, shown.get(host.name), world.city.workspace.ssh.known_hosts)
        if finding not in look.result.findings[look.purpose]:  # a host may stand in for several
            look.result.findings[look.purpose].append(finding)
        if finding.level == "error":
            look.result.unreachable = True
        else:
            going_on.append(look)
    return going_on


def _begin(world: World, look: _Look, running: deque[tuple[_Look, HostJob]]) -> None:
    centre = centre_of(world, look.service)
    try:
        job = start_or_adopt(
            world,
            look.result.run,
            f"{look.purpose}-{look.host}",
            look.executor,
            lambda: _job(world, look, centre),
            secrets=lambda: secrets_of(world, look.service, look.executor),
            certificate=ca_certificate(world.workspace, centre),
            where=f"{look.service.id} on {look.executor}",
        )
    except DrpError as error:
        _failed(look, error)
    else:
        running.append((look, job))


def _end(world: World, look: _Look, job: HostJob) -> None:
    try:
        found = job.wait()
        expected = Expected(look.executor, look.purpose, _tools(look), _has_repository(look))
        look.result.findings[look.purpose] += judge(expected, found, job.clock, world.clock.now())
    except DrpError as error:
        _failed(look, error)


def _failed(look: _Look, error: DrpError) -> None:
    look.result.unreachable = look.result.unreachable or isinstance(error, UnreachableError)
    finding = Finding("error", look.executor, "host", f"it could not be looked at: {error.message}", error.hint)
    look.result.findings[look.purpose].append(finding)


def _job(world: World, look: _Look, centre: DrCentre) -> Body:
    service = look.service
    site = world.ledger.active_site(service.id)
    datasets = [
        dataset
        for dataset in service.datasets
        if (dataset.host if look.purpose == "recovery" else service.stand_in(dataset.host, site)) == look.host
    ]
    procedures = [dataset.procedure(service.id) for dataset in datasets]
    trees = {
        procedure["id"]: [path for part in procedure["parts"] for path in part.get("paths", [])]
        for procedure in procedures
    }
    places = []
    if look.purpose == "recovery":
        sizes = _sizes(look)
        for dataset in datasets:
            where = (trees[dataset.id] or [DATABASES_LIE_IN])[0]
            places.append({"what": "data", "path": where, "bytes": sizes.get(dataset.id, dataset.size or 0)})
    endpoint = urlsplit(centre.endpoint)
    port = endpoint.port or (443 if endpoint.scheme == "https" else 80)
    job = repository_job(world, service, look.host, look.result.run, KIND)
    return job | {
        "requires": list(dict.fromkeys(["restic", *(name for found in procedures for name in found["requires"])])),
        "datasets": [{"id": found["id"], "versions": found.get("versions", {})} for found in procedures],
        "places": places,
        "sources": [path for paths in trees.values() for path in paths] if look.purpose == "backup" else [],
        "endpoint": {"scheme": endpoint.scheme, "host": endpoint.hostname or "", "port": port},
    }


def _sizes(look: _Look) -> dict[str, int]:
    """How large each dataset was in the newest restore point."""
    sizes: dict[str, int] = {}
    for snapshot in look.point.snapshots if look.point else ():
        sizes[snapshot.dataset] = sizes.get(snapshot.dataset, 0) + snapshot.bytes
    return sizes


def _tools(look: _Look) -> dict[str, str]:
    """What the newest restore point was made with on the host that is to be stood in for."""
    tools = look.point.tools if look.point else {}
    before = f"{look.host} "
    return {name.removeprefix(before): version for name, version in tools.items() if name.startswith(before)}


def _has_repository(look: _Look) -> bool:
    return look.point is not None and look.host in look.point.repositories
