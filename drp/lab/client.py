"""Citizens: one process that keeps writing to the services of a lab, and writes down each write that was acknowledged.

What it has written is the ground truth for data loss: what a citizen was told is stored. A line has `id` (what the
write is found by at its service), `message_sha256` (of the text's UTF-8) and `acknowledged_at` (UTC, microseconds).
After a recovery from a backup a service may give ids of lost writes out again: the hash tells which write is meant.

It goes on through outages, one attempt of each service at a time, each short; an attempt without an answer is not
recorded.
"""

from __future__ import annotations

import argparse
import hashlib
import http.client
import itertools
import json
import os
import random
import secrets
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlencode

TIMEOUT_SECONDS = 1.0


@dataclass(frozen=True)
class Citizens:
    """How an application is written to, and where what was written is read again.

    `request` (method and path), `fields`, `body` and `found_at` may hold {key}, what the write is called; {number},
    which counts the writes; and {text}, which is `phrase` and 32 random digits that are found in what is read at
    `found_at`. `fields` make a form, each `attachment_every`th with a file; without any, `body` is sent as it is.
    A write counts as stored when the answer has the status `stored` and holds `says`.
    `numbered`: the service itself names it, as `id` in its answer.
    """

    request: str
    found_at: str
    phrase: str
    fields: Mapping[str, str] = field(default_factory=dict)
    body: str = ""
    content_type: str = "text/plain; charset=utf-8"
    stored: int = 201
    says: str = ""
    numbered: bool = False
    attachment_every: int = 0
    per_second: float = 1 / 3


@dataclass(frozen=True)
class Writer:
    """The citizens of one service: where it is, the name that they know it by, and the JSON lines file `record`."""

    citizens: Citizens
    address: str
    host_name: str
    record: str
    port: int = 80


def compose(citizens: Citizens, number: int, key: str, text: str) -> tuple[str, str, str, bytes]:
    """Method, path, content type and body of a write."""
    values = {"number": number, "key": key, "text": text}
    method, path = citizens.request.format_map(values).split(" ", 1)
    fields = {name: value.format_map(values) for name, value in citizens.fields.items()}
    if not fields:
        return method, path, citizens.content_type, citizens.body.format_map(values).encode()
    if not citizens.attachment_every or number % citizens.attachment_every:
        return method, path, "application/x-www-form-urlencoded", urlencode(fields).encode()
    boundary = secrets.token_hex(16)
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in fields.items()
    ]
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="foto-{number}.jpg"\r\n'
    head += "Content-Type: image/jpeg\r\n\r\n"
    parts += [head.encode(), os.urandom(1024 + secrets.randbelow(16 * 1024)), f"\r\n--{boundary}--\r\n".encode()]
    return method, path, f"multipart/form-data; boundary={boundary}", b"".join(parts)


def submit(writer: Writer, number: int) -> dict[str, object] | None:
    """Write once; return what to record, or None when it was not acknowledged."""
    citizens = writer.citizens
    key, text = str(time.time_ns()), f"{citizens.phrase} {secrets.token_hex(16)}"
    method, path, content_type, body = compose(citizens, number, key, text)
    connection = http.client.HTTPConnection(writer.address, writer.port, timeout=TIMEOUT_SECONDS)
    try:
        connection.request(method, path, body, {"Content-Type": content_type, "Host": writer.host_name})
        answer = connection.getresponse()
        content = answer.read().decode()
        acknowledged_at = datetime.now(UTC)
        if answer.status != citizens.stored or citizens.says not in content:
            return None
        return {
            "id": int(json.loads(content)["id"]) if citizens.numbered else key,
            "message_sha256": hashlib.sha256(text.encode()).hexdigest(),
            "acknowledged_at": acknowledged_at.isoformat(timespec="microseconds"),
        }
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError):
        return None
    finally:
        connection.close()


def keep_submitting(writer: Writer) -> None:
    """Write at a steady rate for ever. A slow answer delays the next write; missed ones are not made up for."""
    interval = 1 / writer.citizens.per_second
    due = time.monotonic() + random.uniform(0, interval)  # noqa: S311 - so that not all services are used at once
    for number in itertools.count(1):
        time.sleep(max(0.0, due - time.monotonic()))
        due = max(due + interval, time.monotonic())
        acknowledged = submit(writer, number)
        if acknowledged is not None:
            # Opened anew: a service that was installed anew has a new record. One write per line, unbuffered: a kill
            # leaves whole lines only.
            handle = os.open(writer.record, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            with os.fdopen(handle, "ab", buffering=0) as lines:
                lines.write(json.dumps(acknowledged).encode() + b"\n")


def save(writers: list[Writer]) -> bytes:
    """What the process reads as its one argument's content."""
    return json.dumps([asdict(writer) for writer in writers], indent=1).encode()


def load(content: bytes) -> list[Writer]:
    return [Writer(**{**item, "citizens": Citizens(**item["citizens"])}) for item in json.loads(content)]


def main() -> None:
    parser = argparse.ArgumentParser(description="keep writing to services and record what was acknowledged")
    parser.add_argument("writers", type=Path, help="JSON file with the services to write to")
    threads = [
        threading.Thread(target=keep_submitting, args=[writer])
        for writer in load(parser.parse_args().writers.read_bytes())
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    main()
