"""drp drill selftest, and drills of which something is broken on purpose"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from ipaddress import IPv4Network
from typing import Any

import click

from drp.cli.common import epilog, json_option, print_json, print_table, say, world_of
from drp.errors import ExitCode, UsageError


class NetworkType(click.ParamType[IPv4Network]):
    """`198.19.240.0/20`"""

    name = "network"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> IPv4Network:
        try:
            return value if isinstance(value, IPv4Network) else IPv4Network(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


@click.command(
    short_help="Break things in a lab, and see whether drills notice.",
    epilog=epilog("drp drill selftest", "drp drill selftest --seed 7 wrong-repository-key slow-line"),
)
@click.argument("faults", nargs=-1, metavar="[FAULT]...")
@click.option("--seed", type=click.IntRange(0), help="Repeat the order of an earlier self-test; default: at random.")
@click.option("--controls", type=click.IntRange(0, 100), default=3, show_default=True, help="Drills without a fault.")
@click.option("--network", type=NetworkType(), default="198.19.240.0/20", show_default=True, help="The lab's.")
@click.option("--keep", is_flag=True, help="Leave its lab up at the end, to look into it.")
@json_option
def selftest(
    faults: Sequence[str], seed: int | None, controls: int, network: IPv4Network, keep: bool, as_json: bool
) -> int:
    """Break one thing after the other in a lab of its own (default: all of `drp lab fault`) and drill each time.

    Drills without a fault are mixed in at random. Each drill is a process of its own that gets no hint. One under a
    fault must end red and name the cause, one without must end green: 0 only if all did, else 4. Needs root, and no
    workspace.
    """
    import secrets

    from drp.lab.selftest.engine import Order, run_selftest
    from drp.lab.selftest.scoring import exit_code, summary
    from drp.wiring import shipped

    chosen = secrets.randbelow(1_000_000) if seed is None else seed
    order = Order(chosen, controls=controls, network=network, keep=keep)
    if faults:
        order = Order(chosen, tuple(dict.fromkeys(faults)), controls, network, keep)
    say(f"seed {chosen}")
    scores = run_selftest(order, shipped("runbooks"), say)
    code = exit_code(scores)
    if as_json:
        drills = [{**asdict(item), "result": item.word} for item in scores]
        print_json({"seed": chosen, "drills": drills, "summary": summary(scores), "exit_code": int(code)})
        return int(code)
    rows = [
        [item.fault or "(control)", item.verdict or "none", str(item.exit_code), item.cause or item.why, item.word]
        for item in scores
    ]
    print_table(f"Self-test of drills, seed {chosen}", ["fault", "verdict", "exit", "cause as told", "result"], rows)
    for item in scores:
        if item.why:
            click.echo(f"{item.fault or 'control'}: {item.why}")
    click.echo(summary(scores))
    return int(code)


def run_with_fault(
    ctx: click.Context, name: str, services: Sequence[str], drill: Callable[[Callable[[Any], None]], int]
) -> int:
    """Carry out a drill while something of the lab is broken. `drill` gets no word of it; it tells what came of it."""
    from drp.domain.recovery.causes import causes_of
    from drp.lab.faults.injection import fault_named, injected
    from drp.lab.selftest.scoring import Told, score
    from drp.lab.status import status
    from drp.wiring import fault_targets

    fault = fault_named(name)
    world = world_of(ctx)
    if world.city.workspace.lab is None or not status(world.workspace).exists:
        text = "--inject really breaks what a drill needs, so it is for a lab only, and this workspace has none"
        raise UsageError(text, where=str(world.workspace), hint="drp lab up; or drp drill selftest, which has its own")
    recoveries: list[Any] = []
    with injected(world.workspace, name, fault_targets(world, services), say=say) as target:
        code = drill(recoveries.append)
    causes = tuple(cause.record() for cause in causes_of(recoveries[-1]))
    found = score(fault, target, Told(code, str(recoveries[-1].verdict()), causes))
    click.echo(f"injected: {name} ({fault.title}), service {target.service}", err=True)
    click.echo(f"{found.word}: {found.cause if found.passed else found.why}", err=True)
    return code if found.passed else int(ExitCode.FAILED)
