"""Heads of requests, right and wrong ones."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ss_pusher.send.expose.request import Request, parse


def test_a_head_is_taken_apart() -> None:
    head = b"GET /metrics?x=1 HTTP/1.1\r\nHost: a\r\nACCEPT:\t*/* \r\nX: 1\r\nx: 2"
    assert parse(head) == Request("GET", "/metrics", {"host": "a", "accept": "*/*", "x": "1, 2"}, lasts=True)


@pytest.mark.parametrize(
    ("head", "lasts"),
    [
        (b"GET / HTTP/1.1\r\nHost: a", True),
        (b"GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Close", False),
        (b"GET / HTTP/1.0", False),
        (b"GET / HTTP/1.0\r\nConnection: keep-alive", False),
        # a body is never read, so what follows it cannot be taken for a request
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3", False),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0, 3", False),
        (b"GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked", False),
        (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 0", True),
    ],
)
def test_another_request_may_follow_only_where_nothing_is_in_between(head: bytes, lasts: bool) -> None:  # noqa: FBT001 - expected
    request = parse(head)
    assert request is not None
    assert request.lasts is lasts


def test_a_target_with_a_host_is_taken_by_its_path() -> None:
    request = parse(b"GET http://a:8090/health HTTP/1.1\r\nHost: a")
    assert request is not None
    assert request.path == "/health"


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"GET",
        b"GET /",
        b"GET / HTTP/2.0\r\nHost: a",
        b"GET  / HTTP/1.1\r\nHost: a",
        b"GET / HTTP/1.1",
        b"G\x00T / HTTP/1.1\r\nHost: a",
        b"GET / HTTP/1.1\r\nHost: a\r\n folded: yes",
        b"GET / HTTP/1.1\r\nHost: a\r\nspace : no",
        b"GET / HTTP/1.1\r\nHost: a\r\nnothing",
        b"GET / HTTP/1.1\r\nHost: a\nX: b",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: \x00",
        b"GET http://[ HTTP/1.1\r\nHost: a",
        b"\x16\x03\x01 / HTTP/1.1\r\nHost: a",
    ],
)
def test_what_is_no_request_is_none(head: bytes) -> None:
    assert parse(head) is None


@given(st.binary())
def test_any_bytes_are_a_request_or_none(head: bytes) -> None:
    parse(head)
    parse(b"GET / HTTP/1.1\r\nHost: a\r\n" + head)
    parse(b"GET " + head + b" HTTP/1.1\r\nHost: a")
