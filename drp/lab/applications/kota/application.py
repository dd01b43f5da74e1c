# ruff: noqa: UP017 - runs on the hosts' own Python (3.9 and newer), which has no datetime.UTC
"""An application of a city: documents with a file each, in a database (PostgreSQL or MariaDB) and a folder of its own.

    GET  /                 a page for people: the newest documents, and what the services say that this one needs
    GET  /PATH             one document as JSON, byte for byte the same as long as row and file are
    GET  /api/ringkasan    how many documents there are and the time of the newest: what other services ask for
    POST /api/dokumen      form fields path, title, content → 201, once row and file are on disk

The front page is not well (503) where a service that this one needs does not answer. Runs behind nginx with the
standard library and psycopg2 or pymysql; usage: kota.py SETTINGS [--fill DATABASE COUNT LARGEST PATH…]
"""

from __future__ import annotations

import base64
import configparser
import contextlib
import hashlib
import html
import http.client
import importlib
import json
import os
import random
import re
import secrets
import signal
import socket
import sys
import traceback
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Empty, LifoQueue
from typing import Any, Dict, Tuple  # noqa: UP035 - type aliases are evaluated, also on Python 3.9
from urllib.parse import parse_qs, urlsplit

NEEDED_SECONDS = 2.0
LARGEST_REQUEST_BYTES = 4 * 1024 * 1024
# The account of the operating system is the database's: there is no password. Times are in UTC.
POSTGRESQL: Dict[str, Any] = {  # noqa: UP006
    "module": "psycopg2",
    "connect": {
        "host": "/var/run/postgresql",
        "connect_timeout": 3,
        "options": "-c statement_timeout=5000 -c timezone=UTC",
    },
    "schema": [
        """CREATE TABLE documents (path text PRIMARY KEY, title text NOT NULL, content text NOT NULL,
        changed_at timestamptz NOT NULL, file text NOT NULL, file_sha256 text NOT NULL)""",
        "CREATE INDEX documents_changed_at ON documents (changed_at)",
    ],
}
MARIADB: Dict[str, Any] = {  # noqa: UP006
    "module": "pymysql",
    "connect": {
        "unix_socket": "/run/mysqld/mysqld.sock",
        "charset": "utf8mb4",
        "connect_timeout": 3,
        "read_timeout": 5,
        "write_timeout": 5,
    },
    "schema": [
        """CREATE TABLE documents (path varchar(250) PRIMARY KEY, title text NOT NULL, content mediumtext NOT NULL,
        changed_at datetime(6) NOT NULL, file text NOT NULL, file_sha256 text NOT NULL,
        KEY documents_changed_at (changed_at)) ENGINE = InnoDB""",
    ],
}
SERVERS = {"postgresql": POSTGRESQL, "mariadb": MARIADB}
Answer = Tuple[int, str, bytes]  # noqa: UP006


class RefusedError(Exception):
    """A request that cannot be served: an HTTP status and the reason."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status, self.reason = status, reason


class Store:
    """The documents. Connections are checked before use: after a restart of the server the next request gets a new
    one."""

    def __init__(self, server: str, account: str, database: str, folder: Path) -> None:
        self.server, self.folder = SERVERS[server], folder
        self.module = importlib.import_module(self.server["module"])
        self.login = {"user": account, "database": database}
        self._idle: LifoQueue[Any] = LifoQueue(2)

    def _connect(self) -> Any:
        with contextlib.suppress(Empty):
            while True:
                connection = self._idle.get_nowait()
                try:
                    with connection.cursor() as cursor:
                        cursor.execute("SELECT 1")
                    connection.rollback()
                    return connection
                except self.module.Error:
                    with contextlib.suppress(self.module.Error):
                        connection.close()
        return self.module.connect(**self.login, **self.server["connect"])

    @contextlib.contextmanager
    def transaction(self) -> Iterator[Any]:
        """A cursor whose work is committed at the end. RefusedError(503) where the database cannot be used."""
        connection = None
        try:
            connection = self._connect()
            with connection.cursor() as cursor:
                yield cursor
            connection.commit()
            if not self._idle.full():
                self._idle.put_nowait(connection)
                connection = None
        except self.module.Error as fault:
            sys.stderr.write(f"database: {fault}\n")
            raise RefusedError(503, "basis data tidak dapat digunakan") from fault
        finally:
            if connection is not None:
                with contextlib.suppress(self.module.Error):
                    connection.close()

    def add(self, cursor: Any, path: str, title: str, content: str, data: bytes, at: datetime) -> None:
        """Write a document's file, then its row."""
        name = secrets.token_hex(16)
        handle = os.open(self.folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640)
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        cursor.execute(
            "INSERT INTO documents (path, title, content, changed_at, file, file_sha256)"
            " VALUES (%s, %s, %s, %s, %s, %s)",
            (path, title, content, at, name, hashlib.sha256(data).hexdigest()),
        )

    def read(self, path: str) -> Dict[str, Any]:  # noqa: UP006
        """A document with what its file really holds."""
        with self.transaction() as cursor:
            cursor.execute(
                "SELECT title, content, changed_at, file, file_sha256 FROM documents WHERE path = %s", (path,)
            )
            row = cursor.fetchone()
        if row is None:
            raise RefusedError(404, "tidak ada dokumen ini")
        title, content, changed_at, file, expected = row
        try:
            data = (self.folder / file).read_bytes()
        except OSError as fault:
            raise RefusedError(500, "berkas dokumen ini hilang") from fault
        if hashlib.sha256(data).hexdigest() != expected:
            raise RefusedError(500, "berkas dokumen ini rusak")
        return {
            "path": path,
            "title": title,
            "content": content,
            "changed_at": in_utc(changed_at),
            "file": {"bytes": len(data), "sha256": expected},
        }

    def newest(self, count: int) -> list[tuple[str, str]]:
        with self.transaction() as cursor:
            cursor.execute("SELECT path, title FROM documents ORDER BY changed_at DESC, path LIMIT %s", (count,))
            return [(path, title) for path, title in cursor.fetchall()]

    def summary(self) -> Dict[str, Any]:  # noqa: UP006
        with self.transaction() as cursor:
            cursor.execute("SELECT count(*), max(changed_at) FROM documents")
            count, newest = cursor.fetchone()
        if not os.access(self.folder, os.W_OK | os.X_OK):
            raise RefusedError(503, "tempat berkas tidak dapat ditulisi")
        return {"documents": count, "newest": newest and in_utc(newest)}


def in_utc(moment: datetime) -> str:
    """A time as the database gave it: with its zone, or without one and in UTC."""
    aware = moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
    return aware.astimezone(timezone.utc).isoformat(timespec="microseconds")


def ask(name: str, url: str) -> str:
    """What a service that this one needs says of itself. RefusedError(503) where it does not answer well."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port or 80, timeout=NEEDED_SECONDS)
    try:
        login = f"{parts.username}:{parts.password}".encode() if parts.username else b""
        headers = {"Authorization": f"Basic {base64.b64encode(login).decode()}"} if login else {}
        connection.request("GET", parts.path or "/", headers=headers)
        answer = connection.getresponse()
        said = answer.read(4096).decode("utf-8", "replace")
        if answer.status != 200:
            raise RefusedError(503, f"layanan {name} menjawab {answer.status}")
        return " ".join(re.sub(r"<[^>]*>", " ", said).split())[:120]
    except (OSError, http.client.HTTPException) as fault:
        raise RefusedError(503, f"layanan {name} tidak menjawab: {fault}") from fault
    finally:
        connection.close()


def encode(data: object) -> bytes:
    return (json.dumps(data, ensure_ascii=False) + "\n").encode()


class Handler(BaseHTTPRequestHandler):
    store: Store
    front: Path
    needs: Dict[str, str]  # noqa: UP006

    protocol_version = "HTTP/1.1"
    server_version = "kota"
    timeout = 30

    def do_GET(self) -> None:
        self._answer(self._get)

    def do_POST(self) -> None:
        self._answer(self._post)

    def _answer(self, act: Any) -> None:
        try:
            status, content_type, body = act()
        except RefusedError as refused:
            status, content_type, body = refused.status, "application/json", encode({"error": refused.reason})
        except Exception:
            # A fault of the program: its trace goes to the log, and the user gets an answer.
            sys.stderr.write(traceback.format_exc())
            status, content_type, body = 500, "application/json", encode({"error": "kesalahan dalam program"})
        self.close_connection = self.close_connection or status >= 400
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        with contextlib.suppress(ConnectionError):
            self.wfile.write(body)

    def _get(self) -> Answer:
        path = urlsplit(self.path).path
        if path == "/":
            return 200, "text/html; charset=utf-8", self._page().encode()
        if path == "/api/ringkasan":
            return 200, "application/json", encode(self.store.summary())
        return 200, "application/json", encode(self.store.read(path))

    def _page(self) -> str:
        documents = "".join(
            f'<li><a href="{html.escape(path)}">{html.escape(title)}</a></li>\n'
            for path, title in self.store.newest(10)
        )
        needs = "".join(
            f"<li>{html.escape(name)}: {html.escape(ask(name, url))}</li>\n" for name, url in self.needs.items()
        )
        page = self.front.read_text(encoding="utf-8")
        return page.replace("{documents}", documents).replace("{needs}", needs)

    def _post(self) -> Answer:
        if urlsplit(self.path).path != "/api/dokumen":
            raise RefusedError(404, "tidak ada halaman ini")
        length = self.headers.get("Content-Length", "")
        if not re.fullmatch(r"[0-9]{1,9}", length) or int(length) > LARGEST_REQUEST_BYTES:
            raise RefusedError(413, f"paling banyak {LARGEST_REQUEST_BYTES} byte")
        fields = {name: values[-1] for name, values in parse_qs(self.rfile.read(int(length)).decode()).items()}
        path, title, content = (fields.get(name, "") for name in ("path", "title", "content"))
        if not re.fullmatch(r"/[a-z0-9/-]{1,200}", path) or not title or not content:
            raise RefusedError(400, "path, title dan content wajib")
        with self.store.transaction() as cursor:
            self.store.add(cursor, path, title, content, content.encode(), datetime.now(timezone.utc))
        return 201, "application/json", encode(self.store.read(path))

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


def fill(store: Store, count: int, largest: int, paths: list[str]) -> None:
    """A new database gets its tables and documents: those that users look for, and others of the last 90 days."""
    chance, now = random.SystemRandom(), datetime.now(timezone.utc)
    wanted = [*dict.fromkeys(paths), *(f"/arsip/{number}" for number in range(1, count + 1))]
    with store.transaction() as cursor:
        for statement in store.server["schema"]:
            cursor.execute(statement)
        for path in wanted:
            at = now - timedelta(seconds=chance.uniform(60, 90 * 86400))
            text = f"Isi dokumen {path}, kode {secrets.token_hex(24)}"
            data = os.urandom(chance.randrange(1024, largest))
            store.add(cursor, path, f"Dokumen {path.strip('/')}", text, data, at)


def main() -> None:
    if len(sys.argv) < 2:
        sys.exit("usage: kota.py SETTINGS [--fill DATABASE COUNT LARGEST PATH…]")
    settings = configparser.ConfigParser(interpolation=None)
    with open(sys.argv[1], encoding="utf-8") as handle:
        settings.read_file(handle)
    service = settings["service"]
    filled = sys.argv[3] if sys.argv[2:3] == ["--fill"] else None
    store = Store(service["server"], service["account"], filled or service["database"], Path(service["files"]))
    if filled:
        fill(store, int(sys.argv[4]), int(sys.argv[5]), sys.argv[6:])
        return
    Handler.store = store
    Handler.front = Path(service["front"])
    Handler.needs = dict(settings["needs"])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with Server((service["listen"], int(service["port"])), Handler) as server:
        tell_service_manager()
        server.serve_forever()


if __name__ == "__main__":
    main()
