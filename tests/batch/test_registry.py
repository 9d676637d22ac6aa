"""A job's own metrics, from every kind that prometheus_client has."""

from typing import Any

import numpy as np
import pytest
import requests
from prometheus_client import CollectorRegistry, Counter, Enum, Gauge, Histogram, Info, ProcessCollector, Summary
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
    SummaryMetricFamily,
)

from ss_pusher.batch.registry import RESERVED, Registry, blocks
from ss_pusher.encode import text
from ss_pusher.model import MetricType, Snapshot
from tests import servers


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


def exposed(registry: Any) -> list[str]:
    """The lines of a push, without comments."""
    plain, histograms = blocks(registry.collect(), 7)
    lines = text.text(Snapshot(9, 0, plain, histograms), {}).decode().splitlines()
    return [line for line in lines if not line.startswith("#")]


def test_every_kind_is_pushed_with_its_values(registry: CollectorRegistry) -> None:
    Counter("rows", "Rows.", ["table"], registry=registry).labels("a").inc(3)
    Gauge("lag_seconds", "Lag.", unit="seconds", registry=registry).set(-1.5)
    Summary("call_seconds", "Calls.", registry=registry).observe(2)
    Info("build", "Build.", registry=registry).info({"version": "1"})
    Enum("phase", "Phase.", states=["load", "done"], registry=registry).state("done")
    Histogram("size", "Sizes.", ["kind"], buckets=(1, 10), registry=registry).labels("x").observe(5)
    assert exposed(registry) == [
        'rows_total{table="a"} 3.0',
        "lag_seconds -1.5",
        "call_seconds_count 1.0",
        "call_seconds_sum 2.0",
        'build_info{version="1"} 1.0',
        'phase{phase="load"} 0.0',
        'phase{phase="done"} 1.0',
        'size_bucket{kind="x",le="1"} 0.0',
        'size_bucket{kind="x",le="10"} 1.0',
        'size_bucket{kind="x",le="+Inf"} 1.0',
        'size_sum{kind="x"} 5.0',
        'size_count{kind="x"} 1.0',
    ]


def test_counters_are_counters_and_say_when_they_began(registry: CollectorRegistry) -> None:
    Counter("rows", "Rows.", registry=registry)
    (block,), _ = blocks(registry.collect(), 7)
    assert block.families[0].type is MetricType.COUNTER
    assert np.array_equal(block.start_ms, [7])


def test_a_series_that_is_given_twice_is_pushed_once() -> None:
    class Twice:
        def collect(self) -> list[GaugeMetricFamily]:
            family = GaugeMetricFamily("twice", "Twice.")
            family.add_metric([], 1)
            family.add_metric([], 2, timestamp=1000)
            return [family]

    assert exposed(Twice()) == ["twice 2.0"]


@pytest.mark.parametrize("prefix", RESERVED)
def test_names_that_would_clash_are_left_out(prefix: str) -> None:
    class Clashes:
        def collect(self) -> list[CounterMetricFamily]:
            return [CounterMetricFamily(prefix + "x", "Clashes.", value=1)]

    assert exposed(Clashes()) == []


HISTOGRAM = HistogramMetricFamily("h", "x", buckets=[("1", 1), ("+Inf", 2)], sum_value=3)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (GaugeMetricFamily("g", "x", value=1), GaugeMetricFamily("g", "x", value=2)),
        (GaugeMetricFamily("g_total", "x", value=1), CounterMetricFamily("g", "x", value=2)),
        *((HISTOGRAM, GaugeMetricFamily(f"h{suffix}", "x", value=2)) for suffix in ("", "_count", "_sum", "_bucket")),
        *((GaugeMetricFamily(f"h{suffix}", "x", value=2), HISTOGRAM) for suffix in ("", "_count", "_sum", "_bucket")),
        (HISTOGRAM, HISTOGRAM),
    ],
)
def test_of_two_that_clash_a_gateway_gets_the_first(
    pushgateway: servers.Pushgateway, first: Metric, second: Metric
) -> None:
    told: list[str] = []
    plain, histograms = blocks([first, second], 7, warn=told.append)
    assert [block.families[0].name for block in plain] + [block.family.name for block in histograms] == [first.name]
    assert len(told) == 1
    body = text.text(Snapshot(9, 0, plain, histograms), {})
    requests.put(f"{pushgateway.url}/metrics/job/j", data=body, timeout=10).raise_for_status()


def test_what_only_looks_like_a_clash_is_pushed(pushgateway: servers.Pushgateway) -> None:
    one, other = (GaugeMetricFamily("g", "x", labels=["part"]) for _ in range(2))
    one.add_metric(["a"], 1)
    other.add_metric(["b"], 2)
    summary = SummaryMetricFamily("s", "x", count_value=4, sum_value=5)
    born = GaugeMetricFamily("file_created", "x", value=3)
    gauges = [GaugeMetricFamily(name, "x", value=6) for name in ("s", "c_count", "c")]
    told: list[str] = []
    plain, histograms = blocks([one, other, summary, born, *gauges], 7, warn=told.append)
    body = text.text(Snapshot(9, 0, plain, histograms), {})
    requests.put(f"{pushgateway.url}/metrics/job/j", data=body, timeout=10).raise_for_status()
    assert told == []
    assert [line for line in body.decode().splitlines() if not line.startswith("#")] == [
        *('g{part="a"} 1.0', 'g{part="b"} 2.0', "s_count 4.0", "s_sum 5.0", "file_created 3.0"),
        *("s 6.0", "c_count 6.0", "c 6.0"),
    ]


def test_a_label_that_the_job_has_too_is_renamed() -> None:
    """For every destination alike; also where the new name is taken."""
    given = GaugeMetricFamily("g", "x", labels=["job", "exported_job", "part"])
    given.add_metric(["a", "b", "c"], 1)
    told: list[str] = []
    (block,), _ = blocks([given], 7, labels_taken={"job"}, warn=told.append)
    assert block.labels == ((("exported_exported_job", "a"), ("exported_job", "b"), ("part", "c")),)
    assert len(told) == 1


def test_a_metric_that_cannot_be_read_is_left_out_alone() -> None:
    broken = GaugeMetricFamily("broken", "x", value="no number")  # type: ignore[arg-type] # as programs do
    odd = GaugeMetricFamily("odd", "x", labels=["text"])
    odd.add_metric(["\udcff"], 1)
    told: list[str] = []
    plain, _ = blocks([broken, None, odd], 7, warn=told.append)
    assert [block.labels for block in plain] == [((("text", "?"),),)]
    assert ["broken" in told[0], len(told)] == [True, 2]


def test_a_collector_that_raises_takes_no_other_with_it() -> None:
    def raises() -> Any:
        yield GaugeMetricFamily("before", "x", value=1)
        raise RuntimeError("broken")

    told: list[str] = []
    registry = Registry(told.append)
    registry.set_target_info({"version": "1"})
    registry.register(type("Raises", (), {"collect": lambda _: raises()})())
    gone, _ = (Gauge(name, "x", registry=registry) for name in ("gone", "after"))
    registry.unregister(gone)
    assert [metric.name for metric in registry.collect()] == ["target", "before", "after"]
    assert told == ["Raises in its registry cannot be read: RuntimeError('broken')"]


def test_a_gateway_takes_whatever_the_registry_has(
    pushgateway: servers.Pushgateway, registry: CollectorRegistry
) -> None:
    """Also where a name is the gateway's own; what would clash with that is left out."""
    ProcessCollector(registry=registry)
    Gauge("go_goroutines", "A gauge there too.", registry=registry)
    Counter("pushgateway_build_info", "A gauge there.", registry=registry)
    Gauge("push_time_seconds", "The gateway's.", registry=registry)
    Gauge("rows", "The job's.", registry=registry).set(3)
    fakes = CollectorRegistry()
    Gauge("process_cpu_seconds_total", "A counter there.", registry=fakes)
    plain, histograms = blocks([*registry.collect(), *fakes.collect()], 7)
    body = text.text(Snapshot(9, 0, plain, histograms), {})
    answer = requests.put(f"{pushgateway.url}/metrics/job/j", data=body, timeout=10)
    assert answer.status_code == 200, answer.text
    assert pushgateway.metrics()[servers.labels("rows", job="j", instance="")] == 3
    names = {dict(key)["__name__"] for key in pushgateway.metrics() if ("job", "j") in key}
    assert {"process_cpu_seconds_total", "process_open_fds", "rows"} <= names
    assert "go_goroutines" not in names
