"""Put an RDB file in the place of a Redis server's data, whatever it keeps itself: a file, an append-only log or both.

`STOP START CLIENT ARGUMENTS … < RDB`; STOP and START are argument lists as JSON, CLIENT is redis-cli. The server must
run, since it is asked where it keeps its data. An append-only log is made from the file by a server of our own: a
server that finds none, or an old one, would come up without the restored data.
"""

import json
import os
import shutil
import subprocess
import sys
import time

LOAD_SECONDS = 1800


def ask(client, *words):
    """What the server answers; it ends this program where that is an error."""
    done = subprocess.run([*client, *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    said = done.stdout.decode("utf-8", "replace").strip()
    if done.returncode or said.startswith(("ERR", "NOAUTH", "NOPERM", "WRONGPASS")):
        sys.exit("redis: " + said)
    return said


def setting(client, name):
    """What the server is set to; empty where it does not know the setting."""
    lines = ask(client, "--raw", "CONFIG", "GET", name).splitlines()
    return lines[1] if len(lines) > 1 else ""


def quietly(argv):
    return subprocess.run(
        argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False
    )


def until(condition, what):
    """Wait for something; it ends this program where it does not happen."""
    limit = time.monotonic() + LOAD_SECONDS
    while not condition():
        if time.monotonic() > limit:
            sys.exit("redis: it did not happen within %d s: %s" % (LOAD_SECONDS, what))
        time.sleep(0.1)


def is_ready(client):
    """Whether it has loaded everything and writes no log anew."""
    said = quietly([*client, "INFO", "persistence"]).stdout
    return b"loading:0" in said and b"aof_rewrite_in_progress:0" in said and b"aof_rewrite_scheduled:0" in said


def call(argv):
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, check=False)
    if done.returncode:
        sys.exit("%s ended with %d" % (argv[0], done.returncode))


def receive(path):
    """Write the file from standard input, and check it before anything is stopped."""
    with open(path, "wb") as file:
        os.fchmod(file.fileno(), 0o600)
        shutil.copyfileobj(sys.stdin.buffer, file, 1 << 20)
        file.flush()
        os.fsync(file.fileno())
    checked = quietly(["redis-check-rdb", path])
    if checked.returncode:
        os.unlink(path)
        sys.exit("redis-check-rdb: " + checked.stdout.decode("utf-8", "replace")[-500:])


def write_log(folder, file_name, log_name, log_folder):
    """Have a server of our own load the file and write an append-only log of the form that the server reads."""
    owner = os.stat(folder)
    socket = os.path.join(folder, "drp.sock")
    argv = ["redis-server", "--port", "0", "--unixsocket", socket, "--unixsocketperm", "700", "--dir", folder]
    argv += ["--dbfilename", file_name, "--appendonly", "no", "--save", "", "--appendfilename", log_name]
    argv += ["--appenddirname", log_folder] if log_folder else []

    def be_owner():
        if os.getuid() == 0:
            os.setgroups([])
            os.setgid(owner.st_gid)
            os.setuid(owner.st_uid)

    server = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, preexec_fn=be_owner)
    client = ["redis-cli", "-s", socket]
    try:
        until(lambda: server.poll() is not None or is_ready(client), "the file is loaded")
        ask(client, "CONFIG", "SET", "appendonly", "yes")
        until(lambda: server.poll() is not None or is_ready(client), "the append-only log is written")
        if server.poll() is not None:
            sys.exit("redis: the server that writes the append-only log ended with %d" % server.returncode)
    finally:
        server.terminate()
        server.wait()


def main(stop, start, *client):
    """Exchange the data."""
    folder, file_name = setting(client, "dir"), setting(client, "dbfilename")
    appends = setting(client, "appendonly") == "yes"
    log_name, log_folder = setting(client, "appendfilename"), setting(client, "appenddirname")
    if not os.path.isabs(folder) or not file_name or "/" in file_name + log_name + log_folder:
        sys.exit("redis: its data folder is %r, its file %r" % (folder, file_name))
    path = os.path.join(folder, file_name)
    receive(path + ".drp-new")
    call(json.loads(stop))
    until(lambda: quietly([*client, "PING"]).returncode, "the server stops")
    os.replace(path + ".drp-new", path)
    owner = os.stat(folder)
    os.chown(path, owner.st_uid, owner.st_gid)
    if log_folder and os.path.isdir(os.path.join(folder, log_folder)):
        shutil.rmtree(os.path.join(folder, log_folder))
    if log_name and os.path.isfile(os.path.join(folder, log_name)):
        os.unlink(os.path.join(folder, log_name))
    if appends:
        write_log(folder, file_name, log_name, log_folder)
    call(json.loads(start))
    until(lambda: is_ready(client), "the server is ready")


if __name__ == "__main__":
    main(*sys.argv[1:])
