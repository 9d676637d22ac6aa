"""How flows come and go. These are counted by the ledger; the kernel has no field for them."""

from typing import Final

from ss_pusher.metrics.declare import counter
from ss_pusher.model import FlowCounter, LedgerField, Preset

COUNTERS: Final[tuple[FlowCounter, ...]] = (
    counter(
        "flows_opened",
        LedgerField.OPENED,
        Preset.ALL,
        "Connections that came up since the agent started, attempts included.",
        host=True,
    ),
    counter(
        "flows_closed",
        LedgerField.CLOSED,
        Preset.ALL,
        "Connections whose end the kernel announced, failed attempts included.",
        host=True,
    ),
    counter(
        "connect_failures",
        LedgerField.CONNECT_FAILURES,
        Preset.STANDARD,
        "Connections that ended without ever having been established.",
        host=True,
    ),
    counter(
        "flows_wiped",
        LedgerField.WIPED,
        Preset.ALL,
        "Connections whose counters the kernel had erased before it announced their end (an abortive close, a socket "
        "connected again): what they moved after the last tick is not known.",
        host=True,
    ),
    counter(
        "flows_lost",
        LedgerField.LOST,
        Preset.ALL,
        "Connections that vanished while announcements of closed sockets were lost, or were not asked for: what they "
        "moved after the last tick is not known.",
        host=True,
    ),
)
