"""Citizens: a process that keeps submitting complaints, and writes down each one that was acknowledged.

What it has written is the ground truth for data loss: a complaint that a citizen was told is stored. A line has `id`,
`message_sha256` (of the message's UTF-8) and `acknowledged_at` (UTC, microseconds). After a recovery from a backup,
ids of lost complaints are given out again: the hash tells which complaint is meant.

It goes on through outages, one attempt at a time, each short; an attempt without an answer is not recorded.
"""

from __future__ import annotations

import argparse
import hashlib
import http.client
import itertools
import json
import os
import secrets
import time
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlencode

TIMEOUT_SECONDS = 1.0
ATTACHMENT_EVERY = 10


def compose(number: int) -> tuple[str, str, bytes]:
    """The message, content type and body of a citizen's complaint; every tenth has an attachment."""
    message = f"Pengaduan warga {secrets.token_hex(16)}"
    fields = {"name": "Warga Bogor", "subject": f"Pengaduan ke-{number}", "message": message}
    if number % ATTACHMENT_EVERY:
        return message, "application/x-www-form-urlencoded", urlencode(fields).encode()
    boundary = secrets.token_hex(16)
    parts = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{text}\r\n'.encode()
        for name, text in fields.items()
    ]
    head = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="foto-{number}.jpg"\r\n'
    head += "Content-Type: image/jpeg\r\n\r\n"
    parts += [head.encode(), os.urandom(1024 + secrets.randbelow(16 * 1024)), f"\r\n--{boundary}--\r\n".encode()]
    return message, f"multipart/form-data; boundary={boundary}", b"".join(parts)


def submit(address: str, port: int, number: int) -> dict[str, object] | None:
    """Submit one complaint; return what to record, or None when it was not acknowledged."""
    message, content_type, body = compose(number)
    connection = http.client.HTTPConnection(address, port, timeout=TIMEOUT_SECONDS)
    try:
        connection.request("POST", "/complaints", body, {"Content-Type": content_type})
        answer = connection.getresponse()
        content = answer.read()
        acknowledged_at = datetime.now(UTC)
        if answer.status != 201:
            return None
        return {
            "id": int(json.loads(content)["id"]),
            "message_sha256": hashlib.sha256(message.encode()).hexdigest(),
            "acknowledged_at": acknowledged_at.isoformat(timespec="microseconds"),
        }
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError):
        return None
    finally:
        connection.close()


def keep_submitting(address: str, port: int, record: Path, per_second: float) -> None:
    """Submit at a steady rate for ever. A slow answer delays the next complaint; missed ones are not made up for."""
    interval = 1 / per_second
    due = time.monotonic()
    with os.fdopen(os.open(record, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab", buffering=0) as lines:
        for number in itertools.count(1):
            time.sleep(max(0.0, due - time.monotonic()))
            due = max(due + interval, time.monotonic())
            acknowledged = submit(address, port, number)
            if acknowledged is not None:
                # One write per line, unbuffered: a kill leaves whole lines only.
                lines.write(json.dumps(acknowledged).encode() + b"\n")


def main() -> None:
    parser = argparse.ArgumentParser(description="keep submitting complaints and record the acknowledged ones")
    parser.add_argument("--address", required=True, help="IPv4 address of the service")
    parser.add_argument("--port", type=int, default=80)
    parser.add_argument("--record", type=Path, required=True, help="JSON lines file that is appended to")
    parser.add_argument("--rate", type=float, default=5.0, help="complaints per second")
    arguments = parser.parse_args()
    keep_submitting(arguments.address, arguments.port, arguments.record, arguments.rate)


if __name__ == "__main__":
    main()
