"""Process 1 of a lab host: starts sshd and reaps what is left to it. Copied into the host; runs on its own Python.

It has no services of its own: they are started by hand, as after a server's installation. SIGTERM, or `reboot` in the
host, ends it, and the kernel ends everything else in the host with it. SIGHUP is a power cut and a restart: everything
else in the host is gone at once, what it had on disk is still there, and sshd starts again.
"""

from __future__ import annotations

import os
import signal
import sys

SIGNALS = {signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
SSHD = ["/usr/sbin/sshd", "-D", "-e", "-f", "/etc/ssh/sshd_config"]


def start(argv: list[str]) -> None:
    """Start a child with no signal blocked: a blocked mask is inherited, and sshd needs its SIGCHLD."""
    if os.fork() == 0:
        try:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
            os.execv(argv[0], argv)
        finally:
            os._exit(127)


def restart() -> None:
    os.kill(-1, signal.SIGKILL)
    while True:
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            break
    start(SSHD)


def reap() -> None:
    while True:
        try:
            pid, _ = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return


def main() -> None:
    # Ansible takes a process 1 called "init" for systemd where systemd's files are installed, as they are below every
    # host; a name of its own makes it use the init scripts.
    with open("/proc/self/comm", "w", encoding="ascii") as name:
        name.write("lab-init")
    os.setsid()
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    start(SSHD)
    while (came := signal.sigwait(SIGNALS)) in (signal.SIGCHLD, signal.SIGHUP):
        if came == signal.SIGHUP:
            restart()
        reap()
    sys.exit(0)


if __name__ == "__main__":
    main()
