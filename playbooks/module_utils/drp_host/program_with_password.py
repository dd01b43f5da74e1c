"""Run redis-cli with a password from a file, which no argument shows: `FILE PROGRAM …`."""

import os
import sys


def main(path, *argv):
    """Become the program."""
    with open(path) as file:
        os.environ["REDISCLI_AUTH"] = file.read().strip()
    os.execvp(argv[0], argv)  # noqa: S606 - no shell is wanted


if __name__ == "__main__":
    main(*sys.argv[1:])
