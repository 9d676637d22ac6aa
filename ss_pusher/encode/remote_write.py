"""What remote write 1.0 and 2.0 have in common: snapshots into requests of whole series, staleness included."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Final, NamedTuple

import numpy as np
import snappy

from ss_pusher.encode.layout import Layout, Writer
from ss_pusher.encode.series import Table, tables
from ss_pusher.encode.staleness import changes, markers
from ss_pusher.encode.template import Template
from ss_pusher.model import U8, MetricType, Protocol, Request, Snapshot

METRIC_TYPES: Final = {MetricType.COUNTER: 1, MetricType.GAUGE: 2, MetricType.HISTOGRAM: 3}
"""The numbers of the types are the same in 1.0's MetricMetadata and 2.0's Metadata."""


def compressed(message: bytes | U8) -> bytes:
    """The message in snappy's block format."""
    body: bytes = snappy.compress(message)  # type: ignore[attr-defined,no-untyped-call] # python-snappy has no types
    return body


class _Part(NamedTuple):
    """One request of the current set of series."""

    template: Template
    series: int  # but native histograms
    histograms: int
    samples: int


class SeriesEncoder:
    """Encodes snapshot after snapshot. Remembers the series of the last one, and the bytes that describe them."""

    def __init__(
        self,
        protocol: Protocol,
        new_writer: Callable[[], Writer],
        external_labels: Mapping[str, str],
        max_samples_per_send: int,
        *,
        native_histograms: bool,
    ) -> None:
        """With `native_histograms` a histogram that has that form is one series, and its classic ones are not sent."""
        self._protocol = protocol
        self._native = native_histograms
        self._new_layout = partial(Layout, new_writer, external_labels)
        self._max_samples = max_samples_per_send
        self._alive: list[Table] = []
        self._time_ms = 0
        self._tables: list[Table] = []
        self._layouts: list[Layout] = []
        self._parts: list[_Part] = []

    def encode(self, snapshot: Snapshot) -> list[Request]:
        """All series of the snapshot, markers of those that ended, and zeros before counters that are new.

        No series stands in two requests. Snapshots must come in the order of their times.

        Raises:
            EncodeError: a time is not of this century.
        """
        now = tables(snapshot, native=self._native)
        changed = changes(self._alive, now, snapshot.time_ms, snapshot.previous_ms)
        requests = self._encode(changed, snapshot.time_ms, snapshot.previous_ms + 1)
        self._alive = now
        return requests

    def stale(self, time_ms: int) -> list[Request]:
        """Markers that end every series of the last snapshot, later than it even when the clock stood still."""
        ended = [markers(table, table.samples > 0) for table in self._alive]
        self._alive = []
        return self._encode(ended, max(time_ms, self._time_ms + 1), 0)

    def _encode(self, series: list[Table], time_ms: int, zero_ms: int) -> list[Request]:
        if not _same_series(series, self._tables):
            self._lay_out(series, zero_ms)
        self._time_ms = time_ms
        values = [table.bits[table.samples > 0] for table in series if not table.histograms]
        bits = np.concatenate(values) if values else np.empty(0, np.uint64)
        histograms = [histogram for table in series for histogram in table.histograms]
        requests = []
        for part in self._parts:
            message = part.template.fill(bits[: part.series], time_ms, histograms[: part.histograms])
            oldest_ms = zero_ms if part.samples > part.series + part.histograms else time_ms
            requests.append(Request(self._protocol, compressed(message), part.samples, oldest_ms, time_ms))
            bits, histograms = bits[part.series :], histograms[part.histograms :]
        return requests

    def _lay_out(self, series: list[Table], zero_ms: int) -> None:
        parts = list(_split(series, self._max_samples))
        self._layouts = self._layouts[: len(parts)]
        self._layouts += [self._new_layout() for _ in range(len(parts) - len(self._layouts))]
        self._parts = [
            _Part(
                template=layout.template(part, zero_ms),
                series=sum(int(np.count_nonzero(table.samples)) for table in part if not table.histograms),
                histograms=sum(len(table.histograms) for table in part),
                samples=sum(int(table.samples.sum()) for table in part),
            )
            for layout, part in zip(self._layouts, parts, strict=True)
        ]
        self._tables = series


def _same_series(some: Sequence[Table], others: Sequence[Table]) -> bool:
    return len(some) == len(others) and all(
        one.columns == other.columns
        and one.labels == other.labels
        and np.array_equal(one.samples, other.samples)
        and np.array_equal(one.start_ms, other.start_ms)
        for one, other in zip(some, others, strict=True)
    )


def _split(series: list[Table], max_samples: int) -> Iterator[list[Table]]:
    """Consecutive runs of series that have at most `max_samples` samples, but at least one series each."""
    samples = np.concatenate([np.empty(0, np.uint8), *(table.samples.ravel() for table in series)])
    places = np.flatnonzero(samples)
    sent_before = np.append(0, np.cumsum(samples[places], dtype=np.int64))
    first = 0
    while first < len(places):
        last = int(np.searchsorted(sent_before, sent_before[first] + max_samples, side="right")) - 1
        last = max(last, first + 1)
        yield list(_cut(series, int(places[first]), int(places[last - 1]) + 1))
        first = last


def _cut(series: list[Table], first: int, last: int) -> Iterator[Table]:
    """The series from `first` until before `last`, counted through all tables, absent ones too."""
    for table in series:
        size, width = table.samples.size, len(table.columns)
        low, high = max(first, 0), min(last, size)
        if low < high:
            rows = slice(low // width, -(-high // width))
            samples = table.samples[rows].copy()
            samples.flat[: low - rows.start * width] = 0
            samples.flat[high - rows.start * width :] = 0
            yield replace(
                table,
                labels=table.labels[rows],
                bits=table.bits[rows],
                samples=samples,
                start_ms=table.start_ms[rows],
                histograms=table.histograms[rows],
            )
        first, last = first - size, last - size
