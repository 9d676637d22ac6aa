"""Keys of groups as numbers: their hashes, and the keys of the remainder.

Inside this room keys stand as columns, uint64[words, n]: hashing and comparing run along one word at a time.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np

from ss_pusher.model import OTHER_WORD, U64, Bools, Direction, KeyPart, Rows

_LOW_HALF: Final = np.uint64(0xFFFF_FFFF)
_HALF_BITS: Final = np.uint64(32)


def hashed(words: U64, multipliers: U64) -> U64:
    """uint64[n] of uint64[words, n]; `multipliers`, uint64[words, 2], are drawn at random once a process.

    A multilinear hash of the 32-bit halves, modulo 2^64: two different keys that were chosen without knowledge of
    the multipliers meet with a probability of at most 2^-33, so no peer can steer its hash.
    """
    total = np.zeros(words.shape[1], np.uint64)
    for word, (low, high) in zip(words, multipliers, strict=True):
        total += (word & _LOW_HALF) * low
        total += (word >> _HALF_BITS) * high
    return total


def part(layout: Sequence[KeyPart], label: str) -> KeyPart | None:
    """Where `label` stands in a key."""
    return next((part for part in layout if part.label == label), None)


def remainder_keys(layout: Sequence[KeyPart]) -> U64:
    """uint64[words, remainders]: the key of the remainder in each direction, or the only one."""
    direction = part(layout, "direction")
    keys = np.full((sum(part.width for part in layout), len(Direction) if direction else 1), OTHER_WORD, np.uint64)
    if direction:
        keys[direction.first] = sorted(Direction)
    return keys


def remainder_of(words: U64, layout: Sequence[KeyPart]) -> tuple[Rows, Bools]:
    """For each key, which column of `remainder_keys` is its remainder, and whether it is that very key."""
    same = np.ones(words.shape[1], np.bool_)
    for label, first, width in layout:
        if label != "direction":
            same &= (words[first : first + width] == np.uint64(OTHER_WORD)).all(axis=0)
    direction = part(layout, "direction")
    if direction is None:
        return np.zeros(words.shape[1], np.intp), same
    return words[direction.first].astype(np.intp) - min(Direction), same
