"""What one tick says."""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from ss_pusher.model.arrays import F64, I64, U64
from ss_pusher.model.declarations import Family

Labels: TypeAlias = tuple[tuple[str, str], ...]
"""Label pairs sorted by name, without __name__ and without external labels; no empty values."""


@dataclass(frozen=True, slots=True)
class Block:
    """Families that share their label sets. `values[f, s]` is family f's sample of label set s; NaN: it has none.

    `start_ms` is when each label set's counters began, in milliseconds of Unix time; it says nothing of gauges.
    `foreign` is what the job's own code made, and what a Pushgateway may refuse while it would take the rest.
    """

    families: tuple[Family, ...]
    labels: tuple[Labels, ...]
    values: F64  # [families, label sets]
    start_ms: I64  # [label sets]
    foreign: bool = False


@dataclass(frozen=True, slots=True)
class NativeBuckets:
    """The exponential buckets of a native histogram: https://prometheus.io/docs/specs/native_histograms/.

    `counts[s, b]` is how many observations of label set s are above 2**((i - 1) / 2**schema) and at most
    2**(i / 2**schema), where i is `first` + b.
    """

    schema: int
    first: int
    zeros: U64  # [label sets], observations of 0
    counts: U64  # [label sets, buckets]


@dataclass(frozen=True, slots=True)
class HistogramBlock:
    """One histogram. `counts` are per bucket, not cumulative; the last is above every bound. Bounds are inclusive.

    `native` holds the same observations in other buckets, for receivers that take these. `foreign` is as in `Block`.
    """

    family: Family
    labels: tuple[Labels, ...]
    bounds: tuple[float, ...]
    counts: U64  # [label sets, bounds + 1]
    sums: F64  # [label sets]
    start_ms: I64  # [label sets]
    native: NativeBuckets | None = None
    foreign: bool = False


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that one tick says, in Unix milliseconds. `previous_ms` is the tick before, or 0 when there was none."""

    time_ms: int
    previous_ms: int
    blocks: tuple[Block, ...]
    histograms: tuple[HistogramBlock, ...] = ()

    def series(self, *, native: bool = False) -> int:
        """How many series this is: a classic histogram's buckets, sum and count are one each, a native one is one."""
        plain = sum(int(np.count_nonzero(~np.isnan(block.values))) for block in self.blocks)
        return plain + sum(
            len(h.labels) * (1 if native and h.native is not None else len(h.bounds) + 3) for h in self.histograms
        )
