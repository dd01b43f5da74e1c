"""Marks of datasets that a drill has restored here: what lies there is a copy, which drp may replace or remove."""

from __future__ import annotations

import contextlib
import json
import os

FOLDER = "/var/lib/drp/copies"


def mark_file(job, dataset):
    return os.path.join(FOLDER, job["service"], dataset["id"] + ".json")


def mark(job, dataset):
    """Say that what is restored now is a drill's copy. Only once what was there before is gone."""
    if job.get("kind") != "drill":
        return
    path = mark_file(job, dataset)
    os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
    with open(path + ".new", "w", encoding="utf-8") as file:
        json.dump({"run": job["run"]}, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(path + ".new", path)


def unmark(job, dataset):
    """Say nothing of what is there any more: before something else takes its place, and once it is gone."""
    with contextlib.suppress(FileNotFoundError):
        os.remove(mark_file(job, dataset))
    with contextlib.suppress(OSError):  # other datasets of the service have theirs yet
        os.rmdir(os.path.join(FOLDER, job["service"]))


def copy_of(job, dataset):
    """The drill of `own_runs` whose copy lies here; empty where it is anybody else's, or nobody knows whose."""
    try:
        with open(mark_file(job, dataset), encoding="utf-8") as file:
            run = json.load(file)["run"]
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return ""
    return run if run in job.get("own_runs", []) else ""
