"""Histograms as native ones with custom buckets: https://prometheus.io/docs/specs/native_histograms/.

Our bounds are fixed, so only the schema for custom buckets says exactly what was counted: where observations lie within
a bucket, as the exponential schemas would need it, is not known. Prometheus takes custom buckets since 3.0.
"""

import struct
from collections.abc import Mapping
from itertools import pairwise
from typing import Final, TypeAlias

from ss_pusher.encode.protobuf import delimited, timestamp, varint
from ss_pusher.encode.remote_write import compressed
from ss_pusher.encode.staleness import STALE
from ss_pusher.encode.symbols import SymbolWriter
from ss_pusher.model import Family, HistogramBlock, Labels, Protocol, Request, Snapshot

_Series: TypeAlias = tuple[Family, Labels]

_HISTOGRAMS: Final = 0x1A  # TimeSeries.histograms
_COUNT_INT: Final = b"\x08"
_SUM: Final = b"\x19"
_SCHEMA_OF_CUSTOM_BUCKETS: Final = b"\x20\x69"  # -53 as sint32
_POSITIVE_SPANS: Final = 0x5A
_LENGTH: Final = b"\x10"  # BucketSpan.length
_POSITIVE_DELTAS: Final = 0x62
_TIMESTAMP: Final = b"\x78"
_CUSTOM_VALUES: Final = b"\x82\x01"
_START_TIMESTAMP: Final = b"\x88\x01"

_MARKER: Final = _COUNT_INT + varint(0) + _SUM + STALE.tobytes()
"""A native histogram ends with one whose sum is the stale marker."""


class NativeHistogramEncoder:
    """Encodes the histograms of snapshot after snapshot for 2.0. Remembers which there were in the last."""

    def __init__(self, external_labels: Mapping[str, str], max_samples_per_send: int) -> None:
        self._external_labels = external_labels
        self._max_samples = max_samples_per_send
        self._alive: list[_Series] = []
        self._time_ms = 0

    def encode(self, snapshot: Snapshot) -> list[Request]:
        """All histograms of the snapshot, under the plain names of their families, and markers of those that ended.

        Raises:
            EncodeError: a time is not of this century.
        """
        now = {
            (block.family, labels): _histogram(block, row)
            for block in snapshot.histograms
            for row, labels in enumerate(block.labels)
        }
        ended = {series: _MARKER for series in self._alive if series not in now}
        self._alive = list(now)
        return self._requests(now | ended, snapshot.time_ms)

    def stale(self, time_ms: int) -> list[Request]:
        """Markers for every histogram of the last snapshot, later than it even when the clock stood still."""
        ended = dict.fromkeys(self._alive, _MARKER)
        self._alive = []
        return self._requests(ended, max(time_ms, self._time_ms + 1))

    def _requests(self, histograms: Mapping[_Series, bytes], time_ms: int) -> list[Request]:
        self._time_ms = time_ms
        series = list(histograms.items())
        parts = [series[first : first + self._max_samples] for first in range(0, len(series), self._max_samples)]
        return [self._request(part, time_ms) for part in parts]

    def _request(self, histograms: list[tuple[_Series, bytes]], time_ms: int) -> Request:
        writer = SymbolWriter()
        message = bytearray()
        for (family, labels), histogram in histograms:
            merged = {**self._external_labels, **dict(labels), "__name__": family.name}
            pairs = writer.pairs(sorted(pair for pair in merged.items() if pair[1]))
            sample = delimited(_HISTOGRAMS, histogram + _TIMESTAMP + timestamp(time_ms))
            message += delimited(writer.tag, writer.labels(pairs) + sample + writer.metadata(family))
        return Request(Protocol.REMOTE_WRITE_2, compressed(writer.head() + message), len(histograms), time_ms, time_ms)


def _histogram(block: HistogramBlock, row: int) -> bytes:
    """A Histogram without its timestamp."""
    counts: list[int] = block.counts[row].tolist()
    deltas = [after - before for before, after in pairwise([0, *counts])]
    bounds = struct.pack(f"<{len(block.bounds)}d", *block.bounds)
    start_ms = int(block.start_ms[row])
    return b"".join(
        [
            _COUNT_INT + varint(sum(counts)),
            _SUM + struct.pack("<d", block.sums[row]),
            _SCHEMA_OF_CUSTOM_BUCKETS,
            delimited(_POSITIVE_SPANS, _LENGTH + varint(len(counts))),
            delimited(_POSITIVE_DELTAS, b"".join(map(_zigzag, deltas))),
            _CUSTOM_VALUES + varint(len(bounds)) + bounds,
            _START_TIMESTAMP + timestamp(start_ms) if start_ms else b"",
        ]
    )


def _zigzag(number: int) -> bytes:
    """A sint64: small numbers are short, whatever their sign."""
    return varint(number << 1 if number >= 0 else (-number << 1) - 1)
