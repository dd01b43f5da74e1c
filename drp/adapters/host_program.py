"""The program that drp sends to hosts: the package `playbooks/module_utils/drp_host`, packed for one way over SSH.

Workers read `LOADER` from here, many at once, so what packing needs is imported where it is done."""

from __future__ import annotations

import os
from pathlib import Path

PACKAGE = "drp_host"

LOADER = (
    "import os,sys;s=sys.stdin.buffer.raw;n={length};f=os.memfd_create('drp_host')\n"
    "while n:\n"
    " c=s.read(n)\n"
    " if not c:sys.exit(1)\n"
    " os.write(f,c);n-=len(c)\n"
    "sys.path.insert(0,'/proc/self/fd/%d'%f)\n"
    "from drp_host.main import main_ssh;main_ssh()"
)
"""Reads as many bytes as it is told into a memory file and runs them; the job follows on the same stream."""


def folder_of(playbooks: Path) -> Path:
    return playbooks / "module_utils" / PACKAGE


def packed(folder: Path) -> bytes:
    """The package as a zip archive that Python imports from; the same bytes for the same modules."""
    import io
    import zipfile

    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.glob("*.py")):
            archive.writestr(zipfile.ZipInfo(f"{PACKAGE}/{path.name}"), path.read_bytes(), zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def packed_file(folder: Path, cache: Path) -> Path:
    """The archive as a file, named by its content, which many workers read at once without packing it anew."""
    import hashlib
    import tempfile

    content = packed(folder)
    path = cache / f"{PACKAGE}-{hashlib.sha256(content).hexdigest()[:16]}.zip"
    if not path.is_file():
        cache.mkdir(mode=0o700, parents=True, exist_ok=True)
        number, name = tempfile.mkstemp(prefix=f".{PACKAGE}-", dir=cache)
        with os.fdopen(number, "wb") as file:
            file.write(content)
        os.replace(name, path)  # whole, or not there
    return path
