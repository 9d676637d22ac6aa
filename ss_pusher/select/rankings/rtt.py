"""By round-trip time, mean over the group's flows."""

from typing import Final

from ss_pusher.model import F64, Groups
from ss_pusher.select.rankings.declare import Ranking, gauge

_RTT: Final = "ss_flow_rtt_seconds"


def _score(groups: Groups, _seconds: float) -> F64:
    return gauge(groups, _RTT)


RTT: Final = Ranking("rtt", (_RTT,), _score)
