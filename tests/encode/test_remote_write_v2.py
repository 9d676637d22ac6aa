"""Remote write 2.0: every request is what protobuf would have made of the snapshots."""

from collections.abc import Mapping

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ss_pusher.encode.remote_write_v2 import RemoteWriteV2Encoder
from ss_pusher.model import Block, Family, MetricType, Protocol, Request, Snapshot
from tests.encode import oracle, snapshots
from tests.encode.snapshots import TIME_MS

SENT = Family("ss_flow_sent_bytes_total", MetricType.COUNTER, "Payload.", "bytes")
RTO = Family("ss_flow_rto_total", MetricType.COUNTER, "Timeouts.")
SOCKETS = Family("ss_flow_sockets", MetricType.GAUGE, "Sockets.")


def assert_equal(requests: list[Request], expected: list[oracle.Series]) -> None:
    remaining = expected
    for request in requests:
        decoded = oracle.decode_v2(request)
        part, remaining = remaining[: len(decoded.timeseries)], remaining[len(decoded.timeseries) :]
        # Compared as bytes, because no NaN equals itself.
        message = oracle.message_v2(oracle.of_request(part), decoded.symbols)
        assert decoded.SerializeToString() == message.SerializeToString()
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
    encoder = RemoteWriteV2Encoder(external_labels, max_samples, native_histograms=native)
    reference = oracle.Oracle(external_labels, native=native)
    for snapshot in history:
        assert_equal(encoder.encode(snapshot), reference.encode(snapshot))
    time_ms = history[-1].time_ms + 1
    assert_equal(encoder.stale(time_ms), reference.stale(time_ms))


def test_a_hundred_thousand_series_decode_to_what_protobuf_makes_of_them() -> None:
    families = tuple(Family(f"ss_flow_{index}_total", MetricType.COUNTER, f"Help {index}.") for index in range(100))
    labels = tuple((("remote_address", f"10.0.{row >> 8}.{row & 255}"), ("unit", "ü")) for row in range(1000))
    values = np.random.default_rng(1).random((100, 1000)) * 1e9
    snapshot = Snapshot(TIME_MS, 0, (Block(families, labels, values, np.full(1000, TIME_MS - 1)),))
    requests = RemoteWriteV2Encoder({"job": "j"}, 10_000).encode(snapshot)
    assert [request.samples for request in requests] == [10_000] * 10
    assert_equal(requests, oracle.Oracle({"job": "j"}).encode(snapshot))


def test_the_first_symbol_is_empty_none_is_repeated_and_each_request_has_only_its_own() -> None:
    labels = tuple((("group", f"g{row}"),) for row in range(4))
    block = Block((SENT, SOCKETS), labels, np.ones((2, 4)), np.full(4, TIME_MS))
    first, second = RemoteWriteV2Encoder({"job": "g0"}, 4).encode(Snapshot(TIME_MS, 0, (block,)))
    for request, groups in ((first, {"g0", "g1"}), (second, {"g0", "g2", "g3"})):
        symbols = list(oracle.decode_v2(request).symbols)
        names = {"__name__", SENT.name, SENT.help, SENT.unit, SOCKETS.name, SOCKETS.help, "group", "job"}
        assert symbols[0] == ""
        assert sorted(symbols[1:]) == sorted(names | groups)
        assert request.protocol is Protocol.REMOTE_WRITE_2


def test_counters_and_histograms_carry_their_start_and_gauges_do_not() -> None:
    block = Block((SENT, SOCKETS), ((), (("group", "g"),)), np.ones((2, 2)), np.array([TIME_MS - 7000, 0]))
    (request,) = RemoteWriteV2Encoder({}, 100).encode(Snapshot(TIME_MS, 0, (block,)))
    starts = [series.samples[0].start_timestamp for series in oracle.decode_v2(request).timeseries]
    assert starts == [TIME_MS - 7000, 0, 0, 0]


def test_a_new_start_is_told_although_the_series_stay() -> None:
    encoder = RemoteWriteV2Encoder({}, 100)
    for time_ms, start_ms in ((TIME_MS, TIME_MS - 2000), (TIME_MS + 1000, TIME_MS - 1000)):
        block = Block((SENT,), ((),), np.ones((1, 1)), np.array([start_ms]))
        (request,) = encoder.encode(Snapshot(time_ms, 0, (block,)))
        assert oracle.decode_v2(request).timeseries[0].samples[0].start_timestamp == start_ms


def test_series_may_change_places() -> None:
    a, b = (("group", "a"),), (("group", "b"),)
    values = np.array([[1.0, 2.0], [3.0, 4.0]])
    encoder, reference = RemoteWriteV2Encoder({}, 100), oracle.Oracle({})
    orders = [((SENT, RTO), (a, b)), ((SENT, RTO), (b, a)), ((RTO, SENT), (b, a))]
    for tick, (families, labels) in enumerate(orders):
        snapshot = Snapshot(TIME_MS + tick, 0, (Block(families, labels, values, np.full(2, TIME_MS - 1000)),))
        assert_equal(encoder.encode(snapshot), reference.encode(snapshot))


def test_symbols_of_series_that_ended_do_not_pile_up() -> None:
    encoder = RemoteWriteV2Encoder({}, 10_000)
    sizes = []
    for tick in range(100):
        labels = tuple((("group", f"tick {tick} group {row}"),) for row in range(100))
        block = Block((SENT,), labels, np.ones((1, 100)), np.full(100, TIME_MS))
        (request,) = encoder.encode(Snapshot(TIME_MS + tick, 0, (block,)))
        sizes.append(len(oracle.decode_v2(request).symbols))
    # Of 10,000 in all, 200 are in use in a tick: those of the new series and of the ended ones.
    assert max(sizes) < 500
