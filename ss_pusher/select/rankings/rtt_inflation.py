"""By how many times the round-trip time is what the path could do: mean over least."""

from typing import Final

import numpy as np

from ss_pusher.model import F64, Groups
from ss_pusher.select.rankings.ranking import Ranking, gauge

_RTT: Final = "ss_flow_rtt_seconds"
_LEAST: Final = "ss_flow_rtt_min_seconds"


def _score(groups: Groups, _seconds: float) -> F64:
    mean, least = gauge(groups, _RTT), gauge(groups, _LEAST)
    return np.divide(mean, least, out=np.zeros(len(groups)), where=least > 0)


RTT_INFLATION: Final = Ranking("rtt_inflation", (_RTT, _LEAST), _score)
