"""A server that shows something, and raw ways to ask it."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from ss_pusher.model import Block, Family, MetricType, Snapshot
from ss_pusher.send.expose import ExposeServer, Exposition, Format, Guard

LOOPBACK = "127.0.0.1"
PATIENCE = 10.0


class Clock:
    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


def snapshot(time_ms: int) -> Snapshot:
    family = Family("a_total", MetricType.COUNTER, "An a.")
    return Snapshot(time_ms, 0, (Block((family,), ((),), np.array([[1.0]]), np.array([0])),))


def variants(*versions: str) -> tuple[dict[str, str], ...]:
    return tuple({"version": version, "charset": "utf-8"} for version in versions)


class Written:
    """Two formats whose text is their name and the snapshot's time, and how often each was written."""

    def __init__(self) -> None:
        self.count = 0

    def write(self, name: str, snapshot: Snapshot) -> bytes:
        self.count += 1
        return b"%s %d" % (name.encode(), snapshot.time_ms)

    def formats(self) -> tuple[Format, ...]:
        return (
            Format("application/openmetrics-text", variants("1.0.0", "0.0.1"), lambda s: self.write("open", s)),
            Format("text/plain", variants("0.0.4"), lambda s: self.write("text", s)),
        )


@contextmanager
def showing(guard: Guard | None = None) -> Iterator[ExposeServer]:
    """A server that shows the snapshot of the time 7."""
    exposition = Exposition(Written().formats(), 15.0, Clock())
    exposition.show(snapshot(7))
    server = ExposeServer((LOOPBACK, 0), exposition, guard)
    try:
        yield server
    finally:
        server.close()


def connect(server: ExposeServer) -> socket.socket:
    return socket.create_connection((LOOPBACK, server.port), timeout=PATIENCE)


def told(connection: socket.socket) -> bytes:
    """All that comes until the server ends the connection."""
    received = b""
    try:
        while more := connection.recv(1 << 16):
            received += more
    except ConnectionResetError:
        pass
    return received


def ask(server: ExposeServer, request: bytes) -> bytes:
    """The whole answer to some bytes."""
    with connect(server) as connection:
        connection.sendall(request)
        return told(connection)
