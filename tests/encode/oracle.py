"""What remote write has to say of snapshots, worked out series by series with the classes that protobuf generates."""

import math
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import snappy

from ss_pusher.model import Block, Family, HistogramBlock, Labels, MetricType, NativeBuckets, Request, Snapshot
from ss_pusher.proto import remote_write_v1_pb2 as v1
from ss_pusher.proto import remote_write_v2_pb2 as v2

STALE: float = struct.unpack("<d", bytes.fromhex("020000000000f07f"))[0]


@dataclass
class Sample:
    timestamp: int
    value: float
    start: int
    native: dict[str, Any] | None = None
    """A Histogram in the place of the value, without its times; spans are pairs of offset and length."""


@dataclass
class Series:
    labels: Labels  # with __name__ and external labels
    family: Family
    samples: list[Sample] = field(default_factory=list)


class Oracle:
    """Tells, snapshot after snapshot, which series an encoder has to send, in which order."""

    def __init__(self, external_labels: Mapping[str, str], *, native: bool = False) -> None:
        self._external_labels = external_labels
        self._native = native
        self._alive: list[Series] = []

    def encode(self, snapshot: Snapshot) -> list[Series]:
        before = {series.labels for series in self._alive}
        now = [*self._plain(snapshot), *self._histograms(snapshot)]
        labels_now = {series.labels for series in now}
        ended = [_ended(series, snapshot.time_ms) for series in self._alive if series.labels not in labels_now]
        self._alive = [Series(series.labels, series.family, list(series.samples)) for series in now]
        for series in now:
            if series.labels not in before:
                _add_zero(series, snapshot)
        return now + ended

    def stale(self, time_ms: int) -> list[Series]:
        ended = [_ended(series, time_ms) for series in self._alive]
        self._alive = []
        return ended

    def _plain(self, snapshot: Snapshot) -> Iterator[Series]:
        for block in snapshot.blocks:
            for row, labels in enumerate(block.labels):
                for index, family in enumerate(block.families):
                    value = float(block.values[index, row])
                    if not math.isnan(value):
                        yield self._series(family, family.name, labels, {}, _sample(snapshot, block, row, value))

    def _histograms(self, snapshot: Snapshot) -> Iterator[Series]:
        for block in snapshot.histograms:
            for row, labels in enumerate(block.labels):
                total = 0
                name = block.family.name
                if self._native and block.native:
                    sample = _sample(snapshot, block, row, float(block.sums[row]))
                    sample.native = native_histogram(block.native, row, sample.value)
                    sample.native |= {} if snapshot.previous_ms else {"reset_hint": 1}
                    yield self._series(block.family, name, labels, {}, sample)
                    continue
                for limit, count in zip((*block.bounds, math.inf), block.counts[row], strict=True):
                    total += int(count)
                    sample = _sample(snapshot, block, row, float(total))
                    yield self._series(block.family, f"{name}_bucket", labels, {"le": bound(limit)}, sample)
                yield self._series(
                    block.family, f"{name}_sum", labels, {}, _sample(snapshot, block, row, float(block.sums[row]))
                )
                yield self._series(
                    block.family, f"{name}_count", labels, {}, _sample(snapshot, block, row, float(total))
                )

    def _series(self, family: Family, name: str, labels: Labels, more: Mapping[str, str], sample: Sample) -> Series:
        merged = {**self._external_labels, **dict(labels), **more, "__name__": name}
        pairs = sorted((pair for pair in merged.items() if pair[1]), key=lambda pair: pair[0].encode())
        if family.type is MetricType.GAUGE:
            sample.start = 0
        return Series(tuple(pairs), family, [sample])


def _sample(snapshot: Snapshot, block: Block | HistogramBlock, row: int, value: float) -> Sample:
    return Sample(snapshot.time_ms, value, int(block.start_ms[row]))


def native_histogram(native: NativeBuckets, row: int, total: float) -> dict[str, Any]:
    """Bucket by bucket; a span ends where more than two empty ones follow."""
    spans: list[tuple[int, int]] = []
    deltas: list[int] = []
    end, last = 0, 0
    for place, count in enumerate(native.counts[row].tolist()):
        index = native.first + place
        if not count:
            continue
        if spans and index - end <= 2:
            for _ in range(index - end):
                deltas.append(-last)
                last = 0
            spans[-1] = (spans[-1][0], spans[-1][1] + index - end + 1)
        else:
            spans.append((index - end, 1))
        deltas.append(count - last)
        end, last = index + 1, count
    zeros = int(native.zeros[row])
    return {
        "count_int": sum(native.counts[row].tolist()) + zeros,
        "sum": total,
        "schema": native.schema,
        "zero_threshold": 2.0**-128,
        "zero_count_int": zeros,
        "positive_spans": spans,
        "positive_deltas": deltas,
    }


def _ended(series: Series, time_ms: int) -> Series:
    last = series.samples[-1]
    native = None if last.native is None else {"count_int": 0, "sum": STALE}
    return Series(series.labels, series.family, [Sample(time_ms, STALE, last.start, native)])


def _add_zero(series: Series, snapshot: Snapshot) -> None:
    start, zero_ms = series.samples[0].start, snapshot.previous_ms + 1
    counts = series.family.type is not MetricType.GAUGE
    if counts and 0 < snapshot.previous_ms <= start and zero_ms < snapshot.time_ms:
        native = series.samples[0].native
        if native is not None:
            facts = {name: native[name] for name in ("schema", "zero_threshold")}
            native = {"count_int": 0, "sum": 0.0, "zero_count_int": 0, "reset_hint": 1, **facts}
        series.samples.insert(0, Sample(zero_ms, 0.0, start if start <= zero_ms else 0, native))


def bound(limit: float) -> str:
    """Only for the bounds that the tests use."""
    return {0.005: "0.005", 1.0: "1", 2.5: "2.5", 1e6: "1e+06", math.inf: "+Inf"}[limit]


def of_request(part: Sequence[Series]) -> list[Series]:
    """The series of one request in their order there: native histograms are the last, because their sizes change."""
    return sorted(part, key=lambda series: series.samples[-1].native is not None)


# ---- as messages ----------------------------------------------------------------------------------------------------


def message_v1(expected: Sequence[Series]) -> v1.WriteRequest:
    return v1.WriteRequest(
        timeseries=[
            v1.TimeSeries(
                labels=[v1.Label(name=name, value=value) for name, value in series.labels],
                samples=[
                    v1.Sample(value=sample.value, timestamp=sample.timestamp)
                    for sample in series.samples
                    if sample.native is None
                ],
                histograms=[
                    v1.Histogram(timestamp=sample.timestamp, **_spans(sample.native, v1.BucketSpan))
                    for sample in series.samples
                    if sample.native is not None
                ],
            )
            for series in expected
        ]
    )


def message_v2(expected: Sequence[Series], symbols: Sequence[str]) -> v2.Request:
    """With the symbols in the order of another request, because any order will do."""
    reference = {symbol: index for index, symbol in enumerate(symbols)}
    return v2.Request(
        symbols=symbols,
        timeseries=[
            v2.TimeSeries(
                labels_refs=[reference[word] for pair in series.labels for word in pair],
                samples=[
                    v2.Sample(value=sample.value, timestamp=sample.timestamp, start_timestamp=sample.start)
                    for sample in series.samples
                    if sample.native is None
                ],
                histograms=[
                    v2.Histogram(
                        timestamp=sample.timestamp,
                        start_timestamp=sample.start,
                        **_spans(sample.native, v2.BucketSpan),
                    )
                    for sample in series.samples
                    if sample.native is not None
                ],
                metadata=v2.Metadata(
                    type=f"METRIC_TYPE_{series.family.type.name}",
                    help_ref=reference[series.family.help],
                    unit_ref=reference[series.family.unit],
                ),
            )
            for series in expected
        ],
    )


def _spans(native: dict[str, Any], kind: type[v1.BucketSpan | v2.BucketSpan]) -> dict[str, Any]:
    spans = [kind(offset=offset, length=length) for offset, length in native.get("positive_spans", ())]
    return native | {"positive_spans": spans}


def decode_v1(request: Request) -> v1.WriteRequest:
    return v1.WriteRequest.FromString(uncompressed(request))


def decode_v2(request: Request) -> v2.Request:
    return v2.Request.FromString(uncompressed(request))


def uncompressed(request: Request) -> bytes:
    body: bytes = snappy.uncompress(request.body)  # type: ignore[attr-defined,no-untyped-call] # python-snappy has no types
    return body
