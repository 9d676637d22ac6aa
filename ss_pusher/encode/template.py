"""A request as a template: its bytes are laid out once, then each tick's values and timestamp are scattered in."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np

from ss_pusher.encode.native_histogram import dated
from ss_pusher.encode.protobuf import delimited, timestamp
from ss_pusher.model import U8, U64, Rows

_SAMPLES: Final = 0x12  # TimeSeries.samples in 1.0 and 2.0
_VALUE: Final = b"\x09"  # Sample.value
_TIMESTAMP: Final = b"\x10"  # Sample.timestamp
_START: Final = b"\x18"  # Sample.start_timestamp in 2.0

VALUE_SIZE: Final = 8


@lru_cache(maxsize=64)
def sample(time_ms: int, start_ms: int) -> bytes:
    """A sample 0, as a field of its TimeSeries. With a `start_ms` of 0 it says nothing of its start.

    Protobuf leaves the order of fields to the writer. The value is last, so that all from one value to the next is
    what an earlier series had too, and compresses to two references.

    Raises:
        EncodeError: see `protobuf.timestamp`.
    """
    start = _START + timestamp(start_ms) if start_ms else b""
    return delimited(_SAMPLES, start + _TIMESTAMP + timestamp(time_ms) + _VALUE + bytes(VALUE_SIZE))


class HistogramRow(NamedTuple):
    """One series of native histograms. Their sizes change from tick to tick, so it is put together in each."""

    tag: int  # of a TimeSeries
    head: bytes  # all that stands in it before the histogram of this tick
    histogram_tag: int
    start_ms: int  # 0: it is not told

    def series(self, histogram: bytes, time_ms: int) -> bytes:
        """The TimeSeries, with this histogram at that time."""
        return delimited(self.tag, self.head + delimited(self.histogram_tag, dated(histogram, time_ms, self.start_ms)))


class Row(NamedTuple):
    """Consecutive series of one label set: their bytes, and where in them the values go."""

    body: bytes
    values: bytes  # uint32 offsets, one a series


class Template:
    """One request's bytes. `fill` is all that happens in a tick that has the same series as the one before."""

    def __init__(self, head: bytes, rows: Sequence[Row], histograms: Sequence[HistogramRow] = ()) -> None:
        self._histograms = histograms
        self._buffer = np.frombuffer(bytearray().join([head, *(row.body for row in rows)]), np.uint8)
        # Every 8 bytes of the buffer as one little-endian word, whether aligned or not.
        words = max(len(self._buffer) - 7, 0)  # 1.0 with nothing but native histograms has none
        self._words = np.ndarray((words,), "<u8", self._buffer, strides=(1,))
        self._values = _positions(len(head), rows)
        self._timestamps = self._values - VALUE_SIZE

    def fill(self, bits: U64, time_ms: int, histograms: Sequence[bytes] = ()) -> U8 | bytes:
        """The message with these float64 bits, one a series, and these histograms, all at one time.

        It is overwritten by the next call.

        Raises:
            EncodeError: see `protobuf.timestamp`.
        """
        self._words[self._timestamps] = int.from_bytes(_TIMESTAMP + timestamp(time_ms) + _VALUE, "little")
        self._words[self._values] = bits
        if not self._histograms:
            return self._buffer
        series = [row.series(each, time_ms) for row, each in zip(self._histograms, histograms, strict=True)]
        return b"".join([self._buffer.data, *series])


def _positions(start: int, rows: Sequence[Row]) -> Rows:
    sizes = np.array([len(row.body) for row in rows], dtype=np.intp)
    offsets = np.frombuffer(b"".join(row.values for row in rows), np.uint32)
    counts = [len(row.values) // offsets.itemsize for row in rows]
    return start + np.repeat(np.cumsum(sizes) - sizes, counts) + offsets.astype(np.intp)
