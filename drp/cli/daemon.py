"""drp daemon"""

from __future__ import annotations

from pathlib import Path

import click

from drp.cli.common import epilog, say


@click.command(epilog=epilog("drp daemon", "systemctl enable --now drp-bogor-3fa2b1-daemon.service"))
@click.pass_context
def daemon(ctx: click.Context) -> None:
    """Do what is due, all the time, in the foreground: what `drp schedule run` does once.

    It tells systemd how it does (Type=notify, watchdog), and reads the workspace's files again when they change; where
    they have become faulty, those before stay in force. When it ends, what it has started on hosts goes on, and is
    taken up by the next drp.
    """
    import signal
    import threading

    from drp.wiring import serve_daemon

    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    serve_daemon(Path(ctx.find_root().obj), say, stop)
