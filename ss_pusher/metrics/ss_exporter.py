"""The metrics of prometheus_ss_exporter, for dashboards that exist: its names, its units, its one label `flow`.

Types are right here, buckets cumulative, and flows whose label is the same are one series. Its counters have no suffix
_total, its gauge tcp_flows_total has one: docs/adr/0005-the-names-of-ss-exporter.md.
"""

from collections.abc import Mapping
from typing import Final

from ss_pusher.model import OTHER, Family, FlowCounter, FlowGauge, Fold, Labels, MetricType, Preset

LABEL: Final = "flow"
MICROSECONDS_A_MILLISECOND: Final = 1_000

FLOWS: Final = Family("tcp_flows_total", MetricType.GAUGE, "Open connections. Filters apply.")
RTT: Final = Family(
    "tcp_rtt_hist_ms",
    MetricType.HISTOGRAM,
    "Smoothed round-trip times of the open connections in milliseconds, one observation a connection a tick."
    " Filters apply.",
)

GAUGES: Final[tuple[FlowGauge, ...]] = (
    FlowGauge(
        Family("tcp_rtt", MetricType.GAUGE, "Smoothed round-trip time in milliseconds, mean over the flows."),
        "rtt",
        Preset.SS_EXPORTER,
        Fold.MEAN,
        per=MICROSECONDS_A_MILLISECOND,
    ),
    FlowGauge(
        Family("tcp_cwnd", MetricType.GAUGE, "Congestion windows in segments, summed over the flows."),
        "snd_cwnd",
        Preset.SS_EXPORTER,
        Fold.SUM,
    ),
    FlowGauge(
        Family("tcp_delivery_rate", MetricType.GAUGE, "Delivery rate in bytes per second, highest of the flows."),
        "delivery_rate",
        Preset.SS_EXPORTER,
        Fold.MAX,
    ),
)
COUNTERS: Final[tuple[FlowCounter, ...]] = (
    FlowCounter(
        Family("tcp_data_segs_in", MetricType.COUNTER, "Segments with payload received."),
        "data_segs_in",
        Preset.SS_EXPORTER,
    ),
    FlowCounter(
        Family("tcp_data_segs_out", MetricType.COUNTER, "Segments with payload sent."),
        "data_segs_out",
        Preset.SS_EXPORTER,
    ),
)

FOLDINGS: Final[Mapping[str, tuple[str, ...]]] = {
    "raw_endpoint": ("local_address", "local_port", "remote_address", "remote_port"),
    "pid_condensed": ("pid", "remote_address", "remote_port"),
}
"""The labels that tell flows apart in each of its foldings."""


def flow(labels: Labels, folding: str) -> Labels:
    """The labels of a group by `FOLDINGS[folding]` as the one label `flow`, which is `other` for the remainder."""
    named = dict.fromkeys(FOLDINGS[folding], "") | dict(labels)
    if set(named.values()) == {OTHER}:
        return ((LABEL, OTHER),)
    source = "SRC#{local_address}|{local_port}" if folding == "raw_endpoint" else "{pid}"
    return ((LABEL, f"({source})(DST#{{remote_address}}|{{remote_port}})".format_map(named)),)
