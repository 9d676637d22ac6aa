"""Which groups are exported: rankings with hysteresis, within limits that hold in every tick."""

import math
import secrets
import sys
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from ss_pusher.model import F64, I64, U64, Choice, Groups, KeyPart, Rows
from ss_pusher.select.budget import HourlyBudget, Limit
from ss_pusher.select.candidates import NOBODY, Candidates, match, observe, remember
from ss_pusher.select.choice import Exported, assembled, needed, owned
from ss_pusher.select.decision import Decision, Room, Rules, decide
from ss_pusher.select.keys import hashed, part, remainder_keys, remainder_of
from ss_pusher.select.prefix import Prefixes, networks, no_networks, summed
from ss_pusher.select.rankings import ranking
from ss_pusher.select.report import Report, coverage


class _Tick(NamedTuple):
    """The groups of a tick, and where each is to be found among the candidates."""

    candidates: Candidates
    own: Rows  # [groups]; NOBODY: no candidate
    network: Rows  # [groups]; the candidate that is its network; NOBODY: none
    home: Rows  # [groups]; its remainder


class Selection:
    """Owns the membership: which groups are exported, since when, and how all candidates scored.

    A group enters when its smoothed score ranks N or better in a ranking, and leaves after it ranked below 2N for
    more than `hold` ticks in a row in every ranking that held it. Equal inputs give equal outputs, in whatever order
    the rows of the groups come.

    Args:
        layout: where the labels stand in a group's key.
        top: rankings by name, and how many groups each exports; see `rankings.ranking` for the names.
        hold: for how many ticks in a row an exported group may stand below its band.
        series_per_group: how many series an exported group costs.
        max_new_series_per_hour: more are not begun in any hour; a quarter can be begun at once, the rest flows in
            steadily. None: no limit.
        max_values: how many values a label may have among the exported groups, `other` included.
        prefixes: networks to export where they matter as a whole and none of their addresses does; None: no network.

    Raises:
        ValueError: there is no such ranking.
    """

    def __init__(
        self,
        layout: Sequence[KeyPart],
        top: Sequence[tuple[str, int]],
        *,
        hold: int = 4,
        series_per_group: int = 1,
        max_new_series_per_hour: int | None = None,
        max_values: Mapping[str, int] | None = None,
        prefixes: Prefixes | None = None,
    ) -> None:
        self._layout = tuple(layout)
        self._rankings = tuple(ranking(name) for name, _ in top)
        self._rules = Rules(tuple(count for _, count in top), hold, _allowed(self._layout, max_values or {}))
        self._series_per_group = series_per_group
        most = sys.maxsize if max_new_series_per_hour is None else max_new_series_per_hour
        self._budget = HourlyBudget(most, series_per_group)
        address = part(self._layout, "remote_address")
        self._networks = None if prefixes is None or address is None else (address, prefixes)
        self._remainders = remainder_keys(self._layout)
        words = len(self._remainders)
        self._multipliers: U64 = np.frombuffer(secrets.token_bytes(16 * words), np.uint64).reshape(words, 2)
        self._tick = 0
        self._tokens = self._budget.capacity
        self._remainders_since: I64 = np.zeros(self.remainders, np.int64)
        self._candidates = Candidates.none(words, len(top))

    @property
    def needs(self) -> frozenset[str]:
        """The families that must be among the counters and gauges of the groups, exported or not."""
        return frozenset(name for known in self._rankings for name in known.needs)

    @property
    def remainders(self) -> int:
        """How many of the keys that may be exported are kept free for the remainder: `max_groups` is never less."""
        return len(self._remainders.T)

    def choose(self, groups: Groups, seconds: float, max_groups: int) -> tuple[Choice, Report]:
        """Decide on one tick.

        A key keeps its place in `Choice.keys` for as long as none before it leaves: keys stand in the order in which
        they entered, those of one tick in the order of their words.

        Args:
            groups: all groups of the tick.
            seconds: since the tick before, more than 0; for the first tick, the interval.
            max_groups: how many keys may be exported now, those of networks and of the remainder included; at least
                `remainders`, because what is not exported has to be credited somewhere.

        Raises:
            LookupError: the groups lack a family that `needs` names. Nothing has changed.
        """
        number = self._tick + 1
        tick = self._observed(groups, number, seconds)
        tokens = self._budget.refilled(self._tokens, seconds)
        coming = int(np.count_nonzero(self._remainders_since == 0))  # remainders that the budget must still pay
        affordable = math.floor(tokens / self._series_per_group) - coming
        room = Room(max(0, max_groups - self.remainders), max(0, affordable))
        decision = decide(tick.candidates, number, self._rules, room)
        now = decision.candidates
        members, owner = owned(now, tick.own, tick.network)
        appeared = (self._remainders_since == 0) & needed(owner, tick.home, self.remainders)
        since = np.where(appeared, number, self._remainders_since)
        exported = Exported(now.words[:, members], now.entered[members])
        choice = assembled(exported, Exported(self._remainders, since), owner, tick.home)
        new = (decision.entered + int(np.count_nonzero(appeared))) * self._series_per_group
        report = _report(groups, tick.own, owner, decision, new)
        self._tick, self._tokens, self._remainders_since = number, tokens - new, since
        self._candidates = remember(now, decision.bars)
        return choice, report

    def _observed(self, groups: Groups, tick: int, seconds: float) -> _Tick:
        known = self._candidates
        words = np.ascontiguousarray(groups.keys.T)
        home, is_remainder = remainder_of(words, self._layout)
        nets = no_networks(words)
        if self._networks is not None:
            nets = networks(words, *self._networks, self._multipliers, known.hashes[known.network])
        one = match(known, words, hashed(words, self._multipliers), nets.parent)
        one.fresh[is_remainder] = False
        many = match(known, nets.words, nets.hashes, None)
        exported = np.append(known.entered > 0, np.False_)[one.rows]  # the last one answers for NOBODY
        rest = summed(groups, np.where(exported, NOBODY, nets.of), len(nets.hashes), self.needs)
        scored = [(one, self._scores(groups, seconds)), (many, self._scores(rest, seconds))]
        candidates, (own, network) = observe(known, scored, tick, seconds)
        return _Tick(candidates, own, np.append(network, NOBODY)[nets.of], home)

    def _scores(self, groups: Groups, seconds: float) -> F64:
        """float64[rankings, groups], with 0 for all that does not rank."""
        scores = np.array([known.score(groups, seconds) for known in self._rankings], np.float64)
        scores = scores.reshape(len(self._rankings), len(groups))
        return np.where(np.isfinite(scores) & (scores > 0), scores, 0)


def _allowed(layout: Sequence[KeyPart], most: Mapping[str, int]) -> tuple[tuple[KeyPart, int], ...]:
    """How many values of each label groups may have: of all labels but direction, the remainder has one as well."""
    return tuple((p, most[p.label] - (p.label != "direction")) for p in layout if p.label in most)


def _report(groups: Groups, own: Rows, owner: Rows, decision: Decision, new_series: int) -> Report:
    wanted = np.append(decision.wanted, np.False_)[own]  # the last one answers for NOBODY
    unranked = int(np.count_nonzero((owner == NOBODY) & ~wanted))
    exported = decision.candidates.entered > 0
    return Report(
        groups=len(groups),
        exported=int(np.count_nonzero(exported)),
        networks=int(np.count_nonzero(exported & decision.candidates.network)),
        entered=decision.entered,
        evicted=decision.evicted,
        new_series=new_series,
        refused={limit: decision.refused.get(limit, 0) for limit in Limit} | {Limit.TOP: unranked},
        coverage=coverage(groups, owner != NOBODY),
    )
