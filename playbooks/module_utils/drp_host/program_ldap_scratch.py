"""A copy of an OpenLDAP configuration whose databases lie below a folder: `CONFIGURATION FOLDER`."""

import os
import re
import subprocess
import sys


def main(configuration, folder):
    """Give the exit code of the first tool that failed, or 0."""
    argv = ["slapcat", "-n", "0", "-F", configuration, "-o", "ldif-wrap=no"]
    exported = subprocess.run(argv, stdout=subprocess.PIPE, check=False)
    if exported.returncode:
        return exported.returncode
    made = []

    def elsewhere(_found):
        made.append(os.path.join(folder, "data-%d" % len(made)))
        os.mkdir(made[-1], 0o700)
        return b"olcDbDirectory: " + os.fsencode(made[-1])

    text = re.sub(rb"^olcDbDirectory:.*$", elsewhere, exported.stdout, flags=re.MULTILINE)
    copy = os.path.join(folder, "slapd.d")
    os.mkdir(copy, 0o700)
    return subprocess.run(["slapadd", "-n", "0", "-F", copy], input=text, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
