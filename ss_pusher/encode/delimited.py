"""Length-delimited protobuf, io.prometheus.client.MetricFamily: the one format of a Pushgateway with native histograms.

Each histogram goes in both forms, since it is the scraper that chooses.
"""

import math
import struct
from collections.abc import Iterator, Mapping
from typing import Final

import numpy as np

from ss_pusher.encode.native_histogram import ZERO_THRESHOLD, spans
from ss_pusher.encode.protobuf import delimited, varint, zigzag
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

# Fields of MetricFamily, Metric, LabelPair and Histogram.
_NAME: Final = 0x0A
_HELP: Final = 0x12
_TYPE: Final = b"\x18"
_METRIC: Final = 0x22
_LABEL: Final = 0x0A
_LABEL_NAME: Final = 0x0A
_LABEL_VALUE: Final = 0x12
_VALUE: Final = {MetricType.GAUGE: b"\x12\x09\x09", MetricType.COUNTER: b"\x1a\x09\x09"}  # its double follows
_HISTOGRAM: Final = 0x3A
_SAMPLE_COUNT: Final = b"\x08"
_SAMPLE_SUM: Final = b"\x11"
_BUCKET: Final = 0x1A
_CUMULATIVE_COUNT: Final = b"\x08"
_UPPER_BOUND: Final = b"\x11"
_SCHEMA: Final = b"\x28"
_ZERO_THRESHOLD: Final = b"\x31" + struct.pack("<d", ZERO_THRESHOLD)
_ZERO_COUNT: Final = b"\x38"
_POSITIVE_SPAN: Final = 0x62
_OFFSET: Final = b"\x08"
_LENGTH: Final = b"\x10"
_POSITIVE_DELTA: Final = b"\x68"

_TYPES: Final = {MetricType.COUNTER: 0, MetricType.GAUGE: 1, MetricType.HISTOGRAM: 4}


def encode(snapshot: Snapshot, external_labels: Mapping[str, str]) -> list[Request]:
    """The snapshot as one push to a Pushgateway: not compressed, without timestamps."""
    body = message(snapshot, external_labels)
    return [Request(Protocol.DELIMITED, body, snapshot.series(), snapshot.time_ms, snapshot.time_ms)]


def message(snapshot: Snapshot, external_labels: Mapping[str, str]) -> bytes:
    """Every family of the snapshot that has a sample."""
    metrics: dict[str, tuple[Family, list[bytes]]] = {}
    for family, found in _metrics(snapshot, external_labels):
        metrics.setdefault(family.name, (family, []))[1].extend(found)
    families = (_head(family) + b"".join(found) for family, found in metrics.values() if found)
    return b"".join(varint(len(family)) + family for family in families)


def _head(family: Family) -> bytes:
    names = delimited(_NAME, family.name.encode()) + delimited(_HELP, family.help.encode())
    return names + _TYPE + varint(_TYPES[family.type])


def _metrics(snapshot: Snapshot, external_labels: Mapping[str, str]) -> Iterator[tuple[Family, list[bytes]]]:
    """Each family's Metric messages, as fields of its MetricFamily; a family may come several times."""
    for block in snapshot.blocks:
        yield from _plain(block, _encoded(block.labels, external_labels))
    for histogram in snapshot.histograms:
        labels = _encoded(histogram.labels, external_labels)
        yield (
            histogram.family,
            [
                delimited(_METRIC, pairs + delimited(_HISTOGRAM, _histogram(histogram, row)))
                for row, pairs in enumerate(labels)
            ],
        )


def _encoded(labels: tuple[Labels, ...], external_labels: Mapping[str, str]) -> list[bytes]:
    """The label pairs of each label set; those without a value are none."""
    return [
        b"".join(
            delimited(_LABEL, delimited(_LABEL_NAME, name.encode()) + delimited(_LABEL_VALUE, value.encode()))
            for name, value in sorted({**external_labels, **dict(each)}.items())
            if value
        )
        for each in labels
    ]


def _plain(block: Block, labels: list[bytes]) -> Iterator[tuple[Family, list[bytes]]]:
    present = ~np.isnan(block.values)
    for family, values, told in zip(block.families, block.values, present, strict=True):
        before_value = [delimited(_METRIC, pairs + _VALUE[family.type] + bytes(8))[:-8] for pairs in labels]
        data = values.tobytes()
        yield family, [before_value[row] + data[8 * row : 8 * row + 8] for row in np.flatnonzero(told).tolist()]


def _histogram(block: HistogramBlock, row: int) -> bytes:
    up_to = np.cumsum(block.counts[row], dtype=np.uint64).tolist()
    buckets = (
        delimited(_BUCKET, _CUMULATIVE_COUNT + varint(count) + _UPPER_BOUND + struct.pack("<d", bound))
        for count, bound in zip(up_to, (*block.bounds, math.inf), strict=True)
    )
    total = _SAMPLE_COUNT + varint(up_to[-1]) + _SAMPLE_SUM + struct.pack("<d", block.sums[row])
    return total + b"".join(buckets) + (_native(block.native, row) if block.native else b"")


def _native(native: NativeBuckets, row: int) -> bytes:
    where, deltas = spans(native.counts[row], native.first)
    return b"".join(
        [
            _SCHEMA + zigzag(native.schema) + _ZERO_THRESHOLD + _ZERO_COUNT + varint(int(native.zeros[row])),
            *(
                delimited(_POSITIVE_SPAN, _OFFSET + zigzag(offset) + _LENGTH + varint(length))
                for offset, length in where
            ),
            *(_POSITIVE_DELTA + zigzag(delta) for delta in deltas),
        ]
    )
