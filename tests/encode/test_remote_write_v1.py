"""Remote write 1.0: every request is what protobuf would have made of the snapshots."""

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ss_pusher.encode.remote_write_v1 import METADATA_INTERVAL_MS, RemoteWriteV1Encoder
from ss_pusher.errors import EncodeError
from ss_pusher.model import Block, Family, MetricType, Protocol, Request, Snapshot
from ss_pusher.proto import remote_write_v1_pb2 as v1
from tests.encode import oracle, snapshots
from tests.encode.snapshots import TIME_MS

SENT = Family("ss_flow_sent_bytes_total", MetricType.COUNTER, "Payload.", "bytes")
SOCKETS = Family("ss_flow_sockets", MetricType.GAUGE, "Sockets.")


def gauges(*values: float, time_ms: int = TIME_MS) -> Snapshot:
    """One gauge with as many series as there are values."""
    labels = tuple((("group", str(index)),) for index in range(len(values)))
    block = Block((SOCKETS,), labels, np.array([values]), np.zeros(len(values), np.int64))
    return Snapshot(time_ms, 0, (block,))


def series_requests(requests: list[Request]) -> list[Request]:
    return [request for request in requests if request.samples]


def metadata_requests(requests: list[Request]) -> list[Request]:
    return [request for request in requests if not request.samples]


def assert_equal(requests: list[Request], expected: list[oracle.Series]) -> None:
    remaining = expected
    for request in requests:
        decoded = oracle.decode_v1(request)
        part, remaining = remaining[: len(decoded.timeseries)], remaining[len(decoded.timeseries) :]
        # Compared as bytes, because no NaN equals itself.
        assert decoded.SerializeToString() == oracle.message_v1(oracle.of_request(part)).SerializeToString()
        assert request.samples == sum(len(series.samples) for series in part)
    assert not remaining


@given(
    history=snapshots.histories(),
    external_labels=snapshots.external_labels,
    max_samples=st.integers(1, 30),
    native=st.booleans(),
)
def test_requests_decode_to_what_protobuf_makes_of_the_snapshots(
    *, history: list[Snapshot], external_labels: Mapping[str, str], max_samples: int, native: bool
) -> None:
    encoder = RemoteWriteV1Encoder(external_labels, max_samples, native_histograms=native)
    reference = oracle.Oracle(external_labels, native=native)
    for snapshot in history:
        assert_equal(series_requests(encoder.encode(snapshot)), reference.encode(snapshot))
    time_ms = history[-1].time_ms + 1
    assert_equal(encoder.stale(time_ms), reference.stale(time_ms))


@given(st.lists(st.lists(st.floats(allow_nan=False), min_size=3, max_size=3), min_size=2, max_size=5))
def test_series_that_stay_are_sent_with_the_values_and_the_time_of_each_tick(ticks: list[list[float]]) -> None:
    encoder = RemoteWriteV1Encoder({"job": "j"}, 2)
    reference = oracle.Oracle({"job": "j"})
    for index, values in enumerate(ticks):
        snapshot = gauges(*values, time_ms=TIME_MS + index)
        assert_equal(series_requests(encoder.encode(snapshot)), reference.encode(snapshot))


def test_a_hundred_thousand_series_decode_to_what_protobuf_makes_of_them() -> None:
    families = tuple(Family(f"ss_flow_{index}_total", MetricType.COUNTER, f"Help {index}.") for index in range(100))
    labels = tuple((("remote_address", f"10.0.{row >> 8}.{row & 255}"), ("unit", "ü")) for row in range(1000))
    values = np.random.default_rng(1).random((100, 1000)) * 1e9
    snapshot = Snapshot(TIME_MS, 0, (Block(families, labels, values, np.full(1000, TIME_MS - 1)),))
    requests = series_requests(RemoteWriteV1Encoder({"job": "j"}, 5000).encode(snapshot))
    assert [request.samples for request in requests] == [5000] * 20
    assert_equal(requests, oracle.Oracle({"job": "j"}).encode(snapshot))


def test_a_request_says_how_many_samples_it_has_and_of_which_times() -> None:
    encoder = RemoteWriteV1Encoder({}, 100)
    block = Block((SENT,), ((),), np.array([[5.0]]), np.array([TIME_MS]))
    (_, request) = encoder.encode(Snapshot(TIME_MS + 1000, TIME_MS, (block,)))
    assert request.protocol is Protocol.REMOTE_WRITE_1
    assert (request.samples, request.oldest_ms, request.newest_ms) == (2, TIME_MS + 1, TIME_MS + 1000)
    (request,) = encoder.encode(Snapshot(TIME_MS + 2000, TIME_MS + 1000, (block,)))
    assert (request.samples, request.oldest_ms, request.newest_ms) == (1, TIME_MS + 2000, TIME_MS + 2000)


def test_no_request_has_more_samples_than_allowed_and_no_series_is_divided() -> None:
    block = Block((SENT,), tuple((("group", str(row)),) for row in range(10)), np.ones((1, 10)), np.full(10, TIME_MS))
    requests = series_requests(RemoteWriteV1Encoder({}, 5).encode(Snapshot(TIME_MS + 1000, TIME_MS, (block,))))
    assert [request.samples for request in requests] == [4, 4, 4, 4, 4]  # a zero and a value for each


def test_a_series_that_ended_gets_the_bits_of_the_stale_marker() -> None:
    encoder = RemoteWriteV1Encoder({}, 100)
    encoder.encode(gauges(1.0, 2.0))
    (request,) = encoder.encode(gauges(1.0, time_ms=TIME_MS + 1000))
    body = oracle.uncompressed(request)
    assert body.count(bytes.fromhex("020000000000f07f")) == 1
    message = v1.WriteRequest.FromString(body)
    assert [series.labels[1].value for series in message.timeseries] == ["0", "1"]
    assert message.timeseries[1].samples[0].timestamp == TIME_MS + 1000


def test_markers_at_exit_are_later_than_the_last_sample_even_when_the_clock_went_back() -> None:
    encoder = RemoteWriteV1Encoder({}, 100)
    encoder.encode(gauges(1.0))
    (request,) = encoder.stale(TIME_MS - 5000)
    assert (request.oldest_ms, request.newest_ms) == (TIME_MS + 1, TIME_MS + 1)
    assert encoder.stale(TIME_MS + 10) == []


def test_a_snapshot_without_series_makes_no_request() -> None:
    assert RemoteWriteV1Encoder({}, 100).encode(Snapshot(TIME_MS, 0, ())) == []
    assert series_requests(RemoteWriteV1Encoder({}, 100).encode(gauges())) == []
    assert RemoteWriteV1Encoder({}, 100).stale(TIME_MS) == []


@pytest.mark.parametrize("time_ms", [-1, 2**42])
def test_a_time_that_does_not_fit_is_an_error_that_blames_the_clock(time_ms: int) -> None:
    encoder = RemoteWriteV1Encoder({}, 100)
    with pytest.raises(EncodeError, match="clock"):
        encoder.encode(gauges(1.0, time_ms=time_ms))


@pytest.mark.parametrize("time_ms", [0, 1, 127, 2**35 - 1, 2**42 - 1])
def test_every_time_from_1970_to_2109_is_carried(time_ms: int) -> None:
    (request,) = series_requests(RemoteWriteV1Encoder({}, 100).encode(gauges(1.0, time_ms=time_ms)))
    assert oracle.decode_v1(request).timeseries[0].samples[0].timestamp == time_ms


def test_metadata_has_a_request_of_its_own_with_type_help_and_unit_of_each_family_once() -> None:
    block = Block((SENT, SOCKETS), ((),), np.ones((2, 1)), np.zeros(1, np.int64))
    again = replace(block, labels=((("a", "b"),),))
    requests = RemoteWriteV1Encoder({}, 100).encode(Snapshot(TIME_MS, 0, (block, again)))
    (request,) = metadata_requests(requests)
    assert request is requests[0]
    assert oracle.decode_v1(request) == v1.WriteRequest(
        metadata=[
            v1.MetricMetadata(type="COUNTER", metric_family_name=SENT.name, help="Payload.", unit="bytes"),
            v1.MetricMetadata(type="GAUGE", metric_family_name=SOCKETS.name, help="Sockets."),
        ]
    )


def test_metadata_is_sent_again_when_families_change_and_after_its_interval() -> None:
    encoder = RemoteWriteV1Encoder({}, 100)
    sent = Snapshot(
        TIME_MS + METADATA_INTERVAL_MS + 2, 0, (Block((SENT,), ((),), np.ones((1, 1)), np.zeros(1, np.int64)),)
    )
    steps = [
        (gauges(1.0), 1),
        (gauges(2.0, time_ms=TIME_MS + METADATA_INTERVAL_MS - 1), 0),
        (gauges(3.0, time_ms=TIME_MS + METADATA_INTERVAL_MS), 1),
        (gauges(4.0, time_ms=TIME_MS + METADATA_INTERVAL_MS + 1), 0),
        (sent, 1),
        (replace(sent, time_ms=sent.time_ms + 1), 0),
    ]
    for snapshot, expected in steps:
        assert len(metadata_requests(encoder.encode(snapshot))) == expected


def test_metadata_is_sent_again_when_the_clock_went_back() -> None:
    encoder = RemoteWriteV1Encoder({}, 100)
    for time_ms in (TIME_MS, TIME_MS - 1000):
        assert len(metadata_requests(encoder.encode(gauges(1.0, time_ms=time_ms)))) == 1


def test_to_encode_needs_no_protobuf_classes() -> None:
    code = (
        "import sys, ss_pusher.encode.remote_write_v1, ss_pusher.encode.remote_write_v2\n"
        "sys.exit(any(name.startswith('google') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
