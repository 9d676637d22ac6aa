"""Where whole numbers lie among the bounds of buckets: exactly, and in a few passes over the numbers.

Exponential buckets are those of https://prometheus.io/docs/specs/native_histograms/: bucket i of schema s holds what is
above 2**((i - 1) / 2**s) and at most 2**(i / 2**s).
"""

from collections.abc import Sequence
from decimal import Decimal
from math import floor, isqrt
from typing import Final

import numpy as np

from ss_pusher.model import F64, Rows

_LARGEST: Final = 2**64 - 1
_FRACTION_BITS: Final = 52
_EXPONENT_OF_1: Final = 1023
_CELLS_AN_OCTAVE: Final = 16
_UNTOLD_BITS: Final = _FRACTION_BITS - 4  # of a float64, below those that tell its cell


def exponential_edges(schema: int, per: int) -> tuple[int, list[int]]:
    """Index of the first bucket that holds a whole number divided by `per`, and the highest number of it and all after.

    The last one holds 2**64 - 1. Where buckets are narrower than 1 / `per`, some hold no number: their edge is that of
    the one before.
    """
    first = next(index for index in range(-per.bit_length() << schema, 1) if _edge(index, schema, per))
    edges = [_edge(first, schema, per)]
    while edges[-1] < _LARGEST:
        edges.append(_edge(first + len(edges), schema, per))
    return first, edges


def _edge(index: int, schema: int, per: int) -> int:
    """floor(per * 2**(index / 2**schema)), by as many integer square roots as `schema` says: no rounding anywhere."""
    power: int = per ** (1 << schema)
    power = power << index if index >= 0 else power >> -index
    for _ in range(schema):
        power = isqrt(power)
    return power


def decimal_edge(bound: float, per: int) -> int:
    """The highest whole number that, divided by `per`, is not above `bound` as it is written in decimal."""
    return floor(Decimal(repr(bound)) * per)


class Finder:
    """Finds the first of ascending edges that is not below a number, for many numbers at once.

    The highest bits of a float64 tell in which cell of its octave it lies. A table holds how many edges are below each
    cell; in one there are few, which are compared one by one.
    """

    def __init__(self, edges: Sequence[int]) -> None:
        """`edges` are not negative, none occurs twice, and the last is the highest number that is looked for."""
        self._edges: F64 = np.append(np.array(edges, dtype=np.float64), np.inf)
        cells = np.arange((_EXPONENT_OF_1 + _LARGEST.bit_length() + 1) * _CELLS_AN_OCTAVE, dtype=np.int64)
        self._below: Rows = np.searchsorted(self._edges, (cells << _UNTOLD_BITS).view(np.float64), side="left")
        self._most_in_a_cell = int(np.diff(self._below).max())

    def find(self, numbers: F64) -> Rows:
        """The place of each number's edge; `numbers` are not negative."""
        places: Rows = self._below[numbers.view(np.int64) >> _UNTOLD_BITS]
        for _ in range(self._most_in_a_cell):
            places += self._edges[places] < numbers
        return places
