"""drp watch"""

from __future__ import annotations

import click

from drp.cli.common import epilog, world_of


@click.command(epilog=epilog("drp watch", "drp watch pengaduan &"))
@click.argument("services", nargs=-1)
@click.pass_context
def watch(ctx: click.Context, services: tuple[str, ...]) -> None:
    """Try all checks of SERVICES (default: all) from here, each at its interval, until stopped.

    A service is usable while all of its checks succeed; which one fails is told. A whole user path is tried, with what
    it writes: a check that submits something submits it at each interval.
    Run it outside the primary site, in a unit of its own: what it sees dates the disruption (T0, T1) in reports.
    """
    import signal
    import threading

    from drp.wiring import prober_of
    from drp.workflows.selection import services_for
    from drp.workflows.watch import watch as keep_watching

    world = world_of(ctx)
    names = services_for(world, services, "watch")
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    world.say(f"watching {', '.join(names)}; end with Ctrl-C")
    keep_watching(world, names, prober_of(world, names), stop)
