"""Real processes whose names are chosen to break a text format, followed to what real servers give back."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from tests import servers
from tests.end_to_end.connections import service
from tests.end_to_end.pipeline import ticking
from tests.servers import Labels
from tests.waiting import wait_for

NAMES = [
    b'a"} 1\nb{c="d',
    b"\\n\\\\\\",
    b"\xff\xfe\xe2\x82 \xc3",
    b"# HELP a\r\n# EOF",
    b"\x1b[31m\x01\x7f",
    "ünï→\u202e".encode(),
    b"' OR 1=1; --",
    b'a=~".*",{}[]()',
]
HOLD = """
import socket, sys
connection = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
connection.sendall(bytes(100))
sys.stdin.read()
"""
PR_SET_NAME = 15  # include/uapi/linux/prctl.h
RENAMED = f"""
import ctypes, sys
ctypes.CDLL(None).prctl({PR_SET_NAME}, bytes.fromhex(sys.argv[2]), 0, 0, 0)
{HOLD}"""


@contextmanager
def connected(argv: list[bytes]) -> Iterator[int]:
    """A process that holds a connection until the end; its number."""
    with subprocess.Popen(argv, stdin=subprocess.PIPE) as process:
        try:
            yield process.pid
        finally:
            process.kill()


def renamed(name: bytes, port: int, _directory: Path) -> list[bytes]:
    """A process that gives itself a name."""
    return [os.fsencode(sys.executable), b"-c", RENAMED.encode(), b"%d" % port, name.hex().encode()]


def started_by_name(name: bytes, port: int, directory: Path) -> list[bytes]:
    """A program whose file is called so."""
    file = os.path.join(os.fsencode(directory), name)  # noqa: PTH118 - a path of any bytes
    os.symlink(os.path.realpath(sys.executable), file)  # noqa: PTH211 - the same
    return [file, b"-I", b"-S", b"-c", HOLD.encode(), b"%d" % port]


def test_a_process_of_any_name_is_one_group_with_its_name_at_every_server(
    tmp_path: Path, prometheus: servers.Prometheus, pushgateway: servers.Pushgateway
) -> None:
    with service() as peer, ExitStack() as processes:
        for start in (renamed, started_by_name):
            for name in NAMES:
                pid = processes.enter_context(connected(start(name, peer.port, tmp_path)))
                peer.accept(100)
                wait_for(partial(is_called, pid, name[:15]), "its name")
        text = f"""
external_labels: {{job: test}}
collect: {{loopback: true}}
filter: [{{keep: {{remote_ports: [{peer.port}]}}}}, {{drop: {{}}}}]
group: {{by: [command]}}
remote_write: [{{url: "{prometheus.write_url}"}}]
pushgateway: [{{url: "{pushgateway.url}", job: test, grouping_key: {{}}}}]
"""
        with ticking(text) as tick:
            tick()
            snapshot = tick()
    # Each name stands for the two processes that have it.
    expected = {name[:15].decode(errors="replace"): 2.0 for name in NAMES}
    stored = prometheus.query("ss_flow_sockets", at=snapshot.time_ms / 1000)
    assert commands(stored) == expected
    assert commands(pushgateway.metrics()) == expected


def commands(series: Mapping[Labels, float]) -> dict[str, float]:
    """How many sockets the processes of each name have."""
    return {
        dict(key)["command"]: value
        for key, value in series.items()
        if {("__name__", "ss_flow_sockets"), ("job", "test")} <= set(key) and dict(key)["command"] != "other"
    }


def is_called(pid: int, name: bytes) -> bool:
    return Path(f"/proc/{pid}/comm").read_bytes() == name + b"\n"
