"""Runs a program of the control node as a check."""

from __future__ import annotations

from drp.adapters.probes.base import AttemptFailed, Deadline, Target
from drp.adapters.probes.child import run
from drp.adapters.supervisor import kept_environment
from drp.domain.checks import CommandCheck


class CommandProbe:
    """Implements `drp.adapters.probes.base.Probe`."""

    def __init__(self, check: CommandCheck, target: Target) -> None:
        self.check, self.target = check, target
        self.environment = {name: kept_environment().get(name, "") for name in ("PATH", "LANG")}

    def attempt(self, deadline: Deadline) -> str:
        argv = self.check.words(self.target.address)
        found = run(argv, deadline, environment=self.environment, folder=self.target.workspace)
        if found.was_cut:
            raise AttemptFailed(f"{argv[0]}: it says more than can be read")
        if found.code != self.check.expect_exit:
            end = f"signal {-found.code}" if found.code < 0 else f"exit code {found.code}"
            raise AttemptFailed(f"{argv[0]}: {end} instead of exit code {self.check.expect_exit}")
        if (self.check.expect_text or "").encode() not in found.output:
            raise AttemptFailed(f"{argv[0]}: its output lacks the expected text")
        return f"{argv[0]} ended as expected"
