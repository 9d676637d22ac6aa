"""What was received: the last samples of each series, within bounds, and the order in which samples may come."""

from collections import deque
from collections.abc import Iterator
from typing import Final, NamedTuple

from ss_pusher.model import Labels, Protocol
from ss_pusher.receiver.native_histogram import Histogram
from ss_pusher.receiver.remote_write import Metadata, Point, Sample, Series, Write

MAX_FUTURE_MS: Final = 600_000
"""How far ahead of its own clock Prometheus takes samples."""


class Outcome(NamedTuple):
    """What became of a request: how much of it is stored, and why the rest is not."""

    samples: int
    histograms: int
    problems: list[str]


class Store:
    """At most `max_series` series and families, the last ones; of each series the last `samples_per_series`."""

    def __init__(self, samples_per_series: int, max_series: int) -> None:
        self.points: dict[Labels, deque[Point]] = {}
        self.families: dict[str, Metadata] = {}
        self._samples_per_series = samples_per_series
        self._max_series = max_series

    def write(self, write: Write, now_ms: int) -> Outcome:
        """Take what may be taken: of a 1.0 request all or nothing, of a 2.0 request every sample that is in order."""
        problems: list[str] = []
        accepted = list(self._in_order(write, now_ms, problems))
        if problems and write.protocol is Protocol.REMOTE_WRITE_1:
            return Outcome(0, 0, problems)
        for labels, point, repeated in accepted:
            if not repeated:
                self._append(labels, point)
        self.families.update(write.metadata)
        self.families.update(
            (_family(series), series.metadata) for series in write.series if series.metadata is not None
        )
        for name in list(self.families)[: -self._max_series]:
            del self.families[name]
        histograms = sum(isinstance(point, Histogram) for _, point, _ in accepted)
        return Outcome(len(accepted) - histograms, histograms, problems)

    def _in_order(self, write: Write, now_ms: int, problems: list[str]) -> Iterator[tuple[Labels, Point, bool]]:
        """Each good point, and whether it is but the newest one again, as after an answer that got lost."""
        seen: set[Labels] = set()
        for series in write.series:
            if series.labels in seen:
                problems.append(f"{_text(series.labels)} stands in the request twice")
                continue
            seen.add(series.labels)
            stored = last = self.points[series.labels][-1] if series.labels in self.points else None
            for point in series.points:
                repeated = last is stored and last is not None and _same(point, last)
                problem = "" if repeated else _problem(point, last, now_ms)
                if problem:
                    problems.append(f"{_text(series.labels)}: {problem}")
                    continue
                yield series.labels, point, repeated
                last = point

    def _append(self, labels: Labels, point: Point) -> None:
        points = self.points.pop(labels, None) or deque(maxlen=self._samples_per_series)
        points.append(point)
        self.points[labels] = points
        if len(self.points) > self._max_series:
            del self.points[next(iter(self.points))]


def _problem(point: Point, last: Point | None, now_ms: int) -> str:
    if point.timestamp_ms > now_ms + MAX_FUTURE_MS:
        return f"the sample at {point.timestamp_ms} ms is more than 10 minutes in the future"
    if last is None or point.timestamp_ms > last.timestamp_ms:
        return ""
    if point.timestamp_ms == last.timestamp_ms:
        return f"a second sample for the time {point.timestamp_ms} ms"
    return f"out of order: the sample at {point.timestamp_ms} ms comes after one at {last.timestamp_ms} ms"


def _same(point: Point, last: Point) -> bool:
    if isinstance(point, Sample) and isinstance(last, Sample):
        return (point.timestamp_ms, point.bits) == (last.timestamp_ms, last.bits)
    if isinstance(point, Histogram) and isinstance(last, Histogram) and point.stale and last.stale:
        return point.timestamp_ms == last.timestamp_ms
    return point == last


def _family(series: Series) -> str:
    name = dict(series.labels)["__name__"]
    if series.metadata is not None and series.metadata.type == "histogram":
        for suffix in ("_bucket", "_sum", "_count"):
            if name.endswith(suffix):
                return name.removesuffix(suffix)
    return name


def _text(labels: Labels) -> str:
    return "{" + ", ".join(f"{name}={value!r}" for name, value in labels) + "}"
