"""What the encoders make is taken by the strict receiver, and by the real servers of both protocols' origin."""

import math
import time
from collections.abc import Mapping, Sequence

import numpy as np
import requests
from hypothesis import given
from hypothesis import strategies as st

from ss_pusher.encode import remote_write_v1, remote_write_v2
from ss_pusher.model import Block, Family, HistogramBlock, MetricType, Protocol, Request, Snapshot
from ss_pusher.receiver.remote_write import decode
from ss_pusher.receiver.store import Store
from tests.encode import snapshots
from tests.servers import Prometheus, PromQL, VictoriaMetrics, labels

SENT = Family("ss_flow_sent_bytes_total", MetricType.COUNTER, "Payload.", "bytes")
SOCKETS = Family("ss_flow_sockets", MetricType.GAUGE, "Sockets.")
RTT = Family("ss_tcp_rtt_seconds", MetricType.HISTOGRAM, "Rtt.", "seconds")


@given(snapshots.histories(), snapshots.external_labels, st.integers(1, 30))
def test_the_strict_receiver_finds_nothing_to_object_to(
    history: list[Snapshot], external_labels: Mapping[str, str], max_samples: int
) -> None:
    for encoder in (
        remote_write_v1.RemoteWriteV1Encoder(external_labels, max_samples),
        remote_write_v1.RemoteWriteV1Encoder(external_labels, max_samples, native_histograms=True),
        remote_write_v2.RemoteWriteV2Encoder(external_labels, max_samples),
        remote_write_v2.RemoteWriteV2Encoder(external_labels, max_samples, native_histograms=True),
    ):
        store = Store(100, 10_000)
        made = [encoder.encode(snapshot) for snapshot in history] + [encoder.stale(history[-1].time_ms + 1)]
        for request in [request for tick in made for request in tick]:
            outcome = store.write(decode(request.protocol, request.body), history[-1].time_ms)
            assert outcome.problems == []
            assert outcome.samples + outcome.histograms == request.samples


def two_ticks(now_ms: int) -> tuple[Snapshot, Snapshot]:
    """A flow that stays, one that leaves, one that comes, and a histogram."""
    stays, leaves, comes = ((("group", name),) for name in ("stays", "leaves", "comes"))
    before_ms = now_ms - 15_000
    histogram = HistogramBlock(
        RTT, ((),), (0.5,), np.array([[2, 1]], np.uint64), np.array([1.25]), np.array([before_ms - 1])
    )
    first = Block((SENT, SOCKETS), (stays, leaves), np.array([[10.0, 20.0], [1.0, 2.0]]), np.full(2, before_ms - 1))
    second = Block(
        (SENT, SOCKETS), (stays, comes), np.array([[11.5, 30.0], [1.0, 3.0]]), np.array([before_ms - 1, before_ms])
    )
    return (
        Snapshot(before_ms, 0, (first,), (histogram,)),
        Snapshot(now_ms, before_ms, (second,), (histogram,)),
    )


def push(url: str, made: Sequence[Request]) -> None:
    for request in made:
        assert request.protocol is Protocol.REMOTE_WRITE_1
        headers = {
            "Content-Encoding": "snappy",
            "Content-Type": "application/x-protobuf",
            "X-Prometheus-Remote-Write-Version": "0.1.0",
        }
        requests.post(url, data=request.body, headers=headers, timeout=10).raise_for_status()


def assert_all_arrived(server: PromQL, url: str) -> None:
    now_ms = int(time.time() * 1000)
    encoder = remote_write_v1.RemoteWriteV1Encoder({"job": "j"}, 5)
    for snapshot in two_ticks(now_ms):
        push(url, encoder.encode(snapshot))

    def stored(selector: str) -> dict[str, list[tuple[int, float]]]:
        found = server.samples(selector, at=now_ms / 1000)
        return {
            # VictoriaMetrics shows the markers, as NaN.
            dict(key)["group"]: [(round(seconds * 1000), value) for seconds, value in points if not math.isnan(value)]
            for key, points in found.items()
        }

    before_ms = now_ms - 15_000
    assert stored('ss_flow_sent_bytes_total{job="j"}') == {
        "stays": [(before_ms, 10.0), (now_ms, 11.5)],
        "leaves": [(before_ms, 20.0)],
        "comes": [(before_ms + 1, 0.0), (now_ms, 30.0)],
    }
    assert stored("ss_flow_sockets") == {
        "stays": [(before_ms, 1.0), (now_ms, 1.0)],
        "leaves": [(before_ms, 2.0)],
        "comes": [(now_ms, 3.0)],
    }
    # A series that has a marker is gone at once, not after five minutes.
    assert set(server.query("ss_flow_sockets", at=now_ms / 1000)) == {
        labels("ss_flow_sockets", group=group, job="j") for group in ("stays", "comes")
    }
    assert server.query("ss_tcp_rtt_seconds_bucket", at=now_ms / 1000) == {
        labels("ss_tcp_rtt_seconds_bucket", job="j", le="0.5"): 2.0,
        labels("ss_tcp_rtt_seconds_bucket", job="j", le="+Inf"): 3.0,
    }
    push(url, encoder.stale(now_ms + 1))
    assert server.query('{job="j"}', at=(now_ms + 1) / 1000) == {}


def test_prometheus_stores_every_sample_and_obeys_every_marker(prometheus: Prometheus) -> None:
    assert_all_arrived(prometheus, prometheus.write_url)


def test_victoria_metrics_stores_every_sample_and_obeys_every_marker(victoria_metrics: VictoriaMetrics) -> None:
    assert_all_arrived(victoria_metrics, victoria_metrics.write_url)
