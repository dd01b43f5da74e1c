"""The first objects of a new repository, made here and stored by the control node."""

from __future__ import annotations

import base64
import os
import shutil
import tempfile

from .process import OPEN_LIMIT_SECONDS
from .tools import check_tools


def new_repository(host):
    """Make a repository in a folder in memory, and give its objects: {key: content in base64}. Both are encrypted.

    A host whose keys reach nothing but its own repository cannot make that itself: restic asks first whether objects
    are there that are not, and S3 has no right to be told so that would not also be one to list all others' names.
    """
    check_tools(host)
    folder = tempfile.mkdtemp(prefix="drp-", dir="/dev/shm" if os.path.isdir("/dev/shm") else None)  # noqa: S108
    try:
        host.run({"argv": ["restic", "-r", folder, "init"]}, OPEN_LIMIT_SECONDS)
        names = ["config"] + [os.path.join("keys", name) for name in os.listdir(os.path.join(folder, "keys"))]
        objects = {}
        for name in names:
            with open(os.path.join(folder, name), "rb") as file:
                objects[name] = base64.b64encode(file.read()).decode()
        return {"objects": objects}
    finally:
        shutil.rmtree(folder)
