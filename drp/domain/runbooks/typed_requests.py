"""The requests of a service's checks as a person types them, with curl."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

from drp.domain.checks.http import HttpCheck, HttpStep
from drp.domain.service import Service


def local_requests(service: Service) -> Iterator[str]:
    """The requests that a host can make to itself: those that only read and need nothing captured before."""
    for check in (check for check in service.checks if isinstance(check, HttpCheck)):
        for step in check.steps:
            if step.request.startswith("GET ") and "${" not in step.request:
                yield _curl(check, step, "127.0.0.1", insecure=True)


def user_path(check: HttpCheck, address: str) -> Iterator[str]:
    """Every request of the check. What one answers and a later one needs is kept in variables of the shell."""
    if any("${random}" in text for step in check.steps for text in (step.request, *step.form.values())):
        yield "random=$(date +%s)"
    for step in check.steps:
        command = _curl(check, step, address, insecure=False)
        if not step.capture:
            yield command
            continue
        yield f'answer=$({command}); echo "$answer"'
        for name, pattern in step.capture.items():
            find = "import re, sys; print(re.search(sys.argv[1], sys.stdin.read())[1])"
            yield f'{_variable(name)}=$(echo "$answer" | {shlex.join(["python3", "-c", find, pattern])})'


def _variable(name: str) -> str:
    return name.replace("-", "_")


def _filled(text: str) -> str:
    """A word for the shell, in which only ${…} of the check's own is filled in."""
    pieces = re.split(r"\$\{([a-z][a-z0-9-]*)\}", text)
    words = [
        f'"${{{_variable(piece)}}}"' if number % 2 else shlex.quote(piece)
        for number, piece in enumerate(pieces)
        if piece or number % 2
    ]
    return "".join(words) or "''"


def _curl(check: HttpCheck, step: HttpStep, address: str, *, insecure: bool) -> str:
    """One request; it ends with an error where the status says one, or the text that must be there is not."""
    method, _, path = step.request.partition(" ")
    port = check.port or (443 if check.scheme == "https" else 80)
    name = check.host_header if check.scheme == "https" and check.host_header else address
    options = ["-sS", "--max-time", "20"]
    options += ["-f"] if step.expect_status < 400 else []
    if method == "HEAD":
        options.append("-I")
    elif method != ("POST" if step.form else "GET"):
        options += ["-X", method]
    if check.host_header and check.scheme == "https":
        options += ["--resolve", f"{check.host_header}:{port}:{address}"]
    elif check.host_header:
        options += ["-H", f"Host: {check.host_header}"]
    options += ["-k"] if insecure and check.scheme == "https" else []
    shown = f":{port}" if check.port else ""
    fields = "".join(f" --data-urlencode {_filled(f'{key}={value}')}" for key, value in step.form.items())
    command = f"{shlex.join(['curl', *options])}{fields} {_filled(f'{check.scheme}://{name}{shown}{path}')}"
    if step.expect_text and not step.capture:
        command += f" | grep -F {_filled(step.expect_text)}"
    return command
