"""What is said of the whole host besides the totals of the flows' counters."""

from typing import Final

from ss_pusher.metrics.declare import MICROSECONDS
from ss_pusher.model import Family, FlowHistogram, MetricType

SOCKETS: Final = Family(
    "ss_tcp_sockets", MetricType.GAUGE, "TCP sockets by state and address family, as read. Filters apply."
)
FLOW_SOCKETS: Final = Family("ss_flow_sockets", MetricType.GAUGE, "Open connections.")
RTT: Final = Family(
    "ss_tcp_rtt_seconds",
    MetricType.HISTOGRAM,
    "Smoothed round-trip times of the open connections, one observation a connection a tick (tcpi_rtt). Filters apply.",
    "seconds",
)
RTT_BOUNDS: Final = (0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1.0, 2.5)
RTT_HISTOGRAM: Final = FlowHistogram(RTT, "rtt", RTT_BOUNDS, MICROSECONDS)
CLOSED_FLOW_BYTES: Final = Family(
    "ss_tcp_closed_flow_bytes",
    MetricType.HISTOGRAM,
    "Payload that a connection moved in both directions over its whole life, observed at its end."
    " Connections that were never established are left out. Filters apply.",
    "bytes",
)
CLOSED_FLOW_BOUNDS: Final = (100.0, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10)
