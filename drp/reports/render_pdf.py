"""Makes a PDF of an HTML page with WeasyPrint."""

from __future__ import annotations

from typing import NoReturn

from drp.errors import UnreachableError


def render(page: str) -> bytes:
    """The page as a PDF. UnreachableError where WeasyPrint or a library of the system that it needs is missing."""
    try:
        from weasyprint import HTML
    except (ImportError, OSError) as error:  # OSError: the package is there, Pango is not
        raise UnreachableError(
            f"a PDF needs WeasyPrint and Pango, which are not installed ({type(error).__name__})",
            where="--format pdf",
            hint="pip install 'drp[pdf]', and apt-get install libpango-1.0-0 libpangoft2-1.0-0;"
            " or take --format html, and print that from a browser",
        ) from error
    return bytes(HTML(string=page, url_fetcher=_nothing_else).write_pdf())


def _nothing_else(url: str) -> NoReturn:
    """The page has everything inside it: whatever it seems to ask for is not fetched."""
    raise ValueError(f"the page asks for {url}")
