"""People who write in the services of the lab's city all the time, and what of it a service still has afterwards.

What a service acknowledged is the ground truth for data loss. In applications of the city (`drp.lab.applications.city`)
people add documents; in the demo's service the lab's own citizens write (`drp.lab.client`).
"""

from __future__ import annotations

import hashlib
import http.client
import json
import threading
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlencode

from drp.lab.applications import application_of
from drp.lab.applications.city import CityApplication
from drp.lab.plan import LabService

EVERY = timedelta(seconds=1)
TIMEOUT_SECONDS = 10.0


def people_write_in(service: LabService) -> bool:
    return isinstance(application_of(service), CityApplication)


def ask(service: LabService, method: str, path: str, form: Mapping[str, str] | None = None) -> tuple[int, bytes]:
    """Status and text of an answer; 0 where there is none."""
    headers = {"Host": service.name}
    if form is not None:
        headers["Content-Type"] = "application/x-www-form-urlencoded"
    with closing(http.client.HTTPConnection(service.address or "", 80, timeout=TIMEOUT_SECONDS)) as connection:
        try:
            connection.request(method, path, urlencode(form) if form else None, headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        except (OSError, http.client.HTTPException):
            return 0, b""


@dataclass(frozen=True)
class Written:
    """One thing that was acknowledged: where it is to be found, the SHA-256 of its text, and when."""

    path: str
    sha256: str
    at: datetime


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def still_there(service: LabService, written: Written) -> bool:
    """Whether users find it. Fails where the service gives no answer at all."""
    status, body = ask(service, "GET", written.path)
    assert status in (200, 404), f"{service.id}{written.path}: {status} {body[:200]!r}"
    if status == 404:
        return False
    content = json.loads(body)
    # After a recovery, numbers of lost complaints are given out again: the text tells.
    return _hash(content.get("content") or content.get("message") or "") == written.sha256


def lost_of(service: LabService, written: Iterable[Written]) -> list[Written]:
    """What a service no longer has, oldest first."""
    ordered = sorted(written, key=lambda item: item.at)
    with ThreadPoolExecutor(4) as pool:
        found = pool.map(lambda item: still_there(service, item), ordered)
    return [item for item, there in zip(ordered, found, strict=True) if not there]


def complaints_in(record: Path) -> list[Written]:
    """What the lab's citizens wrote down of the demo's service."""
    lines: list[dict[str, Any]] = [json.loads(line) for line in record.read_bytes().split(b"\n")[:-1]]
    return [
        Written(f"/complaints/{line['id']}", line["message_sha256"], datetime.fromisoformat(line["acknowledged_at"]))
        for line in lines
    ]


@dataclass
class People:
    """One thread for each service, which adds a document every second; begun with `with`, ended at its end."""

    services: Iterable[LabService]
    acknowledged: dict[str, list[Written]] = field(default_factory=dict)
    _ended: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def __enter__(self) -> Self:
        for service in self.services:
            self.acknowledged[service.id] = []
            self._threads.append(threading.Thread(target=self._write, args=(service,), daemon=True))
            self._threads[-1].start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def _write(self, service: LabService) -> None:
        number, due = 0, time.monotonic()
        while not self._ended.wait(max(0.0, due - time.monotonic())):
            number, due = number + 1, max(due + EVERY.total_seconds(), time.monotonic())
            path, text = f"/surat/{number}", f"Surat {number} untuk {service.id}, {time.time_ns()}"
            form = {"path": path, "title": f"Surat {number}", "content": text}
            if ask(service, "POST", "/api/dokumen", form)[0] == 201:
                self.acknowledged[service.id].append(Written(path, _hash(text), datetime.now(UTC)))
