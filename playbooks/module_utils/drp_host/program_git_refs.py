"""Take a bundle's objects into a bare repository and make its refs: `REPOSITORY < BUNDLE`.

git reads a bundle from a file only (from 2.41 also from standard input), so the bundle's first lines are read here.
"""

import os
import subprocess
import sys


def read_line():
    """One line of standard input and no byte more: what follows the last one belongs to git."""
    line = b""
    while not line.endswith(b"\n"):
        sign = os.read(0, 1)
        if not sign:
            sys.exit("the bundle ends in its first lines")
        line += sign
    return line[:-1]


def read_refs():
    """The refs that the bundle names, as {name: object}."""
    if read_line() not in (b"# v2 git bundle", b"# v3 git bundle"):
        sys.exit("this is no bundle that drp knows")
    refs = {}
    while True:
        line = read_line()
        if not line:
            return refs
        if line.startswith(b"-"):
            sys.exit("the bundle is not whole: it needs %s" % line[1:].decode("utf-8", "replace"))
        if not line.startswith(b"@"):
            identifier, _, name = line.partition(b" ")
            refs[name] = identifier


def main(repository):
    """Give the exit code of the first git that failed, or 0."""
    git = ["git", "-c", "safe.directory=*", "--git-dir", repository]
    refs = read_refs()
    taken = subprocess.run([*git, "index-pack", "--stdin"], stdout=subprocess.DEVNULL, check=False)
    if taken.returncode:
        return taken.returncode
    # HEAD is among them where it is detached or the repository's own; its file comes with the settings.
    commands = b"".join(b"create %s %s\n" % ref for ref in refs.items() if ref[0].startswith(b"refs/"))
    return subprocess.run([*git, "update-ref", "--no-deref", "--stdin"], input=commands, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
