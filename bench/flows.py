"""Opens TCP connections on loopback, in as many processes as the limit of descriptors asks for, and holds them."""

import math
import resource
import socket
import struct
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import cycle
from multiprocessing.connection import Connection
from typing import Final, Self

from bench.serving import serving

ADDRESSES: Final = 50  # destinations of each process, with a listening port each
PAYLOAD: Final = b"x" * 1000  # each way
SPARE_DESCRIPTORS: Final = 200  # of each process
_ABORT: Final = struct.pack("ii", 1, 0)  # struct linger: closing resets, so that nothing lingers in TIME_WAIT


class Flows:
    """Connections that are open while this context is. Both ends are here, so each is two sockets."""

    def __init__(self) -> None:
        self._holders = ExitStack()
        self._connections: list[Connection] = []
        self._open = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._holders.close()

    @property
    def processes(self) -> int:
        """How many processes hold the connections; that of number n has its destinations in 127.0.n.0/24."""
        return len(self._connections)

    def grow_to(self, sockets: int) -> None:
        """Open what is missing to this many sockets; each connection carries a little payload both ways."""
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        most = (hard - ADDRESSES - SPARE_DESCRIPTORS) // 2  # connections of one process
        missing = math.ceil(sockets / 2) - self._open
        while missing > 0:
            if self._open % most == 0:
                self._connections.append(self._holders.enter_context(serving(_hold, len(self._connections) + 1)))
            count = min(missing, most - self._open % most)
            self._connections[-1].send(count)
            self._connections[-1].recv()
            self._open += count
            missing -= count


def listening(number: int) -> Iterator[socket.socket]:
    """The destinations of process `number`, over and over. From now on it may open as many sockets as ever allowed."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return cycle([socket.create_server((f"127.0.{number}.{last}", 0)) for last in range(1, ADDRESSES + 1)])


def _hold(number: int, orders: Connection) -> None:
    """Open as many connections as are sent, and hold them until the end."""
    listeners = listening(number)
    held: list[tuple[socket.socket, socket.socket]] = []
    try:
        while True:
            held.extend(_connect(next(listeners)) for _ in range(orders.recv()))
            orders.send(len(held))
    except EOFError:
        return  # the benchmark is over; the kernel closes all with the process


def _connect(listener: socket.socket) -> tuple[socket.socket, socket.socket]:
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT)
    client.connect(listener.getsockname())
    server, _ = listener.accept()
    for sender, receiver in ((client, server), (server, client)):
        sender.sendall(PAYLOAD)
        receiver.recv(len(PAYLOAD), socket.MSG_WAITALL)
    return client, server
