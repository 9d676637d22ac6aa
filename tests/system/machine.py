"""A Debian with a real systemd, booted by systemd-nspawn in the network of one of `tests.hosts`."""

import itertools
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests import needs
from tests.hosts import Host
from tests.waiting import wait_for

ROOT: Final = Path(__file__).parent.parent.parent
BASE: Final = ROOT / ".system/base"
AGENT: Final = "ss-pusher.service"
BOOT_DEADLINE: Final = 90.0
STOP_DEADLINE: Final = 30.0
COMMAND_DEADLINE: Final = 60.0
_POWER_OFF: Final = signal.SIGRTMIN + 4  # systemd(1), "Signals"
_NSPAWN: Final = Path("/run/systemd/nspawn")
_CGROUPS: Final = Path("/sys/fs/cgroup")
_numbers: Final = itertools.count(1)

# The machine's processes and mounts have namespaces of their own, and so all end with the first of them.
# $1: where the machine's files are, $2: the layers that they begin with, $3: its cgroup's name; the rest starts it.
_START: Final = """
    set -e
    for tree in systemd unified .; do
        [ -e /sys/fs/cgroup/$tree/cgroup.procs ] || continue
        mkdir /sys/fs/cgroup/$tree/$3
        echo $$ >/sys/fs/cgroup/$tree/$3/cgroup.procs
    done
    mount -t tmpfs -o mode=755 machine "$1"
    mkdir "$1/upper" "$1/work" "$1/root"
    mount -t overlay -o "lowerdir=$2,upperdir=$1/upper,workdir=$1/work" machine "$1/root"
    shift 3
    exec "$@"
"""


@dataclass(frozen=True)
class Machine:
    """A booted machine. `leader` is its init, and `nspawn` what runs it, as this machine numbers processes."""

    host: Host
    nspawn: int
    leader: int
    files: Path

    @property
    def root(self) -> Path:
        """Its root directory, as this machine sees it."""
        return Path(f"/proc/{self.leader}/root")

    def run(self, *argv: str, stdin: str | None = None) -> str:
        """Run a command in it as root, and return what it printed; subprocess.CalledProcessError if it fails."""
        result = self.attempt(*argv, stdin=stdin)
        try:
            result.check_returncode()
        except subprocess.CalledProcessError as error:
            error.add_note(result.stdout + result.stderr + self.journal("--lines=40"))
            raise
        return result.stdout

    def attempt(self, *argv: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        """The same, whatever comes of it."""
        entered = ["nsenter", "--target", str(self.leader), "--all", "--wd=/", "--root", "--"]
        environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8", "SYSTEMD_PAGER": ""}
        return subprocess.run(
            [*entered, *argv],
            env=environment,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=COMMAND_DEADLINE,
            check=False,
        )

    def journal(self, *options: str) -> str:
        """What our units said, and systemd of them; options of journalctl choose."""
        return self.attempt("journalctl", "--no-pager", "--boot", "--unit=ss-pusher*", *options).stdout

    def shown(self, name: str, unit: str = AGENT) -> str:
        """A property of a unit."""
        return self.run("systemctl", "show", "--value", f"--property={name}", unit).strip()

    def drop_in(self, text: str, unit: str = AGENT) -> None:
        """Change a unit from its next start on."""
        self.write(f"/etc/systemd/system/{unit}.d/test.conf", text)
        self.run("systemctl", "daemon-reload")

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        """Write a file of root's, and the directories above it."""
        file = self.root / path.lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch(mode)
        file.write_text(text, encoding="utf-8")

    def install(self, package: Path) -> str:
        """Install a Debian package, and return what dpkg said."""
        shutil.copy(package, self.root / "root" / package.name)
        return self.run("dpkg", "--install", f"/root/{package.name}")

    def save(self, layer: Path) -> None:
        """Copy all files in which it differs from what it began with."""
        self.run("sync")
        inside = ["nsenter", f"--mount=/proc/{self.nspawn}/ns/mnt", "--"]
        subprocess.run([*inside, "cp", "--archive", self.files / "upper", layer], check=True)


@contextmanager
def booted(host: Host, directory: Path, *layers: Path) -> Iterator[Machine]:
    """A machine of its own on the host's network, after its boot; all that it writes is gone with it.

    It begins with the base system, and over that the layers that other machines saved, the topmost first.
    """
    needs.root()
    name = f"ss-pusher-machine-{os.getpid()}-{next(_numbers)}"
    files = directory / name
    files.mkdir()
    log = directory / f"{name}.log"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(f"\0{name}")
        manager.settimeout(0)
        with log.open("wb") as output:
            outer = subprocess.Popen(
                _command(host, name, files, [*layers, BASE]),
                env={"PATH": os.environ.get("PATH", os.defpath), "NOTIFY_SOCKET": f"@{name}"},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        try:
            with manager:  # closed after that: a full queue that nobody reads would stop systemd-nspawn
                _wait_until_booted(outer, manager, log)
            nspawn = _only_child(outer.pid)
            machine = Machine(host, nspawn, _only_child(nspawn), files)
            yield machine
            _power_off(machine, outer)
        finally:
            outer.kill()
            outer.wait()
            _clean(name)


def _command(host: Host, name: str, files: Path, layers: list[Path]) -> list[str]:
    if not BASE.is_dir():
        needs.unavailable("no base system in .system/base; `make test-system` makes it where it can")
    nspawn = [
        needs.command("systemd-nspawn"),
        "--quiet",
        "--boot",
        "--settings=no",
        "--register=no",
        "--keep-unit",
        "--notify-ready=yes",
        "--console=pipe",
        "--resolv-conf=off",
        "--timezone=off",
        "--link-journal=no",
        "--capability=CAP_NET_ADMIN",  # which a machine has on a network of its own
        f"--machine={name}",
        f"--network-namespace-path=/run/netns/{host.name}",
        f"--directory={files}/root",
    ]
    # It dies with the test run, also when that is killed.
    outer = ["setpriv", "--pdeathsig=KILL", "--", "unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "--"]
    return [*outer, "sh", "-c", _START, "sh", str(files), ":".join(map(str, layers)), name, *nspawn]


def _wait_until_booted(outer: subprocess.Popen[bytes], manager: socket.socket, log: Path) -> None:
    heard: list[str] = []

    def ready() -> bool:
        try:
            heard.extend(manager.recv(4096).decode().splitlines())
        except BlockingIOError:
            if outer.poll() is not None:
                needs.unavailable(f"no machine can be booted here:\n{log.read_text(errors='replace')}")
        return "READY=1" in heard

    try:
        wait_for(ready, "the machine has booted", BOOT_DEADLINE)
    except TimeoutError as error:
        error.add_note(log.read_text(errors="replace"))
        raise


def _only_child(parent: int) -> int:
    (child,) = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    return int(child)


def _power_off(machine: Machine, outer: subprocess.Popen[bytes]) -> None:
    """Let it shut down in order; TimeoutExpired if it does not."""
    os.kill(machine.leader, _POWER_OFF)
    outer.wait(STOP_DEADLINE)


def _clean(name: str) -> None:
    """What systemd-nspawn leaves where /run is no tmpfs, and the cgroups."""
    shutil.rmtree(_NSPAWN / "propagate" / name, ignore_errors=True)
    for tree in ("systemd", "unified", "."):
        _remove_cgroup(_CGROUPS / tree / name)


def _remove_cgroup(directory: Path) -> None:
    """Remove it and all below, once the last process that was killed in it is gone."""
    if not directory.is_dir():
        return
    for below in directory.iterdir():
        if below.is_dir():
            _remove_cgroup(below)
    wait_for(lambda: not (directory / "cgroup.procs").read_text(), f"nothing runs in {directory}")
    directory.rmdir()
