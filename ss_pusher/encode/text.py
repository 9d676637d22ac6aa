"""The exposition formats, written by prometheus_client: text 0.0.4 for the Pushgateway, OpenMetrics to be scraped."""

from collections.abc import Callable, Iterable, Mapping
from itertools import groupby

import numpy as np
from prometheus_client.core import Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.utils import floatToGoString

from ss_pusher.encode.series import Column, Table, families, tables
from ss_pusher.model import Family, MetricType, Protocol, Request, Snapshot


def encode(snapshot: Snapshot, external_labels: Mapping[str, str]) -> list[Request]:
    """The snapshot as one push to a Pushgateway: not compressed, without timestamps."""
    body = text(snapshot, external_labels)
    return [Request(Protocol.TEXT, body, snapshot.series(), snapshot.time_ms, snapshot.time_ms)]


def text(snapshot: Snapshot, external_labels: Mapping[str, str]) -> bytes:
    """Text format 0.0.4: https://prometheus.io/docs/instrumenting/exposition_formats/."""
    body = generate_latest(_Collected(_metrics(snapshot, external_labels, str)))
    for family in filter(_without_total, families(snapshot)):
        body = body.replace(f"\n# TYPE {family.name} untyped\n".encode(), f"\n# TYPE {family.name} counter\n".encode())
    return body


def open_metrics(snapshot: Snapshot, external_labels: Mapping[str, str]) -> bytes:
    """OpenMetrics 1.0, which wants the bound 1 of a bucket as 1.0: https://prometheus.io/docs/specs/om/open_metrics_spec/."""
    metrics = _metrics(snapshot, external_labels, lambda le: str(floatToGoString(le)))  # type: ignore[no-untyped-call] # has no types
    body: bytes = openmetrics.generate_latest(_Collected(metrics))  # type: ignore[no-untyped-call] # has no types
    return body


class _Collected:
    """What prometheus_client asks of a registry."""

    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        return self._metrics


def _metrics(snapshot: Snapshot, external_labels: Mapping[str, str], bound: Callable[[str], str]) -> Iterable[Metric]:
    """One metric a family, although several blocks may have series of it: its TYPE line must not be repeated."""
    metrics: dict[str, Metric] = {}
    for table in tables(snapshot):
        for family, columns in groupby(enumerate(table.columns), key=lambda indexed: indexed[1].family):
            metric = metrics.setdefault(family.name, _metric(family))
            _add_samples(metric, table, list(columns), external_labels, bound)
    return [metric for metric in metrics.values() if metric.samples]


def _without_total(family: Family) -> bool:
    """Whether this is a counter that OpenMetrics does not allow, and prometheus_client knows no other."""
    return family.type is MetricType.COUNTER and not family.name.endswith("_total")


def _metric(family: Family) -> Metric:
    if _without_total(family):
        return Metric(family.name, family.help, "unknown")
    name = family.name.removesuffix("_total") if family.type is MetricType.COUNTER else family.name
    # It would append a unit that the name does not end with.
    return Metric(name, family.help, family.type.value, family.unit if name.endswith(f"_{family.unit}") else "")


def _add_samples(
    metric: Metric,
    table: Table,
    columns: list[tuple[int, Column]],
    external_labels: Mapping[str, str],
    bound: Callable[[str], str],
) -> None:
    external = {name: value for name, value in external_labels.items() if value}
    values = table.bits.view(np.float64).tolist()
    samples = table.samples.tolist()
    for row, labels in enumerate(table.labels):
        merged = {**external, **dict(labels)}
        for index, column in columns:
            if samples[row][index]:
                le = {"le": bound(column.le)} if column.le else {}
                metric.add_sample(column.name, {**merged, **le}, values[row][index])
