"""Whose clock is wrong, by what answers say."""

import math
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ss_pusher.send.clock_comparison import NEWS, ClockComparison
from ss_pusher.send.exchange import Answer, Call, http_date
from ss_pusher.send.http import Client
from ss_pusher.send.session import HttpSettings
from ss_pusher.telemetry import Telemetry
from tests.send.endpoints import NAME, Clock
from tests.servers import pushgateway

THEN = 784_111_777.0
DATE = "Sun, 06 Nov 1994 08:49:37 GMT"


def ahead(telemetry: Telemetry) -> float:
    return telemetry.value("ss_pusher_clock_ahead_seconds", endpoint=NAME)


def test_a_clock_that_is_wrong_is_said_once_and_when_it_is_right_again(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    telemetry, clock = Telemetry(), Clock()
    comparison = ClockComparison(NAME, telemetry, clock, Clock())
    given = []
    for seconds in (0.5, 29, 90, 100, -3600, 1):
        clock.now = THEN + seconds
        comparison(Answer(204, {"date": DATE}))
        given.append(ahead(telemetry))
    assert given == [0.5, 29, 90, 100, -3600, 1]
    assert [record.getMessage() for record in caplog.records] == [
        "our clock is 90 s ahead of that of mimir: samples wait for it; one of them is wrong",
        "our clock and that of mimir agree again",
    ]


def test_one_server_of_many_whose_clock_is_off_does_not_fill_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    clock, monotonic = Clock(), Clock()
    comparison = ClockComparison(NAME, Telemetry(), clock, monotonic)
    for tick in range(3 * 3600 // 15):
        clock.now = THEN + 120 * (tick % 2)
        monotonic.now = 1000.0 + 15 * tick
        comparison(Answer(204, {"date": DATE}))

    said = ["ahead" if "ahead" in message else "agree" for message in caplog.messages]
    assert said == ["ahead", "agree", "ahead", "agree"]  # a pair, and then one line an hour


def test_the_endpoint_s_time_goes_on_whatever_becomes_of_our_clock() -> None:
    clock, monotonic = Clock(THEN + 3600), Clock(50.0)
    comparison = ClockComparison(NAME, Telemetry(), clock, monotonic)
    assert comparison.latest() == math.inf
    comparison(Answer(204, {"date": DATE}))
    assert comparison.latest() == THEN + NEWS
    clock.now, monotonic.now = 0.0, 150.0
    assert comparison.latest() == THEN + 100 + NEWS


def test_an_answer_without_a_date_says_nothing() -> None:
    telemetry = Telemetry()
    comparison = ClockComparison(NAME, telemetry, Clock(), Clock())
    comparison(Answer(204))
    comparison(Answer(204, {"date": "yesterday"}))
    assert telemetry.blocks(0) == ()


@given(st.text(alphabet=st.characters(max_codepoint=255)))
def test_whatever_a_server_writes_it_is_a_date_or_none(text: str) -> None:
    date = http_date(text)
    assert date is None or isinstance(date, float)


def test_a_date_is_that_of_its_time_zone() -> None:
    assert http_date(DATE) == http_date(DATE.replace("GMT", "-0000")) == THEN


@pytest.mark.parametrize("offset", [0, 600])
def test_a_real_server_tells_its_time(tmp_path: Path, offset: float) -> None:
    telemetry = Telemetry()
    with pushgateway(tmp_path) as server:
        client = Client(
            HttpSettings(), heard=ClockComparison(NAME, telemetry, lambda: time.time() + offset, time.monotonic)
        )
        client.send(Call("GET", f"{server.url}/-/ready"), time.monotonic() + 10)
        client.close()
    assert offset - 2 < ahead(telemetry) < offset + 10
