"""What the receiver shows in a browser or to curl: everything that arrived, as text."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime

from ss_pusher.model import Labels
from ss_pusher.receiver.native_histogram import Histogram
from ss_pusher.receiver.pushgateway import Group
from ss_pusher.receiver.remote_write import Metadata, Point, Sample


def page(
    points: Mapping[Labels, Sequence[Point]], families: Mapping[str, Metadata], groups: Mapping[Labels, Group]
) -> str:
    """The newest sample of each series of remote write, then the groups of the Pushgateway."""
    lines = [f"# remote write: {len(points)} series, {len(families)} families with metadata"]
    lines += sorted(f"{_series(labels)} {_newest(kept[-1])}" for labels, kept in points.items())
    lines += [line for key, group in groups.items() for line in _group(key, group)]
    return "\n".join(lines) + "\n"


def _group(key: Labels, group: Group) -> Iterator[str]:
    yield f"# Pushgateway: {_braces(key)}, {sum(len(family.samples) for family in group.values())} series"
    for name in sorted(group):
        for labels, value in sorted(group[name].samples.items()):
            yield f"{_series(labels)} {value:.15g}"
        for labels, histogram in sorted(group[name].histograms.items()):
            yield f"{_series(labels)} {_brief(histogram)}"


def _newest(point: Point) -> str:
    moment = datetime.fromtimestamp(point.timestamp_ms / 1000, UTC).isoformat(timespec="milliseconds")
    if point.stale:
        return f"stale {moment}"
    return f"{format(point.value, '.15g') if isinstance(point, Sample) else _brief(point)} {moment}"


def _brief(histogram: Histogram) -> str:
    buckets = len(histogram.positive) + len(histogram.negative)
    return f"count={histogram.count:.15g} sum={histogram.sum:.15g} buckets={buckets}"


def _series(labels: Labels) -> str:
    rest = tuple(pair for pair in labels if pair[0] != "__name__")
    return dict(labels)["__name__"] + _braces(rest)


def _braces(labels: Labels) -> str:
    pairs = [f'{name}="{_escape(value)}"' for name, value in labels]
    return "{" + ",".join(pairs) + "}" if pairs else ""


def _escape(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
