"""Write the sentinel's entry, new or again: `ENTRY RECORD ARGUMENTS_OF_LDAPMODIFY …`."""

import subprocess
import sys

NO_SUCH_OBJECT = 32


def main(entry, record, *arguments):
    """Give ldapmodify's exit code."""
    name = entry.split(",")[0].split("=")[1]
    again = "dn: %s\nchangetype: modify\nreplace: description\ndescription: %s\n" % (entry, record)
    new = "dn: %s\nchangetype: add\nobjectClass: applicationProcess\ncn: %s\ndescription: %s\n" % (entry, name, record)
    argv = ["ldapmodify", *arguments]
    done = subprocess.run(argv, input=again.encode(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False)
    if done.returncode == NO_SUCH_OBJECT:
        done = subprocess.run(argv, input=new.encode(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False)
    sys.stderr.buffer.write(done.stderr)
    return done.returncode


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
