"""The receiver's HTTP side: one thread a connection, bodies of bounded size, an answer to each request."""

import contextlib
import socket
import sys
import threading
import time
from collections.abc import Callable
from http import HTTPMethod, HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import urlsplit

from ss_pusher.errors import AddressInUseError
from ss_pusher.receiver.inbox import Answer, Inbox

_MAX_BODY_BYTES: Final = 32 * 1024 * 1024
_IDLE_SECONDS: Final = 120


class Receiver(Inbox):
    """An inbox that listens, from `start` until `close`; a context manager does both.

    It takes remote write at /api/v1/write and /api/v1/push, the Pushgateway's calls at /metrics/job/..., and shows
    what arrived at /. `listen` is host and port, where port 0 takes a free one. `report` gets a line for each request,
    from the thread that serves it.
    """

    def __init__(
        self,
        listen: tuple[str, int] = ("127.0.0.1", 0),
        *,
        remote_write_2: bool = True,
        samples_per_series: int = 100,
        max_series: int = 10_000,
        clock: Callable[[], float] = time.time,
        report: Callable[[str], None] = lambda _line: None,
    ) -> None:
        super().__init__(
            clock, report, remote_write_2=remote_write_2, samples_per_series=samples_per_series, max_series=max_series
        )
        self._listen = listen
        self._server: _Server | None = None

    @property
    def url(self) -> str:
        """Where it listens, without a path. It must have been started."""
        if self._server is None:
            raise RuntimeError("the receiver is not started")
        host, port = self._listen[0], self._server.server_port
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    def start(self) -> None:
        """Listen, and serve in threads.

        Raises:
            AddressInUseError: the address is taken or not this host's.
        """
        host, port = self._listen
        try:
            self._server = _Server(self._listen, self.answer)
        except OSError as error:
            raise AddressInUseError(f"cannot listen on {host}:{port}: {error.strerror or error}") from error
        threading.Thread(target=self._server.serve_forever, name="receiver", daemon=True).start()

    def close(self) -> None:
        """Stop listening and end all connections; what arrived stays readable."""
        if self._server is not None:
            self._server.shutdown()
            self._server.end_connections()
            self._server.server_close()
            self._server = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = False  # so that `server_close` waits for them
    request_queue_size = 128

    def __init__(self, listen: tuple[str, int], answer: Callable[..., Answer]) -> None:
        self.address_family = socket.AF_INET6 if ":" in listen[0] else socket.AF_INET
        self.answer = answer
        self._connections: set[Any] = set()
        super().__init__(listen, _Handler)

    def server_bind(self) -> None:
        # HTTPServer's own would ask the DNS for the host's name.
        TCPServer.server_bind(self)
        self.server_port = self.server_address[1]

    def process_request(self, request: Any, client_address: Any) -> None:
        self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._connections.discard(request)
        super().shutdown_request(request)

    def end_connections(self) -> None:
        """Wake the threads that wait for the next request on a connection that is kept alive."""
        for connection in list(self._connections):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), OSError):  # a client that went away is no news
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # head and body of an answer in one piece
    timeout = _IDLE_SECONDS
    server: _Server

    def do_GET(self) -> None:
        length = self.headers.get("Content-Length", "" if "Transfer-Encoding" in self.headers else "0")
        if not length.isdecimal():
            self._send(Answer(HTTPStatus.LENGTH_REQUIRED, "a Content-Length is needed\n"), close=True)
        elif int(length) > _MAX_BODY_BYTES:
            text = f"the body has {length} bytes; at most {_MAX_BODY_BYTES} are allowed\n"
            self._send(Answer(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, text), close=True)
        else:
            self._answer(int(length))

    do_PUT = do_POST = do_DELETE = do_GET  # noqa: N815 - http.server finds the methods by these names

    def _answer(self, length: int) -> None:
        body = self.rfile.read(length)
        if len(body) < length:
            self.close_connection = True  # the client went away
            return
        method, path = HTTPMethod(self.command), urlsplit(self.path).path
        self._send(self.server.answer(method, path, self.headers, body), close=False)

    def _send(self, answer: Answer, *, close: bool) -> None:
        body = answer.text.encode()
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if close:
            self.send_header("Connection", "close")
        if answer.status is not HTTPStatus.NO_CONTENT:
            self.send_header("Content-Type", "text/plain; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server names it so
        """Each request is reported once it is understood."""
