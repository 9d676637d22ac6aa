"""The listening socket, and a thread for each of a bounded number of connections."""

import contextlib
import socket
import threading
import time
from typing import Final

from ss_pusher.errors import AddressInUseError
from ss_pusher.send.expose.connection import Connection
from ss_pusher.send.expose.exposition import Exposition
from ss_pusher.send.expose.guard import Guard

MAX_CONNECTIONS: Final = 16
"""At once; as many again wait in the kernel, and what is more than that is not answered."""
GRACE: Final = 1.0
"""Seconds of silence that nobody is disturbed in."""
_PAUSE: Final = 0.1  # seconds between two looks for a place or a descriptor


class ExposeServer:
    """Listens from construction until `close`. Without a guard everybody may ask.

    When there are as many connections as there may be, a new one takes the place of one whose client has been silent
    for a second, and the next answer to each is the last: neither who connects and asks nothing nor who asks without
    end keeps others out for longer.

    Raises:
        AddressInUseError: the address is taken, or not this host's.
    """

    def __init__(self, address: tuple[str, int], exposition: Exposition, guard: Guard | None = None) -> None:
        self._listener: Final = _listen(address)
        self.host: Final[str] = self._listener.getsockname()[0]
        self.port: Final[int] = self._listener.getsockname()[1]
        self._exposition: Final = exposition
        self._guard: Final = guard
        self._open: list[Connection] = []  # the oldest first
        self._changed: Final = threading.Condition()
        self._closing: Final = threading.Event()
        self._thread = threading.Thread(target=self._accept, name="expose", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Listen no more. A request that is being answered is not waited for."""
        with self._changed:
            self._closing.set()
            for connection in self._open:
                connection.end()
            self._changed.notify_all()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()

    def _accept(self) -> None:
        while not self._closing.is_set():
            try:
                accepted, _ = self._listener.accept()
            except OSError:  # this is the end, or there is no descriptor to be had
                self._closing.wait(_PAUSE)
            else:
                self._begin(Connection(accepted, self._exposition, self._guard))

    def _begin(self, connection: Connection) -> None:
        thread = threading.Thread(target=self._serve, args=(connection,), name="expose client", daemon=True)
        with self._changed:
            while len(self._open) >= MAX_CONNECTIONS and not self._closing.is_set():
                self._make_way()
                self._changed.wait(_PAUSE)
            if self._closing.is_set():
                connection.close()
                return
            self._open.append(connection)
        try:
            thread.start()
        except RuntimeError:  # there is no thread to be had
            self._forget(connection)

    def _make_way(self) -> None:
        """End the oldest of those who had their time to ask; whoever asks gets one more answer."""
        for each in self._open:
            each.makes_way = True
        latest = time.monotonic() - GRACE
        silent = [each for each in self._open if each.silent_since is not None and each.silent_since < latest]
        for oldest in silent[:1]:
            oldest.end()

    def _serve(self, connection: Connection) -> None:
        try:
            connection.serve()
        finally:
            self._forget(connection)

    def _forget(self, connection: Connection) -> None:
        with self._changed:
            self._open.remove(connection)
            self._changed.notify_all()
        connection.close()


def _listen(address: tuple[str, int]) -> socket.socket:
    host, port = address
    everywhere = not host and socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if everywhere or ":" in host else socket.AF_INET
    try:
        return socket.create_server(address, family=family, backlog=MAX_CONNECTIONS, dualstack_ipv6=everywhere)
    except OSError as error:
        raise AddressInUseError(f"cannot listen on {host}:{port}: {error.strerror or error}") from error
