"""Native histograms: spans as the specification has them, one series in place of many, none lost at begin and end."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ss_pusher.encode.native_histogram import Span, spans
from ss_pusher.encode.remote_write_v1 import RemoteWriteV1Encoder
from ss_pusher.encode.remote_write_v2 import RemoteWriteV2Encoder
from ss_pusher.model import (
    Block,
    Family,
    HistogramBlock,
    Labels,
    MetricType,
    NativeBuckets,
    Protocol,
    Request,
    Snapshot,
)
from ss_pusher.receiver.native_histogram import Histogram
from ss_pusher.receiver.remote_write import Series, decode
from tests.encode import oracle

TIME_MS = 1_750_000_000_000
RTT = Family("ss_tcp_rtt_seconds", MetricType.HISTOGRAM, "Rtt.", "seconds")
SOCKETS = Family("ss_flow_sockets", MetricType.GAUGE, "Sockets.")
FAMILY_4: Labels = (("family", "ipv4"),)
FAMILY_6: Labels = (("family", "ipv6"),)

Encoder = RemoteWriteV1Encoder | RemoteWriteV2Encoder
BOTH = pytest.mark.parametrize("kind", [RemoteWriteV1Encoder, RemoteWriteV2Encoder])


def snapshot(*labels: Labels, time_ms: int = TIME_MS, previous_ms: int = 0, start_ms: int = TIME_MS) -> Snapshot:
    """Each histogram has 3 observations below 0.5, 4 just above 1, and 1 of 0; then there is a gauge."""
    rows = len(labels)
    block = HistogramBlock(
        RTT,
        labels,
        (1.0,),
        np.array([[4, 4]] * rows, np.uint64).reshape(rows, 2),
        np.full(rows, 12.25),
        np.full(rows, start_ms),
        NativeBuckets(3, -8, np.ones(rows, np.uint64), np.array([[3, *[0] * 8, 4]] * rows, np.uint64)),
    )
    gauge = Block((SOCKETS,), ((),), np.array([[4.0]]), np.zeros(1, np.int64))
    return Snapshot(time_ms, previous_ms, (gauge,), (block,))


def histogram(time_ms: int, start_ms: int) -> Histogram:
    return Histogram(time_ms, 8, 12.25, 3, start_ms, 2.0**-128, 1, positive={-8: 3, 1: 4})


def series(requests: list[Request]) -> list[Series]:
    return [series for request in requests for series in decode(request.protocol, request.body).series]


def natives(requests: list[Request]) -> list[Series]:
    return [found for found in series(requests) if found.histograms]


def started(kind: type[Encoder], start_ms: int) -> int:
    """1.0 does not tell when a histogram began."""
    return start_ms if kind is RemoteWriteV2Encoder else 0


@pytest.mark.parametrize(
    ("counts", "first", "expected"),
    [
        ([], 0, ([], [])),
        ([0, 0], 5, ([], [])),
        ([7], -3, ([Span(-3, 1)], [7])),
        ([0, 2, 5, 1, 0], 10, ([Span(11, 3)], [2, 3, -4])),
        ([1, 0, 0, 1], 0, ([Span(0, 4)], [1, -1, 0, 1])),
        ([1, 0, 0, 0, 1], 0, ([Span(0, 1), Span(3, 1)], [1, 0])),
        ([0, 3, 0, 0, 0, 0, 2, 0, 9], -4, ([Span(-3, 1), Span(4, 3)], [3, -1, -2, 9])),
    ],
)
def test_buckets_become_spans_and_differences(
    counts: list[int], first: int, expected: tuple[list[Span], list[int]]
) -> None:
    assert spans(np.array(counts, np.uint64), first) == expected


@given(st.lists(st.sampled_from([0, 0, 0, 1, 2**62]), max_size=30), st.integers(-300, 300))
def test_spans_say_of_every_bucket_what_it_holds(counts: list[int], first: int) -> None:
    where, deltas = spans(np.array(counts, np.uint64), first)
    held, index, count = {}, 0, 0
    remaining = iter(deltas)
    for offset, length in where:
        index += offset
        for _ in range(length):
            count += next(remaining)
            held[index] = count
            index += 1
    assert list(remaining) == []
    assert {i: n for i, n in held.items() if n} == {first + i: n for i, n in enumerate(counts) if n}


@BOTH
def test_a_native_histogram_goes_in_place_of_its_classic_series_and_in_their_request(kind: type[Encoder]) -> None:
    encoder = kind({"job": "j", "family": "any"}, 100, native_histograms=True)
    *_, request = encoder.encode(snapshot(FAMILY_4, start_ms=TIME_MS - 7000))
    gauge, rtt = series([request])
    assert gauge.labels == (("__name__", SOCKETS.name), ("family", "any"), ("job", "j"))
    assert rtt.labels == (("__name__", RTT.name), ("family", "ipv4"), ("job", "j"))
    assert rtt.histograms == [histogram(TIME_MS, started(kind, TIME_MS - 7000))]
    assert (request.samples, request.oldest_ms, request.newest_ms) == (2, TIME_MS, TIME_MS)


@BOTH
def test_a_histogram_without_a_native_form_goes_as_a_classic_one(kind: type[Encoder]) -> None:
    block = HistogramBlock(RTT, ((),), (1.0,), np.array([[4, 4]], np.uint64), np.ones(1), np.zeros(1, np.int64))
    requests = kind({}, 100, native_histograms=True).encode(Snapshot(TIME_MS, 0, (), (block,)))
    assert natives(requests) == []
    assert len(series(requests)) == 4


@BOTH
def test_nothing_but_native_histograms_is_a_request_too(kind: type[Encoder]) -> None:
    encoder = kind({}, 100, native_histograms=True)
    only = Snapshot(TIME_MS, 0, (), snapshot(FAMILY_4).histograms)
    (found,) = series(encoder.encode(only))
    assert found.histograms == [histogram(TIME_MS, started(kind, TIME_MS))]


@BOTH
def test_a_histogram_that_ended_gets_a_marker_in_its_sum(kind: type[Encoder]) -> None:
    encoder = kind({}, 100, native_histograms=True)
    encoder.encode(snapshot(FAMILY_4, FAMILY_6))
    later = encoder.encode(snapshot(FAMILY_6, time_ms=TIME_MS + 1000, previous_ms=TIME_MS, start_ms=TIME_MS - 1))
    stays, ends = natives(later)
    assert dict(stays.labels)["family"] == "ipv6"
    assert not stays.histograms[0].stale
    assert dict(ends.labels)["family"] == "ipv4"
    assert ends.histograms[0].stale
    assert ends.histograms[0].timestamp_ms == TIME_MS + 1000


@BOTH
def test_markers_at_exit_end_every_histogram_once(kind: type[Encoder]) -> None:
    encoder = kind({}, 100, native_histograms=True)
    encoder.encode(snapshot(FAMILY_4, FAMILY_6))
    requests = encoder.stale(TIME_MS)
    assert [found.histograms[0].stale for found in natives(requests)] == [True, True]
    assert requests[-1].newest_ms == TIME_MS + 1
    assert encoder.stale(TIME_MS + 10) == []


@BOTH
def test_one_that_began_after_the_tick_before_begins_with_a_zero(kind: type[Encoder]) -> None:
    encoder = kind({}, 100, native_histograms=True)
    previous_ms = TIME_MS - 15_000
    (found,) = natives(encoder.encode(snapshot(FAMILY_4, previous_ms=previous_ms, start_ms=previous_ms)))
    zero, value = found.histograms
    assert zero == Histogram(previous_ms + 1, 0, 0.0, 3, started(kind, previous_ms), 2.0**-128)
    assert value == histogram(TIME_MS, started(kind, previous_ms))


def hints(request: Request) -> list[int]:
    message = oracle.decode_v1(request) if request.protocol is Protocol.REMOTE_WRITE_1 else oracle.decode_v2(request)
    return [histogram.reset_hint for series in message.timeseries for histogram in series.histograms]


@BOTH
def test_only_the_first_of_a_life_is_known_to_come_after_a_reset(kind: type[Encoder]) -> None:
    encoder = kind({}, 100, native_histograms=True)
    assert hints(encoder.encode(snapshot(FAMILY_4))[-1]) == [1]  # YES
    assert hints(encoder.encode(snapshot(FAMILY_4, time_ms=TIME_MS + 15_000, previous_ms=TIME_MS))[-1]) == [0]
    another = kind({}, 100, native_histograms=True)  # as when the protocol changes
    later = snapshot(FAMILY_4, time_ms=TIME_MS + 15_000, previous_ms=TIME_MS, start_ms=TIME_MS - 1)
    assert hints(another.encode(later)[-1]) == [0]
    began = snapshot(FAMILY_4, time_ms=TIME_MS + 15_000, previous_ms=TIME_MS)
    assert hints(kind({}, 100, native_histograms=True).encode(began)[-1]) == [1, 0]  # the zero, and then it counts


@BOTH
def test_requests_hold_at_most_so_many(kind: type[Encoder]) -> None:
    encoder = kind({"empty": ""}, 2, native_histograms=True)
    requests = encoder.encode(snapshot(*((("family", str(row)),) for row in range(4))))
    assert [request.samples for request in requests if request.samples] == [2, 2, 1]
    assert len(natives(requests)) == 4
