"""From scores to membership: who leaves, who wants to come, and whom the limits let in."""

from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from ss_pusher.model import F64, I64, Bools, KeyPart
from ss_pusher.select.budget import Limit, admit
from ss_pusher.select.candidates import Candidates
from ss_pusher.select.membership import bands, settle, standing
from ss_pusher.select.order import ordered
from ss_pusher.select.ranks import BEYOND, ranks


class Rules(NamedTuple):
    """What the configuration says about membership."""

    counts: tuple[int, ...]  # [rankings]
    hold: int
    values: tuple[tuple[KeyPart, int], ...]  # labels, and how many values of each may be exported


class Room(NamedTuple):
    """How many groups and networks may be exported in this tick, and how many of them may be new."""

    places: int
    affordable: int


class Decision(NamedTuple):
    """The membership after a tick."""

    candidates: Candidates
    wanted: Bools  # [candidates]; a ranking wants it, whether it got in or not
    entered: int
    evicted: int
    refused: Mapping[Limit, int]
    bars: F64  # [rankings]; the lowest score that ranks high enough to enter, 1 where none does


def decide(candidates: Candidates, tick: int, rules: Rules, room: Room) -> Decision:
    """Let members stay or go, then let newcomers in, the best first."""
    band = bands(rules.counts, room.places)
    rank = ranks(candidates, np.maximum(band.leave, rules.counts).tolist())
    order = (standing(rank, rules.counts), candidates.born, *candidates.words)
    settled = settle(candidates, rank, band, rules.hold)
    members = ordered(np.flatnonzero(settled.entered > 0), order)[: room.places]
    wanted = (rank <= np.array(rules.counts)[:, None]).any(axis=0) & ~_outspoken(settled, rank)
    entering = rank <= band.enter[:, None]
    waiting = np.setdiff1d(np.flatnonzero(wanted), members)
    newcomers = ordered(np.intersect1d(waiting, np.flatnonzero(entering.any(axis=0))), order)
    admitted, refused = admit(
        candidates.words[:, newcomers],
        candidates.words[:, members],
        rules.values,
        places=room.places - len(members),
        affordable=room.affordable,
    )
    refused[Limit.MAX_SERIES] += len(waiting) - len(newcomers)
    entered = np.zeros(len(candidates), np.int64)
    entered[members] = settled.entered[members]
    entered[newcomers[admitted]] = tick
    held = np.where(candidates.entered == entered, settled.held, entering) & (entered > 0)
    bars = np.where(entering, candidates.scores, np.inf).min(axis=1, initial=np.inf)
    return Decision(
        candidates=replace(settled, entered=entered, held=held),
        wanted=wanted,
        entered=int(np.count_nonzero(admitted)),
        evicted=int(np.count_nonzero((candidates.entered > 0) & (entered == 0))),
        refused=refused,
        bars=np.where(np.isinf(bars), 1, bars),
    )


def _outspoken(candidates: Candidates, rank: I64) -> Bools:
    """bool[n]: the networks that must not enter: a group of theirs is exported, or so high that it may be soon."""
    near = (rank != BEYOND).any(axis=0)
    outside = np.flatnonzero(near & candidates.network & (candidates.entered == 0))
    speaking = (near | (candidates.entered > 0)) & ~candidates.network
    result = np.zeros(len(candidates), np.bool_)
    result[outside] = np.isin(candidates.hashes[outside], candidates.parent[speaking])
    return result
