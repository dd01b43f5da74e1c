"""Programs on a host: run to their end within a limit, and what they said when they failed."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import tempfile

SYSTEM_PATH = ":/usr/local/sbin:/usr/sbin:/sbin"
"""Where ip, arping and the like are, which a login without a shell has not on its path."""


NO_PLACE = "No usable temporary directory"
"""What Python says where nothing can be written anywhere."""


class Trouble(Exception):
    """What went wrong; `kind` is one that drp/domain/trouble.py explains."""

    def __init__(self, kind, text):
        super().__init__(text)
        self.kind, self.text = kind, text


def of_system(error, kind):
    """What the operating system refused, as trouble of a kind, unless it is that no space is left."""
    is_full = error.errno in (errno.ENOSPC, errno.EDQUOT) or NO_PLACE in str(error)
    text = "%s: %s" % (error.filename or "the host", error.strerror or error)
    return Trouble("no_space" if is_full else kind, text)


def run(argv, seconds=30.0, check=True):
    """Run a program with no input; gives its exit code and what it wrote. Trouble where it does not start, takes too
    long, or (with `check`) fails."""
    # Into a file: a server that it has started may hold a pipe open for ever.
    with tempfile.TemporaryFile() as output:
        try:
            process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env=dict(os.environ, LC_ALL="C.UTF-8", PATH=os.environ.get("PATH", "") + SYSTEM_PATH),
            )
        except OSError as error:
            raise Trouble("program", "%s does not start: %s" % (argv[0], error.strerror))
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise Trouble("too_long", "%s did not end within %g s and was ended" % (argv[0], seconds))
        output.seek(0)
        text = output.read().decode("utf-8", "replace").strip()
    if check and process.returncode:
        said = text[-800:] or "it said nothing"
        raise Trouble("program", "%s ended with %d: %s" % (argv[0], process.returncode, said))
    return process.returncode, text
