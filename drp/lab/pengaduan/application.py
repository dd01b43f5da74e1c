# ruff: noqa: UP017 - runs on the hosts' own Python (3.9 and newer), which has no datetime.UTC
"""Layanan pengaduan masyarakat: citizens submit complaints, with a file if they like, and read them back.

    POST /complaints                  form fields name, subject, message; optionally a file → 201 {"id": …}
    GET  /complaints/N                one complaint as JSON, byte for byte the same as long as the row is
    GET  /complaints/N/attachment     its file
    GET  /complaints?since=N          complaints with an id above N, at most 1000
    GET  /health                      200 when database and file store can be used, 503 otherwise
    GET  /                            a page for people

201 is sent only after the row is committed, and the row is committed only after the file is on disk. Runs behind
nginx with the standard library and psycopg2; usage: pengaduan.py /etc/pengaduan/pengaduan.ini
"""

from __future__ import annotations

import configparser
import contextlib
import hashlib
import html
import json
import os
import queue
import re
import secrets
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from email.message import Message
from email.parser import BytesHeaderParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Dict, Optional, Tuple  # noqa: UP035 - type aliases are evaluated, also on Python 3.9
from urllib.parse import parse_qs, urlsplit

import psycopg2  # type: ignore[import-not-found,import-untyped,unused-ignore]

LIMITS = {"name": 200, "subject": 300, "message": 20_000}
LIST_LIMIT = 1000
COLUMNS = (
    "id, received_at, name, subject, message, attachment_name, attachment_bytes, attachment_sha256, attachment_file"
)

Row = Tuple[Any, ...]  # noqa: UP006
Upload = Tuple[str, bytes]  # noqa: UP006
"""File name as the citizen's browser sent it, content."""


class RefusedError(Exception):
    """A request that cannot be served: an HTTP status and the reason for the citizen."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


@dataclass(frozen=True)
class Settings:
    listen: str
    port: int
    database: str
    uploads: Path
    largest_request_bytes: int

    @staticmethod
    def read(path: str) -> Settings:
        parser = configparser.ConfigParser(interpolation=None)
        with open(path, encoding="utf-8") as handle:
            parser.read_file(handle)
        section = parser["pengaduan"]
        return Settings(
            section["listen"],
            int(section["port"]),
            section["database"],
            Path(section["uploads"]),
            int(section["largest_request_bytes"]),
        )


class Database:
    """Connections to PostgreSQL, checked before use: after the server was restarted the next request gets a new one."""

    def __init__(self, name: str, size: int = 8) -> None:
        self._name = name
        self._idle: queue.LifoQueue[Any] = queue.LifoQueue(size)
        self._permits = threading.BoundedSemaphore(size)

    def _connect(self) -> Any:
        with contextlib.suppress(queue.Empty):
            while True:
                connection = self._idle.get_nowait()
                try:
                    with connection.cursor() as cursor:
                        cursor.execute("SELECT 1")
                    connection.rollback()
                    return connection
                except psycopg2.Error:
                    connection.close()
        return psycopg2.connect(self._name, connect_timeout=3, options="-c statement_timeout=10000 -c timezone=UTC")

    @contextlib.contextmanager
    def transaction(self) -> Iterator[Any]:
        """A cursor whose work is committed at the end. Raises RefusedError(503) when the database cannot be used;
        whether an interrupted commit happened is then unknown, and the citizen is not told that it did."""
        if not self._permits.acquire(timeout=10):
            raise RefusedError(503, "basis data sedang sibuk")
        connection = None
        try:
            connection = self._connect()
            with connection.cursor() as cursor:
                yield cursor
            connection.commit()
            self._idle.put_nowait(connection)
            connection = None
        except psycopg2.Error as fault:
            sys.stderr.write(f"database: {fault}\n")
            raise RefusedError(503, "basis data tidak dapat digunakan") from fault
        finally:
            if connection is not None:
                connection.close()
            self._permits.release()


def store_upload(uploads: Path, content: bytes) -> str:
    """Write a file and wait until it is on disk; return its name in the store."""
    name = secrets.token_hex(16)
    new = uploads / f".{name}"
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640), "wb") as handle:
        handle.write(content)
        handle.flush()
        os.fsync(handle.fileno())
    new.rename(uploads / name)
    directory = os.open(uploads, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
    return name


def add_complaint(database: Database, uploads: Path, fields: dict[str, str], upload: Upload | None) -> Row:
    """Store a complaint durably and return its row. Raises RefusedError when database or disk cannot take it."""
    attachment: tuple[Any, ...] = (None, None, None, None)
    if upload is not None:
        name, content = upload
        try:
            stored = store_upload(uploads, content)
        except OSError as fault:
            sys.stderr.write(f"uploads: {fault}\n")
            raise RefusedError(503, "berkas tidak dapat disimpan") from fault
        attachment = (name, len(content), hashlib.sha256(content).hexdigest(), stored)
    with database.transaction() as cursor:
        cursor.execute(
            "INSERT INTO complaints (name, subject, message,"
            " attachment_name, attachment_bytes, attachment_sha256, attachment_file)"
            f" VALUES (%s, %s, %s, %s, %s, %s, %s) RETURNING {COLUMNS}",
            (fields["name"], fields["subject"], fields["message"], *attachment),
        )
        row: Row = cursor.fetchone()
    return row


def as_json(row: Row) -> dict[str, Any]:
    """A complaint as it is published; the order of the keys is part of the promise."""
    number, received_at, name, subject, message, file_name, size, digest, _ = row
    attachment = None
    if file_name is not None:
        url = f"/complaints/{number}/attachment"
        attachment = {"name": file_name, "bytes": size, "sha256": digest, "url": url}
    return {
        "id": number,
        "received_at": received_at.astimezone(timezone.utc).isoformat(timespec="microseconds"),
        "name": name,
        "subject": subject,
        "message": message,
        "attachment": attachment,
    }


def encode(data: object) -> bytes:
    return (json.dumps(data, ensure_ascii=False) + "\n").encode()


def parse_form(content_type: str, body: bytes) -> tuple[dict[str, str], Upload | None]:
    """Fields and file of a submitted form, in either of HTML's encodings. Raises RefusedError(400)."""
    header = Message()
    header["Content-Type"] = content_type
    try:
        if header.get_content_type() == "application/x-www-form-urlencoded":
            pairs = parse_qs(body.decode("ascii"), keep_blank_values=True, strict_parsing=True, errors="strict")
            return check_fields({name: values[-1] for name, values in pairs.items()}), None
        boundary = header.get_param("boundary")
        if header.get_content_type() != "multipart/form-data" or not isinstance(boundary, str):
            raise RefusedError(415, "kirim formulir (multipart/form-data atau application/x-www-form-urlencoded)")
        fields, upload = _parse_multipart(boundary.encode(), body)
        return check_fields(fields), upload
    except (UnicodeError, ValueError):
        raise RefusedError(400, "formulir tidak dapat dibaca") from None


def _parse_multipart(boundary: bytes, body: bytes) -> tuple[dict[str, str], Upload | None]:
    fields: dict[str, str] = {}
    upload: Upload | None = None
    pieces = (b"\r\n" + body).split(b"\r\n--" + boundary)
    if len(pieces) < 2 or not pieces[-1].startswith(b"--"):
        raise ValueError("cut off")
    for piece in pieces[1:-1]:
        head, separator, content = piece.lstrip(b" \t").partition(b"\r\n\r\n")
        if not separator:
            raise ValueError("a part without a header")
        header = BytesHeaderParser().parsebytes(head.lstrip(b"\r\n") + b"\r\n\r\n")
        name = header.get_param("name", header="content-disposition")
        file_name = header.get_filename()
        if file_name:
            upload = (re.sub(r"[^\w. -]", "_", file_name)[-200:], content)
        elif isinstance(name, str) and file_name is None:
            fields[name] = content.decode("utf-8")
    return fields, upload


def check_fields(fields: dict[str, str]) -> dict[str, str]:
    checked = {}
    for name, limit in LIMITS.items():
        text = fields.get(name, "").strip()
        if not text or len(text) > limit or "\0" in text:
            raise RefusedError(400, f"isian '{name}' wajib, paling banyak {limit} huruf")
        checked[name] = text
    return checked


PAGE = """<!DOCTYPE html>
<html lang="id"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Layanan Pengaduan Masyarakat</title>
<style>body{font:1rem/1.5 sans-serif;max-width:44rem;margin:2rem auto;padding:0 1rem}label{display:block;margin:.5rem 0}
input,textarea{width:100%;box-sizing:border-box;font:inherit}</style></head>
<body><h1>Layanan Pengaduan Masyarakat</h1>
<form method="post" action="/complaints" enctype="multipart/form-data">
<label>Nama <input name="name" required maxlength="200"></label>
<label>Perihal <input name="subject" required maxlength="300"></label>
<label>Isi pengaduan <textarea name="message" rows="6" required maxlength="20000"></textarea></label>
<label>Lampiran (boleh kosong) <input type="file" name="file"></label>
<button>Kirim pengaduan</button></form>
<h2>Pengaduan terbaru</h2><ul>
{complaints}</ul></body></html>
"""


class Handler(BaseHTTPRequestHandler):
    """One request. `settings` and `database` are set on the class by `serve`."""

    settings: Settings
    database: Database
    server_version = "pengaduan"
    protocol_version = "HTTP/1.1"
    timeout = 30

    def do_GET(self) -> None:
        self._answer(self._get)

    def do_POST(self) -> None:
        self._answer(self._post)

    def _answer(self, work: Any) -> None:
        try:
            status, content_type, body = work()
        except RefusedError as refused:
            status, content_type, body = refused.status, "application/json", encode({"error": refused.reason})
        except (TimeoutError, ConnectionError):
            self.close_connection = True
            return
        except Exception:
            # A fault of the program: its trace goes to the log, and the citizen gets an answer.
            sys.stderr.write(traceback.format_exc())
            status, content_type, body = 500, "application/json", encode({"error": "kesalahan dalam program"})
        if status >= 400:
            # The rest of a refused request may still be on its way, and is not the next request.
            self.close_connection = True
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def _get(self) -> tuple[int, str, bytes]:
        url = urlsplit(self.path)
        if url.path == "/health":
            return self._health()
        if url.path == "/":
            return self._page()
        if url.path == "/complaints":
            return self._list(parse_qs(url.query))
        found = re.fullmatch(r"/complaints/([0-9]{1,18})(/attachment)?", url.path)
        if found is None:
            raise RefusedError(404, "tidak ada halaman ini")
        with self.database.transaction() as cursor:
            cursor.execute(f"SELECT {COLUMNS} FROM complaints WHERE id = %s", (int(found[1]),))
            row: Optional[Row] = cursor.fetchone()  # noqa: UP045
        if row is None or (found[2] and row[8] is None):
            raise RefusedError(404, "tidak ada pengaduan atau lampiran ini")
        if found[2] is None:
            return 200, "application/json", encode(as_json(row))
        try:
            return 200, "application/octet-stream", (self.settings.uploads / row[8]).read_bytes()
        except OSError as fault:
            sys.stderr.write(f"uploads: {fault}\n")
            raise RefusedError(500, "lampiran tidak dapat dibaca") from fault

    def _health(self) -> tuple[int, str, bytes]:
        with self.database.transaction() as cursor:
            cursor.execute("SELECT count(*) FROM (SELECT 1 FROM complaints LIMIT 1) AS one")
        if not os.access(self.settings.uploads, os.W_OK | os.X_OK):
            raise RefusedError(503, "tempat lampiran tidak dapat ditulisi")
        return 200, "application/json", encode({"status": "ok"})

    def _list(self, query: Dict[str, Any]) -> tuple[int, str, bytes]:  # noqa: UP006
        since = query.get("since", ["0"])[-1]
        if not re.fullmatch(r"[0-9]{1,18}", since):
            raise RefusedError(400, "since harus angka")
        with self.database.transaction() as cursor:
            command = f"SELECT {COLUMNS} FROM complaints WHERE id > %s ORDER BY id LIMIT %s"
            cursor.execute(command, (int(since), LIST_LIMIT))
            rows = cursor.fetchall()
        return 200, "application/json", encode({"complaints": [as_json(row) for row in rows]})

    def _page(self) -> tuple[int, str, bytes]:
        with self.database.transaction() as cursor:
            cursor.execute("SELECT id, received_at, subject FROM complaints ORDER BY id DESC LIMIT 10")
            rows = cursor.fetchall()
        items = [
            f'<li><a href="/complaints/{number}">{html.escape(subject)}</a> ({received_at:%Y-%m-%d %H:%M} UTC)</li>\n'
            for number, received_at, subject in rows
        ]
        return 200, "text/html; charset=utf-8", PAGE.replace("{complaints}", "".join(items)).encode()

    def _post(self) -> tuple[int, str, bytes]:
        if urlsplit(self.path).path != "/complaints":
            raise RefusedError(404, "tidak ada halaman ini")
        length = self.headers.get("Content-Length", "")
        if not re.fullmatch(r"[0-9]{1,12}", length):
            raise RefusedError(411, "Content-Length wajib")
        if int(length) > self.settings.largest_request_bytes:
            raise RefusedError(413, f"paling banyak {self.settings.largest_request_bytes} byte")
        body = self.rfile.read(int(length))
        if len(body) != int(length):
            raise RefusedError(400, "formulir terpotong")
        fields, upload = parse_form(self.headers.get("Content-Type", ""), body)
        stored = as_json(add_complaint(self.database, self.settings.uploads, fields, upload))
        return 201, "application/json", encode({name: stored[name] for name in ("id", "received_at", "message")})

    def log_message(self, format: str, *arguments: object) -> None:
        stamp = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
        sys.stderr.write(f"{stamp} {self.address_string()} {format % arguments}\n")


class Server(ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = True


def tell_service_manager() -> None:
    """Say READY to whoever started this with sd_notify's protocol: systemd, or start-stop-daemon --notify-await."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notification:
        notification.connect("\0" + address[1:] if address.startswith("@") else address)
        notification.sendall(b"READY=1")


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit("usage: pengaduan.py /etc/pengaduan/pengaduan.ini")
    settings = Settings.read(sys.argv[1])
    Handler.settings = settings
    Handler.database = Database(settings.database)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with Server((settings.listen, settings.port), Handler) as server:
        tell_service_manager()
        server.serve_forever()


if __name__ == "__main__":
    main()
