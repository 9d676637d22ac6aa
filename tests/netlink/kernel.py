"""A scripted kernel behind a netlink socket, for the answers that a real one gives too seldom."""

import itertools
import os
import socket
import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Final, TypeAlias

from ss_pusher.netlink.dump import Dumper
from tests.netlink.messages import PRIVILEGED, message, split

PORT: Final = 4711
TIMEOUT: Final = 10
ROWS: Final = split(PRIVILEGED)[:-1]

Script: TypeAlias = Callable[[int], Iterable[bytes | OSError]]
"""Gives the datagrams, or what recv fails with, for a request with this sequence number."""


@dataclass
class Kernel:
    """Answers the first request by the first script, the second by the second, and so on."""

    scripts: list[Script]
    connections: "list[Connection]" = field(default_factory=list)

    def open(self) -> "Connection":
        """A socket to this kernel."""
        self.connections.append(Connection(self.scripts))
        return self.connections[-1]

    def dumper(self) -> Dumper:
        """A dumper for this kernel, whose clock goes on by a second whenever it is looked at."""
        return Dumper(self.open, TIMEOUT, partial(next, itertools.count()))


class Connection:
    """The socket; always readable, so that a test never waits."""

    def __init__(self, scripts: list[Script]) -> None:
        self._scripts = scripts
        self._waiting: Iterator[bytes | OSError] = iter(())
        self._readable = os.eventfd(1, os.EFD_CLOEXEC)
        self.closed = False

    def send(self, data: bytes) -> int:
        (sequence,) = struct.unpack_from("=8xI", data)
        # What is left of the answer before comes first, as with the kernel.
        self._waiting = itertools.chain(self._waiting, self._scripts.pop(0)(sequence))
        return len(data)

    def recv_into(self, buffer: memoryview, nbytes: int, flags: int) -> int:
        assert flags == socket.MSG_TRUNC | socket.MSG_DONTWAIT
        datagram = next(self._waiting, None)
        if datagram is None:
            raise BlockingIOError
        if isinstance(datagram, OSError):
            raise datagram
        buffer[: min(nbytes, len(datagram))] = datagram[:nbytes]
        return len(datagram)

    def getsockname(self) -> tuple[int, int]:
        return PORT, 0

    def fileno(self) -> int:
        return self._readable

    def close(self) -> None:
        os.close(self._readable)
        self.closed = True


def row(number: int, sequence: int, port: int = PORT, flags: int = 2) -> bytes:
    """One socket of a real dump."""
    out = bytearray(ROWS[number])
    struct.pack_into("=HII", out, 6, flags, sequence, port)
    return bytes(out)


def control(kind: int, sequence: int, number: int = 0, flags: int = 2) -> bytes:
    """NLMSG_DONE, NLMSG_ERROR and the like, with an errno."""
    return message(struct.pack("=i", -number), [], kind, flags=flags, sequence=sequence, port=PORT)


def done(sequence: int, number: int = 0) -> bytes:
    """The end of a dump."""
    return control(3, sequence, number)
