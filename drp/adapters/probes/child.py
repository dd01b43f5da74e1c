"""Runs a program for a check: within the deadline, with little of its output kept, with nothing of it left behind."""

from __future__ import annotations

import os
import resource
import selectors
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from drp.adapters.probes.base import AttemptFailed, Deadline

LARGEST_OUTPUT_BYTES = 1_048_576
PIECE_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class Finished:
    """How a program ended, and what it said first. `was_cut`: it said more than is read, and was ended."""

    code: int
    output: bytes
    complaints: bytes
    was_cut: bool


def run(
    argv: Sequence[str],
    deadline: Deadline,
    *,
    environment: Mapping[str, str],
    folder: Path | None = None,
    memory: int | None = None,
) -> Finished:
    """Run it to its end; it and all that it started are killed at the deadline. TimeoutError then.

    Args:
        memory: how many bytes it may use at most.
    """
    try:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=dict(environment),
            cwd=folder,
            start_new_session=True,
        )
    except OSError as error:
        raise AttemptFailed(f"{argv[0]} cannot be run: {error.strerror}") from error
    try:
        if memory is not None:
            resource.prlimit(process.pid, resource.RLIMIT_AS, (memory, memory))
        said, was_cut = _listen(process, deadline)
    finally:
        _end(process)
    deadline.left()
    return Finished(process.returncode, said[0], said[1], was_cut)


def _listen(process: subprocess.Popen[bytes], deadline: Deadline) -> tuple[list[bytes], bool]:
    """What it says until it ends. What it left running may go on to hold its output: that is not waited for."""
    assert process.stdout is not None
    assert process.stderr is not None
    said = [b"", b""]
    ended = os.pidfd_open(process.pid)
    try:
        with selectors.DefaultSelector() as selector:
            for number, stream in enumerate((process.stdout, process.stderr)):
                os.set_blocking(stream.fileno(), False)
                selector.register(stream, selectors.EVENT_READ, number)
            selector.register(ended, selectors.EVENT_READ)
            while True:
                ready = [key for key, _ in selector.select(deadline.left())]
                for key in ready:
                    if key.fileobj == ended:
                        continue
                    piece = os.read(key.fd, PIECE_BYTES)
                    said[key.data] += piece
                    if len(said[key.data]) > LARGEST_OUTPUT_BYTES:
                        return said, True
                    if not piece:
                        selector.unregister(key.fileobj)
                # Read on while something comes: the end is told at once, and the last words with it.
                if len(ready) == 1 and ready[0].fileobj == ended:
                    return said, False
    finally:
        os.close(ended)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Nothing of its group outlives it. It is not waited for before, so that its number is still its own."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()
    for stream in (process.stdout, process.stderr):
        if stream is not None:
            stream.close()
