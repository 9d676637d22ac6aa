"""Loss and how it was repaired: timeouts, reordering, duplicates."""

from typing import Final

from ss_pusher.metrics.declare import MICROSECONDS, MILLISECONDS, counter, gauge
from ss_pusher.model import FlowCounter, FlowGauge, Fold, Preset

COUNTERS: Final[tuple[FlowCounter, ...]] = (
    counter("rto", "total_rto", Preset.STANDARD, "Retransmission timeouts (tcpi_total_rto, 16 bits in the kernel)."),
    counter(
        "rto_recoveries",
        "total_rto_recoveries",
        Preset.ALL,
        "Recoveries from a retransmission timeout that came to an end (tcpi_total_rto_recoveries, 16 bits).",
    ),
    counter(
        "rto_seconds",
        "total_rto_time",
        Preset.ALL,
        "Time spent in recovery from retransmission timeouts (tcpi_total_rto_time).",
        unit="seconds",
        per=MILLISECONDS,
    ),
    counter(
        "duplicate_sacks",
        "dsack_dups",
        Preset.ALL,
        "Segments that the peer reported as received twice (tcpi_dsack_dups).",
    ),
    counter("reordering_seen", "reord_seen", Preset.ALL, "Times that reordering was noticed (tcpi_reord_seen)."),
    counter(
        "rehashes",
        "rehash",
        Preset.ALL,
        "Times that the path was changed after a timeout or probe (tcpi_rehash).",
    ),
)

GAUGES: Final[tuple[FlowGauge, ...]] = (
    gauge(
        "lost_segments",
        "lost",
        Preset.STANDARD,
        Fold.SUM,
        "Outstanding segments held to be lost, summed over the flows (tcpi_lost).",
    ),
    gauge(
        "retransmitting_segments",
        "retrans",
        Preset.ALL,
        Fold.SUM,
        "Segments sent again and still outstanding, summed over the flows (tcpi_retrans).",
    ),
    gauge(
        "sacked_segments",
        "sacked",
        Preset.ALL,
        Fold.SUM,
        "Outstanding segments selectively acknowledged, summed over the flows (tcpi_sacked).",
    ),
    gauge(
        "reordering_segments",
        "reordering",
        Preset.ALL,
        Fold.MAX,
        "Reordering that is expected, highest of the flows (tcpi_reordering).",
    ),
    gauge(
        "rto_timeout_seconds",
        "rto",
        Preset.ALL,
        Fold.MAX,
        "Retransmission timeout in force, longest of the flows (tcpi_rto).",
        unit="seconds",
        per=MICROSECONDS,
    ),
    gauge(
        "consecutive_timeouts",
        "retransmits",
        Preset.ALL,
        Fold.MAX,
        "Timeouts in a row without an answer, highest of the flows (tcpi_retransmits).",
    ),
    gauge(
        "unanswered_probes",
        "probes",
        Preset.ALL,
        Fold.MAX,
        "Window or keepalive probes without an answer, highest of the flows (tcpi_probes).",
    ),
    gauge("backoff", "backoff", Preset.ALL, Fold.MAX, "Backoff of the timer, highest of the flows (tcpi_backoff)."),
)
