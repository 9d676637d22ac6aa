"""Shows the same traffic to every policy, and adds up what each exported, and at what price."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np

from bench.policies import SERIES_PER_GROUP, THROUGHPUT, EveryFlow, FirstCome, Ours, Outcome, PlainTop, Policy
from bench.traces import HOUR, TRACES, Traffic
from ss_pusher.model import Rows

EVERY_FLOW: Final = "every flow"
PLAIN_TOP: Final = "plain top-N"
FIRST_COME: Final = "first come"
OURS: Final = "ours"


class Result(NamedTuple):
    """What a policy came to on a trace."""

    series: float  # mean over the ticks
    most_series: int
    new_per_hour: float  # series
    bytes: float  # share of all bytes that stand in exported groups
    retransmits: float  # the same
    rank_error: float  # how many ranks lower an exported group stands than in the exact top, by bytes; mean


@dataclass
class _Tally:
    ticks: int = 0
    groups: int = 0
    most: int = 0
    new: int = 0
    bytes: int = 0
    retransmits: int = 0
    rank_error: float = 0

    def add(self, traffic: Traffic, outcome: Outcome, order: Rows) -> None:
        """Add a tick; `order` sorts its peers by bytes, the heaviest first."""
        self.ticks += 1
        self.groups += outcome.groups
        self.most = max(self.most, outcome.groups)
        self.new += outcome.new
        self.bytes += int(traffic.bytes[outcome.exported].sum())
        self.retransmits += int(traffic.retransmits[outcome.exported].sum())
        wanted = min(THROUGHPUT, len(order))
        ranks = np.full(wanted, len(order))
        exported = np.flatnonzero(outcome.exported[order])[:wanted]
        ranks[: len(exported)] = exported
        self.rank_error += float((ranks - np.arange(wanted)).mean())


def replay(name: str, seed: int, seconds: float, scale: float) -> Mapping[str, Result]:
    """Run all policies over the trace of this name; `scale` is the share of its full number of peers."""
    return compare(TRACES[name](np.random.default_rng(seed), seconds, scale), seed, seconds)


def compare(trace: Iterable[Traffic], seed: int, seconds: float) -> Mapping[str, Result]:
    """Run all policies over a trace."""
    policies: Mapping[str, Policy] = {
        EVERY_FLOW: EveryFlow(),
        PLAIN_TOP: PlainTop(),
        FIRST_COME: FirstCome(np.random.default_rng([seed, 1])),
        OURS: Ours(),
    }
    tallies = {policy: _Tally() for policy in policies}
    for traffic in trace:
        order = np.argsort(-traffic.bytes, kind="stable")
        for policy, tally in tallies.items():
            tally.add(traffic, policies[policy].export(traffic, seconds), order)
    whole = tallies[EVERY_FLOW]
    return {policy: _result(tally, whole, seconds) for policy, tally in tallies.items()}


def _result(tally: _Tally, whole: _Tally, seconds: float) -> Result:
    return Result(
        series=tally.groups * SERIES_PER_GROUP / tally.ticks,
        most_series=tally.most * SERIES_PER_GROUP,
        new_per_hour=tally.new * SERIES_PER_GROUP * HOUR / (tally.ticks * seconds),
        bytes=tally.bytes / whole.bytes,
        retransmits=tally.retransmits / whole.retransmits,
        rank_error=tally.rank_error / tally.ticks,
    )
