"""By segments sent again, a second."""

from typing import Final

from ss_pusher.model import F64, Groups
from ss_pusher.select.rankings.declare import Ranking, increments

_RETRANSMITTED: Final = "ss_flow_retransmitted_segments_total"


def _score(groups: Groups, seconds: float) -> F64:
    return increments(groups, _RETRANSMITTED) / seconds


RETRANSMITS: Final = Ranking("retransmits", (_RETRANSMITTED,), _score)
