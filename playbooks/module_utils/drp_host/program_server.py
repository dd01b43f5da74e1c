"""A server of our own for a scratch place: `start PID_FILE PROGRAM …` in the background, `stop PID_FILE`."""

import os
import signal
import subprocess
import sys
import time

STOP_SECONDS = 60


def is_running(pid):
    """Whether it is there and no zombie: what has ended may wait for somebody to take notice."""
    try:
        with open("/proc/%d/stat" % pid) as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def start(pid_file, *argv):
    """Start it, apart from us; it tells its troubles beside the file."""
    with open(pid_file + ".log", "wb") as log:
        server = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", start_new_session=True
        )
    with open(pid_file, "w") as file:
        file.write(str(server.pid))


def stop(pid_file):
    """End it if it runs; its number may long be another process's, so its arguments must name the scratch place."""
    try:
        with open(pid_file) as file:
            pid = int(file.read())
        with open("/proc/%d/cmdline" % pid, "rb") as file:
            if os.fsencode(os.path.dirname(pid_file)) not in file.read():
                return
    except (OSError, ValueError):
        return
    until, how = time.monotonic() + STOP_SECONDS, signal.SIGTERM
    os.kill(pid, how)
    while is_running(pid):
        if time.monotonic() > until and how == signal.SIGTERM:
            how = signal.SIGKILL
            os.kill(pid, how)
        time.sleep(0.05)


if __name__ == "__main__":
    {"start": start, "stop": stop}[sys.argv[1]](*sys.argv[2:])
