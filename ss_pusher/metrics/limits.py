"""What held senders back: the application, the receiver's window, the own send buffer."""

from typing import Final

from ss_pusher.metrics.declare import MICROSECONDS, counter
from ss_pusher.model import FlowCounter, Preset

COUNTERS: Final[tuple[FlowCounter, ...]] = (
    counter(
        "busy_seconds",
        "busy_time",
        Preset.STANDARD,
        "Time with unacknowledged data, limited or not, summed over the flows (tcpi_busy_time).",
        unit="seconds",
        per=MICROSECONDS,
    ),
    counter(
        "receiver_limited_seconds",
        "rwnd_limited",
        Preset.STANDARD,
        "The part of the busy time in which the peer's receive window held the flow back (tcpi_rwnd_limited).",
        unit="seconds",
        per=MICROSECONDS,
    ),
    counter(
        "sender_limited_seconds",
        "sndbuf_limited",
        Preset.STANDARD,
        "The part of the busy time in which the own send buffer held the flow back (tcpi_sndbuf_limited).",
        unit="seconds",
        per=MICROSECONDS,
    ),
)
