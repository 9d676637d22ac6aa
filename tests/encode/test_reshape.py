"""Requests divided, joined and turned into 1.0, compared sample by sample with what they were made of."""

import struct
from collections.abc import Sequence
from typing import Any, TypeAlias

import pytest
import snappy
from hypothesis import given
from hypothesis import strategies as st

from ss_pusher.encode.reshape import downgrade, merge, split
from ss_pusher.errors import EncodeError
from ss_pusher.model import Protocol, Request
from ss_pusher.proto import remote_write_v1_pb2 as v1
from ss_pusher.proto import remote_write_v2_pb2 as v2

V1 = Protocol.REMOTE_WRITE_1
V2 = Protocol.REMOTE_WRITE_2
COUNTER = 1
HISTOGRAM = 3
STALE = bytes.fromhex("020000000000f07f")

Labels: TypeAlias = tuple[tuple[str, str], ...]
Samples: TypeAlias = dict[Labels, list[tuple[int, bytes, int]]]
"""Of each series: time, the eight bytes of the value, start time."""

values = st.floats(allow_nan=False).map(lambda value: struct.pack("<d", value)) | st.just(STALE)


def packed(message: bytes) -> bytes:
    body: bytes = snappy.compress(message)  # type: ignore[attr-defined,no-untyped-call] # python-snappy has no types
    return body


def unpacked(body: bytes) -> bytes:
    message: bytes = snappy.decompress(body)  # type: ignore[attr-defined,no-untyped-call] # the same
    return message


@st.composite
def contents(draw: st.DrawFn, series: int = 6, samples: int = 4) -> Samples:
    """Some series, whose samples are in order of time."""
    names = draw(st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=series, unique=True))
    return {
        (("__name__", f"{name}_total"), ("remote", draw(st.sampled_from(["", "ü", "x" * 200])) + name)): [
            (1000 + index, draw(values), draw(st.sampled_from([0, 900])))
            for index in range(draw(st.integers(1, samples)))
        ]
        for name in names
    }


def message_1(series: Samples) -> bytes:
    """The sample's bytes are written by hand, as a stale marker is lost in a float."""
    message = v1.WriteRequest()
    for labels, samples in series.items():
        added = message.timeseries.add()
        for name, value in labels:
            added.labels.add(name=name, value=value)
        for time, bits, _ in samples:
            added.samples.add(timestamp=time).MergeFromString(b"\x09" + bits)
        message.metadata.add(metric_family_name=labels[0][1], type=COUNTER, help="Help.", unit="bytes")
    return message.SerializeToString()


def message_2(series: Samples) -> bytes:
    symbols = ["", "Help.", "bytes"]
    message = v2.Request()
    for labels, samples in series.items():
        added = message.timeseries.add()
        for text in (text for pair in labels for text in pair):
            if text not in symbols:
                symbols.append(text)
            added.labels_refs.append(symbols.index(text))
        for time, bits, start in samples:
            added.samples.add(timestamp=time, start_timestamp=start).MergeFromString(b"\x09" + bits)
        added.metadata.MergeFromString(bytes([0x08, COUNTER, 0x18, 1, 0x20, 2]))
    message.symbols.extend(symbols)
    return message.SerializeToString()


def request(series: Samples, protocol: Protocol) -> Request:
    body = message_1(series) if protocol is V1 else message_2(series)
    times = [time for samples in series.values() for time, _, _ in samples]
    return Request(protocol, packed(body), len(times), min(times), max(times))


def bits_of(sample: Any) -> bytes:
    data: bytes = sample.SerializeToString()
    return data[1:9] if data[:1] == b"\x09" else bytes(8)


def decoded(request: Request) -> Samples:
    """What a request holds, which must be what it says of itself."""
    body = unpacked(request.body)
    found: list[tuple[Labels, list[tuple[Any, int]]]]
    if request.protocol is V1:
        message = v1.WriteRequest.FromString(body)
        found = [
            (tuple((label.name, label.value) for label in series.labels), [(s, 0) for s in series.samples])
            for series in message.timeseries
        ]
    else:
        message_2 = v2.Request.FromString(body)
        symbols = message_2.symbols
        assert symbols[0] == ""
        assert len(set(symbols)) == len(symbols)
        found = []
        for series in message_2.timeseries:
            texts = [symbols[ref] for ref in series.labels_refs]
            labels = tuple(zip(texts[::2], texts[1::2], strict=True))
            found.append((labels, [(s, s.start_timestamp) for s in series.samples]))
            assert symbols[series.metadata.help_ref] == "Help."
            assert symbols[series.metadata.unit_ref] == "bytes"
            assert series.metadata.type == COUNTER
    assert len(dict(found)) == len(found)
    result = {labels: [(s.timestamp, bits_of(s), start) for s, start in samples] for labels, samples in found}
    times = [time for samples in result.values() for time, _, _ in samples]
    assert (request.samples, request.oldest_ms, request.newest_ms) == (len(times), min(times), max(times))
    return result


def without_starts(series: Samples) -> Samples:
    return {labels: [(time, bits, 0) for time, bits, _ in samples] for labels, samples in series.items()}


def expected(series: Samples, protocol: Protocol) -> Samples:
    return series if protocol is V2 else without_starts(series)


def one_after_the_other(parts: Sequence[Samples]) -> Samples:
    whole: Samples = {}
    for part in parts:
        for labels, samples in part.items():
            whole.setdefault(labels, []).extend(samples)
    return whole


@given(contents(), st.sampled_from([V1, V2]))
def test_the_halves_of_a_request_are_the_whole(series: Samples, protocol: Protocol) -> None:
    whole = request(series, protocol)
    if whole.samples == 1:
        with pytest.raises(EncodeError, match="nothing to split"):
            split(whole)
        return
    parts = split(whole)

    assert one_after_the_other([decoded(part) for part in parts]) == expected(series, protocol)
    assert {part.protocol for part in parts} == {protocol}
    assert min(part.samples for part in parts) >= 1


@given(st.integers(2, 300), st.sampled_from([V1, V2]))
def test_the_halves_are_halves(count: int, protocol: Protocol) -> None:
    series: Samples = {(("__name__", f"m{number:03}"),): [(1000, bytes(8), 0)] for number in range(count)}
    first, second = split(request(series, protocol))

    assert abs(first.samples - second.samples) <= 1


def test_metadata_of_1_goes_with_the_first_half() -> None:
    series: Samples = {(("__name__", name),): [(1000, bytes(8), 0)] for name in ("a", "b")}
    first, second = (v1.WriteRequest.FromString(unpacked(p.body)) for p in split(request(series, V1)))

    assert [family.metric_family_name for family in first.metadata] == ["a", "b"]
    assert not second.metadata


@given(st.lists(contents(), min_size=1, max_size=4), st.sampled_from([V1, V2]))
def test_a_merged_request_holds_all_in_order_and_each_series_once(parts: list[Samples], protocol: Protocol) -> None:
    later = [
        {labels: [(time + 100 * index, bits, start) for time, bits, start in samples] for labels, samples in p.items()}
        for index, p in enumerate(parts)
    ]
    merged = merge([request(part, protocol) for part in later])

    assert decoded(merged) == expected(one_after_the_other(later), protocol)


@given(contents())
def test_a_request_of_2_becomes_the_same_in_1(series: Samples) -> None:
    lower = downgrade(request(series, V2))

    assert lower.protocol is V1
    assert decoded(lower) == without_starts(series)
    message = v1.WriteRequest.FromString(unpacked(lower.body))
    assert [(f.metric_family_name, f.type, f.help, f.unit) for f in message.metadata] == [
        (labels[0][1], COUNTER, "Help.", "bytes") for labels in series
    ]
    assert message.SerializeToString() == message_1(series)


def histogram_series(name: str, **native: Any) -> bytes:
    message = v2.Request(symbols=["", "__name__", name, "Help."])
    series = message.timeseries.add(labels_refs=[1, 2])
    series.metadata.type = v2.Metadata.METRIC_TYPE_HISTOGRAM
    series.metadata.help_ref = 3
    if native:
        series.histograms.add(**native)
    else:
        series.samples.add(value=3, timestamp=1000)
    return message.SerializeToString()


@pytest.mark.parametrize("name", ["rtt_seconds_bucket", "rtt_seconds_sum", "rtt_seconds_count"])
def test_the_series_of_a_classic_histogram_share_their_family(name: str) -> None:
    lower = downgrade(Request(V2, packed(histogram_series(name)), 1, 1000, 1000))
    (family,) = v1.WriteRequest.FromString(unpacked(lower.body)).metadata

    assert (family.metric_family_name, family.type) == ("rtt_seconds", HISTOGRAM)


def test_a_native_histogram_is_carried_over() -> None:
    native: dict[str, Any] = {
        "count_int": 3,
        "sum": 1.5,
        "schema": 3,
        "zero_threshold": 1e-9,
        "zero_count_int": 1,
        "positive_spans": [v2.BucketSpan(offset=-4, length=2)],
        "positive_deltas": [1, -1],
        "timestamp": 1000,
        "start_timestamp": 900,
    }
    whole = Request(V2, packed(histogram_series("rtt_count", **native)), 1, 1000, 1000)
    lower = v1.WriteRequest.FromString(unpacked(downgrade(whole).body))
    del native["start_timestamp"]
    native["positive_spans"] = [v1.BucketSpan(offset=-4, length=2)]

    assert list(lower.timeseries[0].histograms) == [v1.Histogram(**native)]
    assert lower.metadata[0].metric_family_name == "rtt_count"
    again = v2.Request.FromString(unpacked(merge([whole, whole]).body))
    assert len(again.timeseries[0].histograms) == 2


@pytest.mark.parametrize("change", [split, downgrade, lambda request: merge([request])])
@pytest.mark.parametrize("body", [b"", b"\xff\xff\xff", packed(b"\xff\xff"), packed(b"\x2a\x02\x0a\x00")])
def test_a_damaged_body_is_an_error(change: Any, body: bytes) -> None:
    with pytest.raises(EncodeError):
        change(Request(V2, body, 5, 1000, 1000))


def test_metadata_alone_can_be_merged_with_what_follows() -> None:
    family = v1.MetricMetadata(metric_family_name="a_total", type=v1.MetricMetadata.COUNTER, help="Help.")
    alone = Request(V1, packed(v1.WriteRequest(metadata=[family]).SerializeToString()), 0, 1000, 1000)
    series: Samples = {(("__name__", "b"),): [(1000, bytes(8), 0)]}
    merged = v1.WriteRequest.FromString(unpacked(merge([alone, request(series, V1)]).body))

    assert [f.metric_family_name for f in merged.metadata] == ["a_total", "b"]
    assert merge([alone, alone]).samples == 0
