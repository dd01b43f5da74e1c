"""Tries a user path over HTTP from outside, as a citizen's browser would: new connections, no retries."""

from __future__ import annotations

import hashlib
import re
import secrets
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

import urllib3

from drp.domain.service import HttpCheck, HttpStep
from drp.domain.values import to_stamp

LARGEST_ANSWER_BYTES = 4_194_304
_VARIABLE = re.compile(r"\$\{([a-z0-9-]+)\}")


class StepFailed(Exception):
    """A request did not do what the user path needs."""


@dataclass
class HttpJourney:
    """One check against one address.

    `baseline` holds, per step that asks for it, the SHA-256 of the answer before a disruption. With `learn`, as in
    `drp watch`, each good attempt renews it; without, as in a recovery, an answer that differs is a failure.
    """

    check: HttpCheck
    address: str
    ca_certificate: str | None = None
    baseline: dict[str, str] = field(default_factory=dict)
    learn: bool = False

    def attempt(self, now: Callable[[], datetime]) -> dict[str, Any]:
        """Try all steps once. A sample: {started_at, ended_at, succeeded, detail}; details never quote an answer."""
        started_at = now()
        try:
            detail, succeeded = self._attempt(), True
        except StepFailed as failure:
            detail, succeeded = str(failure), False
        return {
            "started_at": to_stamp(started_at),
            "ended_at": to_stamp(now()),
            "succeeded": succeeded,
            "detail": detail,
        }

    def _attempt(self) -> str:
        variables = {"random": secrets.token_hex(12)}
        looks: dict[str, str] = {}
        pool = self._pool()
        try:
            for position, step in enumerate(self.check.steps):
                body = self._request(pool, step, variables)
                self._expect(step, body, variables)
                if step.same_as_before:
                    looks[str(position)] = self._look(position, step, body)
        finally:
            pool.clear()
        compared = looks and not self.learn and looks.keys() <= self.baseline.keys()
        if self.learn:
            self.baseline.update(looks)
        return f"{len(self.check.steps)} requests as expected" + (", old content unchanged" if compared else "")

    def _pool(self) -> urllib3.PoolManager:
        seconds = self.check.timeout.total_seconds()
        options: dict[str, Any] = {"timeout": urllib3.Timeout(total=seconds), "retries": False}
        if self.check.scheme == "https":
            options["ssl_context"] = ssl.create_default_context(cafile=self.ca_certificate)
            if self.check.host_header:
                options |= {"server_hostname": self.check.host_header, "assert_hostname": self.check.host_header}
        return urllib3.PoolManager(**options)

    def _request(self, pool: urllib3.PoolManager, step: HttpStep, variables: dict[str, str]) -> bytes:
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
                f"{self.check.scheme}://{self.address}{port}{path}",
                headers=headers,
                body=body,
                redirect=False,
                preload_content=False,
            )
            content = _read(answer, time.monotonic() + self.check.timeout.total_seconds())
            answer.release_conn()
        except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            raise StepFailed(f"{method} {path}: {_reason(error)}") from error
        if answer.status != step.expect_status:
            raise StepFailed(f"{method} {path}: status {answer.status} instead of {step.expect_status}")
        return content

    def _expect(self, step: HttpStep, body: bytes, variables: dict[str, str]) -> None:
        text = body.decode("utf-8", "replace")
        if step.expect_text is not None and _filled(step.expect_text, variables) not in text:
            raise StepFailed(f"{_filled(step.request, variables)}: the answer lacks the expected text")
        for name, pattern in step.capture.items():
            found = re.search(pattern, text)
            if found is None:
                raise StepFailed(f"{_filled(step.request, variables)}: nothing to capture as {name}")
            variables[name] = found.group(1)

    def _look(self, position: int, step: HttpStep, body: bytes) -> str:
        digest = hashlib.sha256(body).hexdigest()
        if not self.learn and self.baseline.get(str(position), digest) != digest:
            raise StepFailed(f"{step.request}: the answer differs from the one before the disruption")
        return digest


def _read(answer: urllib3.BaseHTTPResponse, until: float) -> bytes:
    """The answer's content, up to a limit. The connection's own time limit starts anew with each piece that comes."""
    content = b""
    while len(content) < LARGEST_ANSWER_BYTES:
        piece = answer.read1(LARGEST_ANSWER_BYTES - len(content))
        if not piece:
            break
        content += piece
        if time.monotonic() > until:
            raise TimeoutError("timed out")
    return content


def _filled(text: str, variables: dict[str, str]) -> str:
    return _VARIABLE.sub(lambda found: variables.get(found.group(1), found.group(0)), text)


def _reason(error: Exception) -> str:
    """A short reason without addresses of objects and nested class names."""
    cause = error.args[-1] if isinstance(error, urllib3.exceptions.MaxRetryError) and error.args else error
    text = str(cause)
    for known in ("timed out", "Connection refused", "No route to host", "Network is unreachable", "reset by peer"):
        if known in text:
            return known.lower()
    return type(error).__name__
