"""By how many times the round-trip time is what the path could do: mean over least."""

from typing import Final

import numpy as np

from ss_pusher.model import F64, Groups
from ss_pusher.select.rankings.declare import Ranking, gauge

_RTT: Final = "ss_flow_rtt_seconds"
_LEAST: Final = "ss_flow_rtt_min_seconds"


_RESOLUTION: Final = 1e-6
"""Seconds; the kernel's clock of round-trip times knows nothing shorter."""


def _score(groups: Groups, _seconds: float) -> F64:
    return gauge(groups, _RTT) / np.maximum(gauge(groups, _LEAST), _RESOLUTION)


RTT_INFLATION: Final = Ranking("rtt_inflation", (_RTT, _LEAST), _score)
