"""All faults: of keys and the repository, of hosts, of names and applications, of the line."""

from __future__ import annotations

import secrets
from pathlib import Path

from drp.errors import UsageError
from drp.lab import dr_centre, name_server, network
from drp.lab.city import start_centre_of, start_hosts
from drp.lab.faults.base import Fault, Scene, Sign
from drp.lab.plan import LabNameServer
from drp.lab.processes import is_running, kill, kill_marked
from drp.lab.state import Part, write_file

SLOW_BITS_PER_SECOND = 1_000_000
FILL = "/var/drp-lab-fill"


def _nothing(_line: str) -> None:
    """A `say` for work whose steps are no news."""


# -- keys and the repository -------------------------------------------------------------------------------------------


def _wrong_password(scene: Scene) -> None:
    path = Path(scene.target.password)
    scene.set_aside(path)
    write_file(path, secrets.token_urlsafe(32).encode())


def _put_back(scene: Scene) -> None:
    scene.put_back()
    scene.storage_has_changed()


def _truncate_pack(scene: Scene) -> None:
    """The newest pack: the newest restore point needs it."""
    pack = scene.repository_files("data")[-1]
    scene.set_aside(pack)
    with pack.open("r+b") as file:
        file.truncate(pack.stat().st_size // 2)
    scene.storage_has_changed()


def _remove_snapshots(scene: Scene) -> None:
    for snapshot in scene.repository_files("snapshots"):
        scene.set_aside(snapshot)
        snapshot.unlink()
    scene.storage_has_changed()


def _expire_key(scene: Scene) -> None:
    """The S3 server knows another key from now on; what is under way with the old one is cut off."""
    _stop_centre(scene)
    part = scene.state.dr_centres[scene.centre.name] = Part()
    scene.state.save(scene.names)
    keys = (secrets.token_hex(10).upper(), secrets.token_urlsafe(30))
    part.process = dr_centre.start(scene.names, scene.state.plan, scene.centre, keys)
    scene.state.save(scene.names)
    dr_centre.await_ready(scene.names, scene.centre, part.process)


def _renew_key(scene: Scene) -> None:
    _stop_centre(scene)
    start_centre_of(scene.names, scene.state, scene.centre, _nothing)


def _stop_centre(scene: Scene) -> None:
    kill_marked(scene.names.marker, role=scene.centre.role)
    network.unplug(scene.names, scene.centre.role)


def _lose_sentinel(scene: Scene) -> None:
    """Somebody excludes a file too much, and the next backup is without what dates it."""
    assert scene.target.files is not None
    dataset, first = scene.target.files
    path = Path(scene.target.service_file)
    scene.set_aside(path)
    text = path.read_text(encoding="utf-8")
    marker = f"  - id: {dataset}\n"
    if marker not in text:
        raise UsageError(f"dataset {dataset} is not written as the lab can change it", where=str(path))
    excluded = f"    excludes: [{first}/.drp-sentinel.json]\n"
    path.write_text(text.replace(marker, marker + excluded, 1), encoding="utf-8")
    scene.back_up()


def _keep_sentinel(scene: Scene) -> None:
    scene.put_back()
    scene.back_up()


# -- hosts -------------------------------------------------------------------------------------------------------------


def _kill_host(scene: Scene) -> None:
    process = scene.host_process(scene.target.recovery)
    if process is not None:
        kill([process])
    network.unplug(scene.names, scene.target.recovery)


def _replace_host(scene: Scene) -> None:
    """A new, empty host in its place: what a provider does with one that is gone."""
    part = scene.state.hosts.get(scene.target.recovery)
    if part is None or not is_running(part.process):
        start_hosts(scene.names, scene.state, [scene.recovery_host], _nothing)


def _fill_disk(scene: Scene) -> None:
    fill = (
        f"dd if=/dev/zero of={FILL} bs=1M 2>/dev/null || true; dd if=/dev/zero of={FILL}.rest bs=4k 2>/dev/null || true"
    )
    scene.on_recovery_host(fill)


def _empty_disk(scene: Scene) -> None:
    scene.on_recovery_host(f"rm -f {FILL} {FILL}.rest", must_be_up=False)


# -- names, applications, the line -------------------------------------------------------------------------------------


def _server_of(scene: Scene) -> tuple[LabNameServer, Part]:
    server = next(item for item in scene.state.plan.name_servers if item.address == scene.target.name_server)
    return server, scene.state.name_servers[server.role]


def _refuse_updates(scene: Scene) -> None:
    server, part = _server_of(scene)
    name_server.configure(scene.names, server, refuse_updates=True)
    name_server.reload(scene.names, server, part)


def _take_updates(scene: Scene) -> None:
    server, part = _server_of(scene)
    name_server.configure(scene.names, server)
    name_server.reload(scene.names, server, part)


_DRIVER = "/usr/lib/python3/dist-packages/psycopg2"


def _remove_driver(scene: Scene) -> None:
    """The recovery host was never given a library that the application cannot start without."""
    scene.on_recovery_host(f"[ -e {_DRIVER}.away ] || mv {_DRIVER} {_DRIVER}.away")


def _install_driver(scene: Scene) -> None:
    scene.on_recovery_host(f"[ ! -e {_DRIVER}.away ] || mv {_DRIVER}.away {_DRIVER}", must_be_up=False)


_RULE = "local pengaduan pengaduan reject"
_ACCESS = "for file in /etc/postgresql/*/main/pg_hba.conf; do"
_RELOAD = "service postgresql status >/dev/null 2>&1 && service postgresql reload >/dev/null || true"


def _shut_database(scene: Scene) -> None:
    """The recovery host's database server lets the application's role in no more: the application starts, and answers
    every request with an error."""
    scene.on_recovery_host(f'{_ACCESS} sed -i "/^{_RULE}$/d; 1i {_RULE}" "$file"; done; {_RELOAD}')


def _open_database(scene: Scene) -> None:
    scene.on_recovery_host(f'{_ACCESS} sed -i "/^{_RULE}$/d" "$file"; done; {_RELOAD}', must_be_up=False)


def _slow_line(scene: Scene) -> None:
    limit = ["rate", str(SLOW_BITS_PER_SECOND), "burst", "16kb", "latency", "400ms"]
    scene.inside_centre("tc", "qdisc", "replace", "dev", "eth0", "root", "tbf", *limit)


def _fast_line(scene: Scene) -> None:
    scene.inside_centre("tc", "qdisc", "del", "dev", "eth0", "root", check=False)


_RESTORE = ("restore",)

FAULTS = {
    fault.name: fault
    for fault in (
        Fault(
            "wrong-repository-key",
            "the password that drp has is not the repository's",
            _wrong_password,
            _put_back,
            (Sign(("password",), _RESTORE, at_recovery_host=True),),
        ),
        Fault(
            "truncated-pack",
            "the newest pack of the repository is cut to half its length in the DR centre's storage",
            _truncate_pack,
            _put_back,
            (Sign(("damaged",), _RESTORE, at_recovery_host=True),),
        ),
        Fault(
            "missing-snapshot",
            "the repository's snapshots are gone from the DR centre's storage",
            _remove_snapshots,
            _put_back,
            (Sign(("no_snapshot",), _RESTORE, at_recovery_host=True),),
        ),
        Fault(
            "expired-s3-key",
            "the DR centre's S3 server does not know drp's key any more",
            _expire_key,
            _renew_key,
            (Sign(("credentials",), _RESTORE, at_recovery_host=True),),
        ),
        Fault(
            "dead-dependency",
            "a service that others need does not start at the recovery site",
            _remove_driver,
            _install_driver,
            (
                Sign(("unit",), ("activate", "verify"), words="pengaduan", at_recovery_host=True),
                Sign(("dependency",), ("activate",), words="SERVICE", of="dependants"),
            ),
            needs=("pengaduan", "dependants"),
        ),
        Fault(
            "recovery-host-down",
            "the recovery host is dead",
            _kill_host,
            _replace_host,
            (Sign(("ssh",), _RESTORE, at_recovery_host=True),),
        ),
        Fault(
            "recovery-host-full",
            "the recovery host's disk is full",
            _fill_disk,
            _empty_disk,
            (Sign(("no_space", "little_space"), _RESTORE, at_recovery_host=True),),
        ),
        Fault(
            "dns-update-refused",
            "the name server takes no update of the zone from drp's key",
            _refuse_updates,
            _take_updates,
            (Sign(("traffic_refused",), ("rehearse",), words="REFUSED"),),
            needs=("dns",),
        ),
        Fault(
            "sentinel-missing",
            "the newest backup was made without what dates it",
            _lose_sentinel,
            _keep_sentinel,
            (Sign(("sentinel",), _RESTORE, at_recovery_host=True),),
            needs=("files",),
        ),
        Fault(
            "serving-errors",
            "the application starts, and answers with errors",
            _shut_database,
            _open_database,
            (Sign(("application",), ("verify",), words=r"\b503\b", at_recovery_host=True),),
            needs=("pengaduan",),
        ),
        Fault(
            "slow-line",
            "the line from the DR centre carries 1 Mbit/s",
            _slow_line,
            _fast_line,
            (Sign(("slow_line",), _RESTORE, words=r"Mbit/s|kbit/s", of="any"),),
        ),
    )
}
