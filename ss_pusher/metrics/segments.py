"""Segments, as TCP hands them to IP: before segmentation offload splits them is not known to the socket."""

from typing import Final

from ss_pusher.metrics.declare import counter
from ss_pusher.model import FlowCounter, Preset

COUNTERS: Final[tuple[FlowCounter, ...]] = (
    counter(
        "sent_segments",
        "segs_out",
        Preset.STANDARD,
        "Segments sent, those without payload and retransmissions included (tcpi_segs_out).",
        host=True,
    ),
    counter(
        "received_segments",
        "segs_in",
        Preset.STANDARD,
        "Segments received, those without payload included (tcpi_segs_in).",
        host=True,
    ),
    counter(
        "retransmitted_segments",
        "total_retrans",
        Preset.ESSENTIAL,
        "Segments sent again (tcpi_total_retrans).",
        host=True,
    ),
    counter("sent_data_segments", "data_segs_out", Preset.ALL, "Segments with payload sent (tcpi_data_segs_out)."),
    counter(
        "received_data_segments", "data_segs_in", Preset.ALL, "Segments with payload received (tcpi_data_segs_in)."
    ),
    counter("delivered_segments", "delivered", Preset.ALL, "Segments known to have arrived (tcpi_delivered)."),
    counter("out_of_order_segments", "rcv_ooopack", Preset.ALL, "Segments received out of order (tcpi_rcv_ooopack)."),
)
