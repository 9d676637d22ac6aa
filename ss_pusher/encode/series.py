"""Snapshots as what remote write and the text formats know: tables of series, histograms unfolded or native."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, NamedTuple

import numpy as np

from ss_pusher.encode import native_histogram
from ss_pusher.model import I64, U8, U64, Block, Family, HistogramBlock, Labels, MetricType, NativeBuckets, Snapshot


class Column(NamedTuple):
    """One name of a table: `name` is the series' __name__, `le` its bucket label, or empty."""

    family: Family
    name: str
    le: str

    @property
    def key(self) -> tuple[str, str]:
        """What tells it from every other column of a snapshot."""
        return self.name, self.le

    @property
    def cumulative(self) -> bool:
        """Whether the value counts from a start time."""
        return self.family.type is not MetricType.GAUGE


@dataclass(frozen=True, slots=True)
class Table:
    """Series as a matrix; row by row is their order on the wire, because neighbours share the most bytes so.

    `bits` are the float64 values as integers, so that no conversion touches a stale marker. `samples` is how many
    samples each series sends: 0, it is absent; 1, its value; 2, a 0 and then its value.

    Native histograms are a table of one column, whose `bits` mean nothing.
    """

    columns: tuple[Column, ...]
    labels: tuple[Labels, ...]
    bits: U64  # [label sets, columns]
    samples: U8  # [label sets, columns]
    start_ms: I64  # [label sets]
    histograms: tuple[bytes, ...] = ()  # [label sets] where they are native, without their times
    zero: bytes = b""  # such a histogram that stands for 0


def tables(snapshot: Snapshot, *, native: bool = False) -> list[Table]:
    """Every series of the snapshot; a NaN in a block is no sample.

    With `native` a histogram that has that form is one series, in place of its classic ones.
    """
    histograms = [
        _native(block, block.native, begins=not snapshot.previous_ms) if native and block.native else _unfolded(block)
        for block in snapshot.histograms
    ]
    return [*map(_plain, snapshot.blocks), *histograms]


def families(snapshot: Snapshot) -> tuple[Family, ...]:
    """Every family of the snapshot, once, in order."""
    found = [family for block in snapshot.blocks for family in block.families]
    return tuple(dict.fromkeys(found + [block.family for block in snapshot.histograms]))


def _plain(block: Block) -> Table:
    return Table(
        columns=tuple(Column(family, family.name, "") for family in block.families),
        labels=block.labels,
        bits=block.values.T.view(np.uint64),
        samples=(~np.isnan(block.values.T)).view(np.uint8),
        start_ms=block.start_ms,
    )


def _unfolded(block: HistogramBlock) -> Table:
    cumulative = np.cumsum(block.counts, axis=1, dtype=np.uint64)
    values = np.column_stack((cumulative, block.sums, cumulative[:, -1])).astype(np.float64)
    return Table(
        columns=histogram_columns(block.family, block.bounds),
        labels=block.labels,
        bits=values.view(np.uint64),
        samples=np.ones(values.shape, dtype=np.uint8),
        start_ms=block.start_ms,
    )


def _native(block: HistogramBlock, native: NativeBuckets, *, begins: bool) -> Table:
    shape = (len(block.labels), 1)
    return Table(
        columns=(Column(block.family, block.family.name, ""),),
        labels=block.labels,
        bits=np.zeros(shape, dtype=np.uint64),
        samples=np.ones(shape, dtype=np.uint8),
        start_ms=block.start_ms,
        histograms=native_histogram.histograms(block, native, begins=begins),
        zero=native_histogram.empty(native),
    )


def histogram_columns(family: Family, bounds: Iterable[float]) -> tuple[Column, ...]:
    """A classic histogram's series: the buckets, the sum, the count."""
    buckets = [Column(family, f"{family.name}_bucket", bound(limit)) for limit in (*bounds, math.inf)]
    return (*buckets, Column(family, f"{family.name}_sum", ""), Column(family, f"{family.name}_count", ""))


_LOWEST_PLAIN_EXPONENT: Final = -4
_LOWEST_LARGE_EXPONENT: Final = 6


def bound(limit: float) -> str:
    """A bucket's bound as Prometheus writes it: Go's strconv.FormatFloat(limit, 'g', -1, 64)."""
    if math.isinf(limit):
        return "+Inf" if limit > 0 else "-Inf"
    shortest = Decimal(repr(float(limit))).normalize()
    exponent = shortest.adjusted()
    if _LOWEST_PLAIN_EXPONENT <= exponent < _LOWEST_LARGE_EXPONENT:
        return format(shortest, "f")
    digits = format(shortest.scaleb(-exponent), "f")
    return f"{digits}e{'-' if exponent < 0 else '+'}{abs(exponent):02d}"
