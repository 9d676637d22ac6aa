"""The Pushgateway's calls: groups of metrics that PUT, POST and DELETE change. Refuses what the real one refuses."""

import base64
import io
import math
import re
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http import HTTPMethod
from typing import Final
from urllib.parse import unquote

from google.protobuf import proto
from google.protobuf.message import DecodeError
from prometheus_client.parser import text_string_to_metric_families

from ss_pusher.model import Labels
from ss_pusher.proto import metrics_pb2
from ss_pusher.receiver.native_histogram import Histogram, of_metric
from ss_pusher.receiver.refused import RefusedError

MAX_BYTES: Final = 32 * 1024 * 1024

_LABEL_NAME: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_BASE64: Final = "@base64"
_PROTOBUF: Final = "application/vnd.google.protobuf"
_DELIMITED: Final = {"proto": "io.prometheus.client.MetricFamily", "encoding": "delimited"}


@dataclass(slots=True)
class PushedFamily:
    """A family of one group. The labels of a series hold __name__, and those of its group.

    A histogram may be pushed in its native form too, or in that alone.
    """

    type: str
    help: str
    samples: dict[Labels, float] = field(default_factory=dict)
    histograms: dict[Labels, Histogram] = field(default_factory=dict)


Group = dict[str, PushedFamily]
"""A group's families by name."""


class Groups:
    """The groups by their grouping key. At most `max_groups`, those pushed to last: the real one forgets none."""

    def __init__(self, max_groups: int) -> None:
        self.groups: dict[Labels, Group] = {}
        self._max_groups = max_groups

    def change(self, method: HTTPMethod, path: str, headers: Mapping[str, str], body: bytes) -> int:
        """Carry out a PUT, POST or DELETE, all or nothing, and return how many series it brought.

        `headers` must find a name however it is written.

        Raises:
            RefusedError: the path or the body is not what a Pushgateway takes.
        """
        key = grouping_key(path)
        if method is HTTPMethod.DELETE:
            self.groups.pop(key, None)
            return 0
        pushed = _families(dict(key), headers, body)
        self._refuse_other_types(key, pushed)
        kept = self.groups.pop(key, {}) if method is HTTPMethod.POST else {}
        self.groups.pop(key, None)
        self.groups[key] = {**kept, **pushed}
        if len(self.groups) > self._max_groups:
            del self.groups[next(iter(self.groups))]
        return sum(len(family.samples) for family in pushed.values())

    def _refuse_other_types(self, key: Labels, pushed: Group) -> None:
        for other_key, group in self.groups.items():
            for name in group.keys() & pushed.keys():
                if other_key != key and group[name].type != pushed[name].type:
                    raise RefusedError(f"{name} is a {pushed[name].type} here, and a {group[name].type} in {other_key}")


def grouping_key(path: str) -> Labels:
    """The labels in a path /metrics/job/<job>{/<label>/<value>}, sorted by name.

    Raises:
        RefusedError: names without value, repeated or invalid names, broken base64.
    """
    words = unquote(path).removeprefix("/metrics/").split("/")
    if len(words) % 2:
        raise RefusedError(f"the path {path} must hold pairs of label and value")
    labels: dict[str, str] = {}
    for word, value in zip(words[::2], words[1::2], strict=True):
        name = word.removesuffix(_BASE64)
        if not _LABEL_NAME.fullmatch(name) or name in labels:
            raise RefusedError(f"{name!r} in the path {path} is no label name, or stands there twice")
        labels[name] = value if name == word else _from_base64(value)
        if name == word and not value:
            raise RefusedError(f"the value of {name!r} in the path {path} is empty: that is written {name}@base64/=")
    if not labels.get("job"):
        raise RefusedError(f"the path {path} must begin with a job that has a name")
    return tuple(sorted(labels.items()))


def _from_base64(value: str) -> str:
    unpadded = value.rstrip("=")
    try:
        return base64.b64decode(unpadded + "=" * (-len(unpadded) % 4), altchars=b"-_", validate=True).decode()
    except ValueError as error:
        raise RefusedError(f"{value!r} in the path is no URL-safe base64 of UTF-8") from error


def _families(grouping: Mapping[str, str], headers: Mapping[str, str], body: bytes) -> Group:
    media_type, *parameters = [part.strip() for part in headers.get("Content-Type", "").split(";")]
    encoding = headers.get("Content-Encoding", "")
    if encoding not in ("", "gzip"):
        raise RefusedError(f"the Content-Encoding {encoding!r} is not known here")
    decoded = _gunzip(body) if encoding else body
    if media_type != _PROTOBUF:
        return _collect(grouping, _from_text(decoded))  # whatever it is called, as curl calls it a form
    if dict(parameter.partition("=")[::2] for parameter in parameters) != _DELIMITED:
        raise RefusedError(f"the Content-Type {headers.get('Content-Type')!r} does not announce delimited MetricFamily")
    return _collect(grouping, _from_delimited(decoded))


def _gunzip(body: bytes) -> bytes:
    stream = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
    try:
        decoded = stream.decompress(body, MAX_BYTES + 1)
    except zlib.error as error:
        raise RefusedError(f"the body is not gzip: {error}") from error
    if len(decoded) > MAX_BYTES or not stream.eof:
        raise RefusedError(f"the body is cut short, or decodes to more than {MAX_BYTES} bytes")
    return decoded


Parsed = Iterator[tuple[str, str, str, str, Mapping[str, str], float | Histogram]]
"""For each sample and native histogram: its family's name, type and help, then its own name, labels and value."""


def _collect(grouping: Mapping[str, str], samples: Parsed) -> Group:
    group: Group = {}
    for family, kind, text, name, labels, value in samples:
        pushed = group.setdefault(family, PushedFamily(kind, text))
        merged = {**labels, **grouping, "__name__": name}
        series = tuple(sorted(pair for pair in merged.items() if pair[1]))
        if series in pushed.samples or series in pushed.histograms:
            raise RefusedError(f"the series {dict(series)} is repeated")
        if isinstance(value, Histogram):
            pushed.histograms[series] = value
        else:
            pushed.samples[series] = value
    return group


# ---- text format 0.0.4 ----------------------------------------------------------------------------------------------


def _from_text(body: bytes) -> Parsed:
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise RefusedError(f"text format parsing error: {error}") from error
    declared = _declared(text)
    try:
        for metric in text_string_to_metric_families(text):
            # The parser moves counters to names with _total, or without in the family's name.
            plain = metric.type != "counter" or metric.name in declared
            kind = "untyped" if metric.type == "unknown" else metric.type
            name = metric.name if plain else f"{metric.name}_total"
            for sample in metric.samples:
                if sample.timestamp is not None:
                    raise RefusedError(f"{sample.name} has a timestamp or an exemplar")
                sample_name = name if metric.type == "counter" else sample.name
                yield name, kind, metric.documentation, sample_name, sample.labels, sample.value
    except ValueError as error:
        raise RefusedError(f"text format parsing error: {error}") from error


def _declared(text: str) -> set[str]:
    """The names on TYPE lines; refuses what prometheus_client's parser lets pass."""
    if text and not text.endswith("\n"):
        raise RefusedError("text format parsing error: the last line has no end")
    if "\r" in text:
        raise RefusedError("text format parsing error: a carriage return")
    declared = re.findall(r"^# TYPE (\S+)", text, flags=re.MULTILINE)
    repeated = {name for name in declared if declared.count(name) > 1}
    if repeated:
        raise RefusedError(f"text format parsing error: a second TYPE line for {', '.join(sorted(repeated))}")
    return set(declared)


# ---- delimited protobuf ---------------------------------------------------------------------------------------------


def _from_delimited(body: bytes) -> Parsed:
    stream = io.BytesIO(body)
    try:
        while (family := proto.parse_length_prefixed(metrics_pb2.MetricFamily, stream)) is not None:
            known_and_unknown = family.ByteSize()
            family.DiscardUnknownFields()
            if family.ByteSize() != known_and_unknown:
                raise RefusedError(
                    f"the family {family.name} has timestamps, exemplars or fields that are not known here"
                )
            yield from _samples(family)
    except (DecodeError, ValueError, OverflowError) as error:
        raise RefusedError(f"the body is no delimited MetricFamily: {error}") from error


def _samples(family: metrics_pb2.MetricFamily) -> Parsed:
    kind = metrics_pb2.MetricType.Name(family.type).lower()
    for metric in family.metric:
        labels = {pair.name: pair.value for pair in metric.label}
        for suffix, extra, value in _values(metric, f"{family.name} {labels}"):
            yield family.name, kind, family.help, family.name + suffix, {**labels, **extra}, value


def _values(metric: metrics_pb2.Metric, place: str) -> Iterator[tuple[str, Mapping[str, str], float | Histogram]]:
    if metric.HasField("histogram"):
        histogram = metric.histogram
        native = of_metric(histogram, place)
        if native is not None:
            yield "", {}, native
        for bucket in histogram.bucket:
            bound = "+Inf" if bucket.upper_bound == math.inf else f"{bucket.upper_bound:.15g}"
            yield "_bucket", {"le": bound}, bucket.cumulative_count
        yield "_sum", {}, histogram.sample_sum
        yield "_count", {}, histogram.sample_count
    for kind in ("gauge", "counter", "untyped"):
        if metric.HasField(kind):
            yield "", {}, getattr(metric, kind).value
