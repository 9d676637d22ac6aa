"""Delimited protobuf: the bytes that protobuf's own classes write, and what the text format says."""

import io
import math
from collections.abc import Mapping
from http import HTTPMethod
from pathlib import Path

import numpy as np
from google.protobuf import proto
from hypothesis import given

from ss_pusher.encode import delimited, text
from ss_pusher.model import Block, Family, HistogramBlock, MetricType, NativeBuckets, Protocol, Snapshot
from ss_pusher.proto import metrics_pb2
from ss_pusher.receiver.native_histogram import Histogram
from ss_pusher.receiver.pushgateway import Group, Groups
from tests.encode import snapshots
from tests.encode.oracle import native_histogram

GOLDEN = Path(__file__).parent / "golden"
CONTENT_TYPE = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
EXTERNAL = {"instance": "host-17", "direction": "none", "empty": ""}
SENT = Family("ss_flow_sent_bytes_total", MetricType.COUNTER, "Payload sent.", "bytes")
RTT = Family("ss_flow_rtt_seconds", MetricType.GAUGE, 'Mean "rtt"\nof C:\\.', "seconds")
NOTHING = Family("ss_flow_nothing", MetricType.GAUGE, "No value.")
HOST_RTT = Family("ss_tcp_rtt_seconds", MetricType.HISTOGRAM, "Round-trip times.", "seconds")
SNAPSHOT = Snapshot(
    1_750_000_000_000,
    0,
    (
        Block(
            (SENT, RTT),
            ((("direction", "in"), ("unit", "nginx.service")), (("direction", "out"), ("unit", 'a "b"\\c\nü'))),
            np.array([[1234567890.0, 0.0], [0.0125, math.nan]]),
            np.zeros(2, np.int64),
        ),
        Block((SENT, NOTHING), ((),), np.array([[math.inf], [math.nan]]), np.zeros(1, np.int64)),
    ),
    (
        HistogramBlock(
            HOST_RTT,
            ((),),
            (0.005, 1.0),
            np.array([[1, 2, 3]], np.uint64),
            np.array([7.5]),
            np.zeros(1, np.int64),
            NativeBuckets(3, -2, np.array([1], np.uint64), np.array([[2, 0, 0, 0, 3]], np.uint64)),
        ),
    ),
)


def pushed(content_type: str, body: bytes) -> Group:
    """The group as the strict receiver reads it."""
    groups = Groups(1)
    groups.change(HTTPMethod.PUT, "/metrics/job/j", {"Content-Type": content_type}, body)
    (group,) = groups.groups.values()
    return group


def test_the_message_is_as_agreed() -> None:
    assert delimited.message(SNAPSHOT, EXTERNAL) == (GOLDEN / "delimited.bin").read_bytes()


def test_it_says_what_the_text_format_says_and_the_native_form_besides() -> None:
    written = pushed("text/plain", text.text(SNAPSHOT, EXTERNAL))
    read = pushed(CONTENT_TYPE, delimited.message(SNAPSHOT, EXTERNAL))
    assert {name: (f.type, f.help, f.samples) for name, f in read.items()} == {
        name: (f.type, f.help, f.samples) for name, f in written.items()
    }
    labels = (("__name__", HOST_RTT.name), ("direction", "none"), ("instance", "host-17"), ("job", "j"))
    native = Histogram(0, 6, 7.5, 3, zero_threshold=2.0**-128, zero_count=1, positive={-2: 2, 2: 3})
    assert {name: f.histograms for name, f in read.items() if f.histograms} == {HOST_RTT.name: {labels: native}}


def test_a_request_says_what_it_is() -> None:
    (request,) = delimited.encode(SNAPSHOT, EXTERNAL)
    assert request.protocol is Protocol.DELIMITED
    assert request.body == delimited.message(SNAPSHOT, EXTERNAL)
    assert (request.samples, request.oldest_ms, request.newest_ms) == (9, 1_750_000_000_000, 1_750_000_000_000)


def test_a_snapshot_of_nothing_is_nothing() -> None:
    assert delimited.message(Snapshot(1000, 0, ()), EXTERNAL) == b""


# ---- by protobuf's own classes --------------------------------------------------------------------------------------


def expected(snapshot: Snapshot, external_labels: Mapping[str, str]) -> bytes:
    families: dict[str, metrics_pb2.MetricFamily] = {}

    def add(family: Family, labels: Mapping[str, str], metric: metrics_pb2.Metric) -> None:
        pairs = sorted({**external_labels, **labels}.items())
        metric.label.extend(metrics_pb2.LabelPair(name=name, value=value) for name, value in pairs if value)
        made = metrics_pb2.MetricFamily(name=family.name, help=family.help, type=family.type.name)
        families.setdefault(family.name, made).metric.append(metric)

    for block in snapshot.blocks:
        for row, family in enumerate(block.families):
            for column, labels in enumerate(block.labels):
                value = block.values[row, column]
                if not math.isnan(value):
                    add(family, dict(labels), _metric(family, value))
    for histogram in snapshot.histograms:
        for row, labels in enumerate(histogram.labels):
            add(histogram.family, dict(labels), metrics_pb2.Metric(histogram=_histogram(histogram, row)))
    output = io.BytesIO()
    for made in families.values():
        proto.serialize_length_prefixed(made, output)
    return output.getvalue()


def _metric(family: Family, value: float) -> metrics_pb2.Metric:
    if family.type is MetricType.GAUGE:
        return metrics_pb2.Metric(gauge=metrics_pb2.Gauge(value=value))
    return metrics_pb2.Metric(counter=metrics_pb2.Counter(value=value))


def _histogram(block: HistogramBlock, row: int) -> metrics_pb2.Histogram:
    counts = block.counts[row].tolist()
    bounds = (*block.bounds, math.inf)
    message = metrics_pb2.Histogram(
        sample_count=sum(counts),
        sample_sum=block.sums[row],
        bucket=[
            metrics_pb2.Bucket(cumulative_count=sum(counts[: place + 1]), upper_bound=bound)
            for place, bound in enumerate(bounds)
        ],
    )
    if block.native:
        native = native_histogram(block.native, row, 0)
        message.schema, message.zero_threshold = native["schema"], native["zero_threshold"]
        message.zero_count = native["zero_count_int"]
        message.positive_span.extend(
            metrics_pb2.BucketSpan(offset=offset, length=length) for offset, length in native["positive_spans"]
        )
        message.positive_delta.extend(native["positive_deltas"])
    return message


@given(snapshots.histories(), snapshots.external_labels)
def test_the_bytes_are_those_of_protobufs_own_classes(
    history: list[Snapshot], external_labels: Mapping[str, str]
) -> None:
    for snapshot in history:
        assert delimited.message(snapshot, external_labels) == expected(snapshot, external_labels)
