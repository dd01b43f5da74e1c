"""Units of a host's service manager: started and stopped, and closed so that they do not start again, not by a restart,
not by hand."""

from __future__ import annotations

import contextlib
import glob
import os
import re
import shutil
import stat
import time

from .process import Trouble, run

STOP_SECONDS = 120
START_SECONDS = 3600
"""A database may have much to read again first. How long a stage may take is drp's to say."""
BEGINNING_SECONDS = 10
SHELLS = ("sh", "dash", "bash", "env")
CLOSED_EXECUTE_BITS = stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH


ENABLED = ("enabled", "enabled-runtime", "alias", "generated")
DROP_IN = """# Written by drp: this host is closed for the service, see /var/lib/drp/fence. Opened again by: unfence.yml
[Unit]
AssertPathExists=/var/lib/drp/fence/nothing-may-start-here
"""


class Systemd:
    """systemd: a masked unit is started by nobody, and one whose assertion fails neither."""

    name = "systemd"

    def _show(self, unit, prop):
        return run(["systemctl", "show", "--property", prop, "--value", self._full(unit)])[1].strip()

    @staticmethod
    def _full(unit):
        return unit if unit.endswith((".service", ".socket", ".timer", ".target")) else unit + ".service"

    def is_known(self, unit):
        return self._show(unit, "LoadState") in ("loaded", "masked")

    def before(self, unit):
        return {"enabled": self._show(unit, "UnitFileState") in ENABLED}

    def _drop_in(self, unit):
        return "/etc/systemd/system/%s.d/zz-drp-fence.conf" % self._full(unit)

    def close(self, unit):
        full = self._full(unit)
        run(["systemctl", "disable", full], check=False)
        if run(["systemctl", "mask", full], check=False)[0]:
            # A unit that stands in /etc cannot be masked. This survives a restore of its file, too.
            path = self._drop_in(unit)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w", encoding="utf-8") as file:
                file.write(DROP_IN)
            run(["systemctl", "daemon-reload"])
        run(["systemctl", "stop", full], STOP_SECONDS)

    def stop(self, unit, seconds=STOP_SECONDS):
        run(["systemctl", "stop", self._full(unit)], seconds)

    def read_units_again(self):
        run(["systemctl", "daemon-reload"], 120)

    def tell_to(self, word, unit):
        """Have a unit started, restarted or reloaded."""
        run(["systemctl", word, self._full(unit)], START_SECONDS)

    def enable(self, unit, wanted):
        run(["systemctl", "enable" if wanted else "disable", self._full(unit)])

    def why_not_running(self, unit):
        """Empty where a unit runs. One that is still beginning to is waited for a moment."""
        end = time.monotonic() + BEGINNING_SECONDS
        while (state := self._show(unit, "ActiveState")) == "activating" and time.monotonic() < end:
            time.sleep(0.1)
        return "" if state in ("active", "reloading") else "%s is %s" % (unit, state or "not known")

    def still_open(self, unit):
        reasons = []
        state = self._show(unit, "ActiveState")
        if state not in ("inactive", "failed"):
            reasons.append("%s is %s" % (unit, state))
        is_held = self._drop_in(unit) in self._show(unit, "DropInPaths").split()
        if self._show(unit, "LoadState") != "masked" and not is_held:
            reasons.append("%s is not masked: a restart could start it" % unit)
        return reasons

    def open(self, unit, before):
        full = self._full(unit)
        path = self._drop_in(unit)
        if os.path.exists(path):
            os.remove(path)
            if not os.listdir(os.path.dirname(path)):
                os.rmdir(os.path.dirname(path))
            run(["systemctl", "daemon-reload"])
        if self._show(unit, "LoadState") == "masked":
            run(["systemctl", "unmask", full])
        if before.get("enabled"):
            run(["systemctl", "enable", full], check=False)


class InitScripts:
    """System V's scripts as Debian has them: taken out of the runlevels, and no longer executable, which `service` and
    init both respect."""

    name = "init scripts"

    @staticmethod
    def _script(unit):
        return "/etc/init.d/" + unit

    @staticmethod
    def _links(unit):
        return glob.glob("/etc/rc[2345].d/S[0-9][0-9]" + glob.escape(unit))

    def _say(self, unit, word, seconds):
        """Run the script whatever its mode; gives its exit code."""
        path = self._script(unit)
        if os.access(path, os.X_OK):
            return run([path, word], seconds, check=False)
        with open(path, encoding="utf-8", errors="replace") as file:
            first = file.readline()
        interpreter = first[2:].split() if first.startswith("#!") else ["/bin/sh"]
        return run([*interpreter, path, word], seconds, check=False)

    def is_known(self, unit):
        return os.path.isfile(self._script(unit))

    def before(self, unit):
        mode = stat.S_IMODE(os.stat(self._script(unit)).st_mode)
        return {"enabled": bool(self._links(unit)), "mode": mode}

    def close(self, unit):
        if self._links(unit):
            run(["update-rc.d", unit, "disable"])
        self._say(unit, "stop", STOP_SECONDS)
        mode = stat.S_IMODE(os.stat(self._script(unit)).st_mode)
        os.chmod(self._script(unit), mode & ~CLOSED_EXECUTE_BITS)

    def stop(self, unit, seconds=STOP_SECONDS):
        code, said = self._say(unit, "stop", seconds)
        if self._runs(unit):
            raise Trouble("program", "%s stop ended with %d, and it still runs: %s" % (unit, code, said[-200:]))

    def read_units_again(self):
        """Scripts are read each time."""

    def tell_to(self, word, unit):
        """Have a unit started, restarted or reloaded, as an administrator would: with a clean environment, and not
        where the script may not be run. Not every script knows how to reload."""
        if not self.is_known(unit):
            raise Trouble("unit", "this host has no service %s: there is no %s" % (unit, self._script(unit)))
        if word == "reload-or-restart":
            word = "reload" if self._knows(unit, "reload") and self._runs(unit) else "restart"
        if word == "restart" and self._runs(unit):
            # Not its own `restart`: some start the new one while the old one still ends, find that running, and leave
            # none (fcgiwrap).
            self._call(unit, "stop")
            if not self._comes_to(unit, runs=False):
                raise Trouble("unit", "%s stop has ended, and it still runs" % unit)
        self._call(unit, "reload" if word == "reload" else "start")
        if not self._comes_to(unit, runs=True):
            raise Trouble("unit", "%s start ended well, and it does not run" % unit)

    @staticmethod
    def _call(unit, word):
        run(["service", unit, word], START_SECONDS)

    def _comes_to(self, unit, runs):
        end = time.monotonic() + BEGINNING_SECONDS
        while self._runs(unit) != runs:
            if time.monotonic() > end:
                return False
            time.sleep(0.1)
        return True

    def enable(self, unit, wanted):
        """Links in the runlevels are the package's."""

    def why_not_running(self, unit):
        """Empty where a unit runs."""
        if not self.is_known(unit):
            return "%s is not known here: there is no %s" % (unit, self._script(unit))
        return "" if self._runs(unit) else "%s does not run" % unit

    def _runs(self, unit):
        code, said = self._say(unit, "status", 30)
        if code == 0 and said:
            return True
        if code and self._knows(unit, "status"):
            return False
        # Debian's scripts end at once, well and without a word, where the program's configuration is gone (haproxy,
        # which a drill has removed again). That is no answer, and such a script has stopped nothing either.
        return self._has_program(unit)

    def _text(self, unit):
        with open(self._script(unit), encoding="utf-8", errors="replace") as file:
            return file.read()

    def _knows(self, unit, word):
        """Whether a script does anything with a word: one that does not ends as it likes."""
        return re.search(r"\b%s\b" % word, self._text(unit)) is not None

    def _has_program(self, unit):
        """Whether a program runs that the script names, or that is called as it is."""
        named = {os.path.realpath(word) for word in re.findall(r"/[\w./+-]+", self._text(unit))}
        running = [program for program in _programs() if os.path.basename(program) not in SHELLS]
        return any(program in named or os.path.basename(program) == unit for program in running)

    def still_open(self, unit):
        reasons = []
        code, said = self._say(unit, "status", 30)
        if code == 0 or (not self._knows(unit, "status") and self._has_program(unit)):
            reasons.append("%s still runs" % unit)
        elif code not in (1, 2, 3):
            # LSB: 1 and 2 are dead with something left over, 3 is not running; anything else is no answer.
            reasons.append("nobody knows whether %s runs: its init script says %d %s" % (unit, code, said[-200:]))
        if self._links(unit) or os.access(self._script(unit), os.X_OK):
            reasons.append("%s would start again with the host" % unit)
        return reasons

    def open(self, unit, before):
        os.chmod(self._script(unit), before.get("mode") or 0o755)
        if before.get("enabled"):
            run(["update-rc.d", unit, "enable"])


def _programs():
    """The programs that run on this host now, as the paths of their files."""
    for link in glob.glob("/proc/[0-9]*/exe"):
        with contextlib.suppress(OSError):
            yield os.readlink(link)


def manager_here():
    """What starts and stops units on this host."""
    return Systemd() if os.path.isdir("/run/systemd/system") else InitScripts()


def manager_of(name):
    """How units are closed under a service manager, by Ansible's name for it; None where drp does not know how."""
    if name == "systemd":
        return Systemd()
    if os.path.isdir("/etc/init.d") and shutil.which("update-rc.d", path="/usr/sbin:/sbin:/usr/bin:/bin"):
        return InitScripts()
    return None
