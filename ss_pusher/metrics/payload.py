"""Bytes that applications gave to TCP and took from it."""

from typing import Final

from ss_pusher.metrics.declare import counter
from ss_pusher.model import FlowCounter, Preset

COUNTERS: Final[tuple[FlowCounter, ...]] = (
    counter(
        "sent_bytes",
        "bytes_sent",
        Preset.ESSENTIAL,
        "Payload sent, each byte once: tcpi_bytes_sent less tcpi_bytes_retrans.",
        minus="bytes_retrans",
        unit="bytes",
        host=True,
    ),
    counter(
        "received_bytes",
        "bytes_received",
        Preset.ESSENTIAL,
        "Payload received in order (tcpi_bytes_received): the kernel counts 1 more in a flow whose peer sent its FIN.",
        unit="bytes",
        host=True,
    ),
    counter(
        "retransmitted_bytes",
        "bytes_retrans",
        Preset.ESSENTIAL,
        "Payload sent again (tcpi_bytes_retrans).",
        unit="bytes",
        host=True,
    ),
    counter(
        "acked_bytes",
        "bytes_acked",
        Preset.ALL,
        "Payload that the peer acknowledged (tcpi_bytes_acked): SYN and FIN count 1 each where this side sent them.",
        unit="bytes",
    ),
)
