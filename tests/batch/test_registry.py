"""A job's own metrics, from every kind that prometheus_client has."""

from typing import Any

import numpy as np
import pytest
import requests
from prometheus_client import CollectorRegistry, Counter, Enum, Gauge, Histogram, Info, ProcessCollector, Summary
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from ss_pusher.batch.registry import RESERVED, blocks
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
