"""What the same host would cost with other settings: several ways to choose groups, fed with the same ticks."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Protocol

import numpy as np

from ss_pusher.app.agent import Agent
from ss_pusher.app.selecting import make_selection
from ss_pusher.config import Config
from ss_pusher.model import Choice, Groups, LedgerField
from ss_pusher.select import Selection
from ss_pusher.select.rankings import ranking
from ss_pusher.select.report import coverage

_HOUR: Final = 3600.0


class Tick(NamedTuple):
    """What one way of choosing exports in a tick."""

    groups: int  # with series of their own, and the remainder where there is one
    entered: int  # groups that it did not export in the tick before
    coverage: Mapping[str, float]


class Way(Protocol):
    """Sees the ticks one after the other."""

    def choose(self, groups: Groups, seconds: float, room: int) -> Tick:
        """Decide on one tick; `room` is how many groups the limits have room for."""


@dataclass
class Alternative:
    """A way of choosing, and what it did in the ticks that it was shown."""

    name: str
    way: Way
    ticks: list[Tick] = field(default_factory=list)
    seconds: float = 0.0  # that the ticks span

    def show(self, groups: Groups, seconds: float, room: int) -> None:
        """One more tick, `seconds` after the one before."""
        self.seconds += seconds if self.ticks else 0.0
        self.ticks.append(self.way.choose(groups, seconds, room))

    def groups(self) -> int:
        """How many groups had series of their own in the last tick."""
        return self.ticks[-1].groups

    def new_an_hour(self) -> float:
        """Groups that entered after the first tick, as if it went on so for an hour; NaN after one tick."""
        entered = sum(tick.entered for tick in self.ticks[1:])
        return entered * _HOUR / self.seconds if self.seconds else float("nan")

    def coverage(self, of: str) -> float:
        """The mean share of what the ticks moved that stands in groups of their own; NaN: nothing moved."""
        shares = [share for tick in self.ticks if not np.isnan(share := tick.coverage.get(of, float("nan")))]
        return float(np.mean(shares)) if shares else float("nan")


class _Ours:
    def __init__(self, selection: Selection) -> None:
        self._selection = selection

    def choose(self, groups: Groups, seconds: float, room: int) -> Tick:
        choice, report = self._selection.choose(groups, seconds, room)
        return Tick(len(choice.keys), report.entered, report.coverage)


class _PlainTop:
    """The top of this very tick, as a query would take it."""

    def __init__(self, top: Mapping[str, int]) -> None:
        self._rankings = [(ranking(name), count) for name, count in top.items()]
        self._before: set[bytes] = set()

    def choose(self, groups: Groups, seconds: float, room: int) -> Tick:
        del room
        exported = np.zeros(len(groups), dtype=np.bool_)
        for one, count in self._rankings:
            scores = np.nan_to_num(one.score(groups, seconds), nan=0.0)
            best = np.argsort(-scores, kind="stable")[:count]
            exported[best[scores[best] > 0]] = True
        now = {key.tobytes() for key in groups.keys[exported]}
        entered, self._before = len(now - self._before), now
        return Tick(len(now), entered, coverage(groups, exported))


class _EveryFlow:
    """One set of series a connection, as exporters without a bound have it."""

    def choose(self, groups: Groups, seconds: float, room: int) -> Tick:
        del seconds, room
        counted: dict[str, int] = defaultdict(int)
        for counter, row in zip(groups.flow_counters, groups.counters, strict=True):
            counted[counter.field] = int(row.sum())
        # What opened and closed since the last tick would have had series too, had anybody seen it.
        flows = int(groups.sockets.sum()) + counted[LedgerField.CLOSED]
        return Tick(flows, counted[LedgerField.OPENED], coverage(groups, np.ones(len(groups), dtype=np.bool_)))


def watch(agent: Agent, config: Config) -> list[Alternative]:
    """Show each tick of `agent` from now on to other ways of choosing too; the first is the configured one."""
    pipeline = agent.pipeline
    layout = pipeline.attributor.layout(pipeline.plan.by)
    plain = {top.by: top.count for top in config.limit.top}
    alternatives = [
        Alternative("as configured", _Ours(make_selection(config, pipeline.plan, layout))),
        Alternative("half of N", _Ours(make_selection(config, pipeline.plan, layout, 0.5))),
        Alternative("double N", _Ours(make_selection(config, pipeline.plan, layout, 2))),
        Alternative("plain top N of each tick", _PlainTop(plain)),
        Alternative("every connection", _EveryFlow()),
    ]
    pipeline.choose = _shown_to(alternatives, pipeline.choose, max(pipeline.plan.series_per_group, 1))
    return alternatives


def _shown_to(
    alternatives: list[Alternative], choose: Callable[[Groups, int, float], Choice], series_per_group: int
) -> Callable[[Groups, int, float], Choice]:
    def watched(groups: Groups, room: int, seconds: float) -> Choice:
        for alternative in alternatives:
            alternative.show(groups, seconds, room // series_per_group)
        return choose(groups, room, seconds)

    return watched


def rows(alternatives: list[Alternative], series_per_group: int, fixed: int) -> Iterator[tuple[str, ...]]:
    """Name, series, new series an hour, coverage of bytes, retransmits and flows; `fixed` is all other series."""
    for alternative in alternatives:
        shares = (_percent(alternative.coverage(of)) for of in ("bytes", "retransmits", "flows"))
        new = alternative.new_an_hour() * series_per_group
        series = fixed + alternative.groups() * series_per_group
        yield (alternative.name, f"{series:,}", "-" if np.isnan(new) else f"{new:,.0f}", *shares)


def _percent(share: float) -> str:
    return "-" if np.isnan(share) else f"{share:.1%}"
