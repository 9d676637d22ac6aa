"""Which format a client gets, and whether compressed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ss_pusher.send.expose.negotiation import media_type, takes_gzip

OPEN_METRICS = "application/openmetrics-text"
PROTOBUF = "application/vnd.google.protobuf"
DELIMITED = "proto=io.prometheus.client.MetricFamily;encoding=delimited"
OFFERS: list[tuple[str, dict[str, str]]] = [
    (PROTOBUF, {"proto": "io.prometheus.client.MetricFamily", "encoding": "delimited"}),
    (OPEN_METRICS, {"version": "1.0.0"}),
    (OPEN_METRICS, {"version": "0.0.1"}),
    ("text/plain", {"version": "0.0.4", "charset": "utf-8"}),
]
BINARY, NEW, OLD, TEXT = range(4)


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        # Prometheus 2.42 and 3.0
        (
            f"{OPEN_METRICS};version=1.0.0,{OPEN_METRICS};version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            NEW,
        ),
        (
            f"{OPEN_METRICS};version=1.0.0;escaping=allow-utf-8;q=0.5,text/plain;version=1.0.0;q=0.3,*/*;q=0.1",
            NEW,
        ),
        # Prometheus 2.42 with native histograms
        (
            f"{PROTOBUF};{DELIMITED},{OPEN_METRICS};version=1.0.0;q=0.8,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            BINARY,
        ),
        (f"{PROTOBUF};proto=io.prometheus.client.MetricFamily;encoding=text,{OPEN_METRICS};q=0.1", NEW),
        (f"{PROTOBUF};{DELIMITED};q=0.3,{OPEN_METRICS};q=0.4", NEW),
        ("text/plain;charset=latin-1", TEXT),
        (f"{OPEN_METRICS};version=0.0.1", OLD),
        (f"{OPEN_METRICS};version=0.0.1,{OPEN_METRICS};version=1.0.0;q=0.9", OLD),
        (OPEN_METRICS, NEW),
        (f'{OPEN_METRICS.upper()} ; Version="1.0.0" ; Q=0.3', NEW),
        (f"{OPEN_METRICS};version=2.0.0", TEXT),
        ("text/plain", TEXT),
        ("text/plain;version=0.0.4", TEXT),
        (f"text/plain;q=0.9,{OPEN_METRICS};q=0.1", TEXT),
        (f"text/plain;q=0.1,{OPEN_METRICS};q=0.9", NEW),
        (f"text/plain,{OPEN_METRICS}", NEW),
        (f"*/*,{OPEN_METRICS};q=0.1", TEXT),
        (f"text/*;q=0.2,{OPEN_METRICS};q=0.1", TEXT),
        (f"{OPEN_METRICS};q=0", TEXT),
        (f"{OPEN_METRICS};q=0,*/*", TEXT),
        (f"{OPEN_METRICS};q=2,text/plain;q=0.1", TEXT),
        (f"{OPEN_METRICS};q=nan,text/plain;q=0.1", TEXT),
        ("text/html,*/*;q=0.8", TEXT),
        ("*/*", TEXT),
        ("image/png", TEXT),
        ("", TEXT),
        (";;,;q=,,", TEXT),
    ],
)
def test_the_client_gets_what_it_wants_most_and_text_where_it_says_nothing(accept: str, chosen: int) -> None:
    assert media_type(accept, OFFERS) == chosen


@pytest.mark.parametrize(
    ("accept_encoding", "compressed"),
    [
        ("gzip", True),
        ("GZIP;q=0.1", True),
        ("deflate, gzip;q=1.0, *;q=0.5", True),
        ("*", True),
        ("gzip;q=0", False),
        ("gzip;q=0.000, *", False),
        ("*;q=0", False),
        ("br", False),
        ("identity", False),
        ("", False),
    ],
)
def test_a_body_is_compressed_for_those_who_take_that(accept_encoding: str, compressed: bool) -> None:  # noqa: FBT001 - expected
    assert takes_gzip(accept_encoding) is compressed


@given(st.text())
def test_whatever_a_client_says_it_gets_something(header: str) -> None:
    assert media_type(header, OFFERS) in (BINARY, NEW, OLD, TEXT)
    assert takes_gzip(header) in (True, False)
