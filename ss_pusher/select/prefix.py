"""Groups of one network added up: what a /24 or a /48 says when none of its addresses says anything."""

from collections.abc import Collection
from typing import Final, NamedTuple

import numpy as np

from ss_pusher.addresses import MAPPED_BITS, MAPPED_LOW, masks
from ss_pusher.model import F64, I64, U64, Bools, FlowGauge, Fold, Groups, KeyPart, Rows
from ss_pusher.select.candidates import NOBODY
from ss_pusher.select.keys import hashed
from ss_pusher.select.order import lookup

_MAPPED: Final = MAPPED_LOW >> 32  # RFC 4291, section 2.5.5.2
_FEWEST_GROUPS: Final = 2
"""Groups that a network must show in one tick to become a candidate: it speaks for several, or not at all."""


class Prefixes(NamedTuple):
    """How long a network's prefix is, in bits of its own family. No group is longer than 32 and 128."""

    ipv4: int = 24
    ipv6: int = 48


class Networks(NamedTuple):
    """The networks that matter among those that some groups belong to."""

    words: U64  # [words, networks], distinct
    hashes: U64  # [networks], ascending
    of: Rows  # [groups], indices into the networks; NOBODY: none of these
    parent: U64  # [groups]; the hash of the group's network, 0 where it has none


def no_networks(words: U64) -> Networks:
    """As if no group belonged to a network."""
    n = words.shape[1]
    return Networks(words[:, :0], np.empty(0, np.uint64), np.full(n, NOBODY), np.zeros(n, np.uint64))


def networks(words: U64, address: KeyPart, prefixes: Prefixes, multipliers: U64, known: U64) -> Networks:
    """The networks of the groups with these keys that show several groups, or whose hash is among the `known`.

    `address` is where the remote address stands: two words of the address, IPv4 in its mapped form, and the length of
    its prefix in bits of 128. A network's key is that of its groups, with address and length cut down to the prefix;
    a group that is no longer than that belongs to none.
    """
    longer, cut = _cut(words, address, prefixes)
    hashes = hashed(cut, multipliers)
    rows = np.flatnonzero(longer)
    order = rows[np.argsort(hashes[rows])]
    ascending = hashes[order]
    first = np.diff(ascending, prepend=~ascending[:1]) != 0
    starts = np.flatnonzero(first)
    sizes = np.diff(starts, append=len(order))
    kept = sizes >= _FEWEST_GROUPS
    kept[np.searchsorted(starts, lookup(ascending, known)[1])] = True
    again = np.flatnonzero(~first)
    foreign = again[(cut[:, order[again]] != cut[:, order[again - 1]]).any(axis=0)]
    kept[np.searchsorted(starts, foreign, side="right") - 1] = False  # one hash, two networks: neither
    of = np.full(len(hashes), NOBODY)
    of[order] = np.repeat(np.where(kept, np.cumsum(kept) - 1, NOBODY), sizes)
    heads = order[starts[kept]]
    return Networks(cut[:, heads], hashes[heads], of, np.where(longer, hashes, np.uint64(0)))


def _cut(words: U64, address: KeyPart, prefixes: Prefixes) -> tuple[Bools, U64]:
    """Which keys are longer than the prefix, and all keys cut to it."""
    high, low, length = words[address.first : address.first + address.width]
    mapped = (high == 0) & (low >> np.uint64(32) == _MAPPED)
    bits = (MAPPED_BITS + prefixes.ipv4, prefixes.ipv6)
    (four_high, four_low), (six_high, six_low) = (np.array(masks(length), np.uint64) for length in bits)
    target = np.where(mapped, *(np.uint64(length) for length in bits))
    cut = words.copy()
    cut[address.first] &= np.where(mapped, four_high, six_high)
    cut[address.first + 1] &= np.where(mapped, four_low, six_low)
    cut[address.first + 2] = target
    return length > target, cut


def summed(groups: Groups, of: Rows, count: int, families: Collection[str]) -> Groups:
    """The groups added up: group g counts into sum `of[g]` of `count`, or nowhere where that is NOBODY.

    Only the named families are added up, and the sums have no keys. A gauge folds groups as it folds sockets. Sums
    are made of the kernel's integers, exact up to 2^53, so the order of the groups does not show in the last bit.
    """
    rows = np.flatnonzero(of != NOBODY)
    at = of[rows]
    counters = [row for row, c in enumerate(groups.flow_counters) if c.family.name in families]
    gauges = [row for row, g in enumerate(groups.flow_gauges) if g.family.name in families]
    weights = _matrix([_total(at, groups.weights[row, rows], count) for row in gauges], count)
    folded = [
        _folded(groups.flow_gauges[row], groups.gauges[row, rows], groups.weights[row, rows], at, weight)
        for row, weight in zip(gauges, weights, strict=True)
    ]
    return Groups(
        flow_counters=tuple(groups.flow_counters[row] for row in counters),
        flow_gauges=tuple(groups.flow_gauges[row] for row in gauges),
        keys=np.empty((count, 0), np.uint64),
        sockets=_total(at, groups.sockets[rows], count).astype(np.int64),
        counters=_matrix([_total(at, groups.counters[row, rows], count) for row in counters], count).astype(np.int64),
        gauges=_matrix(folded, count),
        weights=weights.astype(np.int64),
    )


def _matrix(rows: list[F64], count: int) -> F64:
    return np.array(rows, np.float64).reshape(len(rows), count)


def _total(at: Rows, values: I64 | F64, count: int) -> F64:
    return np.bincount(at, values, count).astype(np.float64, copy=False)


def _folded(gauge: FlowGauge, values: F64, weights: I64, at: Rows, weight: F64) -> F64:
    if gauge.fold in (Fold.MAX, Fold.MIN):
        extremes: F64 = np.full(len(weight), np.nan)
        (np.fmax if gauge.fold is Fold.MAX else np.fmin).at(extremes, at, values)
        return extremes
    parts = values * weights if gauge.fold is Fold.MEAN else values
    total = _total(at, np.where(np.isnan(values), 0, np.rint(parts * gauge.per)), len(weight)) / gauge.per
    divisor = weight if gauge.fold is Fold.MEAN else np.ones(len(weight))
    folded: F64 = np.divide(total, divisor, out=np.full(len(weight), np.nan), where=weight > 0)
    return folded
