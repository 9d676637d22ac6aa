"""A way from a host of its own to a server on the loopback of this one."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import urlsplit

from tests.hosts import Host


@contextmanager
def relay(host: Host, url: str) -> Iterator[str]:
    """Listen at the host's IPv4 address, and pass all on to the server at `url`; gives the URL to use instead."""
    parts = urlsplit(url)
    target = (parts.hostname or "", parts.port or 0)
    opened: list[socket.socket] = []
    threads: list[threading.Thread] = []
    with host.call(lambda: socket.create_server((host.ipv4, 0))) as listener:

        def accept() -> None:
            with suppress(OSError):
                while True:
                    ends = [listener.accept()[0], socket.create_connection(target)]
                    opened.extend(ends)
                    for one, other in (ends, reversed(ends)):
                        threads.append(threading.Thread(target=_pass_on, args=(one, other)))
                        threads[-1].start()

        threads.append(threading.Thread(target=accept))
        threads[0].start()
        try:
            yield parts._replace(netloc=f"{host.ipv4}:{listener.getsockname()[1]}").geturl()
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            threads[0].join()
            for end in opened:
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
            for thread in threads[1:]:
                thread.join()
            for end in opened:
                end.close()


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(1 << 16):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)
