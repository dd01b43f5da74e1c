"""Files that are there whole or not at all, and the pipe that their bytes come through."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from drp.adapters.data_files import IncomingPipe, WholeFile
from drp.errors import DrpError, UsageError


@pytest.fixture(params=["without a name", "with a temporary name"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some file systems know no files without a name."""
    if request.param == "with a temporary name":
        real = os.open

        def refuse(path: str, flags: int, mode: int = 0o777) -> int:
            if flags & os.O_TMPFILE == os.O_TMPFILE:
                raise OSError(95, "Operation not supported")
            return real(path, flags, mode)

        monkeypatch.setattr("drp.adapters.data_files.os.open", refuse)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith(".drp-"))


@pytest.mark.usefixtures("way")
def test_a_file_has_its_name_only_once_it_is_whole(tmp_path: Path) -> None:
    file = WholeFile(tmp_path / "photo.jpg")
    file.write(b"half")
    assert names(tmp_path) == []
    file.write(b" and half")
    file.commit()
    file.discard()
    assert [path.name for path in tmp_path.iterdir()] == ["photo.jpg"]
    assert (tmp_path / "photo.jpg").read_bytes() == b"half and half"
    assert (tmp_path / "photo.jpg").stat().st_mode & 0o777 == 0o600


@pytest.mark.usefixtures("way")
def test_nothing_is_left_of_one_that_was_discarded(tmp_path: Path) -> None:
    file = WholeFile(tmp_path / "photo.jpg")
    file.write(b"half")
    file.discard()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("way")
def test_what_is_there_is_never_overwritten(tmp_path: Path) -> None:
    late = WholeFile(tmp_path / "photo.jpg")
    late.write(b"new")
    (tmp_path / "photo.jpg").write_bytes(b"old")
    with pytest.raises(UsageError, match="there already"):
        late.commit()
    late.discard()
    with pytest.raises(UsageError, match="there already"):
        WholeFile(tmp_path / "photo.jpg")
    (tmp_path / "dangling").symlink_to("nowhere")
    with pytest.raises(UsageError, match="there already"):
        WholeFile(tmp_path / "dangling")
    assert (tmp_path / "photo.jpg").read_bytes() == b"old"
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["dangling", "photo.jpg"]


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(DrpError, match="no file can be made there"):
        WholeFile(tmp_path / "missing" / "x")


def test_a_full_disk_is_told() -> None:
    file = WholeFile.__new__(WholeFile)
    file.path, file._number = Path("/x"), os.open("/dev/full", os.O_WRONLY)
    try:
        with pytest.raises(DrpError, match="No space left"):
            file.write(b"x")
    finally:
        os.close(file._number)


def test_all_bytes_come_through_the_pipe_and_nothing_is_left_of_it(tmp_path: Path) -> None:
    pipe = IncomingPipe(tmp_path / "data")
    assert pipe.read(0) == b""
    content = os.urandom(3_000_000)
    writer = threading.Thread(target=lambda: (tmp_path / "data").write_bytes(content))
    writer.start()
    found = b""
    while len(found) < len(content):
        found += pipe.read(5)
    writer.join()
    assert found == content
    assert pipe.read(0.01) == b""
    pipe.close()
    assert list(tmp_path.iterdir()) == []
