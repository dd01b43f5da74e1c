"""Units that have systemd call drp: hardened services and their timers, for the system's manager or a user's.

Three services with timers, because a restore test of hours must not keep a backup waiting; `drp watch`; and
`drp daemon` as the other way to the same end.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from drp.errors import DrpError, UsageError

SYSTEMCTL_LIMIT_SECONDS = 60
WATCHDOG_SECONDS = 120
RUNNING_SYSTEMD = Path("/run/systemd/system")


def _kinds(*kinds: str) -> tuple[str, ...]:
    return tuple(word for kind in kinds for word in ("--kind", kind))


JOBS = {
    "backup": ("backups", ("backup", "run", "--due")),
    "copy": ("copies and retention", ("schedule", "run", *_kinds("copy", "forget"))),
    "proof": (
        "checks, restore tests and prunes",
        ("schedule", "run", "--kind", "preflight", "--kind", "check", "--kind", "restore-test", "--kind", "prune"),
    ),
}
_HEAD = """\
# Written by `drp schedule install` for {workspace}; taken away by `drp schedule remove`.
# Where secrets are systemd credentials: add LoadCredential=NAME:FILE in a drop-in (systemctl edit).
"""
_ANY_MANAGER = """\
UMask=0077
NoNewPrivileges=yes
LockPersonality=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
RestrictNamespaces=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallErrorNumber=EPERM
"""
_SYSTEM_ONLY = """\
ProtectSystem=strict
ProtectHome=read-only
PrivateDevices=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectClock=yes
ProtectHostname=yes
ProtectProc=invisible
CapabilityBoundingSet=
AmbientCapabilities=
"""


@dataclass(frozen=True, slots=True)
class UnitSettings:
    """For whom units are: `program` starts drp, `user` runs it, `writable` is all that it may write to."""

    program: tuple[str, ...]
    workspace: Path
    user: str
    home: Path
    writable: tuple[Path, ...]
    for_system: bool

    @property
    def prefix(self) -> str:
        """What the names of a workspace's units start with: several workspaces may share a machine."""
        name = re.sub(r"[^a-z0-9]+", "-", self.workspace.name.lower()).strip("-")[:40] or "workspace"
        return f"drp-{name}-{sha256(os.fsencode(self.workspace)).hexdigest()[:6]}"


def unit_texts(settings: UnitSettings) -> dict[str, str]:
    """All units by name. UsageError for a path that no unit can name."""
    prefix, texts = settings.prefix, {}
    timers = " ".join(f"{prefix}-{job}.timer" for job in JOBS)
    for job, (what, arguments) in JOBS.items():
        texts[f"{prefix}-{job}.service"] = _service(
            settings,
            f"drp: {what} that are due",
            arguments,
            # Another drp at the same work (11) is no failure of the unit, nor is one that a person cancelled.
            "Type=oneshot\nTimeoutStartSec=infinity\nSuccessExitStatus=11\n",
        )
        texts[f"{prefix}-{job}.timer"] = _timer(settings, what)
    texts[f"{prefix}-watch.service"] = _service(
        settings,
        "drp: the outside look at services",
        ("watch",),
        "Type=exec\nRestart=always\nRestartSec=10\n",
        "default",
    )
    texts[f"{prefix}-daemon.service"] = _service(
        settings,
        "drp: everything that is due, in place of the timers",
        ("daemon",),
        "Type=notify\nNotifyAccess=main\n"
        f"WatchdogSec={WATCHDOG_SECONDS}\nRestart=on-failure\nRestartSec=30\nTimeoutStopSec=60\n",
        "default",
        f"Conflicts={timers}\n",
    )
    return texts


def started_by_default(settings: UnitSettings) -> list[str]:
    """The units to enable: the timers and the watch; the daemon is there for who prefers it."""
    return [*(f"{settings.prefix}-{job}.timer" for job in JOBS), f"{settings.prefix}-watch.service"]


def _service(
    settings: UnitSettings, what: str, arguments: tuple[str, ...], kind: str, target: str = "", more: str = ""
) -> str:
    if set(settings.program[0]) & set("\"'\\"):
        hint = "install drp in a folder whose name holds none of these"
        raise UsageError(
            "systemd starts no program with a quote or \\ in its path", where=settings.program[0], hint=hint
        )
    command = " ".join(
        _quoted(word) for word in (*settings.program, "--workspace", str(settings.workspace), *arguments)
    )
    # A machine that has just started has no line yet; a user's manager knows nothing of lines.
    online = (
        "Wants=network-online.target\nAfter=network-online.target time-sync.target\n" if settings.for_system else ""
    )
    wanted_by = ("multi-user.target" if settings.for_system else "default.target") if target else ""
    return "".join(
        (
            _HEAD.format(workspace=_plain(settings.workspace)),
            f"[Unit]\nDescription={_specifiers(what)} ({_plain(settings.workspace.name)})\n{online}{more}",
            f"\n[Service]\n{kind}",
            f"ExecStart=:{command}\n",  # the colon: a $ in an argument is a $
            "# What drp has started on hosts goes on when drp ends; the next drp takes it up.\nKillMode=process\n",
            f"User={settings.user}\n" if settings.for_system else "",
            _ANY_MANAGER,
            _SYSTEM_ONLY + _writable(settings) if settings.for_system else "",
            f"\n[Install]\nWantedBy={wanted_by}\n" if wanted_by else "",
        )
    )


def _writable(settings: UnitSettings) -> str:
    paths = [*map(str, settings.writable), f"-{settings.home}/.ansible"]
    lines = [f"ReadWritePaths={_quoted(path)}\n" for path in paths]
    if not any(settings.workspace.is_relative_to(folder) for folder in ("/tmp", "/var/tmp")):  # noqa: S108
        lines.append("PrivateTmp=yes\n")
    return "".join(lines)


def _timer(settings: UnitSettings, what: str) -> str:
    return f"""\
{_HEAD.format(workspace=_plain(settings.workspace)).splitlines()[0]}
[Unit]
Description=drp: looks each minute for {what} that are due ({_plain(settings.workspace.name)})

[Timer]
# drp itself knows each service's schedule, what was missed and what failed; it only has to be called.
OnCalendar=*-*-* *:*:00
Persistent=true
AccuracySec=5s

[Install]
WantedBy=timers.target
"""


def _quoted(word: str) -> str:
    """A word of a command or a list of paths, whatever it holds."""
    return '"' + _plain(word).replace("\\", "\\\\").replace('"', '\\"') + '"'


def _plain(text: object) -> str:
    """A text that ends no line, with its specifiers as they are."""
    found = str(text)
    if not found.isprintable():
        raise UsageError(
            "a unit cannot name this path: it holds characters that end a line or do not show", where=found
        )
    return _specifiers(found)


def _specifiers(text: str) -> str:
    return text.replace("%", "%%")


# -- files -------------------------------------------------------------------------------------------------------------


def write_units(folder: Path, texts: dict[str, str]) -> list[Path]:
    """Write units into a folder that systemd reads; gives those that were written. They hold no secret."""
    try:
        folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        for name, text in texts.items():
            path = folder / name
            path.write_text(text, encoding="utf-8")
            path.chmod(0o644)
    except OSError as error:
        hint = "run it as root, or for your own manager: --user; or only print the units: --print"
        raise DrpError(f"the units cannot be written: {error.strerror}", where=str(folder), hint=hint) from error
    return [folder / name for name in texts]


def remove_units(folder: Path, settings: UnitSettings) -> list[Path]:
    """Take away what `write_units` has written, and what enabling has linked; gives what was there."""
    removed: list[Path] = []
    try:
        for path in (*_linked(folder, settings.prefix), *(folder / name for name in unit_texts(settings))):
            if path.is_symlink() or path.exists():
                path.unlink()
                removed.append(path)
    except OSError as error:
        raise DrpError(
            f"a unit cannot be removed: {error.strerror}", where=str(folder), hint="run it as root"
        ) from error
    return removed


def _linked(folder: Path, prefix: str) -> Iterator[Path]:
    for wants in folder.glob("*.wants"):
        yield from wants.glob(f"{prefix}-*")


def run_systemctl(arguments: tuple[str, ...], *, for_system: bool) -> None:
    """Have systemd do something; DrpError with its last words."""
    command = ("systemctl", *(() if for_system else ("--user",)), *arguments)
    hint = f"run it by hand: {' '.join(command)}"
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=SYSTEMCTL_LIMIT_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DrpError(f"systemctl does not run: {type(error).__name__}", hint=hint) from error
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or ["no reason given"]
        raise DrpError(f"systemctl ended with {done.returncode}: {last[0]}", hint=hint)
