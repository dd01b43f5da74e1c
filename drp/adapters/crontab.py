"""Lines for cron that call drp each minute, in a user's crontab between two marks of the workspace."""

from __future__ import annotations

import shlex
import subprocess

from drp.adapters.systemd_units import JOBS, UnitSettings
from drp.errors import DrpError, UsageError

CRONTAB_LIMIT_SECONDS = 30
_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_EACH_MINUTE, _AT_START = "* * * * *", "@reboot"


def crontab_text(settings: UnitSettings) -> str:
    """The lines, with their marks. What drp says goes to the system's log, so that cron sends no mail each minute."""
    begin, end = _marks(settings)
    lines = [begin]
    jobs = {job: (_EACH_MINUTE, arguments) for job, (_, arguments) in JOBS.items()}
    for job, (when, arguments) in {**jobs, "watch": (_AT_START, ("watch",))}.items():
        words = ("env", _PATH, *settings.program, "--workspace", str(settings.workspace), *arguments)
        if not all(word.isprintable() for word in words):
            raise UsageError("cron cannot name this path: it holds characters that do not show", where=repr(words))
        command = f"{shlex.join(words)} 2>&1 | logger -t {settings.prefix}-{job}"
        lines.append(f"{when} {command.replace('%', chr(92) + '%')}")  # to cron, a plain % ends the line
    return "\n".join([*lines, end, ""])


def install_crontab(settings: UnitSettings) -> None:
    """Put the lines into this user's crontab, in place of those that were there."""
    _write(_without_ours(_read(), settings) + crontab_text(settings))


def remove_crontab(settings: UnitSettings) -> bool:
    """Take the lines out of this user's crontab; whether there were any."""
    before = _read()
    after = _without_ours(before, settings)
    if after != before:
        _write(after)
    return after != before


def _marks(settings: UnitSettings) -> tuple[str, str]:
    return f"# {settings.prefix}: begin (drp schedule install)", f"# {settings.prefix}: end"


def _without_ours(text: str, settings: UnitSettings) -> str:
    begin, end = _marks(settings)
    kept: list[str] = []
    is_ours = False
    for line in text.splitlines():
        is_ours = is_ours or line == begin
        if not is_ours:
            kept.append(line)
        is_ours = is_ours and line != end
    if is_ours:
        hint = f"mend it by hand: crontab -e; the last line of drp's part is: {end}"
        raise DrpError("the crontab has the beginning of drp's lines and not their end", hint=hint)
    return "".join(f"{line}\n" for line in kept)


def _read() -> str:
    done = _crontab(("-l",), None)
    # A user without a crontab is told so with exit code 1.
    if done.returncode and "no crontab for" not in done.stderr:
        raise DrpError(f"crontab -l ended with {done.returncode}: {done.stderr.strip()[:200]}", hint=_HINT)
    return "" if done.returncode else done.stdout


def _write(text: str) -> None:
    done = _crontab(("-",), text)
    if done.returncode:
        raise DrpError(f"crontab refused the lines: {done.stderr.strip()[:200]}", hint=_HINT)


_HINT = "print the lines and add them by hand: drp schedule install --crontab --print"


def _crontab(arguments: tuple[str, ...], text: str | None) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            ("crontab", *arguments),
            input=text,
            stdin=subprocess.DEVNULL if text is None else None,
            capture_output=True,
            encoding="utf-8",
            timeout=CRONTAB_LIMIT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired, UnicodeDecodeError) as error:
        raise DrpError(f"the program crontab does not run: {type(error).__name__}", hint=_HINT) from error
