"""What must hold of copies at other DR centres, and of the keys that hosts have there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from drp.domain.backups.keys import access_at
from drp.domain.findings import WORKSPACE, Finding, Record, service_record
from drp.domain.inventory import Workspace
from drp.domain.service import Service


def copy_faults(services: Mapping[str, Service], workspace: Workspace | None) -> Iterator[Finding]:
    """Copies that are none, and hosts that would have no keys. About DR centres that do not exist others complain."""
    for service in services.values():
        yield from _copies_of(service, workspace)
    if workspace is not None:
        yield from _missing_keys(services, workspace)


def _copies_of(service: Service, workspace: Workspace | None) -> Iterator[Finding]:
    if service.backup is None:
        return
    centres = {} if workspace is None else workspace.dr_centres
    seen = {service.backup.dr_centre: "the backup itself"}
    for position, copy in enumerate(service.backup.copies):
        name, location = copy.dr_centre, ("backup", "copies", position, "dr_centre")
        same = next((other for other in seen if other == name or _is_same_bucket(centres, other, name)), None)
        if same is not None:
            how = "" if same == name else f", whose bucket is that of {same!r}"
            message = f"a copy to DR centre {name!r}{how}, where {seen[same]} is already"
            hint = "a copy must lie elsewhere: name another DR centre, or leave this one out"
            record = service_record(service.id)
            yield Finding("fault", "copy-at-the-same-place", record, location, message, hint, (service.id,))
        seen.setdefault(name, "another copy")


def _is_same_bucket(centres: Mapping[str, object], one: str, other: str) -> bool:
    def place(name: str) -> tuple[object, object] | None:
        centre = centres.get(name)
        return None if centre is None else (getattr(centre, "endpoint", None), getattr(centre, "bucket", None))

    return place(one) is not None and place(one) == place(other)


def _missing_keys(services: Mapping[str, Service], workspace: Workspace) -> Iterator[Finding]:
    for name, centre in workspace.dr_centres.items():
        if not centre.host_keys:
            continue
        for host in access_at(name, services.values()):
            if host not in centre.host_keys:
                message = f"host {host!r} has no S3 keys of its own at DR centre {name!r}, as others have"
                hint = "add its pair; `drp dr-centre policy` says what it must be allowed to do"
                location = ("dr_centres", name, "host_keys")
                yield Finding("fault", "host-without-keys", Record(WORKSPACE), location, message, hint)
