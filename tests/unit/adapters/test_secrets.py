"""Secrets come from where the workspace says, and no error ever holds one."""

from __future__ import annotations

import sys
import traceback
from pathlib import Path
from typing import Any

import pytest

from drp.adapters import secrets as module
from drp.adapters.secrets import WorkspaceSecrets
from drp.domain.secret import SecretReference
from drp.errors import DrpError

VALUE = "kata-rahasia-9431"


def secret_file(path: Path, content: bytes, mode: int = 0o600) -> None:
    path.write_bytes(content)
    path.chmod(mode)


def read(folder: Path, **reference: Any) -> str:
    return WorkspaceSecrets(folder).read(SecretReference(**reference), "S3 key")


def error(folder: Path, **reference: Any) -> str:
    """The whole text of the error, as far as any handler could print it; it must not hold the secret."""
    with pytest.raises(DrpError) as caught:
        read(folder, **reference)
    text = "".join(traceback.format_exception(caught.value)) + repr(caught.value) + caught.value.hint
    assert VALUE not in text
    assert str(caught.value).count("S3 key") == 1
    assert caught.value.hint
    return str(caught.value)


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_each_source_gives_the_secret_without_its_line_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    secret_file(tmp_path / "key", (VALUE + end).encode())
    monkeypatch.setenv("DRP_TEST_KEY", VALUE + end)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    print_it = (sys.executable, "-c", f"import sys; sys.stdout.write({VALUE + end!r})")
    assert read(tmp_path, file="key") == VALUE
    assert read(tmp_path, file=str(tmp_path / "key")) == VALUE
    assert read(tmp_path, env="DRP_TEST_KEY") == VALUE
    assert read(tmp_path, credential="key") == VALUE
    assert read(tmp_path, command=print_it) == VALUE


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o666])
def test_a_file_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    secret_file(tmp_path / "key", VALUE.encode(), mode)
    assert "others may read the file" in error(tmp_path, file="key")


@pytest.mark.parametrize("content", [b"", b"\n", b"\r\n\n"])
def test_an_empty_secret_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    secret_file(tmp_path / "key", content)
    monkeypatch.setenv("DRP_TEST_KEY", "")
    assert "is empty" in error(tmp_path, file="key")
    assert "is empty or not set" in error(tmp_path, env="DRP_TEST_KEY")
    assert "is empty" in error(tmp_path, command=("true",))


def test_what_is_not_there_is_told_by_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    assert str(tmp_path / "gone") in error(tmp_path, file="gone")
    assert "NOT_SET_HERE" in error(tmp_path, env="NOT_SET_HERE")
    assert "no systemd credentials" in error(tmp_path, credential="key")
    assert "/no/such/program failed: FileNotFoundError" in error(tmp_path, command=("/no/such/program",))


def test_a_file_that_is_no_text_is_refused_without_a_word_of_it(tmp_path: Path) -> None:
    secret_file(tmp_path / "key", VALUE.encode() + b"\xff")
    assert "not UTF-8" in error(tmp_path, file="key")


def test_a_failing_command_is_told_without_its_arguments_and_output(tmp_path: Path) -> None:
    program = f"import sys; print({VALUE!r}); print({VALUE!r}, file=sys.stderr); sys.exit(3)"
    assert "ended with 3" in error(tmp_path, command=(sys.executable, "-c", program))


def test_a_command_that_hangs_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "COMMAND_LIMIT_SECONDS", 0.2)
    program = f"print({VALUE!r}, flush=True); import signal; signal.pause()"
    assert "TimeoutExpired" in error(tmp_path, command=(sys.executable, "-c", program))


@pytest.mark.parametrize("reference", [{}, {"file": "a", "env": "B"}, {"env": "lower"}, {"credential": "../x"}])
def test_a_reference_names_exactly_one_good_source(reference: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"exactly one|pattern"):
        SecretReference.model_validate(reference)
