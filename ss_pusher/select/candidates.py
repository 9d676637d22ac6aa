"""What the selection remembers of groups, as columns: how they scored, and since when they are exported."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Final, NamedTuple, Self

import numpy as np

from ss_pusher.model import F64, I64, U64, Bools, Rows
from ss_pusher.select.order import leading, lookup

NOBODY: Final = -1

SMOOTHING: Final = 130.0
"""Seconds in which an average forgets all but 1/e of what was. Shorter follows traffic closer, at the cost of more new
series; docs/cardinality.md shows what this one gives.
"""

_PATIENCE: Final = 10 * SMOOTHING
"""Seconds without a score after which an average is taken for the 0 that it has nearly become."""

_MOST_REMEMBERED: Final = 8192
"""Candidates that are remembered besides those that are exported. About 2 MB with three rankings."""


@dataclass(frozen=True, slots=True)
class Candidates:
    """Groups and networks worth remembering; the last axis of every column has n rows, sorted by hash.

    A score is a moving average that starts at 0. `weight` is the same average of 1: a score divided by it is the mean
    since the candidate is known.
    """

    hashes: U64
    words: U64  # [words, n]; the keys, a row a word
    network: Bools  # it stands for the groups of a network
    parent: U64  # the hash of the network that a group belongs to; 0: none
    scores: F64  # [rankings, n]
    weight: F64
    silent: F64  # [rankings, n]; seconds since it last scored at all
    born: I64  # the tick that it is known since
    entered: I64  # the tick that it is exported since; 0: it is not
    held: Bools  # [rankings, n]; the rankings that export it
    below: I64  # [rankings, n]; for how many ticks in a row a ranking that holds it would no longer

    def __len__(self) -> int:
        return len(self.hashes)

    def take(self, rows: Rows | Bools) -> Self:
        """The given rows (indices or a mask), in that order."""
        return type(self)(*(getattr(self, f.name)[..., rows] for f in fields(self)))

    @classmethod
    def concatenate(cls, parts: Sequence[Self]) -> Self:
        """All rows of `parts`, at least one; sorted no more."""
        return cls(*(np.concatenate([getattr(part, f.name) for part in parts], axis=-1) for f in fields(cls)))

    @classmethod
    def none(cls, words: int, rankings: int) -> Self:
        """No rows."""
        empty = np.empty(0, np.uint64)
        rows = np.empty(0, np.intp)
        return cls.new(Seen(np.empty((words, 0), np.uint64), empty, empty, rows, rows > 0), rows, rankings, tick=0)

    @classmethod
    def new(cls, seen: "Seen", rows: Rows, rankings: int, tick: int) -> Self:
        """These rows of what was seen, of which nothing is known yet."""
        n = len(rows)
        return cls(
            hashes=seen.hashes[rows],
            words=seen.words[:, rows],
            network=np.full(n, seen.parent is None),
            parent=np.zeros(n, np.uint64) if seen.parent is None else seen.parent[rows],
            scores=np.zeros((rankings, n)),
            weight=np.zeros(n),
            silent=np.zeros((rankings, n)),
            born=np.full(n, tick),
            entered=np.zeros(n, np.int64),
            held=np.zeros((rankings, n), np.bool_),
            below=np.zeros((rankings, n), np.int64),
        )


class Seen(NamedTuple):
    """Groups or networks of one tick: which candidates they are, and how they scored."""

    words: U64  # [words, n], no key twice
    hashes: U64  # [n]
    parent: U64 | None  # [n]; the hash of a group's network, 0 where it has none; None: these are networks
    rows: Rows  # [n]; where it stands among the candidates, or NOBODY
    fresh: Bools  # [n]; not among the candidates, and may become one


def match(known: Candidates, words: U64, hashes: U64, parent: U64 | None) -> Seen:
    """Find keys among the candidates by hash, and compare every word.

    A key that shares its hash with another is never fresh, so that a hash stands for one candidate: two groups whose
    hashes meet are never taken for one, but of the two only the one that was known first can be exported.
    """
    order = np.argsort(hashes)
    ascending = hashes[order]
    found, at = lookup(ascending, known.hashes)
    met = order[at]
    same = (known.words[:, found] == words[:, met]).all(axis=0)
    rows = np.full(len(order), NOBODY, np.intp)
    rows[met[same]] = found[same]
    fresh = rows == NOBODY
    fresh[met[~same]] = False
    twins = np.flatnonzero(ascending[1:] == ascending[:-1])
    fresh[order[twins]] = fresh[order[twins + 1]] = False
    return Seen(words, hashes, parent, rows, fresh)


def observe(
    known: Candidates, scored: Sequence[tuple[Seen, F64]], tick: int, seconds: float
) -> tuple[Candidates, list[Rows]]:
    """The candidates with the fresh ones behind them, all averages moved; and where each that was seen stands now.

    The scores of what was seen, float64[rankings, n], are finite and not negative.
    """
    parts, latest, places = [known], [np.zeros(known.scores.shape)], []
    offset = len(known)
    for seen, scores in scored:
        met = np.flatnonzero(seen.rows != NOBODY)
        latest[0][:, seen.rows[met]] = scores[:, met]
        fresh = _foremost(seen, scores)
        parts.append(Candidates.new(seen, fresh, len(scores), tick))
        latest.append(scores[:, fresh])
        rows = seen.rows.copy()
        rows[fresh] = offset + np.arange(len(fresh))
        places.append(rows)
        offset += len(fresh)
    return _moved(Candidates.concatenate(parts), np.concatenate(latest, axis=1), seconds), places


def _foremost(seen: Seen, scores: F64) -> Rows:
    """The fresh ones that stand in front in some ranking: no other could be exported or remembered."""
    foremost = np.zeros(len(seen.fresh), np.bool_)
    for ranking in scores:
        rows = np.flatnonzero(seen.fresh & (ranking > 0))
        foremost[leading(rows, _MOST_REMEMBERED, (-ranking, *seen.words))] = True
    return np.flatnonzero(foremost)


def _moved(candidates: Candidates, latest: F64, seconds: float) -> Candidates:
    gain = -math.expm1(-seconds / SMOOTHING)
    silent = np.where(latest > 0, 0, candidates.silent + seconds)
    scores = candidates.scores + gain * (latest - candidates.scores)
    scores[silent > _PATIENCE] = 0
    weight = candidates.weight + gain * (1 - candidates.weight)
    return replace(candidates, scores=scores, weight=weight, silent=silent)


def remember(candidates: Candidates, bars: F64) -> Candidates:
    """Those that are exported, and of the others the most promising; sorted by hash.

    `bars` [rankings] are the scores, more than 0, that it takes to be exported. What counts against them is the mean
    since a candidate is known: a newcomer's average starts at 0, and would lose against everything that is older.
    """
    exported = candidates.entered > 0
    others = np.flatnonzero(~exported & candidates.scores.any(axis=0))
    with np.errstate(over="ignore"):  # far above a bar that is hardly more than 0: infinity is right
        promise = (candidates.scores / bars[:, None]).max(axis=0, initial=0) / candidates.weight
    kept = leading(others, _MOST_REMEMBERED, (-promise, candidates.born, *candidates.words))
    rows = np.concatenate([np.flatnonzero(exported), kept])
    return candidates.take(rows[np.argsort(candidates.hashes[rows])])
