"""Every ranking that `limit.top` takes: one file each, one line in the list here."""

from typing import Final

from ss_pusher.select.rankings.declare import Ranking
from ss_pusher.select.rankings.flows import FLOWS
from ss_pusher.select.rankings.metric import PREFIX, by_metric
from ss_pusher.select.rankings.retransmit_ratio import RETRANSMIT_RATIO
from ss_pusher.select.rankings.retransmits import RETRANSMITS
from ss_pusher.select.rankings.rtt import RTT
from ss_pusher.select.rankings.rtt_inflation import RTT_INFLATION
from ss_pusher.select.rankings.throughput import THROUGHPUT

__all__ = ["RANKINGS", "Ranking", "ranking"]

RANKINGS: Final[tuple[Ranking, ...]] = (
    THROUGHPUT,
    RETRANSMITS,
    RETRANSMIT_RATIO,
    RTT,
    RTT_INFLATION,
    FLOWS,
)


def ranking(name: str) -> Ranking:
    """The ranking of this name; a name that begins with ss_flow_ is that metric's.

    Raises:
        ValueError: there is none; the text names those that there are.
    """
    if name.startswith(PREFIX):
        return by_metric(name)
    for known in RANKINGS:
        if known.name == name:
            return known
    names = ", ".join(known.name for known in RANKINGS)
    raise ValueError(f"no ranking {name!r}; there are {names}, and every metric by its name, {PREFIX}...")
