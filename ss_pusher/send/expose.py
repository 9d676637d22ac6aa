"""The last snapshot over HTTP, for those who can be scraped after all: /metrics and /health."""

import contextlib
import socket
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from ss_pusher.errors import AddressInUseError
from ss_pusher.model import Snapshot

_IDLE_SECONDS: Final = 30
_STALE_TICKS: Final = 3
"""After so many intervals without a tick the agent is not healthy any more."""


class Format(NamedTuple):
    """How a snapshot is written for those who accept `media_type`."""

    media_type: str
    content_type: str
    write: Callable[[Snapshot], bytes]


class Exposition:
    """Keeps the last snapshot and answers requests for it. Safe from any thread.

    `formats` are tried in their order against what a client accepts; the last one is for everybody else. `monotonic`
    gives seconds.
    """

    def __init__(self, formats: tuple[Format, ...], interval: float, monotonic: Callable[[], float]) -> None:
        self._formats: Final = formats
        self._interval: Final = interval
        self._monotonic: Final = monotonic
        self._latest: tuple[Snapshot, float] | None = None

    def show(self, snapshot: Snapshot) -> None:
        """From now on answer with this one."""
        self._latest = snapshot, self._monotonic()

    def answer(self, path: str, accept: str) -> tuple[HTTPStatus, str, bytes]:
        """Status, content type and body for a GET."""
        if path == "/health":
            return self._health()
        if path != "/metrics":
            return _plain(HTTPStatus.NOT_FOUND, "there are /metrics and /health")
        if self._latest is None:
            return _plain(HTTPStatus.SERVICE_UNAVAILABLE, "no tick has succeeded yet")
        chosen = next((f for f in self._formats if f.media_type in accept), self._formats[-1])
        return HTTPStatus.OK, chosen.content_type, chosen.write(self._latest[0])

    def _health(self) -> tuple[HTTPStatus, str, bytes]:
        if self._latest is None:
            return _plain(HTTPStatus.SERVICE_UNAVAILABLE, "no tick has succeeded yet")
        age = self._monotonic() - self._latest[1]
        if age > _STALE_TICKS * self._interval:
            return _plain(HTTPStatus.SERVICE_UNAVAILABLE, f"the last tick that succeeded was {age:.0f} s ago")
        return _plain(HTTPStatus.OK, "ok")


class ExposeServer:
    """Listens from construction until `close`.

    Raises:
        AddressInUseError: the address is taken, or not this host's.
    """

    def __init__(self, address: tuple[str, int], exposition: Exposition) -> None:
        try:
            self._server = _Server(address, exposition)
        except OSError as error:
            host, port = address
            raise AddressInUseError(f"cannot listen on {host}:{port}: {error.strerror or error}") from error
        self.port: Final = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, name="expose", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Listen no more. A request that is being answered is not waited for."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int], exposition: Exposition) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.exposition = exposition
        super().__init__(address, _Handler)

    def server_bind(self) -> None:
        # HTTPServer's own would ask the DNS for the host's name.
        TCPServer.server_bind(self)
        self.server_port = self.server_address[1]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "ss_pusher"
    sys_version = ""
    timeout = _IDLE_SECONDS
    server: _Server

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        status, content_type, body = self.server.exposition.answer(path, self.headers.get("Accept", ""))
        with contextlib.suppress(OSError):
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server names it so
        """A scrape is no news."""


def _plain(status: HTTPStatus, text: str) -> tuple[HTTPStatus, str, bytes]:
    return status, "text/plain; charset=utf-8", f"{text}\n".encode()
