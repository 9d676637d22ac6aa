"""The ways to read all TCP sockets that are compared. Each prepares itself once and is then called for each read."""

import argparse
import os
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from importlib import import_module
from itertools import count
from pathlib import Path
from typing import Final, TypeAlias

Read: TypeAlias = Callable[[], int | None]
"""Reads everything once; gives the number of sockets where the reader learns it."""

_NETLINK_SOCK_DIAG: Final = 4  # Linux include/uapi/linux/netlink.h
_SOCK_DIAG_BY_FAMILY: Final = 20  # sock_diag.h
_DUMP: Final = 0x301  # NLM_F_REQUEST | NLM_F_DUMP
_NLMSG_DONE: Final = 3
_INFO: Final = 1 << (2 - 1)  # INET_DIAG_INFO, inet_diag.h
_ALL_STATES: Final = 0xFFF
_RECEIVE_BUFFER: Final = 64 * 1024
_CONFIGURATION: Final = b"""
collect: {loopback: true}  # the only flows that the benchmark has
remote_write: [{url: "http://127.0.0.1/"}]  # never called
"""
_SAMPLES_PER_REQUEST: Final = 5000


@dataclass(frozen=True)
class Reader:
    """A way to read. `most` is the number of sockets above which it takes too long to be asked."""

    name: str
    prepare: Callable[[], AbstractContextManager[Read]]
    most: int = sys.maxsize
    command: tuple[str, ...] = ()  # a process of its own for each read


@contextmanager
def _floor() -> Iterator[Read]:
    """The kernel's dump of both families with tcp_info, received and thrown away: nobody can be faster."""
    buffer = bytearray(_RECEIVE_BUFFER)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG) as diag:
        diag.bind((0, 0))

        def read() -> None:
            for family in (socket.AF_INET, socket.AF_INET6):
                request = struct.pack("=BBBxI48x", family, socket.IPPROTO_TCP, _INFO, _ALL_STATES)
                header = struct.pack("=IHHII", 16 + len(request), _SOCK_DIAG_BY_FAMILY, _DUMP, 1, 0)
                diag.send(header + request)
                # The end of a dump comes as a datagram of its own; bytes 4 and 5 are its type.
                while diag.recv_into(buffer) and int.from_bytes(buffer[4:6], sys.byteorder) != _NLMSG_DONE:
                    pass

        yield read


@contextmanager
def _dumper() -> Iterator[Read]:
    """Our dump into columns, with every field that any metric reads."""
    # Imported here, so that no other reader pays for it.
    from ss_pusher import metrics  # noqa: PLC0415 - for this reader alone
    from ss_pusher.model import AddressFamily, TcpState  # noqa: PLC0415 - the same
    from ss_pusher.netlink.dump import Dumper  # noqa: PLC0415 - the same
    from ss_pusher.netlink.tcp_info import FIELDS  # noqa: PLC0415 - the same

    wanted = [*(counter.field for counter in metrics.COUNTERS), *(gauge.field for gauge in metrics.GAUGES)]
    fields = [FIELDS[name] for name in dict.fromkeys(wanted) if name in FIELDS]
    with Dumper() as dumper:
        yield lambda: len(dumper.dump(list(AddressFamily), list(TcpState), fields))


@contextmanager
def _tick() -> Iterator[Read]:
    """All that the agent does on its main thread: dump, decode, attribute, group, select, credit, encode, compress."""
    from ss_pusher.app.build import build_agent  # noqa: PLC0415 - the same
    from ss_pusher.clock import Clock  # noqa: PLC0415 - the same
    from ss_pusher.config import parse  # noqa: PLC0415 - the same
    from ss_pusher.encode.remote_write_v1 import RemoteWriteV1Encoder  # noqa: PLC0415 - the same

    config = parse(_CONFIGURATION, "benchmark", directory=Path()).config
    agent = build_agent(config, lambda _: [], Clock())
    encoder = RemoteWriteV1Encoder(config.external_labels, _SAMPLES_PER_REQUEST)
    times = count(time.time_ns() // 1_000_000, int(config.interval * 1000))

    def read() -> int:
        encoder.encode(agent.pipeline.tick(next(times)))
        return int(agent.telemetry.value("ss_pusher_sockets_read"))

    try:
        yield read
    finally:
        agent.close()


@contextmanager
def _diag_socket() -> Iterator[Read]:
    """pyroute2's own decoding into message objects, with tcp_info."""
    pyroute2 = import_module("pyroute2.netlink.diag")
    with pyroute2.DiagSocket() as diag:
        diag.bind()
        yield lambda: sum(
            len(diag.get_sock_stats(family=family, extensions=_INFO)) for family in (socket.AF_INET, socket.AF_INET6)
        )


@contextmanager
def _ss2() -> Iterator[Read]:
    """The tool ss2 of pyroute2, without its start and without printing; it knows IPv4 only."""
    ss2 = import_module("pyroute2.netlink.diag.ss2")
    options = argparse.Namespace(resolve=False)
    with ss2.DiagSocket() as diag:
        diag.bind()
        yield lambda: len(ss2.TCP(ss2.SS_CONN)(diag, options, None)["TCP"]["flows"])


def _command(*argv: str) -> Reader:
    @contextmanager
    def prepare() -> Iterator[Read]:
        def read() -> None:
            subprocess.run(argv, check=True, stdout=subprocess.DEVNULL)

        yield read

    return Reader(f"`{' '.join(argv)}`", prepare, command=argv)


FLOOR: Final = Reader("the dump received and thrown away (the floor)", _floor)
DUMPER: Final = Reader("ss_pusher: dump and decode", _dumper)
TICK: Final = Reader("ss_pusher: the whole tick, compressed requests included", _tick)
SS: Final = _command("ss", "-tinHO")

READERS: Final = (
    FLOOR,
    DUMPER,
    TICK,
    SS,
    _command("cat", "/proc/net/tcp"),
    Reader("pyroute2: DiagSocket", _diag_socket, most=10_000),
    Reader("pyroute2: ss2", _ss2, most=10_000),
)


def peak_memory(pid: int | str = "self") -> int:
    """The most memory, in bytes, that a process has had since it began its program; 0 if it has ended.

    ru_maxrss is of no use here: over fork and exec it starts from what the parent had.
    """
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
    lines = (line.split() for line in status.splitlines() if line.startswith("VmHWM:"))
    return next((int(kibibytes) * 1024 for _, kibibytes, _ in lines), 0)


def peak_memory_of_command(argv: tuple[str, ...]) -> int:
    """Runs a command and looks at its memory for as long as it prints."""
    peak = 0
    reading, writing = os.pipe()
    with subprocess.Popen(argv, stdout=writing) as process:
        os.close(writing)
        while os.read(reading, 1 << 16):
            peak = max(peak, peak_memory(process.pid))
    os.close(reading)
    return peak
