"""Native histograms with exponential buckets: https://prometheus.io/docs/specs/native_histograms/."""

import struct
from itertools import pairwise
from typing import Final, NamedTuple

import numpy as np

from ss_pusher.encode.protobuf import delimited, timestamp, varint, zigzag
from ss_pusher.model import U64, HistogramBlock, NativeBuckets

ZERO_THRESHOLD: Final = 2.0**-128
"""The client libraries' own; we observe nothing between it and 0. A scraper takes 0 for a classic histogram's."""

MOST_EMPTY: Final = 2
"""So many empty buckets within a span cost less than another span."""

# The same in remote write 1.0 and 2.0.
_COUNT_INT: Final = b"\x08"
_SUM: Final = b"\x19"
_SCHEMA: Final = b"\x20"
_ZERO_THRESHOLD: Final = b"\x29" + struct.pack("<d", ZERO_THRESHOLD)
_ZERO_COUNT_INT: Final = b"\x30"
_POSITIVE_SPANS: Final = 0x5A
_OFFSET: Final = b"\x08"
_LENGTH: Final = b"\x10"
_POSITIVE_DELTAS: Final = 0x62
_RESET: Final = b"\x70\x01"  # Histogram.reset_hint, YES
_TIMESTAMP: Final = b"\x78"
_START_TIMESTAMP: Final = b"\x88\x01"  # 2.0 only


class Span(NamedTuple):
    """Neighbouring buckets; `offset` counts from the end of the span before, and of the first one from bucket 0."""

    offset: int
    length: int


def spans(counts: U64, first: int) -> tuple[list[Span], list[int]]:
    """The buckets that hold something, and how much each holds more than the one before it in any span.

    `counts` [buckets] are those of bucket `first` and the following.
    """
    filled = np.flatnonzero(counts)
    if not len(filled):
        return [], []
    runs = np.split(filled, np.flatnonzero(np.diff(filled) > MOST_EMPTY + 1) + 1)
    bounds = [(int(run[0]), int(run[-1]) + 1) for run in runs]
    offsets = [first + bounds[0][0], *(begin - end for (_, end), (begin, _) in pairwise(bounds))]
    held = [count for begin, end in bounds for count in counts[begin:end].tolist()]
    deltas = [after - before for before, after in pairwise([0, *held])]
    return [Span(offset, end - begin) for offset, (begin, end) in zip(offsets, bounds, strict=True)], deltas


def histograms(block: HistogramBlock, native: NativeBuckets, *, begins: bool) -> tuple[bytes, ...]:
    """For each label set a Histogram of remote write without its times; `begins` where no other came before it.

    Whether the counts began anew since the histogram before is otherwise left to the receiver: it sees them fall.
    """
    hint = _RESET if begins else b""
    rows = zip(native.zeros.tolist(), native.counts, block.sums.tolist(), strict=True)
    return tuple(_histogram(native, zeros, counts, total) + hint for zeros, counts, total in rows)


def empty(native: NativeBuckets) -> bytes:
    """A Histogram without observations, with which one begins that no other came before."""
    return _histogram(native, 0, np.empty(0, np.uint64), 0.0) + _RESET


def dated(histogram: bytes, time_ms: int, start_ms: int) -> bytes:
    """A Histogram with its times; with a `start_ms` of 0 it says nothing of its start. Raises EncodeError."""
    start = _START_TIMESTAMP + timestamp(start_ms) if start_ms else b""
    return histogram + _TIMESTAMP + timestamp(time_ms) + start


def bare(total: bytes) -> bytes:
    """A Histogram that tells nothing but its sum, in the eight bytes of a float64: so a stale marker is written."""
    return _COUNT_INT + varint(0) + _SUM + total


def _histogram(native: NativeBuckets, zeros: int, counts: U64, total: float) -> bytes:
    where, deltas = spans(counts, native.first)
    buckets = b"".join(
        delimited(_POSITIVE_SPANS, _OFFSET + zigzag(offset) + _LENGTH + varint(length)) for offset, length in where
    )
    return b"".join(
        [
            _COUNT_INT + varint(zeros + int(counts.sum())),
            _SUM + struct.pack("<d", total),
            _SCHEMA + zigzag(native.schema),
            _ZERO_THRESHOLD,
            _ZERO_COUNT_INT + varint(zeros),
            buckets,
            delimited(_POSITIVE_DELTAS, b"".join(map(zigzag, deltas))),
        ]
    )
