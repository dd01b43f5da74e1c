"""drp inventory"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from drp.cli.common import (
    count_of,
    epilog,
    json_option,
    output_width,
    print_json,
    print_table,
    print_wrapped,
    world_of,
)
from drp.cli.inventory_coverage import coverage
from drp.cli.inventory_import import import_
from drp.domain.values import milliseconds
from drp.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from drp.domain.dossiers.dossier import Dossier
    from drp.domain.dossiers.exercises import Exercise
    from drp.domain.findings import Location, Record
    from drp.domain.inventory import City
    from drp.domain.service import Service
    from drp.ports import World

    Place = Callable[[Record, Location], tuple[str | None, int | None]]

WIDE = 140
"""From so many columns on, a service has a line of its own in the table."""

HOSTINGS = ("central", "agency", "third-party", "national")
"""As in `drp.domain.service`, which help does not wait for."""

_STACKED = ((0, 2), (2, 4), (4, 6), (6, 9))
"""Cells that share a column where there is less room."""

_LABEL = 14


@click.group()
def inventory() -> None:
    """List, show, compare and import what is declared."""


inventory.add_command(coverage)
inventory.add_command(import_)


# -- list ----------------------------------------------------------------------------------------------------------


@inventory.command(
    short_help="List the services.",
    name="list",
    epilog=epilog(
        "drp inventory list --tier penting", "drp inventory list --unprotected", "drp inventory list --assumed --json"
    ),
)
@click.option("--agency", metavar="AGENCY", help="Only services of this agency.")
@click.option("--tier", metavar="TIER", help="Only services of this tier.")
@click.option("--cluster", metavar="CLUSTER", help="Only services of this cluster.")
@click.option("--hosting", type=click.Choice(HOSTINGS), help="Only services that are hosted so.")
@click.option("--unprotected", is_flag=True, help="Only services without a complete backup declaration.")
@click.option("--assumed", is_flag=True, help="List instead what nobody has confirmed yet, in every register.")
@json_option
@click.pass_context
def list_(
    ctx: click.Context,
    agency: str | None,
    tier: str | None,
    cluster: str | None,
    hosting: str | None,
    unprotected: bool,
    assumed: bool,
    as_json: bool,
) -> None:
    """List the services: whose they are, where they run, how they are backed up, when they were last exercised.

    What is declared is listed; whether it has arrived and was proved is told by: drp inventory coverage
    """
    from drp.wiring import city_with_files, places_in, workspace_at

    choices = {"agency": agency, "tier": tier, "cluster": cluster, "hosting": hosting}
    if not assumed:
        world = world_of(ctx, whole=True)
        _list_services(world, _chosen(world.city, choices, unprotected=unprotected), as_json=as_json)
        return
    city, files = city_with_files(workspace_at(Path(ctx.find_root().obj)))
    services = _chosen(city, choices, unprotected=unprotected)
    is_chosen = unprotected or any(choices.values())
    _list_assumed(city, places_in(files), services if is_chosen else None, as_json=as_json)


def _chosen(city: City, choices: Mapping[str, str | None], *, unprotected: bool) -> list[Service]:
    """The services that agree with all choices, by id. UsageError for a choice that is not declared."""
    from drp.domain.protection.gaps import gaps_of

    workspace = city.workspace
    known: dict[str, Collection[str]] = {
        "agency": workspace.agencies,
        "tier": workspace.tiers,
        "cluster": workspace.clusters,
    }
    for word, names in known.items():
        if choices[word] is not None and choices[word] not in names:
            hint = f"known: {', '.join(names) or 'none'}"
            raise UsageError(f"no {word} {choices[word]!r}", where="drp.yaml", hint=hint)
    return [
        service
        for _, service in sorted(city.services.items())
        if all(wanted in (None, getattr(service, word)) for word, wanted in choices.items())
        and not (unprotected and not gaps_of(service, "backup", city.hosts, workspace.tiers))
    ]


def _list_services(world: World, services: Sequence[Service], *, as_json: bool) -> None:
    from drp.workflows.coverage import exercises_of

    exercises = exercises_of(world)[0]
    if as_json:
        print_json([_service_record(world.city, service, exercises) for service in services])
        return
    columns = ["service", "title", "agency", "tier: RTO/RPO", "runs on", "data", "backup", "exercised", "needs"]
    rows = [_service_cells(world.city, service, exercises) for service in services]
    narrow = output_width() < WIDE
    if narrow:
        columns = ["service", "agency\ntier: RTO/RPO", "runs on\ndata", "backup\nlast exercise\nneeds"]
        rows = [["\n".join(row[first:last]) for first, last in _STACKED] for row in rows]
    print_table(f"{len(services)} of {count_of(len(world.city.services), 'service')}", columns, rows, ruled=narrow)
    _print_unprotected(world.city, services, exercises)


def _service_cells(city: City, service: Service, exercises: Mapping[str, Sequence[Exercise]]) -> list[str]:
    from drp.domain.dossiers.service_dossier import HOSTED, data_size, objectives_with_origin
    from drp.domain.importing.columns import duration_text

    rto, rpo = [
        "?" if item.value is None else duration_text(item.value) for item in objectives_with_origin(city, service)[:2]
    ]
    hosts = ", ".join(service.runs_on) or "no host"
    backup = service.backup
    held = exercises.get(service.id)
    return [
        service.id,
        service.title.en,
        service.agency,
        f"{service.tier or 'no tier'}: {rto}/{rpo}",
        hosts if service.hosting == "central" else f"{HOSTED[service.hosting]}",
        data_size(service).shown,
        "no backup" if backup is None else backup.schedule or "no schedule",
        f"{held[0].at:%Y-%m-%d} {held[0].verdict}" if held else "never",
        f"needs {len(service.depends_on)}" if service.states_dependencies else "needs not said",
    ]


def _service_record(city: City, service: Service, exercises: Mapping[str, Sequence[Exercise]]) -> dict[str, Any]:
    from drp.domain.dossiers.service_dossier import data_size, objectives_with_origin
    from drp.domain.protection.gaps import gaps_of

    size = data_size(service)
    held = exercises.get(service.id)
    return {
        "service": service.id,
        "title": service.title.model_dump(),
        "agency": service.agency,
        "cluster": service.cluster,
        "tier": service.tier,
        **{
            f"{item.word}_ms": None if item.value is None else milliseconds(item.value)
            for item in objectives_with_origin(city, service)
        },
        "hosting": service.hosting,
        "runs_on": list(service.runs_on),
        "data_bytes": size.size,
        "datasets": size.datasets,
        "datasets_of_unknown_size": size.unknown,
        "schedule": service.backup.schedule if service.backup else None,
        "gaps": [gap.code for gap in gaps_of(service, "backup", city.hosts, city.workspace.tiers)],
        "last_exercise": {"run": held[0].run, "verdict": str(held[0].verdict)} if held else None,
        "depends_on": list(service.depends_on) if service.states_dependencies else None,
    }


def _print_unprotected(city: City, services: Sequence[Service], exercises: Mapping[str, Sequence[Exercise]]) -> None:
    """What should not be overlooked, below the table."""
    from drp.domain.findings import listed
    from drp.domain.protection.gaps import gaps_of

    tiers = city.workspace.tiers
    for text, names in (
        (
            "cannot be backed up as declared",
            [item.id for item in services if gaps_of(item, "backup", city.hosts, tiers)],
        ),
        ("hosted by the agency itself", [item.id for item in services if item.hosting == "agency"]),
        ("never exercised", [item.id for item in services if item.id not in exercises]),
    ):
        if names:
            print_wrapped(f"{text}: {len(names)} of {len(services)}: {listed(names, 12)}", indent="  ")


def _list_assumed(city: City, place: Place, services: Sequence[Service] | None, *, as_json: bool) -> None:
    """Of all registers, or of the files of these services alone."""
    from drp.domain.dossiers.assumptions import assumptions_of
    from drp.domain.findings import SERVICE

    wanted = None if services is None else {service.id for service in services}
    found = [
        (item, *place(item.record, item.location))
        for item in assumptions_of(city)
        if wanted is None or (item.record.kind == SERVICE and item.record.name in wanted)
    ]
    if as_json:
        print_json(
            [
                {
                    "kind": item.record.kind,
                    "name": item.record.name or None,
                    "path": list(item.path),
                    "keys": list(item.keys),
                    "file": file,
                    "line": line,
                    "source": item.source,
                }
                for item, file, line in found
            ]
        )
        return
    table = [
        [
            f"{file or '?'}:{line or '?'}",
            " ".join(word for word in (item.record.name, *item.path) if word) or item.record.kind,
            "everything" if item.everything else ", ".join(item.keys),
        ]
        for item, file, line in found
    ]
    title = f"{count_of(len(table), 'record')} with something that nobody has confirmed yet"
    print_table(title, ["where", "record", "assumed"], table)


# -- show ----------------------------------------------------------------------------------------------------------


@inventory.command(
    short_help="Show everything that is declared about one thing.",
    epilog=epilog(
        "drp inventory show pengaduan", "drp inventory show balaikota-app-1", "drp inventory show agency:dishub"
    ),
)
@click.argument("name")
@json_option
@click.pass_context
def show(ctx: click.Context, name: str, as_json: bool) -> None:
    """Show everything that is declared about NAME, resolved, and what is missing.

    NAME is the id or the title of a service, host, link, location, person, agency, cluster, tier, site, DR centre, SLA
    target, document, asset or runbook. Where several are called so, write the kind before it, as in link:r09.
    """
    from drp.domain.dossiers.dossier import dossier_of, find_record
    from drp.domain.dossiers.service_dossier import service_dossier
    from drp.wiring import city_with_files, places_in, present_time, workspace_at

    city, files = city_with_files(workspace_at(Path(ctx.find_root().obj)))
    kind, found = find_record(city, name)
    dossier = service_dossier(city, found, present_time()) if kind == "service" else dossier_of(city, kind, found)
    file, line = places_in(files)(dossier.record, dossier.location)
    if as_json:
        head = {"kind": kind, "id": found, "title": dossier.title, "file": file, "line": line}
        print_json(head | dict(dossier.details))
        return
    click.secho(f"{kind} {found}" + ("" if dossier.title == found else f": {dossier.title}"), bold=True)
    click.echo(f"{file or '(not in a file)'}" + (f":{line}" if line else ""))
    _print_sections(dossier)


def _print_sections(dossier: Dossier) -> None:
    for section in dossier.sections:
        click.echo()
        if section.title:
            click.secho(section.title, bold=True)
        for label, lines in section.rows:
            _print_row(label, lines)


def _print_row(label: str, lines: Sequence[str]) -> None:
    """A label with its lines beside it, or below it where it is too long for that."""
    first = f"  {label:<{_LABEL}}"
    if not label:
        first = "  "
    elif len(label) >= _LABEL:
        print_wrapped(label, indent="  ")
        first = "    "
    for line in lines:
        print_wrapped(line, indent=" " * len(first), first=first)
        first = " " * len(first)


# -- hosts ---------------------------------------------------------------------------------------------------------


@inventory.command(
    short_help="List the hosts and who uses them.", epilog=epilog("drp inventory hosts", "drp inventory hosts --json")
)
@json_option
@click.pass_context
def hosts(ctx: click.Context, as_json: bool) -> int:
    """List the hosts and who uses them, and compare with what Ansible makes of the inventory.

    drp reads inventories/hosts.yaml alone. Where group_vars, host_vars or a template say something else, Ansible would
    work on another host than drp thinks: that shows here. Ends with 4 if they disagree or a service's host is missing
    in both, with 12 if ansible-inventory cannot run. A host that nobody uses is only told.
    """
    from drp.domain.importing.reconcile import disagreements_of, uses_of
    from drp.wiring import city_of, hosts_by_ansible, workspace_at

    workspace = workspace_at(Path(ctx.find_root().obj))
    city = city_of(workspace)
    uses = uses_of(city)
    listed = hosts_by_ansible(workspace)
    found = disagreements_of(city.hosts, listed, uses)
    unused = sorted(name for name in {*city.hosts, *listed} if name not in uses or uses[name].unused)
    if as_json:
        print_json(
            {
                "hosts": [_host_record(city, name, uses[name]) for name in uses],
                "unused": unused,
                "disagreements": [
                    {"host": item.host, "code": item.code, "message": item.message, "hint": item.hint} for item in found
                ],
            }
        )
    else:
        _print_hosts(city, uses)
        if unused:
            print_wrapped(f"nobody uses: {', '.join(unused)}", indent="  ")
        click.echo(f"Ansible and drp agree on {count_of(len(listed), 'host')}" if not found else "They disagree:")
        for item in found:
            click.echo(f"{click.style(item.host, fg='red', bold=True)}: {item.message}")
            print_wrapped(f"→ {item.hint}", indent="    ")
    return ExitCode.NOT_MET if found else ExitCode.DONE


def _print_hosts(city: City, uses: Mapping[str, Any]) -> None:
    from drp.domain.findings import listed

    rows = []
    for name, use in uses.items():
        host = city.hosts.get(name)
        services = [
            f"{word} {listed(names, 12)}" for word, names in (("runs", use.runs), ("recovers", use.recovers)) if names
        ]
        site = "missing" if host is None else host.site or "neither site"
        rows.append([name, site, "" if host is None else host.address, "\n".join(services), listed(use.agencies, 12)])
    columns = ["host", "site", "address", "services", "agencies"]
    narrow = output_width() < WIDE
    if narrow:
        columns = ["host", *columns[3:]]
        rows = [["\n".join(row[:3]), *row[3:]] for row in rows]
    print_table(count_of(len(rows), "host"), columns, rows, ruled=narrow)


def _host_record(city: City, name: str, use: Any) -> dict[str, Any]:
    host = city.hosts.get(name)
    return {
        "host": name,
        "site": host.site if host else None,
        "address": host.address if host else None,
        "port": host.port if host else None,
        "user": host.user if host else None,
        "runs": list(use.runs),
        "recovers": list(use.recovers),
        "agencies": list(use.agencies),
    }
