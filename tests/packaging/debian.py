"""The base system as a root directory of one's own: with no init, and what is written there is lost."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests import needs
from tests.system.machine import BASE

# The mounts live in a mount namespace of their own, and so go with the last process that is in it.
_MOUNT: Final = """
    set -e
    mount -t tmpfs -o mode=755 debian /mnt
    mkdir /mnt/upper /mnt/work /mnt/root
    mount -t overlay -o "lowerdir=$1,upperdir=/mnt/upper,workdir=/mnt/work" debian /mnt/root
    mount -t proc proc /mnt/root/proc
    echo mounted
    exec cat
"""


@dataclass(frozen=True)
class Debian:
    """`holder` is a process in the mount namespace where the system is /mnt/root."""

    holder: int

    @property
    def root(self) -> Path:
        """Its root directory, as this machine sees it."""
        return Path(f"/proc/{self.holder}/root/mnt/root")

    def run(self, *argv: str) -> str:
        """Run a command in it as root, and return what it printed; CalledProcessError, with stderr, if it fails."""
        done = self.attempt(*argv)
        try:
            done.check_returncode()
        except subprocess.CalledProcessError as error:
            error.add_note(done.stdout + done.stderr)
            raise
        return done.stdout

    def attempt(self, *argv: str) -> subprocess.CompletedProcess[str]:
        """The same, whatever comes of it."""
        entered = ["nsenter", f"--mount=/proc/{self.holder}/ns/mnt", "--", "chroot", "/mnt/root", *argv]
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
        return subprocess.run(entered, env=environment, capture_output=True, text=True, timeout=60, check=False)

    def files(self) -> set[str]:
        """Every path, but what dpkg notes about packages that it knows."""
        notes = ["-path", "/var/lib/dpkg", "-o", "-path", "/var/log/dpkg.log", "-o", "-path", "/proc"]
        return set(self.run("find", "/", "(", *notes, ")", "-prune", "-o", "-print").splitlines())


@contextmanager
def debian() -> Iterator[Debian]:
    """Lay a layer over the base system for as long as it is needed."""
    needs.root()
    if not BASE.is_dir():
        needs.unavailable("no base system in .system/base; `make test-system` makes it where it can")
    command = ["unshare", "--mount", "--propagation", "private", "--", "sh", "-c", _MOUNT, "sh", str(BASE)]
    path = os.environ.get("PATH", os.defpath)
    with subprocess.Popen(command, env={"PATH": path}, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        if holder.stdout.readline() != b"mounted\n":
            needs.unavailable(f"nothing can be mounted over {BASE}")
        yield Debian(holder.pid)
        # With the end of its input, `cat` ends, also when this process is killed.
