"""Where each candidate stands in each ranking."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from ss_pusher.model import I64, Rows
from ss_pusher.select.candidates import Candidates
from ss_pusher.select.order import leading, ordered

BEYOND: Final = np.iinfo(np.int64).max
"""The rank of what stands deeper than was looked, or scores 0."""


def ranks(candidates: Candidates, depths: Sequence[int]) -> I64:
    """int64[rankings, n], from 1 on; `BEYOND` for all but the foremost `depths[r]` groups, and as many networks.

    Equal scores rank by age, older first, then by key. A network ranks among groups and networks alike, a group only
    among groups: the networks of the heaviest groups must not push others out.
    """
    result = np.full(candidates.scores.shape, BEYOND)
    for ranking, depth in enumerate(depths):
        falling = -candidates.scores[ranking]
        order = (falling, candidates.born, *candidates.words)

        def front(rows: Rows, depth: int = depth, order: Sequence[np.ndarray] = order) -> Rows:
            return ordered(leading(rows, depth, order), order)

        groups = front(np.flatnonzero((falling < 0) & ~candidates.network))
        networks = front(np.flatnonzero((falling < 0) & candidates.network))
        ahead = np.searchsorted(falling[groups], falling[networks], side="right")
        result[ranking, groups] = np.arange(1, len(groups) + 1)
        result[ranking, networks] = ahead + np.arange(1, len(networks) + 1)
    return result
