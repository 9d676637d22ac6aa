"""The exposition formats: what they look like, and that the projects' own tools take them."""

import math
import subprocess
from pathlib import Path

import numpy as np
import requests
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from ss_pusher.encode import text
from ss_pusher.model import Block, Family, HistogramBlock, MetricType, Protocol, Snapshot
from tests import needs
from tests.servers import Pushgateway, labels

GOLDEN = Path(__file__).parent / "golden"
EXTERNAL = {"instance": "host-17", "direction": "none", "empty": ""}

SENT = Family("ss_flow_sent_bytes_total", MetricType.COUNTER, "Payload sent.", "bytes")
RTT = Family("ss_flow_rtt_seconds", MetricType.GAUGE, 'Mean "rtt"\nof C:\\.', "seconds")
TICKS = Family("ss_pusher_ticks_total", MetricType.COUNTER, "Ticks.")
HOST_RTT = Family("ss_tcp_rtt_seconds", MetricType.HISTOGRAM, "Round-trip times.", "seconds")

SNAPSHOT = Snapshot(
    1_750_000_000_000,
    0,
    (
        Block(
            (SENT, RTT),
            (
                (("direction", "in"), ("unit", "nginx.service")),
                (("direction", "out"), ("unit", 'a "b"\\c\nü')),
            ),
            np.array([[1234567890.0, 0.0], [0.0125, math.nan]]),
            np.zeros(2, np.int64),
        ),
        Block((TICKS,), ((("outcome", "ok"),),), np.array([[3.0]]), np.zeros(1, np.int64)),
        Block((TICKS,), ((("outcome", "failed"),),), np.array([[math.inf]]), np.zeros(1, np.int64)),
        Block(
            (Family("ss_flow_nothing", MetricType.GAUGE, "No value."),),
            ((),),
            np.array([[math.nan]]),
            np.zeros(1, np.int64),
        ),
    ),
    (
        HistogramBlock(
            HOST_RTT,
            ((("family", "ipv4"),), (("family", "ipv6"),)),
            (0.005, 1.0),
            np.array([[1, 2, 3], [0, 0, 0]], np.uint64),
            np.array([7.5, 0.0]),
            np.zeros(2, np.int64),
        ),
    ),
)


def test_the_text_format_is_as_agreed() -> None:
    assert text.text(SNAPSHOT, EXTERNAL).decode() == (GOLDEN / "text.txt").read_text()


def test_open_metrics_is_as_agreed() -> None:
    assert text.open_metrics(SNAPSHOT, EXTERNAL).decode() == (GOLDEN / "openmetrics.txt").read_text()


def test_promtool_finds_nothing_to_object_to_in_the_text_format() -> None:
    command = [needs.command("promtool"), "check", "metrics"]
    result = subprocess.run(command, input=text.text(SNAPSHOT, EXTERNAL), capture_output=True, check=False)
    assert (result.returncode, result.stdout, result.stderr) == (0, b"", b"")


def test_a_strict_parser_reads_open_metrics() -> None:
    body = text.open_metrics(SNAPSHOT, EXTERNAL).decode()
    found = list(text_string_to_metric_families(body))  # type: ignore[no-untyped-call] # it has no types
    assert [(family.name, family.type, family.unit) for family in found] == [
        ("ss_flow_sent_bytes", "counter", "bytes"),
        ("ss_flow_rtt_seconds", "gauge", "seconds"),
        ("ss_pusher_ticks", "counter", ""),
        ("ss_tcp_rtt_seconds", "histogram", "seconds"),
    ]


def test_a_snapshot_without_series_is_an_empty_text() -> None:
    assert text.text(Snapshot(1000, 0, ()), {}) == b""
    assert text.open_metrics(Snapshot(1000, 0, ()), {}) == b"# EOF\n"


def test_a_push_is_one_request_that_counts_its_series() -> None:
    (request,) = text.encode(SNAPSHOT, EXTERNAL)
    assert request.protocol is Protocol.TEXT
    assert request.body == text.text(SNAPSHOT, EXTERNAL)
    assert (request.samples, request.oldest_ms, request.newest_ms) == (15, 1_750_000_000_000, 1_750_000_000_000)


def test_a_pushgateway_takes_it(pushgateway: Pushgateway) -> None:
    (request,) = text.encode(SNAPSHOT, EXTERNAL)
    requests.put(f"{pushgateway.url}/metrics/job/ss_pusher", data=request.body, timeout=10).raise_for_status()
    found = pushgateway.metrics()
    same = {"instance": "host-17", "job": "ss_pusher"}
    assert found[labels(SENT.name, direction="in", unit="nginx.service", **same)] == 1234567890.0
    assert found[labels(SENT.name, direction="out", unit='a "b"\\c\nü', **same)] == 0.0
    assert found[labels(f"{HOST_RTT.name}_bucket", direction="none", family="ipv4", le="1", **same)] == 3.0
