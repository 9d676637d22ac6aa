"""Remote write requests, decoded as strictly as the specifications allow: https://prometheus.io/docs/specs/prw/."""

import re
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from http import HTTPStatus
from itertools import pairwise
from typing import Final, NamedTuple, TypeVar

import snappy
from google.protobuf.message import DecodeError, Message

from ss_pusher.model import Labels, Protocol
from ss_pusher.proto import remote_write_v1_pb2 as v1
from ss_pusher.proto import remote_write_v2_pb2 as v2
from ss_pusher.receiver.native_histogram import Histogram, of_remote_write
from ss_pusher.receiver.refused import RefusedError

MAX_DECODED_BYTES: Final = 32 * 1024 * 1024
MAX_SERIES: Final = 10_000

_STALE_BITS: Final = 0x7FF0_0000_0000_0002
_VERSIONS: Final = {Protocol.REMOTE_WRITE_1: "0.1.0", Protocol.REMOTE_WRITE_2: "2.0.0"}
_PROTOCOLS: Final = {
    "": Protocol.REMOTE_WRITE_1,
    "prometheus.WriteRequest": Protocol.REMOTE_WRITE_1,
    "io.prometheus.write.v2.Request": Protocol.REMOTE_WRITE_2,
}

_M = TypeVar("_M", bound=Message)


class Sample(NamedTuple):
    """A value at a time; `start_ms` is when its counter began, or 0."""

    timestamp_ms: int
    value: float
    start_ms: int = 0

    @property
    def bits(self) -> int:
        """The float64 as it stood on the wire."""
        return int.from_bytes(struct.pack("<d", self.value), "little")

    @property
    def stale(self) -> bool:
        """Whether it is the marker that ends a series."""
        return self.bits == _STALE_BITS


Point = Sample | Histogram


class Metadata(NamedTuple):
    """What is told of a family; `type` is the word of the exposition format."""

    type: str
    help: str
    unit: str


class Series(NamedTuple):
    """One TimeSeries. `labels` holds __name__ too; `metadata` is None in 1.0."""

    labels: Labels
    samples: Sequence[Sample]
    histograms: Sequence[Histogram]
    metadata: Metadata | None = None

    @property
    def points(self) -> list[Point]:
        """The samples and the histograms."""
        return [*self.samples, *self.histograms]


class Write(NamedTuple):
    """One request. `metadata` is what 1.0 tells of families by their names."""

    protocol: Protocol
    series: Sequence[Series]
    metadata: Mapping[str, Metadata]
    decoded_bytes: int


def decode(protocol: Protocol, body: bytes) -> Write:
    """The request that is in a body.

    Raises:
        RefusedError: a rule of the protocol is broken.
    """
    encoded = _uncompress(body)
    if protocol is Protocol.REMOTE_WRITE_1:
        request = _parse(v1.WriteRequest(), encoded)
        series: list[Series] = list(_series_v1(request))
        metadata = dict(_metadata_v1(request))
    else:
        series = list(_series_v2(_parse(v2.Request(), encoded)))
        metadata = {}
    if len(series) > MAX_SERIES:
        raise RefusedError(f"{len(series)} series in one request; at most {MAX_SERIES} are allowed")
    return Write(protocol, series, metadata, len(encoded))


def protocol_of(headers: Mapping[str, str]) -> Protocol:
    """The version that the headers announce; `headers` must find a name however it is written.

    Raises:
        RefusedError: a header is missing, or contradicts another; 415 where another version might be taken.
    """
    media_type, *parameters = [part.strip() for part in headers.get("Content-Type", "").split(";")]
    if media_type != "application/x-protobuf":
        raise RefusedError(
            f"Content-Type is {media_type!r}, must be application/x-protobuf", HTTPStatus.UNSUPPORTED_MEDIA_TYPE
        )
    message = dict(parameter.partition("=")[::2] for parameter in parameters).get("proto", "")
    if message not in _PROTOCOLS:
        raise RefusedError(
            f"Content-Type names the message {message!r}, which is not known here", HTTPStatus.UNSUPPORTED_MEDIA_TYPE
        )
    protocol = _PROTOCOLS[message]
    expected = {"Content-Encoding": "snappy", "X-Prometheus-Remote-Write-Version": _VERSIONS[protocol]}
    for name, value in expected.items():
        if headers.get(name) != value:
            raise RefusedError(f"{name} is {headers.get(name)!r}, must be {value!r}")
    if not headers.get("User-Agent"):
        raise RefusedError("User-Agent is missing")
    return protocol


def _uncompress(body: bytes) -> bytes:
    if body.startswith(b"\xff\x06\x00\x00sNaPpY"):
        raise RefusedError("the body is in snappy's framed format, must be in its block format")
    size = 0
    for shift, byte in enumerate(body[:5]):
        size |= (byte & 0x7F) << 7 * shift
        if byte < 0x80:  # noqa: PLR2004 - the last byte of a varint
            break
    if size > MAX_DECODED_BYTES:
        raise RefusedError(f"the body decodes to {size} bytes; at most {MAX_DECODED_BYTES} are allowed")
    try:
        decoded: bytes = snappy.uncompress(body)  # type: ignore[attr-defined,no-untyped-call] # python-snappy has no types
    except snappy.UncompressError as error:  # type: ignore[attr-defined] # the same
        raise RefusedError("the body is not in snappy's block format") from error
    return decoded


def _parse(message: _M, encoded: bytes) -> _M:
    try:
        message.ParseFromString(encoded)
    except DecodeError as error:
        raise RefusedError(f"the body is no {message.DESCRIPTOR.full_name}: {error}") from error
    known_and_unknown = message.ByteSize()
    message.DiscardUnknownFields()
    if message.ByteSize() != known_and_unknown:
        raise RefusedError(f"{message.DESCRIPTOR.full_name} has fields that the specification does not know")
    return message


# ---- 1.0 ------------------------------------------------------------------------------------------------------------


def _series_v1(request: v1.WriteRequest) -> Iterator[Series]:
    for index, series in enumerate(request.timeseries):
        labels = tuple((label.name, label.value) for label in series.labels)
        found = Series(
            labels,
            [Sample(sample.timestamp, sample.value) for sample in series.samples],
            [of_remote_write(histogram, f"timeseries[{index}]") for histogram in series.histograms],
        )
        _check(found, f"timeseries[{index}]", _is_classic)
        yield found


def _metadata_v1(request: v1.WriteRequest) -> Iterator[tuple[str, Metadata]]:
    for index, metadata in enumerate(request.metadata):
        if not _is_classic_metric(metadata.metric_family_name):
            raise RefusedError(f"metadata[{index}]: {metadata.metric_family_name!r} is no name of a metric family")
        kind = v1.MetricMetadata.MetricType.Name(metadata.type).lower()
        yield metadata.metric_family_name, Metadata(kind, metadata.help, metadata.unit)


# ---- 2.0 ------------------------------------------------------------------------------------------------------------


def _series_v2(request: v2.Request) -> Iterator[Series]:
    symbols = list(request.symbols)
    if not symbols or symbols[0]:
        raise RefusedError("the first symbol must be the empty string")
    if len(set(symbols)) != len(symbols):
        raise RefusedError("a symbol is repeated")
    for index, series in enumerate(request.timeseries):
        place = f"timeseries[{index}]"
        words = _resolve(symbols, series.labels_refs, place)
        if len(words) % 2:
            raise RefusedError(f"{place}: {len(words)} label references; they must be pairs")
        found = Series(
            tuple(zip(words[::2], words[1::2], strict=True)),
            [Sample(sample.timestamp, sample.value, sample.start_timestamp) for sample in series.samples],
            [of_remote_write(histogram, place) for histogram in series.histograms],
            _metadata_v2(symbols, series.metadata, place),
        )
        _check(found, place, _is_not_empty)
        yield found


def _resolve(symbols: Sequence[str], references: Iterable[int], place: str) -> list[str]:
    try:
        return [symbols[reference] for reference in references]
    except IndexError:
        raise RefusedError(f"{place}: a reference is beyond the {len(symbols)} symbols") from None


def _metadata_v2(symbols: Sequence[str], metadata: v2.Metadata, place: str) -> Metadata:
    text, unit = _resolve(symbols, (metadata.help_ref, metadata.unit_ref), place)
    if not metadata.type or not text:
        raise RefusedError(f"{place}: the metadata lacks {'a help text' if metadata.type else 'a type'}")
    kind = v2.Metadata.MetricType.Name(metadata.type)
    return Metadata(kind.removeprefix("METRIC_TYPE_").lower(), text, unit)


# ---- both -----------------------------------------------------------------------------------------------------------


def _check(series: Series, place: str, name_is_valid: Callable[[str, str], bool]) -> None:
    place += f" {dict(series.labels)}"
    _check_labels(series.labels, place, name_is_valid)
    if bool(series.samples) == bool(series.histograms):
        raise RefusedError(f"{place}: must have either samples or histograms, and not both")
    for point in series.points:
        if point.start_ms > point.timestamp_ms:
            raise RefusedError(f"{place}: a sample at {point.timestamp_ms} ms starts later, at {point.start_ms} ms")


def _check_labels(labels: Labels, place: str, name_is_valid: Callable[[str, str], bool]) -> None:
    names = [name for name, _ in labels]
    for before, name in pairwise(names):
        if before == name:
            raise RefusedError(f"{place}: the label {name!r} is repeated")
        if before > name:
            raise RefusedError(f"{place}: the label {before!r} stands before {name!r}; labels must be sorted by name")
    if "__name__" not in names:
        raise RefusedError(f"{place}: the label '__name__' is missing")
    for name, value in labels:
        if not value:
            raise RefusedError(f"{place}: the label {name!r} has an empty value")
        if not name_is_valid(name, value):
            raise RefusedError(f"{place}: {value if name == '__name__' else name!r} is no valid name")


_CLASSIC_LABEL: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_CLASSIC_METRIC: Final = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")


def _is_classic(name: str, value: str) -> bool:
    return _is_classic_metric(value) if name == "__name__" else _is_classic_label(name)


@lru_cache(maxsize=1024)
def _is_classic_label(name: str) -> bool:
    return _CLASSIC_LABEL.fullmatch(name) is not None


@lru_cache(maxsize=1024)
def _is_classic_metric(name: str) -> bool:
    return _CLASSIC_METRIC.fullmatch(name) is not None


def _is_not_empty(name: str, _value: str) -> bool:
    return bool(name)
