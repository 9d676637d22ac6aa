"""By any metric of flows: a counter by what it grew by in a second, a gauge by its value."""

from typing import Final

from ss_pusher.model import F64, Groups
from ss_pusher.select.rankings.declare import Ranking, gauge, increments

PREFIX: Final = "ss_flow_"


def by_metric(name: str) -> Ranking:
    """The ranking by the metric of this name; that it exists is the caller's to check."""

    def score(groups: Groups, seconds: float) -> F64:
        if any(counter.family.name == name for counter in groups.flow_counters):
            return increments(groups, name) / seconds
        return gauge(groups, name)

    return Ranking(name, (name,), score)
