"""One connection of a client: handshake, requests, answers, each within a deadline however slowly bytes come."""

import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import suppress
from email.utils import formatdate
from http import HTTPStatus
from typing import Final

from ss_pusher.send.deadline import Deadline
from ss_pusher.send.expose import request as http
from ss_pusher.send.expose.exposition import Answer, Exposition, plain
from ss_pusher.send.expose.guard import Guard, Protection
from ss_pusher.send.expose.tls import allowed

FIRST_REQUEST: Final = 10.0
"""Seconds from the connection to the last byte of the first request's head, the handshake included."""
NEXT_REQUEST: Final = 30.0
ANSWER: Final = 30.0
_LEFTOVERS: Final = 1.0
"""Seconds for what a client still sends after its answer: to close before would take the answer back."""
_METHODS: Final = ("GET", "HEAD")


class Connection:
    """What came of a listening socket. Nothing that the client does raises anything but OSError."""

    def __init__(self, accepted: socket.socket, exposition: Exposition, guard: Guard | None) -> None:
        self._socket = accepted
        self._exposition: Final = exposition
        self._guard: Final = guard
        self._deadline: Final = Deadline()
        self._received = b""
        self.silent_since: float | None = time.monotonic()
        """Since when it is the client's turn, in which nothing is lost when it ends; None: it is ours."""
        self.makes_way = False
        """Whether others wait for its place, so that the next answer is the last."""

    def serve(self) -> None:
        """Answer until the client has enough, or is too slow."""
        with suppress(OSError):
            self._allow(FIRST_REQUEST)
            if self._secured():
                for answer, request, lasts in self._answers():
                    self._allow(ANSWER)
                    self._send(answer, request, lasts=lasts)
                self._drain()

    def end(self) -> None:
        """Have `serve` come to its end, from another thread.

        Not by closing: the descriptor may be another connection's before this one's thread has noticed.
        """
        with suppress(OSError):
            # SSLSocket's own would let the thread go on without TLS.
            socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the socket; only for whoever serves it."""
        self._socket.close()

    def _allow(self, seconds: float) -> None:
        self._deadline.set(time.monotonic() + seconds)

    def _secured(self) -> bool:
        """Shake hands where that is wanted: whether the client may go on."""
        protection = self._guard.protection() if self._guard else Protection()
        if protection is None:
            return False
        if protection.context is None:
            return True
        self._socket.getpeername()  # the ssl module leaves the socket of a client that is gone to the garbage collector
        wrapped = protection.context.wrap_socket(self._socket, server_side=True, do_handshake_on_connect=False)
        self._socket = wrapped
        wrapped.settimeout(self._deadline.remaining())
        wrapped.do_handshake()
        return allowed(wrapped, protection.client_names)

    def _answers(self) -> Iterator[tuple[Answer, http.Request | None, bool]]:
        """Each answer, what it answers, and whether the connection lasts.

        The last one is to a request that is wrong or wants no more, or makes way for others who wait.
        """
        while True:
            head = self._head()
            if head is None:
                return
            request = http.parse(head) if len(head) <= http.MAX_HEAD else None
            self.silent_since = None
            lasts = request is not None and request.lasts and not self.makes_way
            yield self._answer(head, request), request, lasts
            self.silent_since = time.monotonic()
            if not lasts:
                return
            self._allow(NEXT_REQUEST)

    def _answer(self, head: bytes, request: http.Request | None) -> Answer:
        if len(head) > http.MAX_HEAD:
            return plain(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, f"more than {http.MAX_HEAD} bytes of headers")
        if request is None:
            return plain(HTTPStatus.BAD_REQUEST, "this is no request of HTTP/1.1")
        headers = request.headers
        refusal = self._guard.refusal(headers.get("authorization", "")) if self._guard else None
        if refusal:
            return refusal
        if request.method not in _METHODS:
            return plain(HTTPStatus.METHOD_NOT_ALLOWED, "there are GET and HEAD", Allow=", ".join(_METHODS))
        return self._exposition.answer(request.path, headers.get("accept", ""), headers.get("accept-encoding", ""))

    def _head(self) -> bytes | None:
        """The next request's head, or more than one may have of it; None: the client has no more to ask."""
        while (end := self._received.find(http.END)) < 0:
            if len(self._received) > http.MAX_HEAD:
                return self._received
            more = self._receive()
            if not more:
                return None
            self._received += more
        head, self._received = self._received[:end], self._received[end + len(http.END) :]
        return head

    def _receive(self) -> bytes:
        self._socket.settimeout(self._deadline.remaining())
        return self._socket.recv(http.MAX_HEAD)

    def _send(self, answer: Answer, request: http.Request | None, *, lasts: bool) -> None:
        protection = self._guard.protection() if self._guard else None
        headers = {
            "Server": "ss_pusher",
            "Date": formatdate(usegmt=True),
            **(protection.headers if protection else {}),
            **answer.headers,
            "Content-Length": str(len(answer.body)),
            **({} if lasts else {"Connection": "close"}),
        }
        lines = [f"HTTP/1.1 {answer.status.value} {answer.status.phrase}", *(f"{k}: {v}" for k, v in headers.items())]
        head = "\r\n".join(lines).encode("latin-1") + http.END
        left = memoryview(head if request and request.method == "HEAD" else head + answer.body)
        while left:
            self._socket.settimeout(self._deadline.remaining())
            left = left[self._socket.send(left) :]

    def _drain(self) -> None:
        self._allow(_LEFTOVERS)
        if not isinstance(self._socket, ssl.SSLSocket):
            self._socket.shutdown(socket.SHUT_WR)
        while self._receive():
            pass
