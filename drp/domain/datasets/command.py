"""Anything that a command can dump to its standard output, and another one load from its standard input."""

from __future__ import annotations

import shlex
from typing import Literal

from drp.domain.datasets.base import Command, DatasetType, Procedure, Scratch, made_folder, removed
from drp.domain.model import Model
from drp.domain.values import AccountName, Text


class ScratchCommands(Model):
    """How a test restore goes to a place apart: {name} and {folder} in the words are the place's."""

    restore: Command
    check: Command | None = None
    freshness: Command | None = None
    remove: Command | None = None


class CommandDataset(DatasetType):
    """The output of a command. Argument lists, which no shell reads; `sh -c` is a person's own choice.

    `freshness` prints the time of the newest record in the data (ISO 8601 with a time zone); without it nobody can say
    how old restored data is. `present` prints something where there is any of the data; without it a drill cannot prove
    that a host was empty. `ends_with` is a regular expression for the last bytes of a whole dump. Without `scratch` a
    test restore only reads the dump into a file.
    """

    type: Literal["command"]
    dump: Command
    restore: Command
    run_as: AccountName = "root"
    ends_with: Text | None = None
    prepare: Command | None = None
    check: Command | None = None
    freshness: Command | None = None
    present: Command | None = None
    remove: Command | None = None
    scratch: ScratchCommands | None = None

    @property
    def places(self) -> tuple[str, ...]:
        return (f"what {shlex.join(self.restore)} loads",)

    @property
    def dated_by(self) -> Literal["sentinel", "freshness", "nothing"]:
        return "freshness" if self.freshness else "nothing"

    def _argv(self, command: Command) -> list[str]:
        return ["runuser", "-u", self.run_as, "--", *command]

    def procedure(self, service: str, token: str = "", scratch: Scratch | None = None) -> Procedure:
        del token
        what = f"what {shlex.join(self.restore)} loads"
        present = {"kind": "command", "what": what, "command": {"argv": self._argv(self.present or ())}}
        part = {
            "name": "output",
            "kind": "stream",
            "file": f"{service}.{self.id}.dump",
            "dump": self._argv(self.dump),
            "restore": self._argv(self.restore),
        }
        if self.ends_with:
            part["ends_with"] = self.ends_with
        procedure: Procedure = {
            "id": self.id,
            "type": self.type,
            "units": [],
            "requires": ["runuser"],
            "versions": {},
            "parts": [part],
            "prepare_restore": [{"argv": self._argv(self.prepare)}] if self.prepare else [],
            "remove": [{"argv": self._argv(self.remove)}] if self.remove else [],
            "checks": [{"what": "its own check", "argv": self._argv(self.check)}] if self.check else [],
            "sentinel": {"kind": "freshness", "read": {"argv": self._argv(self.freshness)}} if self.freshness else None,
            "absence": [present if self.present else {"kind": "unknown", "what": f"{what} (unknown: see `present`)"}],
        }
        return procedure if scratch is None else procedure | self._apart(scratch, part)

    def _apart(self, scratch: Scratch, part: Procedure) -> Procedure:
        """In a scratch place only its own commands are run: without them nothing is checked and no age is told."""
        folder, commands = scratch.folder, self.scratch

        def argv(command: Command) -> list[str]:
            words = (word.replace("{name}", scratch.name).replace("{folder}", folder) for word in command)
            return self._argv(tuple(words))

        remove = [{"argv": argv(commands.remove)}] if commands and commands.remove else []
        fresh = None
        if commands and commands.freshness:
            fresh = {"kind": "freshness", "read": {"argv": argv(commands.freshness)}}
        check = [{"what": "its own check", "argv": argv(commands.check)}] if commands and commands.check else []
        return {
            "parts": [
                part | {"restore": argv(commands.restore if commands else ("dd", "of={folder}/output", "bs=1M"))}
            ],
            "prepare_restore": [removed(folder), made_folder(folder, self.run_as)],
            "remove": [*remove, removed(folder)],
            "checks": check,
            "sentinel": fresh,
            "absence": [{"kind": "path", "what": f"path {folder}", "path": folder}],
        }
