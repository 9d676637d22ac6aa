"""Jobs under `ss-pusher run`, and somebody for them to talk to."""

import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests import command, needs, servers
from tests.hosts import Host
from tests.servers import labels

SETTINGS: Final = "{{collect: {{loopback: true}}, pushgateway: [{{url: '{}', grouping_key: {{instance: here}}}}]}}"
GROUP: Final = {"instance": "here"}
OUTCOME: Final = (
    "start_time_seconds",
    "end_time_seconds",
    "duration_seconds",
    "exit_code",
    "max_resident_memory_bytes",
    "cpu_seconds",
    "success",
    "last_success_time_seconds",
    "unattributed_flows",
)
"""What is told of a job that succeeded, after ss_pusher_job_."""


def settings(directory: Path, pushgateway: str) -> str:
    """The path of a configuration that pushes to this gateway."""
    return command.written(directory, SETTINGS.format(pushgateway))


def run(config: str, *job: str, options: Sequence[str] = (), **how: str) -> subprocess.CompletedProcess[str]:
    """Run a job to its end."""
    return command.run("run", "--config", config, *options, "--", *job, **how)


def python(script: str, *arguments: object) -> list[str]:
    """The command of a job in Python, which the interpreter of the tests runs."""
    return [sys.executable, "-c", script, *map(str, arguments)]


def value(pushgateway: servers.Pushgateway, name: str, **others: str) -> float | None:
    """The value of a series of a job, if it is there."""
    return pushgateway.metrics().get(labels(name, **GROUP, **others))


def sent(pushgateway: servers.Pushgateway, job: str, port: int) -> float | None:
    """What the job sent to that port of loopback, by its metrics; the unit is whatever the tests run in."""
    wanted = set(labels("ss_flow_sent_bytes_total", job=job, direction="out", service_port=str(port)))
    found = [value for key, value in pushgateway.metrics().items() if wanted <= set(key)]
    return sum(found) if found else None


@dataclass(frozen=True)
class Peer:
    """Reads whatever connections bring, and closes when they do. `opened` counts them."""

    listener: socket.socket
    opened: list[socket.socket]

    @property
    def port(self) -> int:
        port: int = self.listener.getsockname()[1]
        return port


@contextmanager
def peer(at: Host | None = None) -> Iterator[Peer]:
    """Listen on loopback, or at the address of a host."""

    def listen() -> socket.socket:
        return socket.create_server((at.ipv4 if at else "127.0.0.1", 0))

    threads: list[threading.Thread] = []
    with at.call(listen) if at else listen() as listener:
        server = Peer(listener, [])

        def accept() -> None:
            with suppress(OSError):
                while True:
                    server.opened.append(listener.accept()[0])
                    threads.append(threading.Thread(target=_read, args=(server.opened[-1],)))
                    threads[-1].start()

        threads.append(threading.Thread(target=accept))
        threads[0].start()
        try:
            yield server
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            threads[0].join()
            for sock in server.opened:
                with suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)
            for thread in threads[1:]:
                thread.join()


def _read(sock: socket.socket) -> None:
    with sock, suppress(OSError):
        while sock.recv(1 << 16):
            pass


SEEN: Final = """
import os, re, time
def watchers(process):
    found = []
    while not found and process > 1:
        for descriptor in os.scandir(f"/proc/{process}/fd"):
            try:
                found.append(os.readlink(descriptor.path))
            except OSError:
                pass
        found = [path.removesuffix("/net/snmp") for path in found if re.search("/task/[0-9]+/net/snmp$", path)]
        with open(f"/proc/{process}/status") as status:
            process = int(re.search("PPid:\\t([0-9]+)", status.read())[1])
    return found
def wakes(thread):
    with open(f"{thread}/status") as status:
        return int(re.search("\\nvoluntary_ctxt_switches:\\t([0-9]+)", status.read())[1])
def wait_until_seen(process):
    deadline = time.monotonic() + 60
    enough = {}
    while not enough or any(wakes(thread) < number for thread, number in enough.items()):
        enough = enough or {thread: wakes(thread) + 5 for thread in watchers(process)}
        assert time.monotonic() < deadline, f"nobody looks: {enough}"
        time.sleep(0.005)
"""
"""For jobs: `wait_until_seen` returns once a process, or the nearest above it that watches, has looked at sockets.

The thread that does so keeps the counters of its network namespace open. It waits before each look and hardly ever
else, and after two waits it has looked; three are in reserve.
"""

TALK: Final = (
    SEEN
    + """
import socket, sys
address, port, count, watcher = sys.argv[1], *map(int, sys.argv[2:])
with socket.create_connection((address, port)) as connection:
    connection.sendall(bytes(count))
    if watcher >= 0:
        wait_until_seen(watcher or os.getpid())
"""
)
"""Sends so many bytes over one connection, and keeps it open until it was seen."""
NOBODY: Final = -1
"""Who need not see it."""


def talk(port: int, count: int, *, address: str = "127.0.0.1", watcher: int = 0) -> list[str]:
    """A job that sends so many bytes over one connection, and closes it once its watcher, or this process, saw it."""
    return python(TALK, address, port, count, watcher)


WAITS: Final = """
import pathlib, socket, sys, time
with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as connection:
    connection.sendall(bytes(1000))
    while not pathlib.Path(sys.argv[2]).exists():
        time.sleep(0.02)
    connection.sendall(bytes(500))
"""
"""Sends 1000 bytes to a port, and 500 more once there is a file of this name."""


def without_cgroups() -> list[str]:
    """A prefix under which no cgroup2 file system can be seen, so that only the process tree tells a job's sockets."""
    needs.root()
    script = 'umount --lazy /sys/fs/cgroup/unified /sys/fs/cgroup 2>/dev/null; exec "$@"'
    return [needs.command("unshare"), "--mount", "--propagation", "private", "sh", "-c", script, "sh"]


NUMBERS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)
