"""The layout of one request: which rows stand in it, and their bytes kept for as long as they are in use."""

from array import array
from bisect import bisect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple, Protocol

from ss_pusher.encode.native_histogram import dated
from ss_pusher.encode.protobuf import delimited
from ss_pusher.encode.series import Column, Table
from ss_pusher.encode.template import VALUE_SIZE, HistogramRow, Row, Template, sample
from ss_pusher.model import Family, Labels

_NAME: Final = "__name__"
_WITH_ZERO: Final = 2


class Writer(Protocol):
    """How a version of remote write expresses a series. One serves one request, and remembers what it wrote."""

    tag: int
    """The tag of a TimeSeries."""
    histogram_tag: int
    """The tag of a Histogram in a TimeSeries."""
    starts: bool
    """Whether a sample carries the time at which its counter began."""

    def __len__(self) -> int:
        """How much it remembers, in entries."""

    def pairs(self, pairs: Iterable[tuple[str, str]]) -> bytes:
        """Labels, so encoded that neighbours may be joined."""

    def labels(self, pairs: bytes) -> bytes:
        """All the joined labels of a series, as they stand in its TimeSeries."""

    def metadata(self, family: Family) -> bytes:
        """What a TimeSeries says of its family."""

    def head(self) -> bytes:
        """What stands in the request before the TimeSeries."""


class _Column(NamedTuple):
    """A column as one writer expresses it."""

    name: bytes
    le: str
    cumulative: bool
    metadata: bytes


class _Kept(NamedTuple):
    """A row, and all that its bytes depend on besides its columns and labels."""

    row: Row
    samples: bytes
    start_ms: int


class Layout:
    """Lays out one request after the other, and reuses the bytes of each row that the last one had too."""

    def __init__(self, new_writer: Callable[[], Writer], external_labels: Mapping[str, str]) -> None:
        self._new_writer = new_writer
        self._external_labels = {name: value for name, value in external_labels.items() if value}
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._writer = self._new_writer()
        self._rows: dict[tuple[Column, ...], dict[Labels, _Kept]] = {}
        self._in_use = 0

    def template(self, tables: Sequence[Table], zero_ms: int) -> Template:
        """The request that holds the series of `tables`; their zeros stand at `zero_ms`."""
        if self._in_use and len(self._writer) > 1.5 * self._in_use + 64:
            # A third of what it remembers may be of series that ended. To begin anew costs no more than they did.
            self._begin_anew()
        rows_before, self._rows = self._rows, {}
        plain = [table for table in tables if not table.histograms]
        rows = [row for table in plain for row in self._write(table, rows_before.get(table.columns, {}), zero_ms)]
        histograms = [row for table in tables if table.histograms for row in self._histogram_rows(table, zero_ms)]
        self._in_use = self._in_use or len(self._writer)
        return Template(self._writer.head(), rows, histograms)

    def _write(self, table: Table, before: Mapping[Labels, _Kept], zero_ms: int) -> Iterator[Row]:
        columns = [self._column(column) for column in table.columns]
        kept_rows = self._rows.setdefault(table.columns, {})
        all_samples = table.samples.tobytes()
        for row, (labels, start_ms) in enumerate(zip(table.labels, table.start_ms.tolist(), strict=True)):
            samples = all_samples[row * len(columns) : (row + 1) * len(columns)]
            kept = before.get(labels)
            if kept is None or kept.samples != samples or kept.start_ms != start_ms:
                kept = _Kept(self._write_row(columns, labels, samples, start_ms, zero_ms), samples, start_ms)
            if _WITH_ZERO not in samples:
                kept_rows[labels] = kept
            yield kept.row

    def _histogram_rows(self, table: Table, zero_ms: int) -> Iterator[HistogramRow]:
        writer = self._writer
        (column,) = map(self._column, table.columns)
        for labels, start_ms, count in zip(table.labels, table.start_ms.tolist(), table.samples[:, 0], strict=True):
            before, after = self._around_name(labels, "")
            head = writer.labels(before + column.name + after) + column.metadata
            if count == _WITH_ZERO:
                known_start_ms = start_ms if writer.starts and start_ms <= zero_ms else 0
                head += delimited(writer.histogram_tag, dated(table.zero, zero_ms, known_start_ms))
            yield HistogramRow(writer.tag, head, writer.histogram_tag, start_ms if writer.starts else 0)

    def _column(self, column: Column) -> _Column:
        name = self._writer.pairs([(_NAME, column.name)])
        return _Column(name, column.le, column.cumulative, self._writer.metadata(column.family))

    def _write_row(
        self, columns: Sequence[_Column], labels: Labels, samples: bytes, start_ms: int, zero_ms: int
    ) -> Row:
        writer = self._writer
        around: dict[str, tuple[bytes, bytes]] = {}
        gauge = sample(0, 0)
        counter = sample(0, start_ms) if writer.starts else gauge
        body = bytearray()
        values = array("I")
        for column, count in zip(columns, samples, strict=True):
            if not count:
                continue
            if column.le not in around:
                around[column.le] = self._around_name(labels, column.le)
            before, after = around[column.le]
            head = writer.labels(before + column.name + after)
            if count == _WITH_ZERO:
                head += sample(zero_ms, start_ms if writer.starts and start_ms <= zero_ms else 0)
            head += counter if column.cumulative else gauge
            message = delimited(writer.tag, head + column.metadata)
            body += message
            values.append(len(body) - len(column.metadata) - VALUE_SIZE)
        return Row(bytes(body), values.tobytes())

    def _around_name(self, labels: Labels, le: str) -> tuple[bytes, bytes]:
        """The encoded labels that come before `__name__`, and those after it, in the order of UTF-8."""
        merged = {**self._external_labels, **dict(labels)}
        if le:
            merged["le"] = le
        pairs = sorted(merged.items())
        name = bisect(pairs, (_NAME,))
        return self._writer.pairs(pairs[:name]), self._writer.pairs(pairs[name:])
