"""By open sockets."""

from typing import Final

import numpy as np

from ss_pusher.model import F64, Groups
from ss_pusher.select.rankings.declare import Ranking


def _score(groups: Groups, _seconds: float) -> F64:
    return groups.sockets.astype(np.float64)


FLOWS: Final = Ranking("flows", (), _score)
