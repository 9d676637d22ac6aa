"""One deadline for a whole exchange: name, connection, handshake, request and answer, however slowly bytes drip.

A timeout of a socket starts anew with each operation, so a server that sends a byte now and then holds a client for
ever. Here each operation gets only what is left until the deadline. CPython's own loops inside one operation (sendall,
a TLS handshake, a TLS record that comes in pieces) already bound their sum.
"""

import math
import os
import queue
import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final, TypeAlias

Address: TypeAlias = tuple[Any, ...]
Found: TypeAlias = list[tuple[socket.AddressFamily, Address]]

_opened: Final[deque[int]] = deque(maxlen=1024)
"""The inodes of the process' latest connections, whoever opened them: more than are ever open at once."""


def opened() -> set[int]:
    """The inodes of the connections that were opened here and may be open: no job's, though its process holds them."""
    return set(_opened.copy())


class Deadline:
    """When the current exchange must be over, and how long its answer may be; shared by a client and its sockets.

    While `head_expected` is set, the end of the stream is an error. (http.client takes it for the end of the headers.)
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._at = 0.0
        self._bytes_left = math.inf
        self.head_expected = False

    def set(self, at: float) -> None:
        """Begin an exchange that must be over at this time of the clock, in seconds."""
        self._at = at

    def expired(self) -> bool:
        """Whether no time is left."""
        return self._clock() >= self._at

    def remaining(self) -> float:
        """Seconds left, more than 0; TimeoutError when there are none."""
        left = self._at - self._clock()
        if left <= 0:
            raise TimeoutError("the deadline of the exchange has passed")
        return left

    def expect(self, at_most: int) -> None:
        """An answer comes, of at most so many bytes: with its interim answers (1xx), framing and trailers."""
        self.head_expected = True
        self._bytes_left = at_most

    def check(self, received: bytes | int) -> None:
        """What was received belongs to the answer.

        Raises ConnectionResetError where it is the end of the stream, and that is too early; OSError where the answer
        is longer than any can be.
        """
        size = received if isinstance(received, int) else len(received)
        if self.head_expected and not size:
            raise ConnectionResetError("the server closed the connection without a complete answer")
        self._bytes_left -= size
        if self._bytes_left < 0:
            raise OSError("the server's answer has no end")


class DeadlineSocket(socket.socket):
    """A socket whose operations end at the deadline."""

    deadline: Deadline

    def recv(self, bufsize: int, flags: int = 0, /) -> bytes:
        """As socket.recv."""
        self.settimeout(self.deadline.remaining())
        return super().recv(bufsize, flags)

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        """As socket.recv_into; files made of this socket read through it."""
        self.settimeout(self.deadline.remaining())
        received = super().recv_into(buffer, nbytes, flags)
        self.deadline.check(received)
        return received

    def sendall(self, data: Any, flags: int = 0, /) -> None:
        """As socket.sendall."""
        self.settimeout(self.deadline.remaining())
        super().sendall(data, flags)


class DeadlineTlsSocket(ssl.SSLSocket):
    """A TLS socket whose operations end at the deadline."""

    deadline: Deadline

    def read(self, len: int = 1024, buffer: Any = None) -> bytes:  # noqa: A002 - the name in SSLSocket
        """As SSLSocket.read, through which recv and recv_into go."""
        self.settimeout(self.deadline.remaining())
        received = super().read(len, buffer)
        self.deadline.check(received)
        return received

    def send(self, data: Any, flags: int = 0) -> int:
        """As SSLSocket.send, through which sendall goes."""
        self.settimeout(self.deadline.remaining())
        return super().send(data, flags)


class DeadlineContext(ssl.SSLContext):
    """A TLS context for clients whose handshakes, and the sockets that come of them, end at the deadline."""

    sslsocket_class = DeadlineTlsSocket
    deadline: Deadline

    def wrap_socket(self, sock: socket.socket, *args: Any, **kwargs: Any) -> DeadlineTlsSocket:
        """As SSLContext.wrap_socket, with the handshake."""
        sock.settimeout(self.deadline.remaining())
        wrapped: DeadlineTlsSocket = super().wrap_socket(sock, *args, **kwargs)  # type: ignore[assignment]  # sslsocket_class decides
        wrapped.deadline = self.deadline
        return wrapped


def connect(host: str, port: int, deadline: Deadline) -> DeadlineSocket:
    """A connection to the first address of `host` that takes one; each gets an equal share of the time left.

    Raises OSError with every address that failed, and why.
    """
    failures: list[str] = []
    found = resolve(host, port, deadline)
    for index, (family, address) in enumerate(found):
        share = deadline.remaining() / (len(found) - index)
        sock = DeadlineSocket(family, socket.SOCK_STREAM)
        _opened.append(os.fstat(sock.fileno()).st_ino)
        try:
            sock.settimeout(share)
            sock.connect(address)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as error:
            sock.close()
            failures.append(f"{address[0]} port {address[1]}: {error.strerror or error}")
            continue
        sock.deadline = deadline
        return sock
    raise OSError("; ".join(failures))


def resolve(host: str, port: int, deadline: Deadline) -> Found:
    """The addresses of `host`, in the order of preference that the system gives them.

    The system's resolver cannot be given a timeout. So it works in a thread of its own, which is left to end by
    itself when it takes too long. Raises OSError.
    """
    try:
        return _look_up(host, port, socket.AI_NUMERICHOST)
    except (socket.gaierror, UnicodeError):
        pass
    answer: queue.SimpleQueue[Found | OSError | UnicodeError] = queue.SimpleQueue()

    def ask() -> None:
        try:
            answer.put(_look_up(host, port))
        except (OSError, UnicodeError) as error:  # UnicodeError: not a name that IDNA can encode
            answer.put(error)

    threading.Thread(target=ask, name="resolver", daemon=True).start()
    try:
        found = answer.get(timeout=deadline.remaining())
    except queue.Empty:
        raise TimeoutError(f"the name {host} was not resolved in time") from None
    if isinstance(found, OSError | UnicodeError):
        reason = found.strerror if isinstance(found, OSError) else found
        raise OSError(f"cannot resolve {host}: {reason}")
    return found


def _look_up(host: str, port: int, flags: int = 0) -> Found:
    answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags)
    return [(family, address) for family, _, _, _, address in answers]
