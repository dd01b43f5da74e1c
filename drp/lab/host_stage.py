"""Builds a lab host's file system from inside its new namespaces, then becomes its process 1.

Started by `drp.lab.hosts` as `unshare --mount --uts --ipc --net --pid --fork python -m drp.lab.host_stage SPEC`; the
specification is a JSON file. Only the standard library: it runs once per host, and start-up time counts.

    tmpfs of limited size, in this mount namespace only
    ├── 0/upper, 0/work   what the host writes; the machine's root is the layer below
    ├── N/upper, N/work   the same for a separate /usr, /var, … of the machine
    └── root              where the overlays come together; becomes /
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import socket
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

# Hidden in every host: what belongs to the machine's people or to services of its own. An upper directory that is
# marked opaque shows nothing of the layer below, costs nothing, and counts towards the host's disk like the rest.
HIDDEN = (
    "/home",
    "/root",
    "/srv",
    "/etc/postgresql",
    "/var/lib/postgresql",
    "/var/log/postgresql",
    "/etc/nginx/sites-enabled",
    "/etc/nginx/conf.d",
    "/var/log/nginx",
    # What packages bring as an example, in the place where a service has its own.
    "/etc/apache2/sites-enabled",
    "/etc/haproxy",
    "/etc/ldap/slapd.d",
    "/var/lib/ldap",
    "/etc/radicale",
    "/var/lib/radicale",
    "/etc/webdis",
    "/var/lib/redis",
)
DISK_TYPES = {"ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "f2fs", "overlay"}
SEPARATE = ("/usr", "/var", "/opt", "/etc", "/srv", "/home", "/root")
DEVICES = {"null": (1, 3), "zero": (1, 5), "full": (1, 7), "random": (1, 8), "urandom": (1, 9), "tty": (5, 0)}
# One clock and one kernel for all: a host must not set the time, load modules, or write to devices.
DROPPED = "-sys_time,-sys_module,-sys_rawio"
INIT = "/usr/local/lib/drp-lab/init.py"

SSHD_CONFIG = """\
# Written by drp lab. Self-contained: nothing of the machine's own sshd settings is used.
Port 22
AddressFamily inet
HostKey /etc/ssh/ssh_host_ed25519_key
AuthorizedKeysFile /etc/ssh/authorized_keys
PermitRootLogin prohibit-password
PubkeyAuthentication yes
PasswordAuthentication no
KbdInteractiveAuthentication no
# No PAM: its sessions would look for a systemd that is not there.
UsePAM no
UseDNS no
PrintMotd no
MaxStartups 100:30:300
MaxSessions 100
# As Debian's own settings have it.
AcceptEnv LANG LC_*
SetEnv LANG=C.UTF-8
PidFile /run/sshd.pid
Subsystem sftp internal-sftp
"""


def mount(kind: str, source: str, target: str, options: str = "") -> None:
    """Mount a file system. --no-mtab: /run is still the machine's, and mount would leave its notes there.

    Raises CalledProcessError.
    """
    subprocess.run(
        ["mount", "--no-mtab", "-t", kind, *(["-o", options] if options else []), source, target], check=True
    )


def separate_mounts() -> list[str]:
    """Mount points of the machine's own disks below the root: an overlay of / shows these directories empty."""
    found = []
    for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8").splitlines():
        left, _, right = line.partition(" - ")
        point = left.split()[4].encode().decode("unicode_escape")
        inside = any(point == top or point.startswith(top + "/") for top in SEPARATE)
        if right.split()[0] in DISK_TYPES and inside and os.path.isdir(point):
            found.append(point)
    return sorted(set(found))


def copy_owner_and_mode(source: Path, target: Path) -> None:
    known = source.stat()
    os.chown(target, known.st_uid, known.st_gid)
    target.chmod(stat.S_IMODE(known.st_mode))


def hide(layers: dict[str, Path], path: str) -> None:
    """Show nothing of the machine's directory `path` in the host, but keep its owner and mode, and its parents':
    a directory of the upper layer replaces the lower one's."""
    if not os.path.isdir(path):
        return
    inside = [point for point in layers if point == "/" or path == point or path.startswith(point + "/")]
    point = max(inside, key=len)
    directory, below = layers[point], Path(point)
    for part in Path(path).relative_to(point).parts:
        directory, below = directory / part, below / part
        if not directory.exists():
            directory.mkdir()
            copy_owner_and_mode(below, directory)
    os.setxattr(directory, "trusted.overlay.opaque", b"y")


def build_root(spec: dict[str, Any]) -> None:
    """Mount the overlays under ./root; the working directory becomes the host's tmpfs."""
    mount("tmpfs", "drp-lab", spec["mount_point"], f"size={spec['disk_bytes']},mode=755")
    separate = separate_mounts()
    os.chdir(spec["mount_point"])
    layers: dict[str, Path] = {}
    for number, point in enumerate(["/", *separate]):
        layers[point] = Path(str(number), "upper")
        layers[point].mkdir(parents=True)
        Path(str(number), "work").mkdir()
        # The upper directory is the overlay's own root: it decides the owner and mode that the mount point has.
        copy_owner_and_mode(Path(point), layers[point])
    for path in (*HIDDEN, spec["workspace"]):
        hide(layers, path)
    Path("root").mkdir()
    for number, point in enumerate(layers):
        # Relative directories: a workspace's path may hold characters that mean something in mount options.
        options = f"lowerdir={point},upperdir={number}/upper,workdir={number}/work"
        target = os.path.abspath("root" + point)
        if os.path.isdir(target):
            mount("overlay", "overlay", target, options)
    os.chdir("root")


def mount_kernel_file_systems(disk_bytes: int) -> None:
    """Fresh /proc, /sys, /dev, /run and /tmp under the working directory."""
    mount("proc", "proc", "proc", "nosuid,nodev,noexec")
    # Settings of the whole kernel are read-only here; those of the host's own network are not.
    for path, mode in (("proc/sys", "ro"), ("proc/sys/net", "rw"), ("proc/sysrq-trigger", "ro")):
        if not os.path.exists(path):
            continue
        subprocess.run(["mount", "--no-mtab", "--bind", path, path], check=True)
        subprocess.run(["mount", "--no-mtab", "-o", f"remount,bind,{mode}", path], check=True)
    mount("sysfs", "sysfs", "sys", "ro,nosuid,nodev,noexec")
    mount("tmpfs", "tmpfs", "dev", "mode=755,size=1m")
    for name, (major, minor) in DEVICES.items():
        os.mknod(f"dev/{name}", 0o666 | stat.S_IFCHR, os.makedev(major, minor))
        os.chmod(f"dev/{name}", 0o666)
    for name, target in (("fd", "/proc/self/fd"), ("stdin", "fd/0"), ("stdout", "fd/1"), ("stderr", "fd/2")):
        os.symlink(target, f"dev/{name}")
    for name in ("pts", "shm", "mqueue"):
        os.mkdir(f"dev/{name}")
    mount("devpts", "devpts", "dev/pts", "newinstance,ptmxmode=0666,mode=0620,gid=5")
    os.symlink("pts/ptmx", "dev/ptmx")
    mount("tmpfs", "tmpfs", "dev/shm", f"mode=1777,size={disk_bytes // 4}")
    mount("tmpfs", "tmpfs", "run", "mode=755,size=64m")
    mount("tmpfs", "tmpfs", "tmp", f"mode=1777,size={disk_bytes}")
    os.mkdir("run/sshd")
    os.mkdir("run/lock")
    os.chmod("run/lock", 0o1777)


def write(path: str, content: str, mode: int = 0o644) -> None:
    """Replace a file of the host, whatever the machine has there (often a symbolic link)."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileNotFoundError):
        target.unlink()
    with os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w", encoding="utf-8") as handle:
        handle.write(content)
    target.chmod(mode)


def write_files(spec: dict[str, Any]) -> None:
    """The host's own identity, under the working directory."""
    socket.sethostname(spec["name"])
    write("etc/hostname", spec["name"] + "\n")
    write("etc/hosts", spec["hosts_file"])
    write("etc/resolv.conf", "# A lab has no name server: names are in /etc/hosts.\n")
    write("etc/machine-id", secrets.token_hex(16) + "\n", 0o444)
    for key in Path("etc/ssh").glob("ssh_host_*"):
        key.unlink()
    write("etc/ssh/sshd_config", SSHD_CONFIG)
    write("etc/ssh/ssh_host_ed25519_key", Path(spec["host_key"]).read_text(encoding="ascii"), 0o600)
    write("etc/ssh/authorized_keys", spec["authorized_key"] + "\n", 0o600)
    # Images for containers forbid starting services with this file; a server has none.
    Path("usr/sbin/policy-rc.d").unlink(missing_ok=True)
    # Without PAM, sshd refuses an account whose password field says "locked", even with a key.
    shadow = Path("etc/shadow").read_text(encoding="utf-8").splitlines()
    unlocked = ["root:*:" + line.split(":", 2)[2] if line.startswith("root:") else line for line in shadow]
    owner = os.stat("etc/shadow")
    write("etc/shadow", "\n".join(unlocked) + "\n", stat.S_IMODE(owner.st_mode))
    os.chown("etc/shadow", owner.st_uid, owner.st_gid)
    shutil.copyfile(Path(__file__).with_name("host_init.py"), _ready("." + INIT))


def _ready(path: str) -> str:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    return path


def main() -> None:
    spec: dict[str, Any] = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    # Still the machine's /proc: it knows this process by the pid that the machine sees.
    pid_file = Path(spec["pid_file"])
    new = pid_file.with_suffix(".new")
    new.write_text(os.readlink("/proc/self"), encoding="ascii")
    new.replace(pid_file)
    os.umask(0o022)
    build_root(spec)
    mount_kernel_file_systems(spec["disk_bytes"])
    write_files(spec)
    os.mkdir(".machine")
    subprocess.run(["pivot_root", ".", ".machine"], check=True)
    os.chdir("/")
    subprocess.run(["umount", "--no-mtab", "--lazy", "/.machine"], check=True)
    os.rmdir("/.machine")
    os.execv("/usr/bin/setpriv", ["setpriv", f"--bounding-set={DROPPED}", "--", "/usr/bin/python3", "-I", "-S", INIT])


if __name__ == "__main__":
    try:
        main()
    except (OSError, subprocess.CalledProcessError) as fault:
        sys.exit(f"this host cannot be built: {fault}")
