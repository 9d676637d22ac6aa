"""Connections that a test makes and moves data over, byte by byte as it says."""

import socket
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from ss_pusher.model import AddressFamily
from ss_pusher.netlink.closed import ClosedFlows
from tests.hosts import Host
from tests.waiting import wait_for


@dataclass(frozen=True)
class Connection:
    """Both ends of a connection."""

    client: socket.socket
    server: socket.socket

    def ask(self, count: int) -> None:
        """Send so many bytes from the client, and wait until they are read."""
        _move(self.client, self.server, count)

    def answer(self, count: int) -> None:
        """Send so many bytes to the client, and wait until they are read."""
        _move(self.server, self.client, count)

    def close(self) -> None:
        """The client closes first, as most do."""
        self.client.close()
        self.server.close()


@dataclass(frozen=True)
class Service:
    """A listening socket, and where its clients come from; None is where the test runs."""

    listener: socket.socket
    opened: ExitStack
    clients: Host | None = None

    @property
    def port(self) -> int:
        port: int = self.listener.getsockname()[1]
        return port

    def connect(self) -> Connection:
        """Open a connection, which is closed in the end at the latest."""
        address = self.listener.getsockname()[:2]
        client = self.clients.call(lambda: socket.create_connection(address)) if self.clients else _connect(address)
        server, _ = self.listener.accept()
        return Connection(self.opened.enter_context(client), self.opened.enter_context(server))

    def accept(self, count: int) -> None:
        """Take the connection of another process, and so many bytes from it; it is open until the end."""
        server, _ = self.listener.accept()
        self.opened.enter_context(server)
        while count:
            count -= len(server.recv(count))


@contextmanager
def service(address: str = "127.0.0.1", *, at: Host | None = None, clients: Host | None = None) -> Iterator[Service]:
    """Listen on any free port of an address."""
    with ExitStack() as opened:
        listener = at.call(lambda: _listen(address)) if at else _listen(address)
        yield Service(opened.enter_context(listener), opened, clients)


@contextmanager
def announced(host: Host, port: int, ends: int = 1) -> Iterator[None]:
    """Go on behind the block when the kernel has announced that so many ends of connections to a port are closed.

    It does so a moment after they are gone, to all who listen at once.
    """
    with host.call(lambda: ClosedFlows(tuple(AddressFamily), (), loopback=True)) as closed:
        heard = Counter[int]()

        def enough() -> bool:
            sockets = closed.take().sockets
            heard.update([*sockets.local_port.tolist(), *sockets.remote_port.tolist()])
            return heard[port] >= ends

        yield
        wait_for(enough, f"{ends} ends are announced as closed")


def _listen(address: str) -> socket.socket:
    return socket.create_server((address, 0), family=socket.AF_INET6 if ":" in address else socket.AF_INET)


def _connect(address: tuple[str, int]) -> socket.socket:
    return socket.create_connection(address)


def _move(sender: socket.socket, receiver: socket.socket, count: int) -> None:
    """In pieces that fit the buffers, so that no thread is needed."""
    while count:
        piece = min(count, 1 << 14)
        sender.sendall(bytes(piece))
        left = piece
        while left:
            left -= len(receiver.recv(left))
        count -= piece
