"""drp dr-centre"""

from __future__ import annotations

from typing import Any

import click

from drp.cli import show_error
from drp.cli.common import epilog, json_option, print_json, print_table, world_of
from drp.errors import DrpError, ExitCode, UsageError


@click.group(name="dr-centre")
def dr_centre() -> None:
    """Check a DR centre; print what its keys may do."""


@dr_centre.command(
    short_help="Look whether a DR centre is as it should be.",
    epilog=epilog("drp dr-centre check", "drp dr-centre check drc --json"),
)
@click.argument("name", required=False)
@json_option
@click.pass_context
def check(ctx: click.Context, name: str | None, as_json: bool) -> int:
    """Look whether the DR centre NAME (default: all) is as it should be.

    That it answers, its certificate, its clock, versioning and object lock, what the control node's keys may do, and
    uploads that were never ended. Small objects below drp-check/ are stored and removed again. Ends with 4 where
    something is not as it should be, or could not be found out; with 12 where one does not answer.
    """
    from drp.domain.backups.centre_check import Look, looks_of, worst_state
    from drp.wiring import look_at_centre

    world = world_of(ctx)
    centres = world.city.workspace.dr_centres
    if name is not None and name not in centres:
        raise UsageError(f"no DR centre {name!r}", hint=f"known: {', '.join(sorted(centres))}")
    code, records = ExitCode.DONE, []
    for one in [name] if name is not None else list(centres):
        try:
            contract = centres[one].contract
            looks = looks_of(look_at_centre(world, one), contract.object_lock if contract else None)
            if worst_state(looks) != "good" and code == ExitCode.DONE:
                code = ExitCode.NOT_MET
        except DrpError as error:
            code = error.exit_code
            looks = [Look("reachable", "bad", error.message)]
            if not as_json:
                show_error(error)
        records.append({"dr_centre": one, "state": worst_state(looks), "looked_at": [look.record() for look in looks]})
        if not as_json:
            title = f"{one}: {centres[one].title}"
            print_table(title, ["looked at", "is", "what was found"], [[k.what, k.state, k.text] for k in looks])
    if as_json:
        print_json(records)
    return code


@dr_centre.command(
    short_help="Print the bucket policy that keeps hosts apart.",
    epilog=epilog("drp dr-centre policy drc >policy.json", "drp dr-centre policy --host balaikota-app-1"),
)
@click.argument("name", required=False)
@click.option("--host", metavar="HOST", help="Only what this host needs.")
@click.option("--account", default="", metavar="ID", help="The account at AWS, or the tenant at Ceph, of the users.")
@click.option("--append-only", is_flag=True, help="Hosts that keep repositories may not delete either: none can prune.")
@click.pass_context
def policy(ctx: click.Context, name: str | None, host: str | None, account: str, append_only: bool) -> None:
    """Print the bucket policy that lets each host reach its own repositories at the DR centre NAME, and nothing else.

    Each host has a user of its own there, with the host's name unless host_keys in drp.yaml says another. It may list,
    read and store below its repositories, and delete only restic's locks; the recovery host that keeps a repository
    may delete what prune frees. Nobody may delete a version. Have the DR centre put it on the bucket, as with:
    aws s3api put-bucket-policy --bucket BUCKET --policy file://policy.json
    """
    from drp.domain.backups.keys import AWS_POLICY_BYTES, access_at, bucket_policy

    world = world_of(ctx)
    centres = world.city.workspace.dr_centres
    if name is None:
        if len(centres) != 1:
            raise UsageError("which DR centre?", hint=f"name one: {', '.join(sorted(centres))}")
        (name,) = centres
    if name not in centres:
        raise UsageError(f"no DR centre {name!r}", hint=f"known: {', '.join(sorted(centres))}")
    accesses = access_at(name, world.city.services.values())
    if host is not None and host not in accesses:
        text = f"host {host!r} needs nothing at DR centre {name}"
        raise UsageError(text, hint=f"hosts that do: {', '.join(accesses) or 'none'}")
    wanted = accesses.values() if host is None else [accesses[host]]
    found: dict[str, Any] = bucket_policy(centres[name], wanted, account=account, append_only=append_only)
    print_json(found)
    size = len(str(found))
    if size > AWS_POLICY_BYTES:
        hint = f"about {size // 1000} kB; AWS takes 20: give each user its part there (--host), as a policy of its own"
        click.echo(f"note: {hint}", err=True)
