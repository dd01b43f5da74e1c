"""Drop all databases of a server but its own: `CLIENT ARGUMENTS …`."""

import subprocess
import sys

OWN = {"information_schema", "mysql", "performance_schema", "sys"}


def main(client):
    """Give the exit code of the first client that failed, or 0."""
    listed = subprocess.run([*client, "-e", "SHOW DATABASES"], stdout=subprocess.PIPE, check=False)
    if listed.returncode:
        return listed.returncode
    names = [name for name in listed.stdout.decode().splitlines() if name not in OWN]
    statements = "".join("DROP DATABASE `%s`;\n" % name.replace("`", "``") for name in names)
    return subprocess.run(client, input=statements.encode(), check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
