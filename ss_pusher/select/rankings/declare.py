"""What a ranking is, and how its score reads the columns of a tick."""

from collections.abc import Callable
from dataclasses import dataclass

from ss_pusher.model import F64, Groups


@dataclass(frozen=True, slots=True)
class Ranking:
    """An order of groups: the higher the score, the more a group matters.

    `needs` names the families that must be among the tick's counters and gauges, exported or not. `score` takes the
    groups and the seconds since the tick before, and gives a float64 for each group; 0, NaN, infinite and negative
    mean that the group does not rank.
    """

    name: str
    needs: tuple[str, ...]
    score: Callable[[Groups, float], F64]


def increments(groups: Groups, name: str) -> F64:
    """float64[groups]: what the counter grew by in this tick, in its exported unit.

    Raises:
        LookupError: the counter was not collected.
    """
    for counter, row in zip(groups.flow_counters, groups.counters, strict=True):
        if counter.family.name == name:
            grown: F64 = row / counter.per
            return grown
    raise LookupError(f"the tick has no counter {name}")


def gauge(groups: Groups, name: str) -> F64:
    """float64[groups]: the gauge's value, NaN where the group has none.

    Raises:
        LookupError: the gauge was not collected.
    """
    for flow_gauge, row in zip(groups.flow_gauges, groups.gauges, strict=True):
        if flow_gauge.family.name == name:
            value: F64 = row
            return value
    raise LookupError(f"the tick has no gauge {name}")
