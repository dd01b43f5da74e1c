"""Tries a user path over HTTP from outside, as a citizen's browser would: new connections, no retries."""

from __future__ import annotations

import hashlib
import re
import secrets
import socket
import ssl
from typing import Any
from urllib.parse import urlencode

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection

from drp.adapters.probes.base import TIMED_OUT, AttemptFailed, Deadline, Target, reason
from drp.domain.checks import HttpCheck, HttpStep

LARGEST_ANSWER_BYTES = 4_194_304
_VARIABLE = re.compile(r"\$\{([a-z0-9-]+)\}")


class HttpProbe:
    """Implements `drp.adapters.probes.base.Probe`. The target's baseline holds, per step that asks for it, the SHA-256
    of the answer before a disruption."""

    def __init__(self, check: HttpCheck, target: Target) -> None:
        self.check, self.target = check, target

    def attempt(self, deadline: Deadline) -> str:
        variables = {"random": secrets.token_hex(12)}
        looks: dict[str, str] = {}
        pool = self._pool(deadline)
        try:
            for position, step in enumerate(self.check.steps):
                body = self._request(pool, step, variables, deadline)
                self._expect(step, body, variables)
                if step.same_as_before:
                    looks[str(position)] = self._look(position, step, body)
        finally:
            pool.clear()
        baseline = self.target.baseline
        compared = looks and not self.target.learn and looks.keys() <= baseline.keys()
        if self.target.learn:
            baseline.update(looks)
        return f"{len(self.check.steps)} requests as expected" + (", old content unchanged" if compared else "")

    def _pool(self, deadline: Deadline) -> urllib3.PoolManager:
        options: dict[str, Any] = {"retries": False}
        if self.check.scheme == "https":
            options["ssl_context"] = ssl.create_default_context(cafile=self.target.file(self.check.ca_certificate))
            if self.check.host_header:
                options |= {"server_hostname": self.check.host_header, "assert_hostname": self.check.host_header}
        pool = urllib3.PoolManager(**options)
        pool.pool_classes_by_scheme = _guarded(deadline)
        return pool

    def _request(
        self, pool: urllib3.PoolManager, step: HttpStep, variables: dict[str, str], deadline: Deadline
    ) -> bytes:
        method, path = _filled(step.request, variables).split(" ", 1)
        port = f":{self.check.port}" if self.check.port else ""
        headers = {"Connection": "close", "User-Agent": "drp-probe"}
        if self.check.host_header:
            headers["Host"] = self.check.host_header
        body = None
        if step.form:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
            body = urlencode({name: _filled(value, variables) for name, value in step.form.items()})
        try:
            answer = pool.request(
                method,
                f"{self.check.scheme}://{self.target.address}{port}{path}",
                headers=headers,
                body=body,
                timeout=urllib3.Timeout(total=deadline.left()),
                redirect=False,
                preload_content=False,
            )
            content = _read(answer, deadline)
            answer.release_conn()
            deadline.left()  # an answer that was cut off may look like one that has ended
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            raise AttemptFailed(f"{method} {path}: {TIMED_OUT if deadline.is_over else _reason(error)}") from error
        if answer.status != step.expect_status:
            raise AttemptFailed(f"{method} {path}: status {answer.status} instead of {step.expect_status}")
        return content

    def _expect(self, step: HttpStep, body: bytes, variables: dict[str, str]) -> None:
        text = body.decode("utf-8", "replace")
        if step.expect_text is not None and _filled(step.expect_text, variables) not in text:
            raise AttemptFailed(f"{_filled(step.request, variables)}: the answer lacks the expected text")
        for name, pattern in step.capture.items():
            found = re.search(pattern, text)
            if found is None:
                raise AttemptFailed(f"{_filled(step.request, variables)}: nothing to capture as {name}")
            variables[name] = found.group(1)

    def _look(self, position: int, step: HttpStep, body: bytes) -> str:
        digest = hashlib.sha256(body).hexdigest()
        if not self.target.learn and self.target.baseline.get(str(position), digest) != digest:
            raise AttemptFailed(f"{step.request}: the answer differs from the one before the disruption")
        return digest


def _guarded(deadline: Deadline) -> dict[str, type[urllib3.HTTPConnectionPool]]:
    """Kinds of connections that the deadline cuts off."""

    class Plain(HTTPConnection):
        def _new_conn(self) -> socket.socket:
            line = super()._new_conn()
            deadline.guard(line)
            return line

    class Secured(HTTPSConnection):
        def _new_conn(self) -> socket.socket:
            line = super()._new_conn()
            deadline.guard(line)
            return line

    class PlainPool(urllib3.HTTPConnectionPool):
        ConnectionCls = Plain

    class SecuredPool(urllib3.HTTPSConnectionPool):
        ConnectionCls = Secured

    return {"http": PlainPool, "https": SecuredPool}


def _read(answer: urllib3.BaseHTTPResponse, deadline: Deadline) -> bytes:
    """The answer's content, up to a limit."""
    content = b""
    while len(content) < LARGEST_ANSWER_BYTES:
        piece = answer.read1(LARGEST_ANSWER_BYTES - len(content))
        if not piece:
            break
        content += piece
        deadline.left()
    return content


def _filled(text: str, variables: dict[str, str]) -> str:
    return _VARIABLE.sub(lambda found: variables.get(found.group(1), found.group(0)), text)


def _reason(error: Exception) -> str:
    return reason(error.args[-1] if isinstance(error, urllib3.exceptions.MaxRetryError) and error.args else error)
