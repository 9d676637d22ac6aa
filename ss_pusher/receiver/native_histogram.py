"""Native histograms, checked as strictly as their specification: https://prometheus.io/docs/specs/native_histograms/."""

import math
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Final, Protocol

from ss_pusher.proto import metrics_pb2
from ss_pusher.proto import remote_write_v1_pb2 as v1
from ss_pusher.proto import remote_write_v2_pb2 as v2
from ss_pusher.receiver.refused import RefusedError

_LOWEST_SCHEMA: Final = -4
_HIGHEST_SCHEMA: Final = 8
_STALE_BITS: Final = struct.pack("<Q", 0x7FF0_0000_0000_0002)


@dataclass(frozen=True, slots=True)
class Histogram:
    """A native histogram with exponential buckets; `positive` and `negative` hold those that are told, by index."""

    timestamp_ms: int
    count: float
    sum: float
    schema: int
    start_ms: int = 0
    zero_threshold: float = 0.0
    zero_count: float = 0
    positive: Mapping[int, float] = field(default_factory=dict)
    negative: Mapping[int, float] = field(default_factory=dict)

    @property
    def stale(self) -> bool:
        """Whether it is the marker that ends a series."""
        return struct.pack("<d", self.sum) == _STALE_BITS


class Span(Protocol):
    """Neighbouring buckets, as every message has them."""

    @property
    def offset(self) -> int:
        """From the end of the span before."""

    @property
    def length(self) -> int:
        """How many."""


def of_remote_write(message: v1.Histogram | v2.Histogram, place: str) -> Histogram:
    """The histogram of a TimeSeries. Raises RefusedError."""
    whole = message.WhichOneof("count") != "count_float"
    if message.custom_values:
        raise RefusedError(f"{place}: a histogram has custom bounds, which only schema -53 has")
    if message.WhichOneof("zero_count") == ("zero_count_float" if whole else "zero_count_int"):
        raise RefusedError(f"{place}: a histogram counts in whole numbers and in floats")
    return checked(
        Histogram(
            message.timestamp,
            message.count_int if whole else message.count_float,
            message.sum,
            message.schema,
            message.start_timestamp if isinstance(message, v2.Histogram) else 0,
            message.zero_threshold,
            message.zero_count_int if whole else message.zero_count_float,
            _buckets(message.positive_spans, message.positive_deltas, message.positive_counts, place, whole=whole),
            _buckets(message.negative_spans, message.negative_deltas, message.negative_counts, place, whole=whole),
        ),
        place,
    )


def of_metric(message: metrics_pb2.Histogram, place: str) -> Histogram | None:
    """The native form of a pushed histogram, without a time; None: it has none. Raises RefusedError."""
    whole = not message.sample_count_float and not message.zero_count_float
    told = message.positive_span or message.negative_span or message.zero_threshold or message.zero_count or not whole
    if not told:
        return None
    return checked(
        Histogram(
            0,
            message.sample_count if whole else message.sample_count_float,
            message.sample_sum,
            message.schema,
            0,
            message.zero_threshold,
            message.zero_count if whole else message.zero_count_float,
            _buckets(message.positive_span, message.positive_delta, message.positive_count, place, whole=whole),
            _buckets(message.negative_span, message.negative_delta, message.negative_count, place, whole=whole),
        ),
        place,
    )


def checked(histogram: Histogram, place: str) -> Histogram:
    """The same, if it agrees with itself. Raises RefusedError."""
    if not _LOWEST_SCHEMA <= histogram.schema <= _HIGHEST_SCHEMA:
        raise RefusedError(f"{place}: a histogram has the schema {histogram.schema}; exponential ones are -4 to 8")
    if not histogram.zero_threshold >= 0:
        raise RefusedError(f"{place}: the zero bucket of a histogram has the threshold {histogram.zero_threshold}")
    counts = [histogram.zero_count, *histogram.positive.values(), *histogram.negative.values()]
    if not all(count >= 0 for count in counts):
        raise RefusedError(f"{place}: a bucket of a histogram holds less than nothing")
    # An observation of NaN is in no bucket, and makes the sum one.
    held = sum(counts)
    rounded = isinstance(held, float) and math.isclose(held, histogram.count)
    if not (held == histogram.count or rounded or (math.isnan(histogram.sum) and held < histogram.count)):
        raise RefusedError(f"{place}: the buckets of a histogram hold {held}, but its count is {histogram.count}")
    return histogram


def _buckets(
    spans: Sequence[Span], deltas: Sequence[int], counts: Sequence[float], place: str, *, whole: bool
) -> dict[int, float]:
    if counts if whole else deltas:
        raise RefusedError(f"{place}: a histogram counts in whole numbers and in floats")
    held: list[float] = list(accumulate(deltas)) if whole else list(counts)
    buckets = sum(span.length for span in spans)
    if buckets != len(held):
        raise RefusedError(f"{place}: the spans of a histogram have {buckets} buckets, but {len(held)} are told")
    return dict(zip(_indexes(spans, place), held, strict=True))


def _indexes(spans: Sequence[Span], place: str) -> Iterator[int]:
    index = 0
    for number, span in enumerate(spans):
        if number and span.offset < 0:
            raise RefusedError(f"{place}: the span {number} of a histogram goes back by {-span.offset} buckets")
        index += span.offset
        yield from range(index, index + span.length)
        index += span.length
