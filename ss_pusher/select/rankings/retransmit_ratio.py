"""By the share of segments that were sent again."""

from typing import Final

import numpy as np

from ss_pusher.model import F64, Groups
from ss_pusher.select.rankings.declare import Ranking, increments

_SENT: Final = "ss_flow_sent_segments_total"
_RETRANSMITTED: Final = "ss_flow_retransmitted_segments_total"

_LEAST_SENT: Final = 10.0
"""A group that sent less is rated as if it had sent this many: one lost SYN is no path with a loss of 100 %."""


def _score(groups: Groups, _seconds: float) -> F64:
    return increments(groups, _RETRANSMITTED) / np.maximum(increments(groups, _SENT), _LEAST_SENT)


RETRANSMIT_RATIO: Final = Ranking("retransmit_ratio", (_SENT, _RETRANSMITTED), _score)
