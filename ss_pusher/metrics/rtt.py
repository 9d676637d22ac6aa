"""Round-trip times."""

from typing import Final

from ss_pusher.metrics.declare import MICROSECONDS, gauge
from ss_pusher.model import FlowGauge, Fold, Preset

GAUGES: Final[tuple[FlowGauge, ...]] = (
    gauge(
        "rtt_seconds",
        "rtt",
        Preset.ESSENTIAL,
        Fold.MEAN,
        "Smoothed round-trip time, mean over the flows (tcpi_rtt).",
        unit="seconds",
        per=MICROSECONDS,
    ),
    gauge(
        "rtt_max_seconds",
        "rtt",
        Preset.STANDARD,
        Fold.MAX,
        "Smoothed round-trip time, highest of the flows (tcpi_rtt).",
        unit="seconds",
        per=MICROSECONDS,
    ),
    gauge(
        "rtt_min_seconds",
        "min_rtt",
        Preset.STANDARD,
        Fold.MIN,
        "Least round-trip time that the kernel saw lately, least of the flows (tcpi_min_rtt).",
        unit="seconds",
        per=MICROSECONDS,
    ),
    gauge(
        "rtt_variation_seconds",
        "rttvar",
        Preset.ALL,
        Fold.MEAN,
        "Mean deviation of the round-trip time, mean over the flows (tcpi_rttvar).",
        unit="seconds",
        per=MICROSECONDS,
    ),
    gauge(
        "receiver_rtt_seconds",
        "rcv_rtt",
        Preset.ALL,
        Fold.MEAN,
        "Round-trip time as the receiving side estimates it, mean over the flows (tcpi_rcv_rtt).",
        unit="seconds",
        per=MICROSECONDS,
    ),
)
