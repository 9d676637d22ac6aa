"""An HTTP server on a raw socket that does what a test tells it to, and keeps what it was sent."""

import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BufferedReader
from typing import Final

DRIP_EVERY: Final = 0.02
PATIENCE: Final = 20.0
FLOOD: Final = 32 << 20


@dataclass(frozen=True)
class Received:
    """A request as it came over the wire; the names of headers in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass
class Peer:
    """One connection, as a script sees it, and the request that it is to answer."""

    sock: socket.socket
    stop: threading.Event
    body: bytes = b""

    def drip(self, data: bytes) -> None:
        """Send byte by byte."""
        for byte in data:
            self.sock.sendall(bytes([byte]))
            if self.stop.wait(DRIP_EVERY):
                return

    def wait_until_closed(self) -> None:
        """Say nothing until the other side has gone."""
        with contextlib.suppress(OSError):
            while self.sock.recv(65536):
                pass

    def reset(self) -> None:
        """Close with a RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


Script = Callable[[Peer], bool | None]
"""Answers one request; True keeps the connection for the next."""


@dataclass
class Scripted:
    """The running server. `broken` is set when a client went away before an answer was over."""

    port: int
    scripts: list[Script]
    requests: list[Received] = field(default_factory=list)
    connections: int = 0
    broken: threading.Event = field(default_factory=threading.Event)
    scheme: str = "http"
    stop: threading.Event = field(default_factory=threading.Event)
    sockets: list[socket.socket] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}/push"

    def next_script(self) -> Script:
        return self.scripts.pop(0) if len(self.scripts) > 1 else self.scripts[0]


def reply(status: int = 200, body: bytes = b"", *, keep: bool = True, **headers: str) -> Script:
    """A complete answer; the names of headers with _ for -."""
    data = head(status, {"Content-Length": str(len(body))} | {k.replace("_", "-"): v for k, v in headers.items()})

    def script(peer: Peer) -> bool:
        peer.sock.sendall(data + body)
        return keep

    return script


def without_end(beginning: bytes, piece: bytes) -> Script:
    """An answer that begins in some way and goes on for longer than all buffers on its way; then it is over."""

    def script(peer: Peer) -> None:
        peer.sock.sendall(beginning)
        for _ in range(FLOOD // len(piece) // 100):
            peer.sock.sendall(piece * 100)

    return script


def head(status: int, headers: Mapping[str, str]) -> bytes:
    """Status line and headers."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status} Said\r\n{lines}\r\n".encode("latin-1")


@contextmanager
def scripted(
    *scripts: Script,
    connected: Script | None = None,
    context: ssl.SSLContext | None = None,
) -> Iterator[Scripted]:
    """A server whose nth request is answered by the nth script, and all later ones by the last.

    `connected` is called with each new connection, before TLS; unless it returns True, that was the connection.
    """
    threads: list[threading.Thread] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = Scripted(listener.getsockname()[1], list(scripts), scheme="https" if context else "http")

        def accept() -> None:
            while True:
                try:
                    sock, _ = listener.accept()
                except OSError:
                    return
                server.connections += 1
                sock.settimeout(PATIENCE)
                server.sockets.append(sock)
                thread = threading.Thread(target=_serve, args=(server, sock, connected, context))
                threads.append(thread)
                thread.start()

        acceptor = threading.Thread(target=accept)
        acceptor.start()
        try:
            yield server
        finally:
            server.stop.set()
            listener.shutdown(socket.SHUT_RDWR)
            acceptor.join()
            for sock in server.sockets:
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)
            for thread in threads:
                thread.join()


def _serve(
    server: Scripted,
    sock: socket.socket,
    connected: Script | None,
    context: ssl.SSLContext | None,
) -> None:
    with contextlib.ExitStack() as stack:
        stack.enter_context(sock)
        stack.push(lambda kind, *_: _note_broken(server, kind))
        if connected and not connected(Peer(sock, server.stop)):
            return
        if context:
            sock = stack.enter_context(context.wrap_socket(sock, server_side=True))
            server.sockets.append(sock)
        reader = stack.enter_context(sock.makefile("rb"))
        while received := _read_request(reader):
            server.requests.append(received)
            if not server.next_script()(Peer(sock, server.stop, received.body)):
                return


def _note_broken(server: Scripted, kind: type[BaseException] | None) -> bool:
    if kind is None or not issubclass(kind, OSError):
        return False
    server.broken.set()
    return True


def _read_request(reader: BufferedReader) -> Received | None:
    line = reader.readline().decode("latin-1").split()
    if not line:
        return None
    headers: dict[str, str] = {}
    while (header := reader.readline().decode("latin-1").strip()) != "":
        name, _, value = header.partition(":")
        headers[name.lower()] = value.strip()
    body = reader.read(int(headers.get("content-length", "0")))
    return Received(line[0], line[1], headers, body)
