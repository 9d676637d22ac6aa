"""The totals that are exported: of the host, and of each exported group since it became one."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from ss_pusher.buckets import Finder, decimal_edge, exponential_edges
from ss_pusher.model import I64, U64, Choice, Column, Family, Groups, HistogramBlock, Labels, NativeBuckets

SCHEMA: Final = 3
"""Of native histograms: each bucket is 9% wider than the one before, so the middle of one is at most 4.4% wrong.

Round-trip times, 32 bits of microseconds, can then fill 257 buckets, 64 bits of bytes 513; a host fills some dozens.
"""


@dataclass(frozen=True, slots=True)
class Totals:
    """What stands in the accounts after a tick, in the kernel's own integers."""

    labels: tuple[Labels, ...]  # [exported]; the same object as long as the same keys are exported
    counters: I64  # [counters, exported]
    start_ms: I64  # [exported], when each began to count from 0
    host: I64  # [counters]
    host_start_ms: int


class Accounts:
    """Accumulates increments by exported key. What stops being exported is forgotten, and would begin again at 0."""

    def __init__(self, counters: int, words: int, render: Callable[[U64], Labels]) -> None:
        """`render` makes the labels of a key [words]; it is asked once, when the key becomes exported."""
        self._render: Final = render
        self._labels: tuple[Labels, ...] = ()
        self._host: I64 = np.zeros(counters, dtype=np.int64)
        self._host_start_ms = 0
        self._keys: U64 = np.empty((0, words), dtype=np.uint64)
        self._counters: I64 = np.empty((counters, 0), dtype=np.int64)
        self._start_ms: I64 = np.empty(0, dtype=np.int64)

    def credit(self, groups: Groups, choice: Choice, previous_ms: int) -> Totals:
        """Credit each group's increments to its owner, and all of them to the host.

        `previous_ms` is the tick before, since which the increments were made: the start of a key that is new.
        """
        if not np.array_equal(choice.keys, self._keys):
            self._carry(choice.keys, previous_ms)
        for total, increments in zip(self._counters, groups.counters, strict=True):
            np.add.at(total, choice.owner, increments)
        self._host_start_ms = self._host_start_ms or previous_ms
        self._host += groups.counters.sum(axis=1)
        return Totals(self._labels, self._counters.copy(), self._start_ms, self._host.copy(), self._host_start_ms)

    def move(self, milliseconds: int) -> None:
        """Move all times that are remembered: the clock that gave them was wrong by so much."""
        self._start_ms = self._start_ms + milliseconds  # anew: the last `Totals` has the old ones
        self._host_start_ms += milliseconds if self._host_start_ms else 0

    def _carry(self, keys: U64, start_ms: int) -> None:
        """Carry the totals of the keys that stay over to their new places."""
        place = {key.tobytes(): row for row, key in enumerate(self._keys)}
        rows = np.array([place.get(key.tobytes(), -1) for key in keys], dtype=np.intp)
        self._counters = np.where(rows >= 0, np.pad(self._counters, ((0, 0), (0, 1)))[:, rows], 0)
        self._start_ms = np.where(rows >= 0, np.pad(self._start_ms, (0, 1))[rows], start_ms)
        self._labels = tuple(
            self._labels[row] if row >= 0 else self._render(key) for row, key in zip(rows, keys, strict=True)
        )
        self._keys = keys.copy()


class Distribution:
    """A histogram over the life of the agent, of whole numbers that are exported divided by `per`.

    It counts between all bounds of both forms at once, the classic one (inclusive bounds, as `le` is) and the native
    one, so that they cannot contradict each other.
    """

    def __init__(self, family: Family, bounds: Sequence[float], per: int = 1) -> None:
        self.family: Final = family
        self._bounds: Final = tuple(bounds)
        self._per: Final = per
        classic = [decimal_edge(bound, per) for bound in bounds]
        self._first_native, native = exponential_edges(SCHEMA, per)
        edges = sorted({0, *classic, *native})
        place = {edge: index for index, edge in enumerate(edges)}
        self._classic: Final = [place[edge] for edge in classic]
        self._native: Final = [place[0], *(place[edge] for edge in native)]
        self._finder: Final = Finder(edges)
        self._counts = np.zeros(len(edges), dtype=np.uint64)
        self._sum = 0

    def observe(self, numbers: Column) -> None:
        """Add observations: whole numbers from 0 up to 2**64 - 1, not yet divided by `per`."""
        values = numbers.astype(np.float64)
        places = self._finder.find(values)
        self._counts += np.bincount(places, minlength=len(self._counts)).astype(np.uint64)
        self._sum += int(values.sum())

    def block(self, start_ms: int) -> HistogramBlock:
        """The histogram as it stands, without labels."""
        up_to: U64 = np.cumsum(self._counts, dtype=np.uint64)
        zeros, total = up_to[:1], up_to[-1:]
        return HistogramBlock(
            self.family,
            ((),),
            self._bounds,
            np.diff(up_to[self._classic], prepend=np.uint64(0), append=total)[np.newaxis],
            np.array([self._sum / self._per]),
            np.array([start_ms], dtype=np.int64),
            NativeBuckets(SCHEMA, self._first_native, zeros, np.diff(up_to[self._native])[np.newaxis]),
        )
