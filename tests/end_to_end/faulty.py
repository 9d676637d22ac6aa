"""A server in front of a receiver that fails in every way, by the dice, before the receiver hears of a request."""

import random
import socket
import struct
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

import requests

_ABORT: Final = struct.pack("ii", 1, 0)
_HEADERS: Final = ("Content-Encoding", "Content-Type", "User-Agent", "X-Prometheus-Remote-Write-Version")
FAULTS: Final = ("500", "503", "429", "reset", "hang", "drip")


class Faulty:
    """While it is up it fails every other request or so, until `well` is set; `happened` counts what became of them."""

    def __init__(self, receiver: str, dice: random.Random) -> None:
        self.happened: Counter[str] = Counter()
        self.well = threading.Event()
        self._receiver: Final = receiver
        self._dice: Final = dice
        self._over: Final = threading.Event()
        self._server = _Server(("127.0.0.1", 0), self)
        self.port: Final[int] = self._server.server_address[1]
        self._start()

    def restart(self, pause: float) -> None:
        """Refuse connections for so many seconds."""
        self.stop()
        self._over.clear()
        self.happened["restart"] += 1
        threading.Event().wait(pause)
        self._server = _Server(("127.0.0.1", self.port), self)
        self._start()

    def stop(self) -> None:
        """End; what hangs is let go."""
        self._over.set()
        self._server.shutdown()
        self._server.server_close()

    def _start(self) -> None:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def answer(self, handler: BaseHTTPRequestHandler, body: bytes) -> None:
        """Fail, or pass the request on."""
        fault = "passed on" if self.well.is_set() or self._dice.random() < 0.5 else self._dice.choice(FAULTS)
        self.happened[fault] += 1
        match fault:
            case "passed on":
                self._pass_on(handler, body)
            case "reset":
                handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _ABORT)
                handler.close_connection = True
            case "hang":
                self._over.wait(10)
                handler.close_connection = True
            case "drip":
                with suppress(OSError):
                    for _ in range(100):
                        handler.connection.send(b"H")
                        if self._over.wait(0.1):
                            break
                handler.close_connection = True
            case status:
                handler.send_response(int(status))
                handler.send_header("Retry-After", "1")
                handler.send_header("Content-Length", "0")
                handler.end_headers()

    def _pass_on(self, handler: BaseHTTPRequestHandler, body: bytes) -> None:
        headers = {name: handler.headers[name] for name in _HEADERS if name in handler.headers}
        answer = requests.post(self._receiver + handler.path, data=body, headers=headers, timeout=30)
        handler.send_response(answer.status_code)
        for name, value in answer.headers.items():
            if name.startswith("X-"):
                handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(answer.content)))
        handler.end_headers()
        handler.wfile.write(answer.content)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int], faulty: Faulty) -> None:
        self.faulty = faulty
        super().__init__(address, _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that gave up."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.faulty.answer(self, body)

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def faulty(receiver: str, seed: int) -> Iterator[Faulty]:
    """Such a server, in front of the receiver with this URL."""
    server = Faulty(receiver, random.Random(seed))  # noqa: S311 - dice, not keys
    try:
        yield server
    finally:
        server.stop()
