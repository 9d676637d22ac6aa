"""A job's own metrics, from its prometheus_client registry, as blocks that go with the same push."""

import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any, Final, TypeAlias

import numpy as np
from prometheus_client import CollectorRegistry
from prometheus_client.core import InfoMetricFamily
from prometheus_client.registry import Collector

from ss_pusher.model import Block, Family, HistogramBlock, Labels, MetricType

logger = logging.getLogger(__name__)

RESERVED: Final = (
    *("ss_flow_", "ss_tcp_", "ss_pusher_"),
    *("push_time_seconds", "push_failure_time_seconds", "pushgateway_", "go_"),
)
"""Ours and the gateway's: one more would be one name with two meanings, and the whole push be refused."""
_OF_EVERY_PROCESS: Final = {
    "process_cpu_seconds_total": MetricType.COUNTER,
    **dict.fromkeys(
        [
            "process_max_fds",
            "process_open_fds",
            "process_resident_memory_bytes",
            "process_start_time_seconds",
            "process_virtual_memory_bytes",
            "process_virtual_memory_max_bytes",
        ],
        MetricType.GAUGE,
    ),
}
"""The gateway has these too, and takes them of this type only (1.5.1, tried). prometheus_client's have it."""

_COUNTERS: Final = ("_total", "_count", "_sum")
_HAVE_BIRTHS: Final = ("counter", "summary")
_OF_HISTOGRAMS: Final = ("_bucket", "_sum", "_count")

Warn: TypeAlias = Callable[[str], None]


class Registry(CollectorRegistry):
    """One in which a collector that raises is left out, and not the others with it. `warn` is told."""

    def __init__(self, warn: Warn) -> None:
        super().__init__()
        self._warn: Final = warn
        self._registered: dict[Collector, None] = {}

    def register(self, collector: Collector) -> None:
        """As CollectorRegistry.register."""
        super().register(collector)
        self._registered[collector] = None

    def unregister(self, collector: Collector) -> None:
        """As CollectorRegistry.unregister."""
        super().unregister(collector)
        self._registered.pop(collector, None)

    def collect(self) -> Iterator[Any]:
        """What every collector gives; of one that raises, what it gave before."""
        if target := self.get_target_info():
            yield InfoMetricFamily("target", "Target metadata", value=target)
        for collector in tuple(self._registered):
            try:
                yield from collector.collect()
            except Exception as error:  # noqa: BLE001 - a collector is the job's own code
                self._warn(f"{type(collector).__name__} in its registry cannot be read: {error!r}")


def blocks(
    metrics: Iterable[Any],
    start_ms: int,
    *,
    labels_taken: Collection[str] = (),
    names_taken: Collection[str] = (),
    warn: Warn = logger.warning,
) -> tuple[tuple[Block, ...], tuple[HistogramBlock, ...]]:
    """What a registry's `collect` gives. A summary's sum and count become counters, what has no type a gauge.

    `start_ms` is when the counters began. Names that are `RESERVED` or among `names_taken` are left out, and the times
    of samples, which a Pushgateway refuses. A label that is among `labels_taken` gets the prefix exported_, as with
    Prometheus' honor_labels: false. What clashes with a metric before it is left out, and `warn` is told.
    """
    plain: list[Block] = []
    histograms: list[HistogramBlock] = []
    claims = _Claims()
    for metric in metrics:
        try:
            found = [*_read(metric, start_ms, labels_taken, warn)]
        except Exception as error:  # noqa: BLE001 - as above
            warn(f"metric {getattr(metric, 'name', metric)} is left out: {error!r}")
            continue
        for family, block in found:
            if family.name in names_taken:
                continue
            if other := claims.clash(family, block.labels):
                warn(f"metric {family.name} is left out: it clashes with {other}, which its registry has too")
            elif isinstance(block, HistogramBlock):
                histograms.append(block)
            else:
                plain.append(block)
    return tuple(plain), tuple(histograms)


class _Claims:
    """The names and series that are taken: a gateway refuses the whole push for one that comes twice."""

    def __init__(self) -> None:
        self._types: dict[str, MetricType] = {}
        self._series: set[tuple[str, Labels]] = set()

    def clash(self, family: Family, labels: Iterable[Labels]) -> str:
        """What the family cannot stand beside; empty if nothing, and then it is taken."""
        series = {(family.name, each) for each in labels}
        other = family.name if series & self._series else self._other(family)
        if not other:
            self._types[family.name] = family.type
            self._series |= series
        return other

    def _other(self, family: Family) -> str:
        """Of names, as checkSuffixCollisions() in client_golang's prometheus/registry.go has it."""
        if self._types.get(family.name, family.type) is not family.type:
            return family.name
        if family.type is MetricType.HISTOGRAM:
            parts = (family.name + suffix for suffix in _OF_HISTOGRAMS)
            return next((part for part in parts if part in self._types), "")
        wholes = (family.name.removesuffix(suffix) for suffix in _OF_HISTOGRAMS if family.name.endswith(suffix))
        return next((whole for whole in wholes if self._types.get(whole) is MetricType.HISTOGRAM), "")


def _read(
    metric: Any, start_ms: int, taken: Collection[str], warn: Warn
) -> Iterator[tuple[Family, Block | HistogramBlock]]:
    clashing = sorted({name for sample in metric.samples for name in sample.labels if name in taken})
    if clashing:
        warn(f"metric {metric.name}: the job has a label {', '.join(clashing)} too, so its own begins with exported_")
    read = _histograms if metric.type == "histogram" else _plain
    for family, block in read(metric, start_ms, taken):
        if not family.name.startswith(RESERVED) and _OF_EVERY_PROCESS.get(family.name, family.type) is family.type:
            yield family, block


def _plain(metric: Any, start_ms: int, taken: Collection[str]) -> Iterator[tuple[Family, Block]]:
    # With each counter prometheus_client exports a gauge of its birth, which doubles the series.
    birth = f"{metric.name}_created" if metric.type in _HAVE_BIRTHS else None
    series: dict[str, dict[Labels, float]] = {}
    for sample in metric.samples:
        if sample.name != birth:
            series.setdefault(sample.name, {})[_labels(sample.labels, taken)] = float(sample.value)
    for name, values in series.items():
        counts = metric.type in _HAVE_BIRTHS and name.endswith(_COUNTERS)
        family = _family(metric, name, MetricType.COUNTER if counts else MetricType.GAUGE)
        rows = np.array([list(values.values())], np.float64)
        yield family, Block((family,), tuple(values), rows, _starts(len(values), start_ms), foreign=True)


def _histograms(metric: Any, start_ms: int, taken: Collection[str]) -> Iterator[tuple[Family, HistogramBlock]]:
    """One block for each set of bounds, which one family may have several of."""
    buckets: dict[Labels, dict[float, float]] = {}
    sums: dict[Labels, float] = {}
    for sample in metric.samples:
        labels = _labels({name: value for name, value in sample.labels.items() if name != "le"}, taken)
        if sample.name.endswith("_bucket"):
            buckets.setdefault(labels, {})[float(sample.labels["le"])] = float(sample.value)
        elif sample.name.endswith("_sum"):
            sums[labels] = float(sample.value)
    family = _family(metric, metric.name, MetricType.HISTOGRAM)
    for labels, cumulative in buckets.items():
        bounds = sorted(cumulative)
        counts = np.diff([0.0, *(cumulative[bound] for bound in bounds)])
        block = HistogramBlock(
            family=family,
            labels=(labels,),
            bounds=tuple(bounds[:-1]),
            counts=counts.astype(np.uint64)[np.newaxis],
            sums=np.array([sums.get(labels, 0.0)]),
            start_ms=_starts(1, start_ms),
            foreign=True,
        )
        yield family, block


def _family(metric: Any, name: str, kind: MetricType) -> Family:
    return Family(name, kind, encodable(metric.documentation), encodable(metric.unit))


def _labels(labels: Mapping[str, Any], taken: Collection[str]) -> Labels:
    return tuple(
        sorted((_free(name, labels, taken), encodable(value)) for name, value in labels.items() if value != "")
    )


def _free(name: str, labels: Mapping[str, Any], taken: Collection[str]) -> str:
    free = name
    while free in taken or (free != name and free in labels):
        free = f"exported_{free}"
    return free


def encodable(value: object) -> str:
    """As text that UTF-8 can express: one surrogate would lose the whole push."""
    return str(value).encode(errors="replace").decode()


def _starts(count: int, start_ms: int) -> Any:
    return np.full(count, start_ms, np.int64)
