"""Who stays and who wants to come: a ranking takes a group in at one rank and lets it go at a lower one."""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from ss_pusher.model import F64, I64
from ss_pusher.select.candidates import Candidates


class Bands(NamedTuple):
    """For each ranking: the lowest rank that enters, and the lowest that stays."""

    enter: I64
    leave: I64


def bands(counts: Sequence[int], places: int) -> Bands:
    """Rank N enters and rank 2N stays, when there are places for all that may stay.

    With fewer places the bands narrow in proportion, so that groups in the lower half of their band cannot keep the
    places from groups at the very top for ever.
    """
    count = np.array(counts, np.int64)
    total = int(count.sum())
    leave = np.minimum(2 * count, np.maximum(1, count * max(places, 0) // max(total, 1)))
    return Bands(enter=np.minimum(count, -(-leave * 3 // 4)), leave=leave)


def settle(candidates: Candidates, ranks: I64, band: Bands, hold: int) -> Candidates:
    """Let go of what has stood below its band for more than `hold` ticks in a row, in every ranking that held it."""
    exported = candidates.entered > 0
    held = (candidates.held | (ranks <= band.enter[:, None])) & exported
    below = np.where(held & (ranks > band.leave[:, None]), candidates.below + 1, 0)
    held &= below <= hold
    return replace(candidates, held=held, below=below, entered=np.where(held.any(axis=0), candidates.entered, 0))


def standing(ranks: I64, counts: Sequence[int]) -> F64:
    """float64[n]: the best rank of each candidate as a share of the ranking's count. The lower, the better."""
    best: F64 = (ranks / np.array(counts, np.float64)[:, None]).min(axis=0, initial=np.inf)
    return best
