"""What this process may not see of what a configuration asks for."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from ss_pusher.app.plan import group_labels, rules
from ss_pusher.attribute import process
from ss_pusher.config import Config
from ss_pusher.errors import ConfigError

CAP_NET_ADMIN: Final = 12  # include/uapi/linux/capability.h
CAP_SYS_PTRACE: Final = 19
CAP_SYS_ADMIN: Final = 21

_NAMESPACES: Final = (
    "collect.namespaces: to enter other network namespaces takes CAP_SYS_ADMIN; give it (for the systemd unit, the "
    "drop-in namespaces.conf does), run as root, or read only self"
)

_PROCESS_LABELS: Final = {"pid", "command"}


def has(capability: int) -> bool:
    """Whether this thread has a capability: proc_pid_status(5), CapEff. Where /proc is not mounted, nobody tells."""
    try:
        status = Path("/proc/thread-self/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return False
    effective = next((line.split()[1] for line in status.splitlines() if line.startswith("CapEff:")), "0")
    return bool(int(effective, 16) >> capability & 1)


def need(config: Config, path: Path | None = None) -> None:
    """Raise ConfigError where other network namespaces are wanted without the privilege to enter them.

    `path` is where the configuration stands, if it stands in a file.
    """
    if set(config.collect.namespaces) != {"self"} and not has(CAP_SYS_ADMIN):
        raise ConfigError([f"{path}: {_NAMESPACES}" if path else _NAMESPACES])


def missing(config: Config) -> Iterator[str]:
    """What will be empty or never match for want of a privilege, and how to give it, a sentence each."""
    wanted = rules(config)
    by_process = any(rule.pids or rule.commands for rule in wanted)
    if by_process or not _PROCESS_LABELS.isdisjoint(group_labels(config)):
        text = process.missing_privilege(Path("/"), may_trace=has(CAP_SYS_PTRACE))
        if text:
            yield text
    namespaces = set(config.collect.namespaces)
    if namespaces != {"self"} and not has(CAP_SYS_ADMIN):
        yield _NAMESPACES
    elif "all" in namespaces and not has(CAP_SYS_PTRACE):
        yield (
            "collect.namespaces: without CAP_SYS_PTRACE the namespaces of other users' processes are not found; give "
            "it (for the systemd unit, the drop-in namespaces.conf does), or run as root"
        )
    if any(rule.marks for rule in wanted) and not has(CAP_NET_ADMIN):
        yield (
            "marks: the kernel tells the marks of sockets only to those with CAP_NET_ADMIN, so no rule with marks "
            "matches; give it (in the systemd unit: AmbientCapabilities=CAP_NET_ADMIN), or run as root"
        )
