"""The preset ss_exporter on real flows: what a dashboard made for prometheus_ss_exporter asks for."""

import os

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from ss_pusher.encode import text
from ss_pusher.model import MetricType
from tests import servers
from tests.end_to_end.connections import service
from tests.end_to_end.pipeline import families, plain, said, ticking

CONFIG = """
external_labels: {{job: edge}}
collect: {{loopback: true}}
filter: [{{keep: {{service_ports: [{port}]}}}}, {{drop: {{}}}}]
limit: {{hold: 0, top: [{{by: flows, count: {count}}}]}}
metrics: {{preset: ss_exporter, ss_exporter: {{flow: {flow}, rtt_buckets_ms: [0.5, 100, 60000]}}}}
"""


def test_both_ends_of_a_flow_are_named_and_measured_in_milliseconds() -> None:
    with service() as some:
        client = some.connect()
        ends = (f"127.0.0.1|{client.client.getsockname()[1]}", f"127.0.0.1|{some.port}")
        with ticking(CONFIG.format(port=some.port, count=10, flow="raw_endpoint")) as tick:
            tick()
            client.ask(10)
            snapshot = tick()
            series = said(snapshot, {})
    out, back = (f"(SRC#{one})(DST#{two})" for one, two in (ends, ends[::-1]))
    assert series[servers.labels("tcp_data_segs_out", flow=out)] == 1
    assert series[servers.labels("tcp_data_segs_in", flow=back)] == 1
    assert series[servers.labels("tcp_cwnd", flow=out)] > 1
    rtts = [series[servers.labels("tcp_rtt", flow=end)] for end in (out, back)]
    assert all(0.001 < rtt < 1000 for rtt in rtts)
    assert series[servers.labels("tcp_flows_total")] == 2
    assert series[servers.labels("tcp_rtt_hist_ms_count")] == 4  # two flows, two ticks
    assert series[servers.labels("tcp_rtt_hist_ms_bucket", le="60000.0")] == 4
    assert {family.name: family.type for family in families(snapshot).values() if family.name.startswith("tcp_")} == {
        "tcp_rtt": MetricType.GAUGE,
        "tcp_cwnd": MetricType.GAUGE,
        "tcp_delivery_rate": MetricType.GAUGE,
        "tcp_data_segs_in": MetricType.COUNTER,
        "tcp_data_segs_out": MetricType.COUNTER,
        "tcp_flows_total": MetricType.GAUGE,
        "tcp_rtt_hist_ms": MetricType.HISTOGRAM,
    }
    assert not [key for key in series if ("__name__", "ss_tcp_sockets") in key or "ss_flow_" in str(key)]


def test_flows_of_one_process_to_one_peer_are_one_series() -> None:
    with service() as some:
        opened = [some.connect() for _ in range(3)]
        with ticking(CONFIG.format(port=some.port, count=10, flow="pid_condensed")) as tick:
            tick()
            for connection in opened:
                connection.ask(10)
            series = said(tick(), {})
            to_service = f"({os.getpid()})(DST#127.0.0.1|{some.port})"
    assert series[servers.labels("tcp_data_segs_out", flow=to_service)] == 3
    assert series[servers.labels("tcp_cwnd", flow=to_service)] > 20  # of three, each 10 at least (RFC 6928)
    assert series[servers.labels("tcp_flows_total")] == 6


def test_what_the_limits_leave_out_is_one_flow_called_other() -> None:
    with service() as some:
        opened = [some.connect() for _ in range(3)]
        with ticking(CONFIG.format(port=some.port, count=2, flow="raw_endpoint")) as tick:
            tick()
            for connection in opened:
                connection.ask(10)
            series = said(tick(), {})
    sent = {dict(key)["flow"]: value for key, value in series.items() if ("__name__", "tcp_data_segs_out") in key}
    assert len(sent) == 3
    assert "other" in sent
    assert sum(sent.values()) == 3


@pytest.mark.parametrize("message", ["auto", "prometheus.WriteRequest"])
def test_prometheus_takes_it(prometheus: servers.Prometheus, message: str) -> None:
    sink = f"remote_write: [{{url: '{prometheus.write_url}', protobuf_message: {message}}}]\n"
    with service() as some:
        some.connect()
        with ticking(CONFIG.format(port=some.port, count=10, flow="raw_endpoint") + sink) as tick:
            tick()
            snapshot = tick()
            stored = prometheus.query('{__name__!=""}', at=snapshot.time_ms / 1000)
    assert plain(stored) == plain(dict(said(snapshot, {"job": "edge"})))


def test_a_counter_keeps_its_name_in_both_exposition_formats() -> None:
    with service() as some:
        some.connect()
        with ticking(CONFIG.format(port=some.port, count=10, flow="raw_endpoint")) as tick:
            snapshot = tick()
    lines = text.text(snapshot, {}).decode().splitlines()
    assert "# TYPE tcp_data_segs_in counter" in lines
    assert sum(line.startswith("tcp_data_segs_in{") for line in lines) == 2
    body = text.open_metrics(snapshot, {}).decode()
    found = {family.name: family for family in text_string_to_metric_families(body)}  # type: ignore[no-untyped-call] # has no types
    assert found["tcp_data_segs_in"].type == "unknown"
    assert {sample.name for sample in found["tcp_data_segs_in"].samples} == {"tcp_data_segs_in"}
