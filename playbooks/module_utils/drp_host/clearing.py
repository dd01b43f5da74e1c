"""Take a file tree away, but for what backups leave out of it."""

from __future__ import annotations

import fnmatch
import os
import re
import stat


def clear_tree(path, kept):
    """Remove a file or a folder with everything in it; True if nothing of it is left.

    What one of the patterns `kept` names stays, with the folders above it. A file system that is mounted below is
    emptied, and stays mounted. Folders are held open while they are emptied: nobody can put a link in their place.
    """
    above, name = os.path.split(path.rstrip("/"))
    try:
        number = os.open(above, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:
        return True
    try:
        return _clear(number, name, path, kept)
    finally:
        os.close(number)


def _clear(above, name, path, kept):
    try:
        found = os.stat(name, dir_fd=above, follow_symlinks=False)
    except FileNotFoundError:
        return True
    if any(is_named(path, pattern) for pattern in kept):
        return False
    if not stat.S_ISDIR(found.st_mode):
        os.unlink(name, dir_fd=above)
        return True
    number = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=above)
    try:
        is_empty = True
        for entry in os.listdir(number):
            is_empty = _clear(number, entry, os.path.join(path, entry), kept) and is_empty
    finally:
        os.close(number)
    if not is_empty or os.path.ismount(path):
        return False
    os.rmdir(name, dir_fd=above)
    return True


def is_named(path, pattern):
    """Whether restic leaves this path out by an absolute pattern: sign by sign within a name (`*`, `?`, `[a-z]`), and
    with `**` for any number of folders."""
    return matches(path.strip("/").split("/"), pattern.strip("/").split("/"))


def matches(names, patterns):
    if not patterns:
        return not names
    if patterns[0] == "**":
        return any(matches(names[count:], patterns[1:]) for count in range(len(names) + 1))
    return bool(names) and is_like(names[0], patterns[0]) and matches(names[1:], patterns[1:])


def is_like(name, pattern):
    # Go's signs in Python's way: a backslash takes the next sign by the letter, and [^a] is everything but a.
    literal = re.sub(r"\\(.)", lambda found: "[%s]" % found.group(1), pattern)
    return fnmatch.fnmatchcase(name, literal.replace("[^", "[!"))
