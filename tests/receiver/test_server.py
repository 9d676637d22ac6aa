"""The receiver over real connections."""

import socket
import threading
from http import HTTPStatus

import pytest
import requests

from ss_pusher.errors import AddressInUseError
from ss_pusher.receiver import Receiver
from tests.receiver.test_remote_write import HEADERS_1, HEADERS_2, body_of, request_1, request_2


def raw(receiver: Receiver, request: bytes) -> bytes:
    """What comes back until the server closes the connection."""
    host, port = receiver.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(request)
        answer = b""
        while part := connection.recv(65536):
            answer += part
        return answer


def test_requests_of_one_connection_are_answered_one_after_the_other() -> None:
    with Receiver() as receiver, requests.Session() as session:
        for headers, message in (
            (HEADERS_1, request_1()),
            (HEADERS_2, request_2(symbols=("", "__name__", "x", "job", "j", "H"))),
        ):
            answer = session.post(f"{receiver.url}/api/v1/write", data=body_of(message), headers=headers, timeout=10)
            assert answer.status_code == HTTPStatus.NO_CONTENT
        assert answer.headers["X-Prometheus-Remote-Write-Samples-Written"] == "1"
        answer = session.put(f"{receiver.url}/metrics/job/j", data=b"up", timeout=10)
        assert (answer.status_code, answer.text) == (400, "text format parsing error: the last line has no end\n")
        assert session.delete(f"{receiver.url}/metrics/job/j", timeout=10).status_code == HTTPStatus.ACCEPTED
        assert 'up{job="j"} 1.5' in session.get(receiver.url, timeout=10).text
    assert len(receiver.requests) == 4
    assert len(receiver.series) == 2


def test_a_body_without_a_length_is_refused() -> None:
    with Receiver() as receiver:
        answer = raw(receiver, b"POST /api/v1/write HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 411 ")


@pytest.mark.parametrize("length", ["-1", "x", ""])
def test_a_length_that_is_none_is_refused(length: str) -> None:
    with Receiver() as receiver:
        answer = raw(receiver, f"PUT /metrics/job/j HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 411 ")


def test_a_body_that_is_too_long_is_refused_unread() -> None:
    with Receiver() as receiver:
        answer = raw(receiver, b"PUT /metrics/job/j HTTP/1.1\r\nHost: x\r\nContent-Length: 33554433\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert answer.endswith(b"the body has 33554433 bytes; at most 33554432 are allowed\n")


def test_a_body_cut_short_is_not_taken() -> None:
    with Receiver() as receiver:
        host, port = receiver.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=10) as connection:
            connection.sendall(b"PUT /metrics/job/j HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nup 1\n")
            connection.shutdown(socket.SHUT_WR)
            assert connection.recv(65536) == b""
    assert receiver.groups == {}


def test_closing_ends_connections_that_are_kept_alive_and_all_threads() -> None:
    before = threading.active_count()
    with Receiver() as receiver:
        host, port = receiver.url.removeprefix("http://").split(":")
        connection = socket.create_connection((host, int(port)), timeout=10)
        connection.sendall(b"GET /-/ready HTTP/1.1\r\nHost: x\r\n\r\n")
        assert connection.recv(65536).endswith(b"OK\n")
    with connection:
        assert connection.recv(65536) == b""
    assert threading.active_count() == before
    with pytest.raises(requests.ConnectionError):
        requests.get(f"http://{host}:{port}", timeout=10)


def test_an_address_in_use_is_an_error_that_names_it() -> None:
    with Receiver() as receiver:
        port = int(receiver.url.rpartition(":")[2])
        with pytest.raises(AddressInUseError, match=rf"127\.0\.0\.1:{port}: Address already in use"):
            Receiver(("127.0.0.1", port)).start()


def test_it_listens_on_ipv6_too() -> None:
    with Receiver(("::1", 0)) as receiver:
        assert receiver.url.startswith("http://[::1]:")
        assert requests.get(f"{receiver.url}/-/ready", timeout=10).text == "OK\n"


def test_it_has_an_address_only_while_it_listens() -> None:
    receiver = Receiver()
    with pytest.raises(RuntimeError, match="not started"):
        _ = receiver.url
    receiver.close()
