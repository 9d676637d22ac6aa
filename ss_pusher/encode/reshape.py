"""Remote write requests that already exist, divided, joined, and turned from 2.0 into 1.0.

Only needed when a server refuses something, or after an outage; so it takes the way through protobuf's objects.
Samples are carried over as bytes, since a stale marker does not survive as a float.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import snappy
from google.protobuf.message import DecodeError
from snappy.snappy import UncompressError

from ss_pusher.encode.remote_write import compressed
from ss_pusher.errors import EncodeError
from ss_pusher.model import Protocol, Request
from ss_pusher.proto import remote_write_v1_pb2 as v1
from ss_pusher.proto import remote_write_v2_pb2 as v2

_HISTOGRAM: Final = v2.Metadata.METRIC_TYPE_HISTOGRAM
_SUFFIXES: Final = ("_bucket", "_sum", "_count")


@dataclass(frozen=True, slots=True)
class _Metadata:
    type: Any  # the number is the same in both protocols; in their stubs it is a class of its own in each
    help: str
    unit: str


@dataclass(slots=True)
class _Series:
    """A series of either protocol. The samples of 1.0 are those of 2.0 without a start."""

    labels: tuple[str, ...]  # name, value, name, value ...
    samples: list[v2.Sample] = field(default_factory=list)
    histograms: list[v2.Histogram] = field(default_factory=list)
    metadata: _Metadata | None = None  # 2.0 only

    def __len__(self) -> int:
        return len(self.samples) + len(self.histograms)

    def times(self) -> list[int]:
        """Milliseconds."""
        return [s.timestamp for s in self.samples] + [h.timestamp for h in self.histograms]


@dataclass(slots=True)
class _Message:
    """A request of either protocol. `families` is the metadata of 1.0, by the family's name."""

    series: list[_Series]
    families: dict[str, _Metadata] = field(default_factory=dict)


def split(request: Request) -> list[Request]:
    """Two requests, each with about half of the samples, in their order; whole series where there are several.

    Metadata of 1.0 goes with the first. Raises EncodeError where the body is no such message or has only one sample.
    """
    message = _decode(request)
    total = sum(map(len, message.series))
    if total < 2:  # noqa: PLR2004 - two halves
        raise EncodeError("there is nothing to split")
    first, second = _halves(message.series, total // 2)
    return [
        _encode(_Message(first, message.families), request),
        _encode(_Message(second), request),
    ]


def merge(requests: Sequence[Request]) -> Request:
    """One request with all samples of several of one protocol; a series that occurs in many occurs once.

    Raises EncodeError.
    """
    merged: dict[tuple[str, ...], _Series] = {}
    families: dict[str, _Metadata] = {}
    for request in requests:
        message = _decode(request)
        families |= message.families
        for series in message.series:
            known = merged.setdefault(series.labels, series)
            if known is not series:
                known.samples += series.samples
                known.histograms += series.histograms
                known.metadata = series.metadata
    return _encode(_Message(list(merged.values()), families), requests[-1])


def downgrade(request: Request) -> Request:
    """A request of 2.0 as one of 1.0, which knows no start times. Raises EncodeError."""
    message = _decode(request)
    for series in message.series:
        if series.metadata:
            message.families[_family_name(series)] = series.metadata
    return _encode(message, request, Protocol.REMOTE_WRITE_1)


def _halves(series: list[_Series], samples: int) -> tuple[list[_Series], list[_Series]]:
    if len(series) == 1:
        (only,) = series
        first = _Series(only.labels, only.samples[:samples], only.histograms[:samples], only.metadata)
        return [first], [_Series(only.labels, only.samples[samples:], only.histograms[samples:], only.metadata)]
    count = 1
    before = len(series[0])
    while count < len(series) - 1 and before < samples:
        before += len(series[count])
        count += 1
    return series[:count], series[count:]


def _family_name(series: _Series) -> str:
    name = dict(zip(series.labels[::2], series.labels[1::2], strict=True)).get("__name__", "")
    if series.metadata and series.metadata.type == _HISTOGRAM and not series.histograms:
        for suffix in _SUFFIXES:
            name = name.removesuffix(suffix)
    return name


def _decode(request: Request) -> _Message:
    try:
        body = snappy.decompress(request.body)  # type: ignore[attr-defined,no-untyped-call] # python-snappy has no types
        if request.protocol is Protocol.REMOTE_WRITE_1:
            return _from_1(v1.WriteRequest.FromString(body))
        return _from_2(v2.Request.FromString(body))
    except (UncompressError, DecodeError, IndexError) as error:  # IndexError: a reference to no symbol
        raise EncodeError(f"the body of a request is damaged: {error}") from error


def _from_1(message: v1.WriteRequest) -> _Message:
    return _Message(
        [
            _Series(
                tuple(text for label in series.labels for text in (label.name, label.value)),
                [v2.Sample.FromString(sample.SerializeToString()) for sample in series.samples],
                [v2.Histogram.FromString(histogram.SerializeToString()) for histogram in series.histograms],
            )
            for series in message.timeseries
        ],
        {family.metric_family_name: _Metadata(family.type, family.help, family.unit) for family in message.metadata},
    )


def _from_2(message: v2.Request) -> _Message:
    symbols = message.symbols
    return _Message(
        [
            _Series(
                tuple(symbols[ref] for ref in series.labels_refs),
                list(series.samples),
                list(series.histograms),
                _Metadata(series.metadata.type, symbols[series.metadata.help_ref], symbols[series.metadata.unit_ref]),
            )
            for series in message.timeseries
        ]
    )


def _encode(message: _Message, like: Request, protocol: Protocol | None = None) -> Request:
    protocol = protocol or like.protocol
    body = _as_1(message) if protocol is Protocol.REMOTE_WRITE_1 else _as_2(message)
    times = [time for series in message.series for time in series.times()] or [like.newest_ms]
    samples = sum(map(len, message.series))
    return Request(protocol, compressed(body.SerializeToString()), samples, min(times), max(times))


def _as_1(message: _Message) -> v1.WriteRequest:
    request = v1.WriteRequest()
    for series in message.series:
        added = request.timeseries.add()
        for name, value in zip(series.labels[::2], series.labels[1::2], strict=True):
            added.labels.add(name=name, value=value)
        for sample in series.samples:
            added.samples.add().MergeFromString(sample.SerializeToString())
        for histogram in series.histograms:
            added.histograms.add().MergeFromString(histogram.SerializeToString())
    request.DiscardUnknownFields()  # the start times of 2.0
    for name, metadata in message.families.items():
        request.metadata.add(metric_family_name=name, type=metadata.type, help=metadata.help, unit=metadata.unit)
    return request


def _as_2(message: _Message) -> v2.Request:
    request = v2.Request()
    symbols = _Symbols()
    for series in message.series:
        added = request.timeseries.add(labels_refs=symbols.references(series.labels))
        added.samples.extend(series.samples)
        added.histograms.extend(series.histograms)
        if series.metadata:
            help_ref, unit_ref = symbols.references((series.metadata.help, series.metadata.unit))
            added.metadata.type = series.metadata.type
            added.metadata.help_ref = help_ref
            added.metadata.unit_ref = unit_ref
    request.symbols.extend(symbols)
    return request


class _Symbols(dict[str, int]):
    """The texts of a request in their order; the first is the empty one."""

    def __init__(self) -> None:
        super().__init__({"": 0})

    def references(self, texts: Iterable[str]) -> list[int]:
        return [self.setdefault(text, len(self)) for text in texts]
