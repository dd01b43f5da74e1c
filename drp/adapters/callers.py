"""What calls drp for a workspace: systemd's units, or lines in a crontab."""

from __future__ import annotations

import os
import pwd
import sys
from dataclasses import dataclass
from pathlib import Path

from drp.adapters import crontab, systemd_units
from drp.adapters.systemd_units import UnitSettings

SYSTEM_FOLDER = Path("/etc/systemd/system")


@dataclass(frozen=True, slots=True)
class Callers:
    """Writes, starts and takes away what calls drp."""

    settings: UnitSettings

    @property
    def folder(self) -> Path:
        """Where the manager looks for units that an administrator has made."""
        if self.settings.for_system:
            return SYSTEM_FOLDER
        return Path(os.environ.get("XDG_CONFIG_HOME") or self.settings.home / ".config") / "systemd" / "user"

    @property
    def to_start(self) -> list[str]:
        return systemd_units.started_by_default(self.settings)

    def units(self) -> dict[str, str]:
        return systemd_units.unit_texts(self.settings)

    def write(self, folder: Path) -> list[Path]:
        for path in self.settings.writable:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)  # a unit does not start where one is missing
        return systemd_units.write_units(folder, self.units())

    def start(self) -> None:
        self._systemctl("daemon-reload")
        self._systemctl("enable", "--now", *self.to_start)

    def remove(self, folder: Path) -> list[Path]:
        """Stop and remove; where systemd does not run here, only the files."""
        is_running = folder == self.folder and systemd_units.RUNNING_SYSTEMD.is_dir()
        there = [name for name in self.units() if (folder / name).exists()]
        if is_running and there:
            self._systemctl("disable", "--now", *there)
        removed = systemd_units.remove_units(folder, self.settings)
        if is_running and removed:
            self._systemctl("daemon-reload")
        return removed

    def crontab(self) -> str:
        return crontab.crontab_text(self.settings)

    def install_crontab(self) -> None:
        crontab.install_crontab(self.settings)

    def remove_crontab(self) -> bool:
        return crontab.remove_crontab(self.settings)

    def _systemctl(self, *arguments: str) -> None:
        systemd_units.run_systemctl(arguments, for_system=self.settings.for_system)


def callers_of(workspace: Path, metrics: str | None, *, for_system: bool) -> Callers:
    """Those of a workspace. A system's units run as the user who owns the workspace: all that drp writes is theirs.

    Args:
        metrics: the file for Prometheus that drp writes, where there is one.
    """
    user = pwd.getpwuid(workspace.stat().st_uid if for_system else os.getuid())
    writable = [workspace / "var"]
    if metrics is not None and not (folder := (workspace / metrics).parent).is_relative_to(writable[0]):
        writable.append(folder)
    program = (sys.executable, "-P", "-m", "drp")  # -P: a drp.py where cron starts it is not this drp
    settings = UnitSettings(program, workspace, user.pw_name, Path(user.pw_dir), tuple(writable), for_system)
    return Callers(settings)
