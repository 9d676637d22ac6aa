"""What a socket's cgroup says: the systemd unit, the container and the pod. Needs no privilege and no /proc/PID.

The kernel gives a socket's cgroup as the inode number of its directory in the cgroup2 file system (INET_DIAG_CGROUP_ID,
Linux include/uapi/linux/inet_diag.h), and never uses a number again.
"""

import logging
import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Final, NamedTuple

from ss_pusher.attribute.pace import Pace

logger = logging.getLogger(__name__)

KEEP_SECONDS: Final = 600.0
"""How long a cgroup that no socket is in stays known, whether it still exists or not."""

SHORT_ID: Final = 12
"""Digits of a container's id, as `docker ps` and `podman ps` show it."""

# systemd.unit(5): the types that have a cgroup, but for slices, which only hold others.
_UNIT: Final = re.compile(r"\.(?:service|scope|socket|mount|swap)$")
_USER_MANAGER: Final = re.compile(r"^user@\d+\.service$")
# systemd src/core/socket.c, instance_from_socket(): the instance of a socket with Accept=yes names one connection.
_CONNECTION: Final = re.compile(r"@\d+(?:-\d+)?-[^/]+:\d+-[^/]+:\d+\.service$")
_ESCAPE: Final = re.compile(r"\\x([0-9a-f]{2})")

# Docker, Podman, containerd and CRI-O: the id alone (cgroupfs driver), `docker-ID.scope` (systemd driver), `…:ID`.
_CONTAINER: Final = re.compile(r"(?:^|[-:])([0-9a-f]{64})(?:\.(?:scope|service|slice))?$")
_MONITOR: Final = re.compile(r"(?:^|-)conmon-")
_LXC: Final = re.compile(r"^lxc\.payload\.(.+)$")
_MACHINE: Final = re.compile(r"^(?:machine-(.+)\.scope|systemd-nspawn@(.+)\.service)$")
# Kubernetes pkg/kubelet/cm: `podUID`, or with the systemd driver `kubepods-burstable-podUID.slice`, "-" as "_". The
# UID of a static pod is a digest without dashes.
_POD: Final = re.compile(
    r"(?:^|-)pod([0-9a-f]{8}(?:[-_][0-9a-f]{4}){3}[-_][0-9a-f]{12}|[0-9a-f]{32})(?:\.slice)?(?::|$)",
)
_PODMAN_POD: Final = re.compile(r"(?:^|-)libpod_pod_([0-9a-f]{64})(?:\.slice)?$")


class Cgroup(NamedTuple):
    """A cgroup by name; what its path does not tell is empty."""

    path: str = ""
    unit: str = ""
    container: str = ""
    pod: str = ""


UNKNOWN: Final = Cgroup()


def parse(path: str) -> Cgroup:
    """What a path, relative to the cgroup2 mount and beginning with a slash, tells.

    The unit is the host's own: the outermost that is no slice, or the user's unit inside of a user manager. The
    container is the innermost one: its short id, or its name where it has no id (LXC, systemd-nspawn, libvirt). The
    pod is Kubernetes' UID, or Podman's short id.
    """
    parts = path.strip("/").split("/")
    return Cgroup(path, _unit(parts), _container(parts), _pod(parts))


def _unit(parts: Sequence[str]) -> str:
    # systemd src/basic/cgroup-util.c, cg_escape(): a name that could be taken for a kernel file has "_" before it.
    units = [part.removeprefix("_") for part in parts if _UNIT.search(part)]
    if len(units) > 1 and _USER_MANAGER.match(units[0]) and units[1] != "init.scope":
        units = units[1:]
    if not units:
        return ""
    unit = re.sub(r"\.socket$", ".service", units[0])
    return _CONNECTION.sub("@.service", unit)


def _container(parts: Sequence[str]) -> str:
    for parent, part in reversed(list(zip(["", *parts], parts, strict=False))):
        found = _CONTAINER.search(part)
        if found and not _MONITOR.search(part):
            return found[1][:SHORT_ID]
        if found := _LXC.match(part):
            return found[1]
        if parent in ("lxc", "lxc.payload"):
            return part
        if found := _MACHINE.match(part):
            return _ESCAPE.sub(lambda escape: chr(int(escape[1], 16)), found[1] or found[2])
    return ""


def _pod(parts: Sequence[str]) -> str:
    for part in reversed(parts):
        if found := _POD.search(part):
            return found[1].replace("_", "-")
        if found := _PODMAN_POD.search(part):
            return found[1][:SHORT_ID]
    return ""


def mount_point(root: Path) -> Path | None:
    """Where the cgroup2 file system is mounted (proc_pid_mountinfo(5)); None where it is not."""
    try:
        lines = (root / "proc/self/mountinfo").read_text(errors="surrogateescape").splitlines()
    except OSError:
        return None
    for line in lines:
        mount, _, filesystem = line.partition(" - ")
        if filesystem.startswith("cgroup2 "):
            point = re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), mount.split(" ")[4])
            return root / point.lstrip("/")
    return None


def walk(mount: Path) -> dict[int, str]:
    """The path of each cgroup by its id. Cgroups that vanish meanwhile are left out."""
    try:
        paths = {os.stat(mount).st_ino: "/"}  # noqa: PTH116 - beside os.scandir, which has no equal in pathlib
    except OSError:
        return {}
    pending = [""]
    while pending:
        parent = pending.pop()
        try:
            with os.scandir(f"{mount}{parent}") as entries:
                below = {entry.inode(): f"{parent}/{entry.name}" for entry in entries if entry.is_dir()}
        except OSError:
            continue
        paths |= below
        pending += below.values()
    return paths


class Cgroups:
    """Cgroups by id. Walks the tree only when an id shows up that was in no walk before."""

    def __init__(self, root: Path, clock: Callable[[], float]) -> None:
        self._root = root
        self._clock = clock
        self._pace = Pace(clock)
        self._paths: dict[int, str] = {}
        self._used: dict[int, float] = {}
        self._known: dict[int, Cgroup] = {}
        self._told = False

    def look_up(self, ids: Sequence[int]) -> list[Cgroup]:
        """The cgroup of each id; `UNKNOWN` for 0 and for one that cannot be named."""
        now = self._clock()
        self._forget(now)
        unknown = [number for number in ids if number and number not in self._known]
        if unknown:
            self._learn(unknown)
        self._used.update((number, now) for number in ids if number in self._known)
        return [self._known.get(number, UNKNOWN) for number in ids]

    def known(self) -> Mapping[int, Cgroup]:
        """What sockets were in lately, by id."""
        return MappingProxyType(self._known)

    def _learn(self, ids: Sequence[int]) -> None:
        """Name these ids. One that even a walk does not find has lost its directory already: it has no name."""
        walked = any(number not in self._paths for number in ids) and self._pace.due()
        if walked:
            with self._pace.timed():
                self._walk()
        for number in ids:
            if number in self._paths:
                self._known[number] = parse(self._paths[number])
            elif walked:
                self._known[number] = UNKNOWN

    def _walk(self) -> None:
        mount = mount_point(self._root)
        self._paths = walk(mount) if mount else {}
        if len(self._paths) <= 1 and not self._told:
            self._told = True
            where = f"the one at {mount} is empty" if mount else "none is mounted"
            logger.warning("unit, cgroup, container and pod need a cgroup2 tree, and %s: they stay empty", where)

    def _forget(self, now: float) -> None:
        for number in [number for number, used in self._used.items() if now - used > KEEP_SECONDS]:
            del self._used[number], self._known[number]
