"""Native histograms say exactly what the classic ones say."""

from itertools import accumulate

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ss_pusher.encode.remote_write_v2 import RemoteWriteV2Encoder
from ss_pusher.model import Block, Family, HistogramBlock, Labels, MetricType, Request, Snapshot
from ss_pusher.proto import remote_write_v2_pb2 as v2
from ss_pusher.receiver.remote_write import decode
from tests.encode import oracle

TIME_MS = 1_750_000_000_000
RTT = Family("ss_tcp_rtt_seconds", MetricType.HISTOGRAM, "Rtt.", "seconds")
SOCKETS = Family("ss_flow_sockets", MetricType.GAUGE, "Sockets.")
FAMILY_4: Labels = (("family", "ipv4"),)
FAMILY_6: Labels = (("family", "ipv6"),)


def snapshot(*labels: Labels, counts: tuple[int, ...] = (3, 0, 5), time_ms: int = TIME_MS) -> Snapshot:
    block = HistogramBlock(
        RTT,
        labels,
        tuple(0.5 * 2**i for i in range(len(counts) - 1)),
        np.array([counts] * len(labels), np.uint64).reshape(len(labels), len(counts)),
        np.full(len(labels), 12.25),
        np.full(len(labels), TIME_MS - 7000),
    )
    gauge = Block((SOCKETS,), ((),), np.array([[4.0]]), np.zeros(1, np.int64))
    return Snapshot(time_ms, 0, (gauge,), (block,))


def native(requests: list[Request]) -> list[tuple[Request, v2.Request]]:
    decoded = [(request, oracle.decode_v2(request)) for request in requests]
    return [(request, message) for request, message in decoded if message.timeseries[0].histograms]


def labels_of(message: v2.Request) -> list[dict[str, str]]:
    words = [[message.symbols[ref] for ref in series.labels_refs] for series in message.timeseries]
    return [dict(zip(found[::2], found[1::2], strict=True)) for found in words]


@given(st.lists(st.integers(0, 2**60), min_size=1, max_size=5))
def test_count_sum_bounds_and_buckets_are_those_of_the_classic_histogram(counts: list[int]) -> None:
    encoder = RemoteWriteV2Encoder({"job": "j", "family": "any"}, 100, native_histograms=True)
    ((request, message),) = native(encoder.encode(snapshot(FAMILY_4, counts=tuple(counts))))
    assert labels_of(message) == [{"__name__": RTT.name, "family": "ipv4", "job": "j"}]
    (series,) = message.timeseries
    assert message.symbols[series.metadata.help_ref] == "Rtt."
    (histogram,) = series.histograms
    assert histogram.count_int == sum(counts)
    assert (histogram.sum, histogram.schema, histogram.timestamp) == (12.25, -53, TIME_MS)
    assert histogram.start_timestamp == TIME_MS - 7000
    assert list(histogram.custom_values) == [0.5 * 2**i for i in range(len(counts) - 1)]
    assert [(span.offset, span.length) for span in histogram.positive_spans] == [(0, len(counts))]
    assert list(accumulate(histogram.positive_deltas)) == counts
    assert (request.samples, request.oldest_ms, request.newest_ms) == (1, TIME_MS, TIME_MS)


def test_the_classic_series_are_sent_as_well() -> None:
    with_native = RemoteWriteV2Encoder({}, 100, native_histograms=True).encode(snapshot(FAMILY_4))
    assert [request.body for request in with_native[:-1]] == [
        request.body for request in RemoteWriteV2Encoder({}, 100).encode(snapshot(FAMILY_4))
    ]


def test_a_histogram_that_ended_gets_a_marker_in_its_sum() -> None:
    encoder = RemoteWriteV2Encoder({}, 100, native_histograms=True)
    encoder.encode(snapshot(FAMILY_4, FAMILY_6))
    ((request, message),) = native(encoder.encode(snapshot(FAMILY_6, time_ms=TIME_MS + 1000)))
    assert [labels["family"] for labels in labels_of(message)] == ["ipv6", "ipv4"]
    assert oracle.uncompressed(request).count(bytes.fromhex("19020000000000f07f")) == 1
    assert [series.histograms[0].timestamp for series in message.timeseries] == [TIME_MS + 1000] * 2


def test_markers_at_exit_end_every_histogram_once() -> None:
    encoder = RemoteWriteV2Encoder({}, 100, native_histograms=True)
    encoder.encode(snapshot(FAMILY_4, FAMILY_6))
    ((request, message),) = native(encoder.stale(TIME_MS))
    assert len(message.timeseries) == 2
    assert request.newest_ms == TIME_MS + 1
    assert encoder.stale(TIME_MS + 10) == []


def test_requests_hold_at_most_so_many_and_break_no_rule() -> None:
    encoder = RemoteWriteV2Encoder({"empty": ""}, 2, native_histograms=True)
    requests = encoder.encode(snapshot(*((("family", str(row)),) for row in range(3))))
    found = native(requests)
    assert [request.samples for request, _ in found] == [2, 1]
    for request in requests:
        decode(request.protocol, request.body)
