"""Ways to bound the number of series, to be compared with ours on the same traffic."""

from typing import Final, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from bench.traces import HOUR, LAYOUT, Traffic
from ss_pusher.model import OTHER_WORD, Bools, Rows
from ss_pusher.select import Selection

THROUGHPUT: Final = 50
RETRANSMITS: Final = 20
SERIES_PER_GROUP: Final = 25  # a few more than the preset `standard` has
MAX_SERIES: Final = 10_000
MAX_NEW_SERIES_PER_HOUR: Final = 20_000
_MAX_GROUPS: Final = MAX_SERIES // SERIES_PER_GROUP


class Outcome(NamedTuple):
    """What a policy exports in a tick: which of the peers, how many in all, and how many that it did not before."""

    exported: Bools  # [peers]
    groups: int
    new: int


class Policy(Protocol):
    """Sees the ticks one after the other."""

    def export(self, traffic: Traffic, seconds: float) -> Outcome:
        """Decide on one tick."""


class EveryFlow:
    """One group a peer, for as long as it has a flow."""

    def __init__(self) -> None:
        self._before: Rows = np.empty(0, np.intp)

    def export(self, traffic: Traffic, seconds: float) -> Outcome:
        """Export all."""
        del seconds
        new, self._before = _new(traffic.peers, self._before), traffic.peers
        return Outcome(np.ones(len(traffic.peers), np.bool_), len(traffic.peers), new)


class PlainTop:
    """The top of this very tick, as a query or a cron job would take it."""

    def __init__(self) -> None:
        self._before: Rows = np.empty(0, np.intp)

    def export(self, traffic: Traffic, seconds: float) -> Outcome:
        """Export the union of both tops."""
        del seconds
        rows = np.union1d(top(traffic.bytes, THROUGHPUT), top(traffic.retransmits, RETRANSMITS))
        new, self._before = _new(traffic.peers[rows], self._before), traffic.peers[rows]
        exported = np.zeros(len(traffic.peers), np.bool_)
        exported[rows] = True
        return Outcome(exported, len(rows), new)


class FirstCome:
    """Whoever comes first in the hour has a place until it ends, as with a server's hourly limit on series.

    It has as many places as `limit.max_series` gives ours.
    """

    def __init__(self, random: np.random.Generator) -> None:
        self._random = random
        self._admitted: Rows = np.empty(0, np.intp)
        self._before: Rows = np.empty(0, np.intp)
        self._since = 0.0

    def export(self, traffic: Traffic, seconds: float) -> Outcome:
        """Export those that have a place; newcomers come in no particular order."""
        self._since += seconds
        if self._since > HOUR:
            self._since, self._admitted = seconds, self._admitted[:0]
        newcomers = self._random.permutation(np.setdiff1d(traffic.peers, self._admitted, assume_unique=True))
        self._admitted = np.concatenate([self._admitted, newcomers[: _MAX_GROUPS - len(self._admitted)]])
        new, self._before = _new(self._admitted, self._before), self._admitted
        return Outcome(np.isin(traffic.peers, self._admitted, assume_unique=True), len(self._admitted), new)


class Ours:
    """The selection as it is, with the limits of the sample configuration."""

    def __init__(self) -> None:
        self._selection = Selection(
            LAYOUT,
            [("throughput", THROUGHPUT), ("retransmits", RETRANSMITS)],
            series_per_group=SERIES_PER_GROUP,
            max_new_series_per_hour=MAX_NEW_SERIES_PER_HOUR,
        )

    def export(self, traffic: Traffic, seconds: float) -> Outcome:
        """Let it choose."""
        choice, report = self._selection.choose(traffic.groups(), seconds, _MAX_GROUPS)
        own = choice.keys[:, 2] != np.uint64(OTHER_WORD)
        return Outcome(own[choice.owner], report.exported, report.entered)


def top(amounts: npt.NDArray[np.int64], count: int) -> Rows:
    """The rows with the highest amounts above 0, the best first."""
    rows = np.flatnonzero(amounts > 0)
    if len(rows) > count:
        rows = rows[np.argpartition(-amounts[rows], count)[:count]]
    return rows[np.argsort(-amounts[rows], kind="stable")]


def _new(peers: Rows, before: Rows) -> int:
    return int(np.count_nonzero(~np.isin(peers, before, assume_unique=True)))
