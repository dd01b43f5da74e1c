"""Following a run: a picture of its progress on a terminal, below the lines; where there is none, lines alone."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from drp.cli.common import printable, say
from drp.errors import DrpError

if TYPE_CHECKING:
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    from drp.domain.progress.run import Progress
    from drp.ports import World

REFRESH_SECONDS, LINES_SECONDS = 1.0, 3.0
"""How often is looked at a run, for the picture and for lines alone."""
END_SECONDS = 10.0
LINES_LEFT = 5
"""Lines of the terminal that the picture leaves to what is said."""
COLUMNS_LEFT = 3
"""Columns that it leaves: a terminal shows the `^C` that somebody types behind the picture, which must not wrap."""

plain_option = click.option(
    "--plain", is_flag=True, help="Lines only, also on a terminal: no live view. (Also: TERM=dumb.)"
)


def followed_world(ctx: click.Context, *, plain: bool) -> World:
    """The workspace that the command works on, with a screen on which a run that it carries out can be followed."""
    from drp.wiring import build_world

    screen = Screen(plain=plain)
    world = build_world(Path(ctx.find_root().obj), screen.say)
    return replace(world, follow=lambda run: screen.follow(world, run))


class Screen:
    """Where a command tells people how a run goes. It is used by two threads: what is said comes from the one that
    carries the run out, the picture from one that looks at ledger and samples for itself."""

    def __init__(self, *, plain: bool) -> None:
        self.is_plain = plain or not sys.stderr.isatty() or os.environ.get("TERM", "dumb") in ("dumb", "unknown")
        self.is_output_shown = sys.stdout.isatty()  # asked now: while there is a picture, it is another object
        self.live: Live | None = None
        # A line and a picture that are written at once would wipe each other away.
        self.writing = threading.RLock()

    def say(self, line: str) -> None:
        """A line of progress, above the picture while there is one."""
        live = self.live
        if live is None:
            say(line)
            return
        from datetime import datetime

        from rich.text import Text

        stamp = datetime.now().astimezone().strftime("%H:%M:%S")
        self._print(live, Text.assemble((stamp, "dim"), f"  {printable(line)}") if line else Text())

    def print(self, line: str) -> None:
        """A line of the command's result."""
        live = self.live
        if live is None or not self.is_output_shown:
            click.echo(line)
            return
        from rich.text import Text

        self._print(live, Text(printable(line)))

    def _print(self, live: Live, text: Text) -> None:
        with self.writing:
            live.console.print(text, soft_wrap=True, highlight=False)

    @contextmanager
    def follow(self, world: World, run: str) -> Iterator[None]:
        """Show how far a run is, until the context ends. The run goes on, whatever becomes of that."""
        stop = threading.Event()
        with self._picture():
            watcher = threading.Thread(target=self._watch, args=(world, run, stop), daemon=True, name="live view")
            watcher.start()
            try:
                yield
            finally:
                stop.set()
                watcher.join(END_SECONDS)

    @contextmanager
    def _picture(self) -> Iterator[None]:
        if self.is_plain:
            yield
            return
        from rich.console import Console
        from rich.live import Live

        console = Console(stderr=True, highlight=False)
        with Live(
            console=console,
            auto_refresh=False,
            transient=True,
            redirect_stdout=self.is_output_shown,  # what goes elsewhere than to this terminal stays there
            vertical_overflow="crop",
        ) as self.live:
            console.show_cursor()  # whoever is killed leaves the terminal as it was
            try:
                yield
            finally:
                self.live = None

    def _watch(self, world: World, run: str, stop: threading.Event) -> None:
        from drp.wiring import second_look
        from drp.workflows.follow import Following

        try:
            with second_look(world) as own:
                following = Following(own, run)
                self._look_again(following.look, stop)
        except DrpError as error:
            self._give_up(str(error))
        except Exception as error:  # noqa: BLE001 - a recovery never ends because somebody could not look at it
            self._give_up(f"{type(error).__name__}: {error}")

    def _give_up(self, why: str) -> None:
        if self.live is not None:
            with self.writing:
                self.live.update("", refresh=True)
        self.say(f"the live view has ended, the run goes on: {why}")

    def _look_again(self, look: Callable[[], Progress], stop: threading.Event) -> None:
        from drp.domain.progress.telling import Teller

        teller = Teller()
        while not stop.is_set():
            progress = look()
            if self.live is not None:
                self._draw(self.live, self.live.console, progress)
            elif self.is_plain:
                for line in teller.lines(progress):
                    self.say(line)
            stop.wait(REFRESH_SECONDS if self.live is not None else LINES_SECONDS)

    def _draw(self, live: Live, console: Console, progress: Progress) -> None:
        from drp.cli.live_view import draw

        size = console.size  # asked each time: the window may have another one by now
        picture = draw(progress, max(size.width - COLUMNS_LEFT, 1), max(size.height - LINES_LEFT, 1))
        with self.writing:
            live.update(picture, refresh=True)
