"""Native histograms from known round-trip times to the answers of a real Prometheus, by every way there is."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from ss_pusher.accounts import Distribution
from ss_pusher.app.sinks import make_endpoints
from ss_pusher.clock import Clock
from ss_pusher.config import parse
from ss_pusher.metrics import host
from ss_pusher.model import Block, Family, MetricType, Snapshot
from ss_pusher.telemetry import Telemetry
from tests import servers
from tests.end_to_end.connections import service
from tests.end_to_end.pipeline import PATIENCE, ticking
from tests.send.scripted import reply, scripted
from tests.servers import labels
from tests.waiting import wait_for

FLAGS = ["--enable-feature=native-histograms"]
RTT = host.RTT.name
OPENED = Family("ss_tcp_flows_opened_total", MetricType.COUNTER, "Opened.")
ALL = '{__name__=~"ss_tcp_.*"}'
# Microseconds; among them 0, powers of two of a second, and their neighbours.
FIRST = [0, 1, 15_625, 15_626, 250_000, 499_999, 500_000, 500_001, 2**32 - 1]
THEN = [0, 100, 100, 200, 300, 1_000_000, 1_000_001, 70_000]


@pytest.fixture
def native_prometheus(tmp_path: Path) -> Iterator[servers.Prometheus]:
    with servers.prometheus(tmp_path, flags=FLAGS) as server:
        yield server


@contextmanager
def pushing(text: str) -> Iterator[list[Snapshot]]:
    """Two ticks of known round-trip times, 15 s apart, and of sizes, which every endpoint has accepted."""
    config = parse(text.encode(), "config.yml", directory=Path()).config
    clock = Clock()
    rtt = Distribution(host.RTT, host.RTT_BOUNDS, 1_000_000)
    sizes = Distribution(host.CLOSED_FLOW_BYTES, host.CLOSED_FLOW_BOUNDS)
    endpoints = make_endpoints(config, clock, Telemetry(), stale_on_exit=True)
    snapshots: list[Snapshot] = []
    now_ms = int(time.time() * 1000)
    start_ms = now_ms - 15_000
    for endpoint in endpoints:
        endpoint.start()
    for time_ms, previous_ms, observed in ((start_ms, 0, FIRST), (now_ms, start_ms, THEN)):
        rtt.observe(np.array(observed, np.uint32))
        sizes.observe(np.array(observed, np.float64))
        gauge = Block((host.FLOW_SOCKETS,), ((),), np.array([[float(len(observed))]]), np.zeros(1, np.int64))
        snapshots.append(Snapshot(time_ms, previous_ms, (gauge,), (rtt.block(start_ms), sizes.block(start_ms))))
        for endpoint in endpoints:
            endpoint.push(snapshots[-1])
            assert endpoint.flush(time.monotonic() + PATIENCE)
    yield snapshots
    for endpoint in endpoints:
        endpoint.finish(now_ms + 1, time.monotonic() + PATIENCE)


def held_by_buckets(numbers: list[int], quantile: float) -> tuple[float, float]:
    """The bounds of the bucket in which this quantile of microseconds lies, in seconds, by the specification."""
    number = sorted(numbers)[max(int(np.ceil(quantile * len(numbers))) - 1, 0)] / 1e6
    index = int(np.ceil(np.log2(number) * 8))
    return float(2 ** ((index - 1) / 8)), float(2 ** (index / 8))


@pytest.mark.parametrize("message", ["auto", "prometheus.WriteRequest"])
def test_prometheus_answers_from_pushed_native_histograms(native_prometheus: servers.Prometheus, message: str) -> None:
    ask = native_prometheus.query
    sink = f"url: '{native_prometheus.write_url}', send_native_histograms: true, protobuf_message: {message}"
    with pushing(f"external_labels: {{job: edge}}\nremote_write: [{{{sink}}}]") as snapshots:
        at = snapshots[-1].time_ms / 1000
        every = [*FIRST, *THEN]
        edge = labels(job="edge")
        assert ask(f"histogram_count({RTT})", at=at) == {edge: len(every)}
        assert ask(f"histogram_sum({RTT})", at=at) == {edge: pytest.approx(sum(every) / 1e6, rel=1e-15)}
        assert ask(f"histogram_sum({host.CLOSED_FLOW_BYTES.name})", at=at) == {edge: sum(every)}
        for quantile in (0.3, 0.5, 0.7, 0.9, 0.99):
            (answer,) = ask(f"histogram_quantile({quantile}, {RTT})", at=at).values()
            low, high = held_by_buckets(every, quantile)
            assert low <= answer <= high
        # A bucket's upper bound belongs to it: 0.5 s is not above 0.5 s.
        (share,) = ask(f"histogram_fraction(0.5, +Inf, {RTT})", at=at).values()
        assert share * len(every) == pytest.approx(sum(number > 500_000 for number in every))
        (share,) = ask(f"histogram_fraction(-Inf, 1e-9, {RTT})", at=at).values()
        assert share * len(every) == pytest.approx(every.count(0))
        assert ask(f"count by (__name__) ({ALL})", at=at) == {
            labels(RTT): 1,
            labels(host.CLOSED_FLOW_BYTES.name): 1,
        }
    assert ask(ALL, at=at + 0.001) == {}


def test_an_increase_is_exact_across_a_restart(native_prometheus: servers.Prometheus) -> None:
    """As that of a counter with the same values; what the server makes of the edges of its range is its own."""
    config = parse(
        f"remote_write: [{{url: '{native_prometheus.write_url}', send_native_histograms: true}}]".encode(),
        "config.yml",
        directory=Path(),
    ).config
    at_ms = int(time.time() * 1000) - 45_000
    for life in ((1000, 10), (5, 20)):
        (endpoint,) = make_endpoints(config, Clock(), Telemetry(), stale_on_exit=False)
        endpoint.start()
        rtt = Distribution(host.RTT, host.RTT_BOUNDS, 1_000_000)
        start_ms, previous_ms, total = at_ms, 0, 0
        for more in life:
            total += more
            rtt.observe(np.full(more, 1234, np.uint32))
            opened = Block((OPENED,), ((),), np.array([[float(total)]]), np.array([start_ms]))
            endpoint.push(Snapshot(at_ms, previous_ms, (opened,), (rtt.block(start_ms),)))
            previous_ms, at_ms = at_ms, at_ms + 15_000
        assert endpoint.finish(at_ms, time.monotonic() + PATIENCE)

    at = (at_ms - 15_000) / 1000
    (of_counter,) = native_prometheus.query(f"increase({OPENED.name}[1m])", at=at).values()
    (of_histogram,) = native_prometheus.query(f"histogram_count(increase({RTT}[1m]))", at=at).values()
    assert of_histogram == pytest.approx(of_counter)
    assert of_histogram * 45 / 60 == pytest.approx(10 + 5 + 20)


def test_what_the_agent_observed_is_what_prometheus_counts(native_prometheus: servers.Prometheus) -> None:
    sink = f"remote_write: [{{url: '{native_prometheus.write_url}', send_native_histograms: true}}]"
    with service() as some:
        only_ours = f"filter: [{{keep: {{service_ports: [{some.port}]}}}}, {{drop: {{}}}}]"
        with ticking(f"collect: {{loopback: true}}\n{only_ours}\n{sink}") as tick:
            connections = [some.connect() for _ in range(5)]
            first = tick()
            for connection in connections[:2]:
                connection.ask(5000)
            second = tick()
            for snapshot, ticks in ((first, 1), (second, 2)):
                at = snapshot.time_ms / 1000
                (counted,) = native_prometheus.query(f"histogram_count({RTT})", at=at).values()
                assert counted == ticks * 2 * len(connections)  # both ends are this host's
                rtt = next(h for h in snapshot.histograms if h.family is host.RTT)
                (total,) = native_prometheus.query(f"histogram_sum({RTT})", at=at).values()
                assert total == rtt.sums[0]
                assert 0 < total / counted < 1  # in seconds


def test_prometheus_scrapes_what_was_pushed_to_a_pushgateway(pushgateway: servers.Pushgateway, tmp_path: Path) -> None:
    sink = f"url: '{pushgateway.url}', job: edge, grouping_key: {{}}, send_native_histograms: true"
    target = pushgateway.url.removeprefix("http://")
    with (
        pushing(f"pushgateway: [{{{sink}}}]") as snapshots,
        servers.prometheus(tmp_path, scrape=[target], flags=FLAGS) as prometheus,
    ):
        counts = wait_for(lambda: prometheus.query(f"histogram_count({RTT})"), "a scrape")
        assert list(counts.values()) == [len(FIRST) + len(THEN)]
        assert list(prometheus.query(f"histogram_sum({RTT})").values()) == [snapshots[-1].histograms[0].sums[0]]
        assert prometheus.query(f"{RTT}_bucket") == {}


def test_prometheus_scrapes_them_from_the_agent_itself(tmp_path: Path) -> None:
    target = f"127.0.0.1:{servers.free_port()}"
    with (
        pushing(f"expose: {{listen_address: '{target}'}}"),
        servers.prometheus(tmp_path, scrape=[target], flags=FLAGS) as prometheus,
    ):
        counts = wait_for(lambda: prometheus.query(f"histogram_count({RTT})"), "a scrape")
        assert list(counts.values()) == [len(FIRST) + len(THEN)]
        assert list(prometheus.query(host.FLOW_SOCKETS.name).values()) == [len(THEN)]


def test_a_scraper_that_takes_no_native_histograms_gets_the_classic_ones_of_the_same_push(
    pushgateway: servers.Pushgateway,
) -> None:
    sink = f"url: '{pushgateway.url}', job: edge, grouping_key: {{}}, send_native_histograms: true"
    with pushing(f"pushgateway: [{{{sink}}}]"):
        shown = pushgateway.metrics()
    every = [*FIRST, *THEN]
    for bound in host.RTT_BOUNDS:
        (count,) = [
            value
            for key, value in shown.items()
            if dict(key)["__name__"] == f"{RTT}_bucket" and float(dict(key)["le"]) == bound
        ]
        assert count == sum(number <= bound * 1e6 for number in every)


def test_a_gateway_that_reads_only_text_gets_it(caplog: pytest.LogCaptureFixture) -> None:
    refusal = reply(400, b"text format parsing error")
    with (
        scripted(refusal, refusal, reply()) as server,
        pushing(f"pushgateway: [{{url: '{server.url}', send_native_histograms: true}}]"),
    ):
        types = [request.headers["content-type"].partition(";")[0] for request in server.requests]
    assert types == ["application/vnd.google.protobuf"] * 2 + ["text/plain"] * 2
    assert len([record for record in caplog.records if "takes only text" in record.getMessage()]) == 1


def test_a_prometheus_without_the_feature_says_so_and_nothing_is_lost(
    prometheus: servers.Prometheus, caplog: pytest.LogCaptureFixture
) -> None:
    config = parse(
        f"remote_write: [{{url: '{prometheus.write_url}', send_native_histograms: true}}]".encode(),
        "config.yml",
        directory=Path(),
    ).config
    (endpoint,) = make_endpoints(config, Clock(), Telemetry(), stale_on_exit=False)
    rtt = Distribution(host.RTT, host.RTT_BOUNDS, 1_000_000)
    rtt.observe(np.array(FIRST, np.uint32))
    now_ms = int(time.time() * 1000)
    endpoint.start()
    endpoint.push(Snapshot(now_ms, 0, (), (rtt.block(now_ms),)))
    wait_for(lambda: "native histograms are disabled" in caplog.text, "the server's words in the log")
    assert not endpoint.finish(now_ms + 1, time.monotonic())
