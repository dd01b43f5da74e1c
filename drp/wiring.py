"""Builds the adapters for a workspace: the one place that knows them all."""

from __future__ import annotations

import getpass
import os
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from drp.adapters.actions import SupervisedActions
from drp.adapters.clock import SystemClock
from drp.adapters.host_keys import SshHostKeys
from drp.adapters.inventory import (
    HOSTS_FILE,
    SERVICES_FOLDER,
    Files,
    find_workspace,
    load_city,
    read_city,
    signature_of,
)
from drp.adapters.known_secrets import KnownSecrets
from drp.adapters.ledger import SqliteLedger
from drp.adapters.lock import FileLocks
from drp.adapters.metrics import PrometheusFigures
from drp.adapters.notifier import AppriseMessenger
from drp.adapters.s3 import S3ObjectStore
from drp.adapters.secrets import WorkspaceSecrets
from drp.adapters.watch_records import FileWatchRecords, TcpReachability
from drp.domain.findings import service_record
from drp.domain.inventory import City
from drp.domain.recovery.cutover import user_place
from drp.domain.recovery.plan import RECOVERY_KINDS
from drp.domain.recovery.probing import Sample
from drp.domain.recovery.run import Recovery
from drp.errors import Fault, UsageError
from drp.ports import Clock, NewFile, Say, World

if TYPE_CHECKING:
    from drp.adapters.callers import Callers
    from drp.adapters.json_schema import WrittenSchema
    from drp.domain.backups.centre_check import CentreFacts
    from drp.domain.findings import Location, Record
    from drp.domain.importing.reconcile import ListedHost
    from drp.domain.importing.sheet import Row, Sheet
    from drp.lab.faults.base import Target
    from drp.lab.plan import LabPlan
    from drp.reports.graph import Form
    from drp.workflows.runbook import PaperRequest


def shipped(name: str) -> Path:
    """A folder of files that come with drp: in the wheel below `drp/shipped`, in a checkout beside the package."""
    packaged = Path(__file__).parent / "shipped" / name
    return packaged if packaged.is_dir() else Path(__file__).parent.parent / name


def workspace_at(start: Path) -> Path:
    return find_workspace(Path(os.path.realpath(start)))  # Path.resolve stumbles over circles of links


def city_of(workspace: Path) -> City:
    """The validated content of a workspace; InvalidInventoryError with all faults."""
    return load_city(workspace, shipped("runbooks"))


def city_with_files(workspace: Path) -> tuple[City, Files]:
    """The validated content of a workspace, and in which file and line each record stands."""
    return read_city(workspace, shipped("runbooks"))


def faults_of_named_files(workspace: Path, city: City, files: Files) -> list[Fault]:
    """What is wrong with files that are named elsewhere: one by its hash, which is read whole, and own playbooks."""
    from drp.adapters.named_files import carried_restic_faults, own_playbook_faults

    return files.locate(
        [
            *carried_restic_faults(workspace, city.workspace.backups.restic),
            *own_playbook_faults(playbooks_of(workspace), city.services),
        ]
    )


def today_of(city: City) -> date:
    """The present day in the organisation's time zone."""
    from zoneinfo import ZoneInfo

    return SystemClock().now().astimezone(ZoneInfo(city.workspace.organisation.time_zone)).date()


def places_in(files: Files) -> Callable[[Record, Location], tuple[str | None, int | None]]:
    """How to find the file and the line of a record; nothing where it stands in no file."""

    def place(record: Record, location: Location) -> tuple[str | None, int | None]:
        if record not in files.paths:
            return None, None
        return files.name_of(files.paths[record]), files.line_of(record, location)

    return place


def present_time() -> datetime:
    return SystemClock().now()


def write_schemas(workspace: Path, folder: Path) -> list[WrittenSchema]:
    """Write a JSON Schema of each kind of file, for editors."""
    from drp.adapters.json_schema import write_schemas as write

    return write(workspace, folder)


def hosts_by_ansible(workspace: Path) -> dict[str, ListedHost]:
    """What Ansible makes of the workspace's inventory; UnreachableError where it cannot run."""
    from drp.adapters.ansible_inventory import listed_hosts

    return listed_hosts(workspace / HOSTS_FILE)


def read_sheet(path: Path, sheet: str | None) -> Sheet:
    """A CSV file or a workbook as rows of cells."""
    from drp.adapters.spreadsheet import read_spreadsheet

    return read_spreadsheet(path, sheet)


def services_folder_of(workspace: Path) -> Path:
    return workspace / SERVICES_FOLDER


def services_with_files(folder: Path) -> set[str]:
    """The ids that have a service file in a folder."""
    from drp.adapters.service_files import existing_ids

    return existing_ids(folder)


def write_service_files(folder: Path, rows: Sequence[Row]) -> list[Path]:
    """Write the new services of an imported sheet; gives the files that were written."""
    from drp.adapters.service_files import service_text, write_services

    return write_services(folder, {row.id: service_text(row.record, row.to_fill) for row in rows})


def playbooks_of(workspace: Path) -> Path:
    """The workspace's own playbooks if it has some, else those that come with drp."""
    own = workspace / "playbooks"
    return own if own.is_dir() else shipped("playbooks")


def build_world(start: Path, say: Say, *, whole: bool = False) -> World:
    """A workspace with its adapters. Everything that drp writes is for its user alone.

    Unless the `whole` is wanted, faults in registers (network, people, …) are said and passed over.
    """
    os.umask(0o077)
    workspace = workspace_at(start)
    city, files = read_city(workspace, shipped("runbooks"), whole=whole)
    for file, count in Counter(fault.file for fault in files.passed_over).items():
        say(f"{file} is passed over, it holds {count} fault{'' if count == 1 else 's'}: drp validate")
    return _world(workspace, city, SystemClock(), say)


def _world(workspace: Path, city: City, clock: Clock, say: Say) -> World:
    secrets = WorkspaceSecrets(workspace)
    return World(
        workspace=workspace,
        city=city,
        ledger=SqliteLedger(workspace / "var" / "ledger.sqlite3", clock.now),
        actions=SupervisedActions(
            workspace,
            city.workspace.ssh,
            playbooks_of(workspace),
            workspace / HOSTS_FILE,
            city.hosts,
            city.workspace.backups.restic,
            KnownSecrets(city, secrets),
        ),
        store=S3ObjectStore(workspace, secrets),
        secrets=secrets,
        locks=FileLocks(workspace / "var" / "locks"),
        clock=clock,
        watch=FileWatchRecords(workspace),
        reachability=TcpReachability(
            city.hosts,
            str(workspace / city.workspace.ssh.private_key),
            str(workspace / city.workspace.ssh.known_hosts),
        ),
        host_keys=SshHostKeys(workspace / city.workspace.ssh.known_hosts),
        figures=PrometheusFigures(workspace, city.workspace.metrics),
        messenger=AppriseMessenger(city.workspace.notifications, secrets),
        say=say,
        operator=getpass.getuser(),
    )


@contextmanager
def second_look(world: World) -> Iterator[World]:
    """The same workspace for another thread, with a way to ledger and samples of its own."""
    ledger = SqliteLedger(world.workspace / "var" / "ledger.sqlite3", world.clock.now)
    try:
        yield replace(world, ledger=ledger, watch=FileWatchRecords(world.workspace))
    finally:
        ledger.close()


def prober_of(world: World, names: Sequence[str]) -> Callable[[threading.Event], Iterator[tuple[str, Sample]]]:
    """How `drp watch` looks at services: all checks, at their own addresses, with the samples in files by day."""
    from drp.adapters.probing import keep_probing
    from drp.adapters.watching import watched_checks
    from drp.workflows.stages import check_secrets

    checks = []
    for name in names:
        service = world.city.services[name]
        address = user_place(service) or world.city.hosts[service.runs_on[0]].address
        checks += watched_checks(world.workspace, service, address, check_secrets(world, name), world.clock.now)
    return lambda stop: keep_probing(checks, stop)


def newest_recovery(world: World) -> str:
    """The newest failover or drill that has ended."""
    for row in world.ledger.runs(kinds=RECOVERY_KINDS, limit=100):
        if row.closed_at is not None:
            return row.run
    raise UsageError("no failover or drill has ended yet", hint="rehearse one: drp drill run SERVICE")


def write_report(world: World, run: str) -> list[Path]:
    """Write a recovery's report; gives the paths of the HTML and the JSON file."""
    from drp import __version__
    from drp.reports import render_html, render_json
    from drp.reports.context import context_of
    from drp.reports.document import build
    from drp.workflows.report import write

    def produce(recovery: Recovery) -> dict[str, str]:
        context = context_of(world.city, recovery)
        document = build(recovery, context, generated_at=world.clock.now(), tool_version=__version__)
        return {"report.html": render_html.render(document), "report.json": render_json.render(document)}

    return write(world, run, produce)


def verify_report(file: Path, head: str | None) -> list[str]:
    """What in a JSON report disagrees with its own events, a line each."""
    from drp.reports.verification import verify

    try:
        text = file.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return ["the file is not UTF-8 text"]
    return [str(problem) for problem in verify(text, expected_head=head)]


def render_runbook(world: World, request: PaperRequest, form: str) -> bytes:
    """A printed runbook: markdown, html or pdf."""
    from importlib.metadata import version

    from drp.reports import render_pdf, runbook_document, runbook_html, runbook_markdown
    from drp.workflows.runbook import gather_paper

    document = runbook_document.build(gather_paper(world, request, version("drp")), request.language)
    if form == "markdown":
        return runbook_markdown.render(document).encode()
    page = runbook_html.render(document)
    if form == "html":
        return page.encode()
    world.say("drawing the PDF; many services take a minute")
    return render_pdf.render(page)


def draw_graph(start: Path, things: Sequence[str], form: Form, *, network: bool, single_points: bool) -> str:
    """The graph of a workspace's services or of its network, what goes down with these things, or its single points."""
    from drp.reports.graph import draw_impact, draw_network, draw_services, draw_single_points

    city = city_of(workspace_at(start))
    if single_points:
        return draw_single_points(city, form)
    if things:
        return draw_impact(city, form, things, network=network)
    return draw_network(city, form) if network else draw_services(city, form)


def lab_plan(workspace: Path, city: City, named: Sequence[str] = ()) -> LabPlan:
    """What the lab builds for a workspace; see `drp.lab.workspace`."""
    from drp.lab.workspace import plan_of

    return plan_of(workspace, city, named)


def lab_up(start: Path, say: Say, named: Sequence[str] = (), *, everything: bool = False) -> None:
    """Build the lab with the named services or with everything, beside what it has already, and note in the ledger that
    services begin anew where it installed them anew. What was broken in it on purpose is mended first."""
    from drp.lab.city import up
    from drp.lab.faults.injection import mend_what_is_left
    from drp.lab.workspace import with_what_is_there
    from drp.workflows.lab import note_new_city

    world = build_world(start, say)
    os.umask(0o022)  # what the hosts' services read is theirs; the lab gives its secrets modes of their own
    mend_what_is_left(world.workspace, say=say)
    wanted = with_what_is_there(world.workspace, world.city, named, everything=everything)
    installed = up(lab_plan(world.workspace, world.city, wanted), say=say)
    if installed:
        note_new_city(world, installed)


def lab_down(start: Path, say: Say, *, purge: bool) -> None:
    """Remove the lab. What was broken on purpose is mended first, for some of it lies outside the lab."""
    from drp.lab.city import down
    from drp.lab.faults.injection import mend_what_is_left

    workspace = workspace_at(start)
    mend_what_is_left(workspace, say=say)
    down(workspace, say=say, purge=purge)


def fault_targets(world: World, named: Sequence[str]) -> list[Target]:
    """What a fault of the lab can strike: the named services and what they need, or all."""
    from drp.lab.faults.targets import targets_of
    from drp.workflows.selection import recovery_order

    files = city_with_files(world.workspace)[1]
    order = recovery_order(world, named or tuple(world.city.services))
    paths = {name: path for name in order if (path := files.paths.get(service_record(name))) is not None}
    return targets_of(world.workspace, world.city, order, paths)


def whole_file(path: Path | None) -> NewFile:
    """A file that appears under its name only when it is whole; standard output for None."""
    from drp.adapters.data_files import StandardOutput, WholeFile

    return StandardOutput() if path is None else WholeFile(path)


def look_at_centre(world: World, name: str) -> CentreFacts:
    """What a DR centre is, and what the control node's keys may do there; UnreachableError where it does not answer."""
    from drp.adapters.s3_check import look_at

    return look_at(world.workspace, world.secrets, world.city.workspace.dr_centres[name])


def new_workspace(folder: Path) -> list[Path]:
    """Write the files of a new workspace from the templates; gives those that were written."""
    from drp.adapters.template import write_template

    return write_template(folder)


def callers_of(start: Path, *, for_system: bool) -> Callers:
    """What calls drp for a workspace; InvalidInventoryError where there is nothing yet to be called for."""
    from drp.adapters.callers import callers_of as find

    workspace = workspace_at(start)
    metrics = read_city(workspace, shipped("runbooks"), whole=False)[0].workspace.metrics
    return find(workspace, metrics.textfile if metrics else None, for_system=for_system)


def serve_daemon(start: Path, say: Say, stop: threading.Event) -> None:
    """Do what is due in a workspace until `stop` is set."""

    from drp.adapters.service_manager import ServiceManager
    from drp.workflows.daemon import Inventory, serve
    from drp.workflows.task_kinds import TASK_KINDS

    os.umask(0o077)
    workspace = workspace_at(start)

    @contextmanager
    def open_world(city: City, clock: Clock, say: Say) -> Iterator[World]:
        world = _world(workspace, city, clock, say)
        try:
            yield world
        finally:
            if isinstance(world.ledger, SqliteLedger):
                world.ledger.close()

    def load() -> City:
        return read_city(workspace, shipped("runbooks"), whole=False)[0]

    serve(
        Inventory(load, lambda: signature_of(workspace), say),
        open_world,
        TASK_KINDS,
        locks=FileLocks(workspace / "var" / "locks"),
        clock=SystemClock(),
        manager=ServiceManager(),
        stop=stop,
        say=say,
    )
