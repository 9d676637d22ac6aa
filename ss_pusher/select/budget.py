"""What the limits leave of the groups that the rankings want."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np

from ss_pusher.model import U64, Bools, KeyPart

_HOUR: Final = 3600.0


class Limit(StrEnum):
    """Why a group is not exported; the names are those of the configuration."""

    TOP = "top"
    MAX_SERIES = "max_series"
    MAX_VALUES = "max_values"
    MAX_NEW_SERIES_PER_HOUR = "max_new_series_per_hour"


@dataclass(frozen=True, slots=True)
class HourlyBudget:
    """A token bucket that never gives more than `most` tokens in an hour, whichever hour one looks at.

    A quarter can be taken at once, and the rest flows in over an hour. It starts full: the first tick can export.
    """

    most: int
    least: int  # what one purchase costs: the bucket can always hold that

    @property
    def capacity(self) -> float:
        """What can be taken at once."""
        return min(self.most, max(self.most / 4, self.least))

    def refilled(self, tokens: float, seconds: float) -> float:
        """The tokens after some seconds in which none was taken."""
        return min(self.capacity, tokens + (self.most - self.capacity) * seconds / _HOUR)


def admit(
    newcomers: U64, members: U64, values: Sequence[tuple[KeyPart, int]], places: int, affordable: int
) -> tuple[Bools, Counter[Limit]]:
    """Which newcomers come in, and how many each limit refused.

    Args:
        newcomers: uint64[words, newcomers], the best first.
        members: uint64[words, members], what is exported and stays.
        values: labels, and how many values of each may be exported.
        places: how many newcomers `max_series` leaves room for.
        affordable: how many the hourly budget pays.
    """
    taken = [set(_values(members, part)) for part, _ in values]
    wanted = [_values(newcomers, part) for part, _ in values]
    admitted = np.zeros(newcomers.shape[1], np.bool_)
    refused: Counter[Limit] = Counter()
    for row in range(len(admitted)):
        named = [(known, mine[row], most) for known, mine, (_, most) in zip(taken, wanted, values, strict=True)]
        if any(value not in known and len(known) >= most for known, value, most in named):
            refused[Limit.MAX_VALUES] += 1
        elif places <= 0:
            refused[Limit.MAX_SERIES] += 1
        elif affordable <= 0:
            refused[Limit.MAX_NEW_SERIES_PER_HOUR] += 1
        else:
            admitted[row] = True
            places, affordable = places - 1, affordable - 1
            for known, value, _ in named:
                known.add(value)
    return admitted, refused


def _values(words: U64, part: KeyPart) -> list[tuple[int, ...]]:
    return [tuple(value) for value in words[part.first : part.first + part.width].T.tolist()]
