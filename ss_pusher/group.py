"""Flows into groups: rows with equal keys are one group, and its values are folded from theirs."""

from collections.abc import Sequence
from typing import Final

import numpy as np

from ss_pusher.model import F64, I64, U64, FlowCounter, FlowGauge, Fold, Groups, Movement, Rows, Sockets

_ODD: Final = np.uint64(0x9E37_79B9_7F4A_7C15)


def group(
    movement: Movement,
    opened: Sockets,
    counters: Sequence[FlowCounter],
    gauges: Sequence[FlowGauge],
    odd: U64,
) -> Groups:
    """Fold the flows that filters kept. The same flows in any order make the same groups, in any order.

    Args:
        movement: what each flow moved; its first rows are those of `opened`, in the same order.
        opened: the open flows.
        counters: the increments to add up.
        gauges: the momentary values to fold.
        odd: one odd number for each word of a key, unknown to peers, who choose addresses and could make them collide.
    """
    rows = np.flatnonzero(movement.kept)
    everything = len(rows) == len(movement.kept)
    keys, of = identify(movement.keys if everything else movement.keys[rows], odd)
    moved = dict(zip(movement.fields, movement.increments, strict=True))
    if not everything:
        moved = {name: increments[rows] for name, increments in moved.items()}
        opened = opened.take(movement.kept[: len(opened)])
    of_open = of[: len(opened)]
    sockets = np.bincount(of_open, minlength=len(keys))
    folded = [_fold(gauge, opened, of_open, sockets) for gauge in gauges]
    shape = (len(gauges), len(keys))
    return Groups(
        flow_counters=tuple(counters),
        flow_gauges=tuple(gauges),
        keys=keys,
        sockets=sockets,
        counters=_increments(counters, moved, of, len(keys)),
        gauges=np.array([value for value, _ in folded], dtype=np.float64).reshape(shape),
        weights=np.array([weight for _, weight in folded], dtype=np.int64).reshape(shape),
    )


def identify(keys: U64, odd: U64) -> tuple[U64, Rows]:
    """The distinct rows of `keys` [n, words], and for each row where it stands among them [n]."""
    varying = [(word, factor) for word, factor in zip(keys.T, odd, strict=True) if (word != word[:1]).any()]
    hashes = np.zeros(len(keys), dtype=np.uint64)
    for word, factor in varying:
        hashes = (hashes ^ word) * factor
        hashes ^= hashes >> np.uint64(32)
    rows = np.arange(len(keys))
    alike = _alike([word for word, _ in varying], hashes, rows)
    found = np.flatnonzero(alike == rows)
    place = np.empty_like(rows)
    place[found] = np.arange(len(found))
    return keys[found], place[alike]


def _alike(words: Sequence[U64], hashes: U64, rows: Rows) -> Rows:
    """For each of `rows`, which count from 0, one whose words are the same: of those that are alike, the same one.

    Each slot of a table keeps one of the rows whose hash leads there: unlike sorting, it takes but one pass. Rows that
    found another key in their slot go on among themselves, in another table; each table settles at least one key.
    """
    table = np.empty(1 << len(rows).bit_length() + 1, np.intp)
    slots = (hashes >> np.uint64(65 - table.size.bit_length())).view(np.intp)
    table[slots] = rows
    alike = table[slots]
    different = np.zeros(len(rows), np.bool_)
    for word in words:
        different |= word != word[alike]
    others = np.flatnonzero(different)
    if len(others):
        again = _alike([word[others] for word in words], hashes[others] * _ODD, rows[: len(others)])
        alike[others] = others[again]
    return alike


def _increments(counters: Sequence[FlowCounter], moved: dict[str, I64], of: Rows, groups: int) -> I64:
    """Integers, added as integers: [counters, groups]."""
    total = np.zeros((len(counters), groups), dtype=np.int64)
    for row, counter in zip(total, counters, strict=True):
        increments = moved[counter.field]
        if counter.minus:
            # The kernel counts a retransmission before it knows that it could be sent.
            increments = np.maximum(increments - moved[counter.minus], 0)
        if increments.any():  # many a counter stands still for all flows
            np.add.at(row, of, increments)
    return total


def _fold(gauge: FlowGauge, opened: Sockets, of: Rows, sockets: I64) -> tuple[F64, I64]:
    """One gauge of every group, scaled, NaN where no flow of it has a value; and how many of its `sockets` have one."""
    counts = opened.known(gauge.field)
    if gauge.unless:
        counts &= opened.known(gauge.unless)
        counts[counts] = opened.info[gauge.unless][counts] == 0
    if not counts.any():
        return np.full(len(sockets), np.nan), np.zeros_like(sockets)
    values, weights = opened.info[gauge.field], sockets
    if not counts.all():
        values, of = values[counts], of[counts]
        weights = np.bincount(of, minlength=len(sockets))
    return _folded(gauge.fold, values.astype(np.float64), of, weights) / gauge.per, weights


def fold(how: Fold, values: F64, of: Rows, groups: int) -> tuple[F64, I64]:
    """Fold `values` [n] of the groups `of` [n]: NaN where a group has none, and how many each has."""
    weights = np.bincount(of, minlength=groups)
    return _folded(how, values, of, weights), weights


def _folded(how: Fold, values: F64, of: Rows, weights: I64) -> F64:
    if how is Fold.MAX:
        folded = np.full(len(weights), -np.inf)
        np.maximum.at(folded, of, values)
    elif how is Fold.MIN:
        folded = np.full(len(weights), np.inf)
        np.minimum.at(folded, of, values)
    else:
        folded = np.zeros(len(weights))
        np.add.at(folded, of, values)
        if how is Fold.MEAN:
            folded /= np.maximum(weights, 1)
    return np.where(weights > 0, folded, np.nan)
