"""A job's own metrics, from its prometheus_client registry, as blocks that go with the same push."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

import numpy as np

from ss_pusher.model import Block, Family, HistogramBlock, Labels, MetricType

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


def blocks(metrics: Iterable[Any], start_ms: int) -> tuple[tuple[Block, ...], tuple[HistogramBlock, ...]]:
    """What a registry's `collect` gives. A summary's sum and count become counters, what has no type a gauge.

    `start_ms` is when the counters began. Names that are `RESERVED` are left out, and the times of samples, which a
    Pushgateway refuses.
    """
    plain: list[Block] = []
    histograms: list[HistogramBlock] = []
    for metric in metrics:
        if metric.name.startswith(RESERVED):
            continue
        if metric.type == "histogram":
            histograms += _histograms(metric, start_ms)
        else:
            plain += _plain(metric, start_ms)
    return tuple(plain), tuple(histograms)


def _plain(metric: Any, start_ms: int) -> Iterator[Block]:
    series: dict[str, dict[Labels, float]] = {}
    for sample in metric.samples:
        # With each counter prometheus_client exports a gauge of its birth, which doubles the series.
        if not sample.name.endswith("_created"):
            series.setdefault(sample.name, {})[_labels(sample.labels)] = sample.value
    for name, values in series.items():
        counts = metric.type in ("counter", "summary") and name.endswith(_COUNTERS)
        family = Family(name, MetricType.COUNTER if counts else MetricType.GAUGE, metric.documentation, metric.unit)
        if _OF_EVERY_PROCESS.get(name, family.type) is not family.type:
            continue
        yield Block(
            (family,), tuple(values), np.array([list(values.values())], np.float64), _starts(len(values), start_ms)
        )


def _histograms(metric: Any, start_ms: int) -> Iterator[HistogramBlock]:
    """One block for each set of bounds, which one family may have several of."""
    buckets: dict[Labels, dict[float, float]] = {}
    sums: dict[Labels, float] = {}
    for sample in metric.samples:
        labels = _labels({name: value for name, value in sample.labels.items() if name != "le"})
        if sample.name.endswith("_bucket"):
            buckets.setdefault(labels, {})[float(sample.labels["le"])] = sample.value
        elif sample.name.endswith("_sum"):
            sums[labels] = sample.value
    family = Family(metric.name, MetricType.HISTOGRAM, metric.documentation, metric.unit)
    for labels, cumulative in buckets.items():
        bounds = sorted(cumulative)
        counts = np.diff([0.0, *(cumulative[bound] for bound in bounds)])
        yield HistogramBlock(
            family=family,
            labels=(labels,),
            bounds=tuple(bounds[:-1]),
            counts=counts.astype(np.uint64)[np.newaxis],
            sums=np.array([sums.get(labels, 0.0)]),
            start_ms=_starts(1, start_ms),
        )


def _labels(labels: Mapping[str, str]) -> Labels:
    return tuple(sorted((name, value) for name, value in labels.items() if value))


def _starts(count: int, start_ms: int) -> Any:
    return np.full(count, start_ms, np.int64)
