"""A printed runbook as one HTML page, for the screen and for paper; the PDF is made from the same page."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from drp.reports.runbook_model import RunbookDocument
from drp.reports.wording import visible

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup


def render(document: RunbookDocument) -> str:
    """The whole page. It holds no script and needs no other file; every text is escaped."""
    template = _environment().get_template("runbook.html")
    return template.render(document=document, kind_of=lambda element: type(element).__name__)


def _lines(text: str) -> Markup:
    """Text of several lines: escaped, its line ends kept."""
    from markupsafe import Markup, escape

    return Markup("\n").join(escape(visible(line)) for line in text.splitlines())


def _cell(text: str) -> Markup:
    """A cell's text, which may be broken behind an @ or a slash, and not in the middle of a word."""
    from markupsafe import Markup

    return Markup(re.sub("([@/])(?=[a-z])", r"\1<wbr>", str(_lines(text))))


def _environment() -> Environment:
    # Here, not at the top: `drp --help` must not wait for a template engine.
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("drp.reports", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=lambda value: visible(value) if type(value) is str else value,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(lines=_lines, cell=_cell)
    return environment
