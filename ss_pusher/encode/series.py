"""Snapshots as what remote write and the Pushgateway's protobuf know: tables of plain series, histograms unfolded."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, NamedTuple

import numpy as np

from ss_pusher.model import I64, U8, U64, Block, Family, HistogramBlock, Labels, MetricType, Snapshot


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
    """

    columns: tuple[Column, ...]
    labels: tuple[Labels, ...]
    bits: U64  # [label sets, columns]
    samples: U8  # [label sets, columns]
    start_ms: I64  # [label sets]


def tables(snapshot: Snapshot) -> list[Table]:
    """Every series of the snapshot; a NaN in a block is no sample."""
    return [*map(_plain, snapshot.blocks), *map(_unfolded, snapshot.histograms)]


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
