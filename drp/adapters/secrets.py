"""Reads secrets from where a workspace says they are: a file, the environment, systemd's credentials, a command."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from drp.domain.secret import SecretReference
from drp.errors import DrpError

COMMAND_LIMIT_SECONDS = 60


class WorkspaceSecrets:
    """Implements `drp.ports.Secrets`. Relative paths are relative to the workspace."""

    def __init__(self, workspace: Path) -> None:
        self.workspace = workspace
        self.told_by_commands: set[str] = set()

    def read(self, reference: SecretReference, purpose: str) -> str:
        """The secret without its final newline. An empty one is refused: it would protect nothing."""
        if reference.file is not None:
            value, source = self._file(self.workspace / reference.file, purpose), f"file {reference.file}"
        elif reference.env is not None:
            value, source = os.environ.get(reference.env, ""), f"environment variable {reference.env}"
        elif reference.credential is not None:
            folder = os.environ.get("CREDENTIALS_DIRECTORY", "")
            if not folder:
                hint = "run drp from a systemd unit with LoadCredential=, or name a file"
                raise DrpError(f"{purpose}: there are no systemd credentials here", hint=hint)
            value, source = self._file(Path(folder) / reference.credential, purpose), "systemd credential"
        else:
            value, source = self._command(reference.command or (), purpose), "command"
        value = value.rstrip("\r\n")
        if value and reference.command is not None:
            self.told_by_commands.add(value)
        if not value:
            raise DrpError(f"{purpose}: the {source} is empty or not set", hint="put the secret there and try again")
        return value

    def _file(self, path: Path, purpose: str) -> str:
        try:
            if path.stat().st_mode & 0o077:
                raise DrpError(
                    f"{purpose}: others may read the file", where=str(path), hint=f"close it: chmod 600 {path}"
                )
            return path.read_text(encoding="utf-8")
        except OSError as error:
            raise DrpError(
                f"{purpose}: {error.strerror}", where=str(path), hint="put the secret into this file, mode 0600"
            ) from error
        except UnicodeDecodeError:
            hint = "write the secret as plain text"
            raise DrpError(f"{purpose}: the file is not UTF-8 text", where=str(path), hint=hint) from None

    def _command(self, command: tuple[str, ...], purpose: str) -> str:
        hint = "run the command by hand and see what it says"
        try:
            done = subprocess.run(command, capture_output=True, timeout=COMMAND_LIMIT_SECONDS, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise DrpError(f"{purpose}: the command {command[0]} failed: {type(error).__name__}", hint=hint) from None
        if done.returncode:
            raise DrpError(f"{purpose}: the command {command[0]} ended with {done.returncode}", hint=hint)
        return done.stdout.decode("utf-8", "replace")
