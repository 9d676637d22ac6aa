"""By payload moved, sent and received together, in bytes a second."""

from typing import Final

from ss_pusher.model import F64, Groups
from ss_pusher.select.rankings.declare import Ranking, increments

_SENT: Final = "ss_flow_sent_bytes_total"
_RECEIVED: Final = "ss_flow_received_bytes_total"


def _score(groups: Groups, seconds: float) -> F64:
    return (increments(groups, _SENT) + increments(groups, _RECEIVED)) / seconds


THROUGHPUT: Final = Ranking("throughput", (_SENT, _RECEIVED), _score)
