"""The endpoint for those who can be scraped, asked over real HTTP."""

import socket
from collections.abc import Iterator
from http import HTTPStatus

import numpy as np
import pytest
import requests

from ss_pusher.errors import AddressInUseError
from ss_pusher.model import Block, Family, MetricType, Snapshot
from ss_pusher.send.expose import ExposeServer, Exposition, Format

LOOPBACK = "127.0.0.1"


class Clock:
    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


def snapshot(time_ms: int) -> Snapshot:
    family = Family("a_total", MetricType.COUNTER, "An a.")
    return Snapshot(time_ms, 0, (Block((family,), ((),), np.array([[1.0]]), np.array([0])),))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def exposition(clock: Clock) -> Exposition:
    formats = (
        Format("application/openmetrics-text", "application/openmetrics-text", lambda s: b"open %d" % s.time_ms),
        Format("text/plain", "text/plain; version=0.0.4", lambda s: b"text %d" % s.time_ms),
    )
    return Exposition(formats, 15.0, clock)


@pytest.fixture
def url(exposition: Exposition) -> Iterator[str]:
    server = ExposeServer((LOOPBACK, 0), exposition)
    try:
        yield f"http://{LOOPBACK}:{server.port}"
    finally:
        server.close()


def test_before_the_first_tick_there_is_nothing_and_it_says_so(url: str) -> None:
    for path in ("/metrics", "/health"):
        assert requests.get(url + path, timeout=5).status_code == HTTPStatus.SERVICE_UNAVAILABLE


@pytest.mark.parametrize(
    ("accept", "body"),
    [
        ("application/openmetrics-text;version=1.0.0,text/plain;q=0.5", b"open 7"),
        ("text/plain", b"text 7"),
        ("*/*", b"text 7"),
    ],
)
def test_the_client_chooses_the_format(url: str, exposition: Exposition, accept: str, body: bytes) -> None:
    exposition.show(snapshot(7))
    answer = requests.get(f"{url}/metrics", headers={"Accept": accept}, timeout=5)
    assert (answer.status_code, answer.content) == (HTTPStatus.OK, body)


def test_it_is_healthy_for_three_intervals_after_a_tick(url: str, exposition: Exposition, clock: Clock) -> None:
    exposition.show(snapshot(7))
    clock.seconds += 45
    assert requests.get(f"{url}/health", timeout=5).text == "ok\n"
    clock.seconds += 1
    answer = requests.get(f"{url}/health", timeout=5)
    assert answer.status_code == HTTPStatus.SERVICE_UNAVAILABLE
    assert "46 s ago" in answer.text


def test_other_paths_are_not_found(url: str) -> None:
    assert requests.get(f"{url}/etc/passwd", timeout=5).status_code == HTTPStatus.NOT_FOUND


def test_an_address_that_is_taken_is_an_error_that_names_it(exposition: Exposition) -> None:
    with socket.create_server((LOOPBACK, 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(AddressInUseError, match=f"cannot listen on {LOOPBACK}:{port}: Address already in use"):
            ExposeServer((LOOPBACK, port), exposition)


def test_after_close_nobody_answers(exposition: Exposition) -> None:
    server = ExposeServer((LOOPBACK, 0), exposition)
    server.close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((LOOPBACK, server.port), timeout=5)
