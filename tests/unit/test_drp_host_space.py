"""A backup looks for room on its host before anything is begun, and for the DR centre's certificate."""

from __future__ import annotations

import os
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from drp.lab.credentials import _issue
from tests.fakes.host_driver import load

space, repository = load("space"), load("repository")
MB = 10**6


@contextmanager
def free(monkeypatch: pytest.MonkeyPatch, **by_folder: int) -> Iterator[None]:
    """Each of these folders is a file system of its own with so many bytes free."""

    def looked(path: str) -> tuple[int, int]:
        name = next(name for name in by_folder if f"/{name}" in path)
        return list(by_folder).index(name), by_folder[name]

    with monkeypatch.context() as patch:
        patch.setattr(space, "free_at", looked)
        yield


def host(folder: Path, *, remote: bool = False, size: int = 0, **job: Any) -> Any:
    """A host with an SQLite database of this size, which needs a copy beside it."""
    database = folder / "data" / "app.db"
    database.parent.mkdir(exist_ok=True)
    with database.open("wb") as file:
        file.truncate(size)
    part = {"name": "database", "stages": [str(database), f"{database}-wal"]}
    datasets = [{"id": "app", "parts": [part, {"name": "attributes"}]}]
    environment = {"RESTIC_CACHE_DIR": "/cache/drp"}
    return SimpleNamespace(job={"datasets": datasets, **job}, remote=remote, restic_environment=environment)


@pytest.mark.parametrize(
    ("tmp", "cache", "data", "says"),
    [
        (200 * MB, 200 * MB, 200 * MB, ""),
        (100 * MB, 200 * MB, 200 * MB, "/tmp for restic's temporary packs: 100.7 MB needed, 100.0 MB free"),
        (200 * MB, 10 * MB, 200 * MB, "/cache/drp for restic's cache: 16.8 MB needed, 10.0 MB free"),
        (200 * MB, 200 * MB, 49 * MB, "for a copy for dataset app: 50.0 MB needed, 49.0 MB free"),
    ],
)
def test_what_is_missing_where_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tmp: int, cache: int, data: int, says: str
) -> None:
    here = host(tmp_path, size=50 * MB, expected_bytes=10**10)
    with free(monkeypatch, cache=cache, data=data, tmp=tmp):
        if not says:
            space.check_space(here)
            return
        with pytest.raises(load("trouble").Trouble) as caught:
            space.check_space(here)
    assert caught.value.kind == "little_space"
    assert says in caught.value.text


def test_what_shares_a_file_system_needs_room_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = host(tmp_path, size=50 * MB, expected_bytes=10**10)
    monkeypatch.setattr(space, "free_at", lambda _path: (1, 167 * MB))
    with pytest.raises(load("trouble").Trouble, match=r"167\.4 MB needed, 167\.0 MB free"):
        space.check_space(here)
    monkeypatch.setattr(space, "free_at", lambda _path: (1, 168 * MB))
    space.check_space(here)


@pytest.mark.parametrize(("expected", "needed"), [(MB, MB), (None, 33 * MB + 554_432), (10**12, 100_663_296)])
def test_small_data_needs_little_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, expected: int | None, needed: int
) -> None:
    with free(monkeypatch, cache=10**9, data=10**9, tmp=needed):
        space.check_space(host(tmp_path, expected_bytes=expected))
    with free(monkeypatch, cache=10**9, data=10**9, tmp=needed - 1), pytest.raises(load("trouble").Trouble):
        space.check_space(host(tmp_path, expected_bytes=expected))


def test_another_hosts_data_needs_no_room_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with free(monkeypatch, cache=10**9, data=0, tmp=10**9):
        space.check_space(host(tmp_path, remote=True, size=MB))


def test_a_folder_that_is_not_there_yet_is_looked_for_above(tmp_path: Path) -> None:
    disk = os.statvfs(tmp_path)
    device, found = space.free_at(str(tmp_path / "a" / "b"))
    assert device == os.stat(tmp_path).st_dev
    assert abs(found - disk.f_bavail * disk.f_frsize) < 10**9


# -- the DR centre's certificate -------------------------------------------------------------------------------------


@contextmanager
def tls_server(folder: Path) -> Iterator[tuple[int, str]]:
    """A server on loopback with a certificate for it; its port, and its authority."""
    authority, certificate, key = _issue("127.0.0.1")
    (folder / "server.pem").write_text(certificate)
    (folder / "key.pem").write_text(key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem", folder / "key.pem")
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            while True:
                try:
                    peer, _ = listening.accept()
                except OSError:
                    return
                with peer, suppress(OSError), context.wrap_socket(peer, server_side=True) as wrapped:
                    wrapped.recv(1)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listening.getsockname()[1], authority
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join(10)


def test_a_certificate_that_may_not_be_trusted_is_found_before_anything_is_dumped(tmp_path: Path) -> None:
    with tls_server(tmp_path) as (port, authority):
        url = f"s3:https://127.0.0.1:{port}/bucket/s/host"
        repository.reach_dr_centre(url, authority, 5)
        for wrong, address in ((_issue("127.0.0.1")[0], url), (authority, url.replace("127.0.0.1", "localhost"))):
            with pytest.raises(load("trouble").Trouble) as caught:
                repository.reach_dr_centre(address, wrong, 5)
            assert caught.value.kind == "certificate"
    with pytest.raises(load("trouble").Trouble) as caught:
        repository.reach_dr_centre(url, authority, 5)
    assert caught.value.kind == "unreachable"
