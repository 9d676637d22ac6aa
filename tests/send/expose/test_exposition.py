"""What is shown to whom."""

import gzip
from http import HTTPStatus

import pytest

from ss_pusher.send.expose import Exposition
from tests.send.expose.showing import Clock, Written, snapshot


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def written() -> Written:
    return Written()


@pytest.fixture
def exposition(clock: Clock, written: Written) -> Exposition:
    return Exposition(written.formats(), 15.0, clock)


def test_before_the_first_tick_there_is_nothing_and_it_says_so(exposition: Exposition) -> None:
    for path in ("/metrics", "/health"):
        assert exposition.answer(path, "", "").status == HTTPStatus.SERVICE_UNAVAILABLE


@pytest.mark.parametrize(
    ("accept", "content_type", "body"),
    [
        (
            "application/openmetrics-text;version=1.0.0,text/plain;q=0.5",
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
            b"open 7",
        ),
        (
            "application/openmetrics-text;version=0.0.1",
            "application/openmetrics-text; version=0.0.1; charset=utf-8",
            b"open 7",
        ),
        ("*/*", "text/plain; version=0.0.4; charset=utf-8", b"text 7"),
    ],
)
def test_the_client_chooses_the_format(exposition: Exposition, accept: str, content_type: str, body: bytes) -> None:
    exposition.show(snapshot(7))
    answer = exposition.answer("/metrics", accept, "")
    assert (answer.status, answer.headers["Content-Type"], answer.body) == (HTTPStatus.OK, content_type, body)
    assert "Content-Encoding" not in answer.headers
    squeezed = exposition.answer("/metrics", accept, "gzip")
    assert (squeezed.headers["Content-Encoding"], gzip.decompress(squeezed.body)) == ("gzip", body)


def test_a_snapshot_is_written_once_for_each_format_however_often_it_is_asked_for(
    exposition: Exposition, written: Written
) -> None:
    exposition.show(snapshot(7))
    for _ in range(3):
        for accept in ("application/openmetrics-text", "text/plain"):
            for encoding in ("gzip", ""):
                exposition.answer("/metrics", accept, encoding)
    assert written.count == 2
    exposition.show(snapshot(8))
    assert exposition.answer("/metrics", "text/plain", "").body == b"text 8"


def test_it_is_healthy_for_three_intervals_after_a_tick(exposition: Exposition, clock: Clock) -> None:
    exposition.show(snapshot(7))
    clock.seconds += 45
    assert exposition.answer("/health", "", "").body == b"ok\n"
    clock.seconds += 1
    answer = exposition.answer("/health", "", "")
    assert answer.status == HTTPStatus.SERVICE_UNAVAILABLE
    assert b"46 s ago" in answer.body


def test_other_paths_are_not_found(exposition: Exposition) -> None:
    exposition.show(snapshot(7))
    for path in ("/etc/passwd", "/metrics/", "//metrics", "/", ""):
        assert exposition.answer(path, "", "").status == HTTPStatus.NOT_FOUND
