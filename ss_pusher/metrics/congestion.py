"""Congestion control: windows, rates, and what it saw of the path."""

from typing import Final

from ss_pusher.metrics.declare import counter, gauge
from ss_pusher.model import FlowCounter, FlowGauge, Fold, Preset

COUNTERS: Final[tuple[FlowCounter, ...]] = (
    counter(
        "ecn_marked",
        "delivered_ce",
        Preset.STANDARD,
        "Segments that arrived marked with Congestion Experienced, as the peer echoed (tcpi_delivered_ce).",
    ),
    counter(
        "received_ecn_marked",
        "received_ce",
        Preset.ALL,
        "Segments received with the mark Congestion Experienced (tcpi_received_ce, AccECN).",
    ),
    counter(
        "delivered_ect1_bytes",
        "delivered_e1_bytes",
        Preset.ALL,
        "Payload that arrived marked ECT(1), as the peer reported (tcpi_delivered_e1_bytes, AccECN).",
        unit="bytes",
    ),
    counter(
        "delivered_ect0_bytes",
        "delivered_e0_bytes",
        Preset.ALL,
        "Payload that arrived marked ECT(0), as the peer reported (tcpi_delivered_e0_bytes, AccECN).",
        unit="bytes",
    ),
    counter(
        "delivered_ce_bytes",
        "delivered_ce_bytes",
        Preset.ALL,
        "Payload that arrived marked CE, as the peer reported (tcpi_delivered_ce_bytes, AccECN).",
        unit="bytes",
    ),
    counter(
        "received_ect1_bytes",
        "received_e1_bytes",
        Preset.ALL,
        "Payload received marked ECT(1) (tcpi_received_e1_bytes, AccECN).",
        unit="bytes",
    ),
    counter(
        "received_ect0_bytes",
        "received_e0_bytes",
        Preset.ALL,
        "Payload received marked ECT(0) (tcpi_received_e0_bytes, AccECN).",
        unit="bytes",
    ),
    counter(
        "received_ce_bytes",
        "received_ce_bytes",
        Preset.ALL,
        "Payload received marked CE (tcpi_received_ce_bytes, AccECN).",
        unit="bytes",
    ),
)

GAUGES: Final[tuple[FlowGauge, ...]] = (
    gauge(
        "cwnd_segments",
        "snd_cwnd",
        Preset.STANDARD,
        Fold.SUM,
        "Congestion windows, summed over the flows (tcpi_snd_cwnd).",
    ),
    gauge(
        "slow_start_threshold_segments",
        "snd_ssthresh",
        Preset.ALL,
        Fold.MIN,
        "Slow start threshold, least of the flows that have one (tcpi_snd_ssthresh).",
    ),
    gauge(
        "delivery_rate_bytes_per_second",
        "delivery_rate",
        Preset.STANDARD,
        Fold.MAX,
        "Rate at which data was delivered, highest of the flows not limited by the application (tcpi_delivery_rate).",
        unless="delivery_rate_app_limited",
    ),
    gauge(
        "pacing_rate_bytes_per_second",
        "pacing_rate",
        Preset.ALL,
        Fold.SUM,
        "Rate at which the kernel paces, summed over the flows (tcpi_pacing_rate).",
    ),
    gauge(
        "pacing_rate_limit_bytes_per_second",
        "max_pacing_rate",
        Preset.ALL,
        Fold.MIN,
        "Limit of the pacing rate that applications set, least of the flows that have one (tcpi_max_pacing_rate).",
    ),
    gauge(
        "congestion_state_max",
        "ca_state",
        Preset.ALL,
        Fold.MAX,
        "State of congestion control, worst of the flows: 0 open, 1 disorder, 2 CWR, 3 recovery, 4 loss"
        " (tcpi_ca_state).",
    ),
)
