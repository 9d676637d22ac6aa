"""Proxies: HTTP with and without a tunnel, over TLS, and SOCKS5."""

import contextlib
import socket
import struct
import threading
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import pytest

from ss_pusher.send.exchange import Failure, Outcome
from ss_pusher.send.session import HttpSettings
from ss_pusher.send.tls import TlsSettings
from tests.send.certificates import Authority
from tests.send.endpoints import is_accepted, post
from tests.send.scripted import Peer, Scripted, reply, scripted

LONG = 20.0
SHORT = 0.3


def push(url: str, proxy: str, tls: TlsSettings | None = None, within: float = LONG) -> Outcome:
    return post(url, HttpSettings(proxy=proxy, tls=tls or TlsSettings()), within)


def relay(one: socket.socket, other: socket.socket) -> None:
    """Carry bytes both ways until one side has no more."""

    def carry(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)

    back = threading.Thread(target=carry, args=(other, one))
    back.start()
    carry(one, other)
    back.join()


def tunnel_to(server: Scripted) -> Callable[[Peer], None]:
    """Answers a CONNECT, then relays to the server whatever was asked for."""

    def script(peer: Peer) -> None:
        peer.sock.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        with socket.create_connection(("127.0.0.1", server.port), LONG) as inner:
            relay(peer.sock, inner)

    return script


def test_an_http_proxy_gets_the_whole_address_and_its_own_credentials() -> None:
    with scripted(reply()) as proxy:
        assert is_accepted(push("http://nowhere.invalid/push", f"http://user:p%40ss@127.0.0.1:{proxy.port}"))

    (received,) = proxy.requests
    assert received.path == "http://nowhere.invalid/push"
    assert received.headers["host"] == "nowhere.invalid"
    assert received.headers["proxy-authorization"] == "Basic dXNlcjpwQHNz"


@pytest.mark.parametrize("over_tls", [False, True])
def test_tls_goes_through_a_proxy_in_a_tunnel(tmp_path: Path, *, over_tls: bool) -> None:
    authority = Authority(tmp_path)
    certificate = authority.sign("server", host="push.example").server_context()
    context = authority.sign("proxy").server_context() if over_tls else None
    with scripted(reply(), context=certificate) as server, scripted(tunnel_to(server), context=context) as proxy:
        address = f"{proxy.scheme}://user:pass@127.0.0.1:{proxy.port}"
        outcome = push("https://push.example/push", address, TlsSettings(ca_file=authority.file))

    assert is_accepted(outcome)
    (connect,) = proxy.requests
    assert (connect.method, connect.path) == ("CONNECT", "push.example:443")
    assert connect.headers["proxy-authorization"] == "Basic dXNlcjpwYXNz"
    assert "proxy-authorization" not in server.requests[0].headers


@pytest.mark.parametrize("drips", ["in the tunnel", "before it"])
def test_a_proxy_that_drips_cannot_stretch_the_deadline(drips: str) -> None:
    def script(peer: Peer) -> None:
        if drips == "in the tunnel":
            peer.sock.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            peer.sock.recv(1)  # the client has begun its handshake
            peer.drip(bytes([22, 3, 3, 0x20, 0]) + b"\x02" * 0x2000)
        peer.drip(b"HTTP/1.1 200 " + b"x" * 500)

    with scripted(script) as proxy:
        outcome = push("https://push.example/", f"http://127.0.0.1:{proxy.port}", within=SHORT)

    assert outcome == Failure("no complete answer before the deadline")


def test_a_tunnel_that_is_refused_says_so() -> None:
    with scripted(reply(407)) as proxy:
        outcome = push("https://push.example/", f"http://127.0.0.1:{proxy.port}")

    assert outcome == Failure("Tunnel connection failed: 407 Said")


# ---- SOCKS5 ---------------------------------------------------------------------------------------------------------


class SocksServer:
    """A SOCKS5 proxy that reaches one server, and keeps what it was asked for."""

    def __init__(self, server: Scripted, user: bytes = b"", password: bytes = b"", refusal: int = 0) -> None:
        self._server = server
        self._expected = bytes([1, len(user)]) + user + bytes([len(password)]) + password if user else b""
        self._refusal = refusal
        self.destinations: list[tuple[int, bytes, int]] = []

    def __call__(self, peer: Peer) -> None:
        with peer.sock.makefile("rb") as stream:
            if not self._admits(peer, stream):
                return
            kind = stream.read(4)[3]
            size = {1: 4, 4: 16}.get(kind) or stream.read(1)[0]
            self.destinations.append((kind, stream.read(size), struct.unpack(">H", stream.read(2))[0]))
            peer.sock.sendall(bytes([5, self._refusal, 0, 1]) + bytes(6))
            with socket.create_connection(("127.0.0.1", self._server.port), LONG) as inner:
                relay(peer.sock, inner)

    def _admits(self, peer: Peer, stream: BinaryIO) -> bool:
        methods = stream.read(stream.read(2)[1])
        wanted = 2 if self._expected else 0
        peer.sock.sendall(bytes([5, wanted if wanted in methods else 255]))
        if wanted not in methods or not self._expected:
            return wanted in methods
        correct = stream.read(len(self._expected)) == self._expected
        peer.sock.sendall(bytes([1, 0 if correct else 1]))
        return correct


@pytest.mark.parametrize(
    ("host", "destination"),
    [
        ("push.example", (3, b"push.example", 80)),
        ("192.0.2.1", (1, bytes([192, 0, 2, 1]), 80)),
        ("[2001:db8::1]", (4, bytes.fromhex("20010db8000000000000000000000001"), 80)),
    ],
)
@pytest.mark.parametrize("scheme", ["socks5", "socks5h"])
def test_a_socks_proxy_is_asked_for_the_host_by_name_or_address(
    scheme: str, host: str, destination: tuple[int, bytes, int]
) -> None:
    with scripted(reply()) as server:
        socks = SocksServer(server)
        with scripted(connected=socks) as proxy:
            assert is_accepted(push(f"http://{host}/push", f"{scheme}://127.0.0.1:{proxy.port}"))

    assert socks.destinations == [destination]
    assert server.requests[0].path == "/push"


def test_tls_goes_through_a_socks_proxy(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    certificate = authority.sign("server", host="push.example").server_context()
    with scripted(reply(), context=certificate) as server, scripted(connected=SocksServer(server)) as proxy:
        address = f"socks5://127.0.0.1:{proxy.port}"
        assert is_accepted(push("https://push.example/", address, TlsSettings(ca_file=authority.file)))


def test_a_socks_proxy_gets_user_and_password() -> None:
    with scripted(reply()) as server, scripted(connected=SocksServer(server, b"user", b"p@ss")) as proxy:
        assert is_accepted(push("http://push.example/", f"socks5://user:p%40ss@127.0.0.1:{proxy.port}"))
        wrong = push("http://push.example/", f"socks5://user:wrong@127.0.0.1:{proxy.port}")
        none = push("http://push.example/", f"socks5://127.0.0.1:{proxy.port}")

    assert wrong == Failure("the SOCKS proxy refused user and password")
    assert none == Failure("the SOCKS proxy wants an authentication that is not configured")


def test_a_socks_proxy_that_refuses_says_why() -> None:
    with scripted(reply()) as server, scripted(connected=SocksServer(server, refusal=4)) as proxy:
        outcome = push("http://push.example/", f"socks5://127.0.0.1:{proxy.port}")

    assert outcome == Failure("the SOCKS proxy: host unreachable")


@pytest.mark.parametrize("said", [b"", b"\x05", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x05\x00\x05\x00\x00\x03"])
def test_what_is_not_socks_is_a_failure(said: bytes) -> None:
    def script(peer: Peer) -> None:
        peer.sock.sendall(said)
        peer.sock.shutdown(socket.SHUT_WR)
        peer.wait_until_closed()

    with scripted(connected=script) as proxy:
        assert isinstance(push("http://push.example/", f"socks5://127.0.0.1:{proxy.port}"), Failure)


def test_a_socks_proxy_that_drips_cannot_stretch_the_deadline() -> None:
    answer = b"\x05\x00" + bytes([5, 0, 0, 3, 255]) + b"x" * 257

    with scripted(connected=lambda peer: peer.drip(answer)) as proxy:
        outcome = push("http://push.example/", f"socks5://127.0.0.1:{proxy.port}", within=SHORT)

    assert outcome == Failure("no complete answer before the deadline")
