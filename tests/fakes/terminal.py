"""A terminal for a command that is tested: a pseudo-terminal, and what a screen would show of all that it was sent."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
import threading
import time
from collections.abc import Callable, Mapping, Sequence

_SEQUENCE = re.compile(r"\x1b(?:\[(\??)([0-9;]*)([A-Za-z])|\]8;[^\x1b\x07]*(?:\x1b\\|\x07))")


class Screen:
    """What stands on a terminal and in its scrollback. A sequence that it does not know is an error: nobody may send
    what could leave a terminal otherwise than it was."""

    def __init__(self, columns: int, rows: int) -> None:
        self.columns, self.rows = columns, rows
        self.lines: list[str] = [""]
        self.row = self.column = 0
        self.cursor_visible, self.alternate = True, False
        self.rest = ""

    def feed(self, text: str) -> None:
        text, position = self.rest + text, 0
        self.rest = ""
        while position < len(text):
            if text[position] == "\x1b":
                found = _SEQUENCE.match(text, position)
                if found is None:
                    assert len(text) - position < 40, f"an unknown sequence: {text[position : position + 40]!r}"
                    self.rest = text[position:]  # the rest of it is still to come
                    return
                self._control(found[1] or "", found[2] or "", found[3] or "")
                position = found.end()
            else:
                self._put(text[position])
                position += 1

    def _control(self, private: str, numbers: str, letter: str) -> None:
        match private, numbers, letter:
            case "?", "25", "l" | "h":
                self.cursor_visible = letter == "h"
            case "?", "1049", "l" | "h":
                self.alternate = letter == "h"
            case "", _, "A":
                top = max(len(self.lines) - self.rows, 0)
                self.row = max(self.row - int(numbers or 1), top)
            case "", "2", "K":
                self.lines[self.row] = ""
            case "", _, "m" | "":
                pass
            case _:
                raise AssertionError(f"an unknown sequence: {private}{numbers}{letter}")

    def _put(self, char: str) -> None:
        if char == "\r":
            self.column = 0
        elif char == "\n":
            self._down()
        elif char != "\x07":
            if self.column >= self.columns:
                self.column = 0
                self._down()
            line = self.lines[self.row].ljust(self.column)
            self.lines[self.row] = line[: self.column] + char + line[self.column + 1 :]
            self.column += 1

    def _down(self) -> None:
        self.row += 1
        if self.row == len(self.lines):
            self.lines.append("")

    @property
    def text(self) -> str:
        """All lines, those that have scrolled away first."""
        return "\n".join(line.rstrip() for line in self.lines)

    @property
    def shown(self) -> list[str]:
        """What stands in the window."""
        return [line.rstrip() for line in self.lines[-self.rows :]]


class TerminalCommand:
    """A command on a terminal of its own."""

    def __init__(
        self, argv: Sequence[str], env: Mapping[str, str], *, columns: int = 80, rows: int = 24, folder: str = "/"
    ) -> None:
        self.keyboard, inner = pty.openpty()
        self.screen = Screen(columns, rows)
        self.raw = ""
        self.trouble: AssertionError | None = None
        self._set_size(columns, rows)
        environment = {"TERM": "xterm-256color", **env}
        # It gets the terminal for its own, so that Ctrl-C reaches it as it would reach it from people's hands.
        self.process = subprocess.Popen(
            ["setsid", "--ctty", *argv], stdin=inner, stdout=inner, stderr=inner, env=environment, cwd=folder
        )
        os.close(inner)
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _set_size(self, columns: int, rows: int) -> None:
        fcntl.ioctl(self.keyboard, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def _read(self) -> None:
        pending = b""
        while True:
            try:
                pending += os.read(self.keyboard, 65_536)
            except OSError:
                return  # the last process that had the terminal has ended
            text = pending.decode("utf-8", "ignore")
            pending = pending[len(text.encode()) :]
            self.raw += text
            try:
                self.screen.feed(text)
            except AssertionError as error:
                self.trouble = error

    @property
    def drawn(self) -> str:
        """All that was ever sent, what was wiped away since too, without colours."""
        return re.sub("\x1b\\[[0-9;]*m", "", self.raw)

    def resize(self, columns: int, rows: int) -> None:
        self.screen.columns, self.screen.rows = columns, rows
        self._set_size(columns, rows)

    def press(self, keys: bytes) -> None:
        os.write(self.keyboard, keys)

    def until(self, text: str) -> None:
        """Wait until something stands on the screen. It may end meanwhile, but must have shown it."""
        self.until_true(lambda: text in self.screen.text, text)

    def until_sent(self, text: str) -> None:
        """Wait until something was sent to the screen, which may have broken it into lines or wiped it away since."""
        self.until_true(lambda: text in self.raw, text)

    def until_true(self, condition: Callable[[], bool], what: str, limit_seconds: float = 120) -> None:
        """Wait until a condition holds."""
        end = time.monotonic() + limit_seconds
        while not condition():
            running = self.process.poll() is None and time.monotonic() < end
            time.sleep(0.05)
            if self.trouble is not None:
                raise self.trouble
            assert running or condition(), f"{what!r} was not shown:\n{self.screen.text}"

    def end(self, limit_seconds: float = 60) -> int:
        """Wait for the end; its exit code."""
        try:
            code = self.process.wait(limit_seconds)
        finally:
            self.process.kill()
            self.process.wait()
        self.reader.join(10)
        os.close(self.keyboard)
        if self.trouble is not None:
            raise self.trouble
        return code
